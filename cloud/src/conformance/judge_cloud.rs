//! The cloud's own columns of the matrix, where the cloud comes over the network.
//!
//! **Method.** As for devices, but the cloud's session is its own: nobody else can speak for it meanwhile. Three devices watch; what the
//! cloud reads comes from them, and a request of one of them is what is sent last.

use super::client::{Login, Mqtt};
use super::judge::{Judged, granted, payload};
use super::matrix::{Line, Verb, Who};
use super::{Bench, Face};
use coterm_shared::protocol::{DEVICE_REQUESTS, Topic};
use rumqttc::v5::mqttbytes::v5::PubAckReason;

/// Every combination of the cloud with the table. The bench's own hands of the cloud must have let go.
///
/// # Errors
/// A device cannot do what it must; nothing can be judged then.
pub async fn everything(bench: &Bench, cloud: &Face, mut told: impl FnMut(Judged)) -> Result<(), String> {
    let mut devices = Vec::new();
    for face in std::iter::once(&bench.own).chain(bench.witnesses()) {
        let mut device = bench.connect(face).await?;
        for topic in [Topic::Token(face.device.clone()), Topic::Keyring, Topic::Root(bench.root_version)] {
            device.subscribe(&topic.to_string()).await?;
        }
        devices.push((face, device));
    }
    let mut scene = Scene { bench, cloud: bench.login(cloud), devices, counter: 0 };
    for (line, verb) in bench.combinations() {
        let topic = bench.fill(line.topic, &bench.own.device);
        let expected = line.allows(Who::Cloud, verb);
        let wrong = scene.one(line, verb, &topic, expected).await?;
        told(Judged { who: Who::Cloud, verb, topic, expected, wrong });
    }
    for (_, device) in scene.devices {
        device.leave().await;
    }
    Ok(())
}

struct Scene<'a> {
    bench: &'a Bench,
    cloud: Login,
    devices: Vec<(&'a Face, Mqtt)>,
    counter: u64,
}

impl Scene<'_> {
    async fn one(
        &mut self,
        line: &Line,
        verb: Verb,
        topic: &str,
        expected: bool,
    ) -> Result<Option<String>, String> {
        let forged = self.payload(topic);
        let (refused, arrived) = match verb {
            Verb::Write => {
                let mut cloud = self.cloud.connect().await?;
                for filter in coterm_shared::protocol::cloud_filters(false) {
                    cloud.subscribe(&filter).await?;
                }
                let taken = matches!(
                    cloud.publish(topic, &forged).await,
                    Ok(PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
                );
                let last = self.say().await?;
                let heard = cloud.until(&last).await.unwrap_or_default();
                let itself = heard.iter().any(|(_, message)| message.payload.as_ref() == forged);
                let arrived = self.noticed(&mut cloud, &forged).await? || itself;
                cloud.leave().await;
                (!taken, arrived)
            }
            Verb::Read => self.read(topic, topic).await?,
            Verb::Share => self.read(topic, &format!("$share/cloud/{topic}")).await?,
            Verb::Will => {
                let mut login = self.cloud.clone();
                login.will = Some((topic.to_owned(), forged.clone()));
                let refused = login.connect().await.map(drop).is_err();
                // Coming back is when the will is due at the latest.
                let mut cloud = self.cloud.connect().await?;
                let arrived = self.noticed(&mut cloud, &forged).await?;
                cloud.leave().await;
                (refused, arrived && !line.allows(Who::Cloud, Verb::Write))
            }
        };
        Ok(match (expected, refused, arrived) {
            (true, false, true) | (false, true, false) => None,
            (true, true, _) => Some(String::from("was refused")),
            (true, false, false) => Some(String::from("had no effect")),
            (false, _, true) => Some(String::from("arrived")),
            (false, false, false) => (verb == Verb::Write).then(|| String::from("was not refused")),
        })
    }

    /// Whether anything arrives by `filter` (`plain` without its share name) that is to be expected, or must not.
    async fn read(&mut self, plain: &str, filter: &str) -> Result<(bool, bool), String> {
        let mut cloud = self.cloud.connect().await?;
        let asked = cloud.subscribe(filter).await;
        let refused = !asked.as_ref().is_ok_and(|code| granted(*code));
        let mut arrived = false;
        if asked.is_ok() {
            if plain != DEVICE_REQUESTS {
                cloud.subscribe(DEVICE_REQUESTS).await?;
            }
            for face in std::iter::once(&self.bench.own).chain(self.bench.witnesses()) {
                let token = Topic::Token(face.device.clone()).to_string();
                cloud.publish(&token, b"a token").await?;
            }
            let last = self.say().await?;
            let mut heard = cloud.until(&last).await.unwrap_or_default();
            heard.extend(cloud.rest(self.bench.settle).await);
            let readable = [DEVICE_REQUESTS, coterm_shared::protocol::DEVICE_REPORTS].contains(&plain);
            arrived = heard.iter().any(|(topic, _)| match topic.parse() {
                Ok(Topic::Report(_)) => readable && plain != DEVICE_REQUESTS,
                Ok(Topic::Request(_)) => readable && plain == DEVICE_REQUESTS,
                // Everybody may know those, and patterns for all users let the cloud read them at some brokers.
                Ok(Topic::Keyring | Topic::Root(_)) => false,
                Ok(Topic::Token(_)) | Err(_) => true,
            });
        }
        cloud.leave().await;
        Ok((refused, arrived))
    }

    /// Every device reports, then requests; what the last of them sent.
    async fn say(&mut self) -> Result<Vec<u8>, String> {
        let mut last = Vec::new();
        for index in 0..self.devices.len() {
            let Some(device) = self.devices.get(index).map(|(face, _)| face.device.clone()) else { continue };
            for topic in [Topic::Report(device.clone()), Topic::Request(device.clone())] {
                let topic = topic.to_string();
                last = self.payload(&topic);
                if let Some((_, peer)) = self.devices.get_mut(index) {
                    peer.publish(&topic, &last).await?;
                }
            }
        }
        Ok(last)
    }

    /// Whether a device heard this.
    async fn noticed(&mut self, cloud: &mut Mqtt, forged: &[u8]) -> Result<bool, String> {
        let mut noticed = false;
        for index in 0..self.devices.len() {
            let last = self.payload("last");
            let Some((face, device)) = self.devices.get_mut(index) else { continue };
            cloud.publish(&Topic::Token(face.device.clone()).to_string(), &last).await?;
            let mut heard = device.until(&last).await?;
            heard.extend(device.rest(self.bench.settle).await);
            noticed |= heard.iter().any(|(_, message)| message.payload.as_ref() == forged && !message.retain);
        }
        Ok(noticed)
    }

    fn payload(&mut self, topic: &str) -> Vec<u8> {
        self.counter = self.counter.saturating_add(1);
        payload(self.counter, topic, self.bench)
    }
}
