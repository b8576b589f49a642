//! Puts the questions of the matrix to a broker and judges what comes of them.
//!
//! **Method.** Two devices watch the whole time: they hear tokens, keyring and root, and the cloud hears reports and
//! requests. After every attempt something is sent last to each of them, on a way that is always open; whatever the attempt
//! could have caused has arrived before it. An attempt that must fail has to be noticed by nobody and to be refused, at the
//! embedded broker with exactly NotAuthorized; of subscriptions and wills at other brokers the effect alone counts. An attempt
//! that must work has to arrive.

use super::client::Mqtt;
use super::matrix::{Entry, Kind, Line, Verb, Who};
use super::{Bench, Face};
use crate::ports::Incoming;
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::{Access, FormatV1, Request, Topic, device_may};
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish, SubscribeReasonCode};

/// One combination and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Who tried.
    pub who: Who,
    /// What.
    pub verb: Verb,
    /// With which topic or filter, names filled in.
    pub topic: String,
    /// Whether it must work.
    pub expected: bool,
    /// What is wrong, in a sentence; nothing if the broker did as it must.
    pub wrong: Option<String>,
}

/// A device that watches.
struct Witness {
    device: DeviceId,
    ear: Mqtt,
}

/// The scene: witnesses in their places, documents retained.
pub struct Stage<'a> {
    bench: &'a Bench,
    witnesses: Vec<Witness>,
    counter: u64,
}

/// What an attempt came to.
struct Seen {
    /// Whether the broker refused it in words, or ended the connection.
    refused: bool,
    /// Who noticed it.
    by: Vec<String>,
    /// Whether the connection can be used for the next attempt.
    stands: bool,
}

impl<'a> Stage<'a> {
    /// Publishes keyring and root for whoever subscribes, and lets the witnesses take their places.
    ///
    /// # Errors
    /// What must work does not, in a sentence.
    pub async fn open(bench: &'a Bench) -> Result<Stage<'a>, String> {
        bench.publish(Topic::Keyring, &bench.keyring, true).await?;
        bench.publish(Topic::Root(bench.root_version), b"a root", true).await?;
        let mut stage = Stage { bench, witnesses: Vec::new(), counter: 0 };
        for face in bench.witnesses() {
            stage.witnesses.push(stage.witness(face).await?);
        }
        Ok(stage)
    }

    async fn witness(&self, face: &Face) -> Result<Witness, String> {
        let failed = |error| format!("the device {} cannot do what it must: {error}", face.device);
        let mut ear = self.bench.connect(face).await.map_err(failed)?;
        let token = Topic::Token(face.device.clone());
        for topic in [token, Topic::Keyring, Topic::Root(self.bench.root_version)] {
            let code = ear.subscribe(&topic.to_string()).await.map_err(failed)?;
            if !granted(code) {
                return Err(failed(format!("subscribing to {topic} was answered {code:?}")));
            }
        }
        Ok(Witness { device: face.device.clone(), ear })
    }

    /// Every combination of this one with the table.
    ///
    /// # Errors
    /// A witness or the cloud cannot do what it must; nothing can be judged then.
    pub async fn everything(&mut self, face: &Face, mut told: impl FnMut(Judged)) -> Result<(), String> {
        // A connection that leaves a will takes the place of the one that stands, so those come last.
        let (wills, others): (Vec<_>, Vec<_>) =
            self.bench.combinations().partition(|(_, verb)| *verb == Verb::Will);
        for together in [others, wills] {
            let mut peer = None;
            let mut out = None;
            for (line, verb) in together {
                let judged = match &out {
                    // Who is not let in is not let in for any topic; a will is a part of coming in.
                    Some(wrong) => self.judged(face, line, verb, Option::clone(wrong)),
                    None => self.one(face, &mut peer, line, verb).await?,
                };
                if face.who.entry(self.bench.kind) == Entry::Out {
                    out = Some(judged.wrong.clone());
                }
                told(judged);
            }
            if let Some(peer) = peer {
                peer.leave().await;
            }
        }
        Ok(())
    }

    fn judged(&self, face: &Face, line: &Line, verb: Verb, wrong: Option<String>) -> Judged {
        let expected = face.who.entry(self.bench.kind) != Entry::Out && line.allows(face.who, verb);
        Judged { who: face.who, verb, topic: self.bench.fill(line.topic, &face.device), expected, wrong }
    }

    /// One combination, on the connection that stands if one does.
    async fn one(
        &mut self,
        face: &Face,
        standing: &mut Option<Mqtt>,
        line: &Line,
        verb: Verb,
    ) -> Result<Judged, String> {
        let topic = self.bench.fill(line.topic, &face.device);
        let entry = face.who.entry(self.bench.kind);
        // What was heard before was judged; looking through it every time would cost more than all the rest.
        self.bench.ear.forget();
        if verb == Verb::Will {
            let wrong = self.will(face, entry, line, &topic).await?;
            return Ok(self.judged(face, line, verb, wrong));
        }
        let arrived = match standing.take() {
            Some(peer) => Ok(peer),
            None => self.come(face).await,
        };
        let wrong = match arrived {
            Err(_) if entry != Entry::Itself => None,
            Err(error) => Some(format!("was not let in: {error}")),
            Ok(_) if entry == Entry::Out => Some(String::from("was let in")),
            Ok(mut peer) => {
                let seen = match verb {
                    Verb::Write | Verb::Will => self.write(face, &mut peer, &topic).await?,
                    Verb::Read => self.read(face, &mut peer, &topic, &topic).await?,
                    Verb::Share => {
                        self.read(face, &mut peer, &topic, &format!("$share/cloud/{topic}")).await?
                    }
                };
                if seen.stands {
                    *standing = Some(peer);
                }
                self.judge(line, face.who, verb, &seen)
            }
        };
        Ok(self.judged(face, line, verb, wrong))
    }

    /// Comes in and opens the way that is always open: its own token.
    async fn come(&self, face: &Face) -> Result<Mqtt, String> {
        let mut peer = self.bench.connect(face).await?;
        // Who is refused this is told so when it is its turn in the table.
        let _ = peer.subscribe(&Topic::Token(face.device.clone()).to_string()).await;
        Ok(peer)
    }

    fn judge(&self, line: &Line, who: Who, verb: Verb, seen: &Seen) -> Option<String> {
        let expected = line.allows(who, verb);
        let by = seen.by.join(", ");
        if expected {
            return match (seen.refused, seen.by.is_empty()) {
                (false, false) => None,
                (true, _) => Some(String::from("was refused")),
                (false, true) => Some(String::from("had no effect")),
            };
        }
        // A will on a topic one may publish to says nothing one could not say anyway.
        let lax = self.bench.kind == Kind::External && verb == Verb::Will && line.allows(who, Verb::Write);
        if !seen.by.is_empty() && !lax {
            return Some(format!("arrived ({by})"));
        }
        let words_count = match (self.bench.kind, verb) {
            (Kind::Embedded, Verb::Write | Verb::Read | Verb::Share | Verb::Will)
            | (Kind::External, Verb::Write) => true,
            (Kind::External, Verb::Read | Verb::Share | Verb::Will) => false,
        };
        (words_count && !seen.refused).then(|| String::from("was not refused"))
    }

    async fn write(&mut self, face: &Face, peer: &mut Mqtt, topic: &str) -> Result<Seen, String> {
        let forged = self.payload(topic);
        let answer = peer.publish(topic, &forged).await;
        let refused = match (self.bench.kind, &answer) {
            (Kind::Embedded, Ok(code)) => *code == PubAckReason::NotAuthorized,
            (Kind::External, Ok(code)) => {
                !matches!(code, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
            }
            (Kind::Embedded | Kind::External, Err(_)) => true,
        };
        let mut by = self.noticed(&forged).await?;
        let mut stands = answer.is_ok();
        if stands {
            // Its own token is a topic nobody else hears.
            match self.last_to(face, peer).await? {
                Some(heard) if heard.iter().any(|(_, message)| message.payload.as_ref() == forged) => {
                    by.push(String::from("its own connection"));
                }
                Some(_) => {}
                None => stands = false,
            }
        }
        Ok(Seen { refused, by, stands })
    }

    /// Everything this one hears up to what the cloud sends it last; nothing if the connection is gone.
    async fn last_to(
        &mut self,
        face: &Face,
        peer: &mut Mqtt,
    ) -> Result<Option<Vec<(String, Publish)>>, String> {
        let last = self.payload("last");
        self.bench.publish(Topic::Token(face.device.clone()), &last, false).await?;
        let Ok(mut heard) = peer.until(&last).await else { return Ok(None) };
        heard.extend(peer.rest(self.bench.settle).await);
        Ok(Some(heard))
    }

    /// Reads with `filter`, where `plain` is the same without a share name.
    async fn read(
        &mut self,
        face: &Face,
        peer: &mut Mqtt,
        plain: &str,
        filter: &str,
    ) -> Result<Seen, String> {
        let own = &face.device;
        let own_token = Topic::Token(own.clone()).to_string();
        let asked = peer.subscribe(filter).await;
        let refused = match (self.bench.kind, &asked) {
            (Kind::Embedded, Ok(code)) => *code == SubscribeReasonCode::NotAuthorized,
            (Kind::External, Ok(code)) => !granted(*code),
            (Kind::Embedded | Kind::External, Err(_)) => true,
        };
        let mut stands = false;
        let mut heard = Vec::new();
        if asked.is_ok()
            && self.talk(face, peer).await?
            && let Some(all) = self.last_to(face, peer).await?
        {
            heard = all;
            stands = filter == own_token || peer.unsubscribe(filter).await.is_ok();
        }
        let by = if filter == plain && device_may(own, Access::Subscribe, plain) {
            heard.retain(|(topic, _)| topic == plain);
            topics(&heard)
        } else if refused {
            // Only the way for the last message was open.
            heard.retain(|(topic, _)| *topic != own_token);
            topics(&heard)
        } else {
            heard.retain(|(topic, _)| !device_may(own, Access::Subscribe, topic));
            topics(&heard)
        };
        Ok(Seen { refused, by, stands })
    }

    /// Everybody says something on every topic of devices, so that there is something to overhear. Whether the one who tries
    /// could do so.
    async fn talk(&mut self, face: &Face, peer: &mut Mqtt) -> Result<bool, String> {
        let mut could = true;
        for watching in self.bench.witnesses() {
            let token = self.payload("token");
            self.bench.publish(Topic::Token(watching.device.clone()), &token, false).await?;
        }
        // What each says last is answered, and with it what it said before.
        let own = face.device.clone();
        let (report, request) = (Topic::Report(own.clone()).to_string(), Topic::Request(own).to_string());
        could &= peer.mention(&report, &self.payload(&report)).is_ok();
        could &= peer.publish(&request, &self.payload(&request)).await.is_ok();
        let mut reported = Vec::new();
        for index in 0..self.witnesses.len() {
            let Some(device) = self.witnesses.get(index).map(|witness| witness.device.clone()) else {
                continue;
            };
            let topic = Topic::Report(device).to_string();
            let payload = self.payload(&topic);
            if let Some(witness) = self.witnesses.get_mut(index) {
                witness.ear.mention(&topic, &payload)?;
            }
            reported.push((topic, payload));
        }
        // Whoever joins the cloud's share must not swallow a part of what others say.
        self.upwards_works().await?;
        for (topic, payload) in reported {
            if self.bench.ear.count(|_, incoming| carries(incoming, &payload)) == 0 {
                return Err(format!("what was published to {topic} did not reach the cloud"));
            }
        }
        Ok(could)
    }

    async fn will(
        &mut self,
        face: &Face,
        entry: Entry,
        line: &Line,
        topic: &str,
    ) -> Result<Option<String>, String> {
        let forged = self.payload(topic);
        let mut login = self.bench.login(face);
        login.will = Some((topic.to_owned(), forged.clone()));
        let refused = match login.connect().await {
            Err(_) => true,
            Ok(_) if entry == Entry::Out => return Ok(Some(String::from("was let in"))),
            Ok(vanishing) => {
                drop(vanishing);
                // Coming back under the same name, with nothing kept, is when the will is due at the latest.
                self.bench.connect(face).await?.leave().await;
                false
            }
        };
        let by = if entry == Entry::Out { Vec::new() } else { self.noticed(&forged).await? };
        Ok(self.judge(line, face.who, Verb::Will, &Seen { refused, by, stands: false }))
    }

    /// Who noticed this message; everything that was to arrive has.
    async fn noticed(&mut self, forged: &[u8]) -> Result<Vec<String>, String> {
        let mut by = Vec::new();
        self.upwards_works().await?;
        if self.bench.ear.count(|_, incoming| carries(incoming, forged)) > 0 {
            by.push(String::from("the cloud"));
        }
        let settle = self.bench.settle;
        for index in 0..self.witnesses.len() {
            let last = self.payload("last");
            let Some(witness) = self.witnesses.get_mut(index) else { continue };
            self.bench.publish(Topic::Token(witness.device.clone()), &last, false).await?;
            let lost =
                |error| format!("the device {} lost its connection or its messages: {error}", witness.device);
            let mut heard = witness.ear.until(&last).await.map_err(lost)?;
            heard.extend(witness.ear.rest(settle).await);
            if heard.iter().any(|(_, message)| message.payload.as_ref() == forged && !message.retain) {
                by.push(format!("device {}", witness.device));
            }
        }
        Ok(by)
    }

    /// A request of each witness is heard by the cloud, and with it whatever was said before.
    async fn upwards_works(&mut self) -> Result<(), String> {
        for index in 0..self.witnesses.len() {
            let Some(device) = self.witnesses.get(index).map(|witness| witness.device.clone()) else {
                continue;
            };
            let topic = Topic::Request(device.clone()).to_string();
            let last = self.payload(&topic);
            if let Some(witness) = self.witnesses.get_mut(index) {
                witness.ear.publish(&topic, &last).await?;
            }
            let like = |who: &DeviceId, incoming: &Incoming| *who == device && carries(incoming, &last);
            self.bench.ear.until(&format!("a request of {device}"), like).await?;
        }
        Ok(())
    }

    /// Bytes that were never sent before and fit the topic, if it is one devices write to; the keyring is the keyring.
    fn payload(&mut self, topic: &str) -> Vec<u8> {
        self.counter = self.counter.saturating_add(1);
        payload(self.counter, topic, self.bench)
    }

    /// The witnesses go home.
    pub async fn close(self) {
        for witness in self.witnesses {
            witness.ear.leave().await;
        }
    }
}

pub(super) fn payload(counter: u64, topic: &str, bench: &Bench) -> Vec<u8> {
    // A random part, so that what an earlier run left behind is not taken for this one's.
    let random = getrandom::u64().unwrap_or_default();
    let marker = format!("{random:016x}{counter:016x}");
    if topic == Topic::Keyring.to_string() {
        return bench.keyring.to_vec();
    }
    // A request stands for a report as well where it is only to be recognized: what a device says there is read the same way.
    match topic.parse() {
        Ok(Topic::Request(_)) => {
            let request = marker.parse().map(|nonce| Request { v: FormatV1, nonce });
            request.ok().and_then(|request| request.to_payload().ok()).unwrap_or_default()
        }
        Ok(Topic::Report(_)) => super::suite::report(random),
        Ok(Topic::Token(_) | Topic::Keyring | Topic::Root(_)) | Err(_) => marker.into_bytes(),
    }
}

/// Whether this is what these bytes mean.
pub(super) fn carries(incoming: &Incoming, payload: &[u8]) -> bool {
    match incoming {
        Incoming::Report(report) => report.to_payload().is_ok_and(|said| said == payload),
        Incoming::Request(request) => request.to_payload().is_ok_and(|said| said == payload),
        Incoming::Connected | Incoming::Disconnected => false,
    }
}

fn topics(heard: &[(String, Publish)]) -> Vec<String> {
    let mut topics: Vec<String> = heard.iter().map(|(topic, _)| topic.clone()).collect();
    topics.sort();
    topics.dedup();
    topics
}

pub(super) fn granted(code: SubscribeReasonCode) -> bool {
    matches!(code, SubscribeReasonCode::Success(_))
}
