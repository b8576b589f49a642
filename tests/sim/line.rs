//! The lines between devices, broker and daemons: sessions, and messages that get lost, doubled and late.

use crate::device::Session;
use crate::faults::Fault;
use crate::invariants::Invariant;
use crate::plan::{HOUR, SECOND};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::locked;
use crate::world::{Event, World};
use coterm_agent::driver::{Driver, Input};
use coterm_agent::line::{HEALTHY, Slot};
use coterm_cloud::ports::{Inbox, Incoming, Outgoing};
use coterm_shared::protocol::{Report, Request, Topic};
use coterm_shared::token::{Kid, TokenVersion};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl World {
    pub fn take(&mut self, at: u64, machine: usize, message: &Outgoing) {
        self.exercised.hit(Invariant::Acknowledged);
        self.note(&[1, machine as u64, message.payload.len() as u64], || {
            format!("cloud {machine} publishes {} ({} bytes)", message.topic, message.payload.len())
        });
        if message.retain {
            self.hub.keep(&message.topic, &message.payload);
        }
        for device in 0..self.devices.len() {
            let Some(session) = &self.devices[device].session else { continue };
            let hears = match &message.topic {
                Topic::Token(to) => *to == self.devices[device].id,
                Topic::Keyring => true,
                Topic::Root(version) => *version == session.root,
                Topic::Report(_) | Topic::Request(_) => false,
            };
            if hears && !session.listens {
                // The broker knows nobody who wants it: between CONNECT and SUBSCRIBE it is lost.
                self.struck.hit(Fault::Unsubscribed);
            } else if hears {
                let session = session.id;
                self.put(device, &message.topic, &message.payload);
                self.send(at, device, session, &message.topic, &message.payload);
            }
        }
    }

    /// A message goes to a device, by a network that loses, doubles and delays.
    pub fn send(&mut self, at: u64, device: usize, session: u64, topic: &Topic, payload: &Arc<[u8]>) {
        let odds = self.plan.odds;
        if !self.calm && self.chance.chance(odds.loss) {
            self.struck.hit(Fault::Loss);
            return;
        }
        let twice = !self.calm && self.chance.chance(odds.duplication);
        if twice {
            self.struck.hit(Fault::Duplication);
        }
        for _ in 0..=usize::from(twice) {
            let mut delay = self.chance.range(20, 400);
            if !self.calm && self.chance.chance(odds.reordering) {
                self.struck.hit(Fault::Reordering);
                delay += self.chance.below(30 * SECOND);
            }
            let (topic, payload) = (topic.to_string(), Arc::clone(payload));
            self.at(at + delay, Event::Deliver { device, session, topic, payload });
        }
    }

    pub fn connect(&mut self, device: usize) {
        let now = self.now;
        let down_until = self.air.lock().expect("whole").down_until;
        let of = &mut self.devices[device];
        if of.driver.is_none() || of.session.is_some() || of.suspended_until.is_some() {
            return;
        }
        let hour = now / HOUR;
        of.attempts = if of.attempts.0 == hour { (hour, of.attempts.1 + 1) } else { (hour, 1) };
        let many = of.attempts.1;
        // Jitter may be short; sixty an hour is a hammer.
        self.check(Invariant::Line, many <= 60, || {
            format!("dev-{device} connected {many} times within an hour")
        });
        let of = &mut self.devices[device];
        // A broker in the daemon's own process is there when it is.
        let broker = now >= down_until && (self.plan.retained || self.nodes[0].is_some());
        if of.cut_off || !broker {
            let pause = of.backoff.ended(None, (of.rng.next() >> 32) as u32);
            return self.connect_after(device, pause);
        }
        self.hub.sessions += 1;
        let id = self.hub.sessions;
        let root = of.driver.as_ref().map_or(0, Driver::next_root);
        of.session = Some(Session { id, since: now, root, listens: false, sent: None });
        of.outbox.lost();
        self.note(&[7, device as u64], || format!("dev-{device} connects"));
        if now < self.hub.kicks_until {
            self.struck.hit(Fault::Kick);
            self.after(SECOND, Event::Down { device, session: id });
        }
        if !self.plan.retained {
            self.tell(device, Incoming::Connected);
            let said = self.devices[device].said.clone().filter(|_| self.plan.has(Planted::DeafListener));
            if let Some(said) = said {
                self.tell(device, Incoming::Report(said));
            }
        }
        if now >= self.hub.slow_until || self.calm {
            return self.subscribe(device, id);
        }
        let gap = Rng::new(self.plan.seed ^ id).range(100, 20 * SECOND);
        self.after(gap, Event::Subscribe { device, session: id });
    }

    /// The broker has the subscriptions of a session that lasts; from now on the device speaks.
    pub fn subscribe(&mut self, device: usize, session: u64) {
        let of = &mut self.devices[device];
        let Some(own) = of.session.as_mut().filter(|own| own.id == session) else { return };
        own.listens = true;
        let root = own.root;
        self.feed(device, Input::Connected);
        let own = Topic::Token(self.devices[device].id.clone());
        for topic in [Topic::Root(root), Topic::Keyring, own] {
            if let Some(payload) = self.hub.kept(&topic) {
                self.put(device, &topic, &payload);
                self.send(self.now, device, session, &topic, &payload);
            }
        }
    }

    /// Takes note of the newest token that was put on a device's line, whatever becomes of it there.
    fn put(&mut self, device: usize, topic: &Topic, payload: &Arc<[u8]>) {
        if !matches!(topic, Topic::Token(_)) {
            return;
        }
        let version = self.air.lock().expect("whole").issued.get(payload).map(|issue| issue.version);
        if let Some(session) = &mut self.devices[device].session {
            session.sent = session.sent.max(version);
        }
    }

    /// Whether a cloud that hears what a device lacks can do something about it at once.
    fn can_send(&self, (version, signer): (TokenVersion, Kid)) -> bool {
        let line = &self.machines[0].line;
        let well = self.nodes[0].is_some() && !line.cut.load(Ordering::Relaxed);
        let hangs = line.hangs.load(Ordering::Relaxed) || self.now < self.hub.hung_until;
        // Somebody else who signs is what halts are for.
        let alone = !self.second_ever && !self.restored_ever;
        let office = self.keys.0.lock().expect("whole");
        // What is of an epoch that was left, or by a key that is not listed, no device takes any more; while the time is
        // in doubt there is nothing newer.
        let keyring = office.keyring();
        let counts = version.epoch == keyring.min_epoch() && keyring.key(signer).is_some();
        well && !hangs && alone && counts && !office.gone && !locked(&self.machines[0].disk).full
    }

    /// A device says what it holds: what it lacks has to be sent on this very connection. What was put on its line may be
    /// lost there; that is sent again in time. A broker that keeps tokens sends them by itself.
    fn owes(&mut self, device: usize, report: &Report) {
        let of = &self.devices[device];
        let newest = self.air.lock().expect("whole").newest.get(&of.id).copied();
        let (Some(session), Some(newest)) = (&of.session, newest) else { return };
        let (session, version) = (session.id, newest.0);
        let lacks = report.held.is_none_or(|held| held < version);
        if !self.plan.retained && lacks && self.can_send(newest) {
            self.after(30 * SECOND, Event::Owed { device, session, version });
        }
    }

    /// What a device lacked has to have been put on its line by now, if both are as they were.
    pub fn owed(&mut self, device: usize, session: u64, version: TokenVersion) {
        let of = &self.devices[device];
        let newest = self.air.lock().expect("whole").newest.get(&of.id).copied();
        let Some(now) = of.session.as_ref().filter(|now| now.id == session) else { return };
        if newest.is_some_and(|newest| newest.0 == version && self.can_send(newest)) {
            let sent = now.sent;
            self.check(Invariant::Owed, sent >= Some(version), || {
                format!("dev-{device} said it lacks {version} and was sent {sent:?} since it connected")
            });
        }
    }

    pub fn connect_after(&mut self, device: usize, pause: Duration) {
        self.devices[device].attempt += 1;
        let attempt = self.devices[device].attempt;
        let pause = u64::try_from(pause.as_millis()).expect("short").max(10);
        self.after(pause, Event::Connect { device, attempt });
    }

    /// The broker forgets the session; the agent is not told.
    pub fn drop_session(&mut self, device: usize) -> Option<Session> {
        let session = self.devices[device].session.take()?;
        if !self.plan.retained {
            self.tell(device, Incoming::Disconnected);
        }
        Some(session)
    }

    /// The line is down, and the agent notices.
    pub fn disconnect(&mut self, device: usize) {
        let lived = self.drop_session(device).map(|session| Duration::from_millis(self.now - session.since));
        let of = &mut self.devices[device];
        if of.driver.is_none() {
            return;
        }
        of.outbox.lost();
        of.outbox.forget_request();
        let lived = if of.planted == Some(Planted::BackoffReset) { Some(HEALTHY) } else { lived };
        let pause = of.backoff.ended(lived, (of.rng.next() >> 32) as u32);
        self.connect_after(device, pause);
        self.feed(device, Input::Disconnected);
    }

    pub fn follow_root(&mut self, device: usize) {
        let of = &mut self.devices[device];
        let (Some(session), Some(driver)) = (&mut of.session, &of.driver) else { return };
        let next = driver.next_root();
        if session.listens && session.root != next {
            session.root = next;
            let id = session.id;
            if let Some(payload) = self.hub.kept(&Topic::Root(next)) {
                self.send(self.now, device, id, &Topic::Root(next), &payload);
            }
        }
    }

    pub fn pump(&mut self, device: usize) {
        let of = &mut self.devices[device];
        // What is published waits behind the subscriptions.
        let listens = of.session.as_ref().filter(|session| session.listens);
        let Some(session) = listens.map(|session| session.id) else { return };
        if of.cut_off {
            return;
        }
        let Some((slot, payload)) = of.outbox.take() else { return };
        let report = slot == Slot::Report;
        let delay = self.chance.range(20, 400);
        self.after(delay, Event::PubAck { device, session });
        if !self.calm && self.chance.chance(self.plan.odds.loss) {
            return self.struck.hit(Fault::Loss);
        }
        let late = !self.calm && self.chance.chance(self.plan.odds.reordering);
        let more = if late { self.chance.below(30 * SECOND) } else { 0 };
        self.after(delay + more, Event::Hear { device, slot: report, payload });
    }

    pub fn deliver(&mut self, device: usize, session: u64, topic: String, payload: &Arc<[u8]>) {
        let of = &mut self.devices[device];
        let connected = of.session.as_ref().is_some_and(|now| now.id == session);
        if !connected || of.cut_off || of.driver.is_none() {
            return;
        }
        of.tickets += 1;
        let ticket = of.tickets;
        // What an attacker sends again is genuine, and new to it.
        let issued = self.air.lock().expect("whole").issued.get(payload).is_some_and(|to| to.device == of.id);
        if issued && !of.seen.contains(payload) {
            of.seen.push(Arc::clone(payload));
        }
        self.note(&[8, device as u64, payload.len() as u64], || format!("dev-{device} receives {topic}"));
        self.feed(device, Input::Message { ticket, topic, payload: payload.to_vec() });
    }

    /// Something a device says, to every daemon that listens.
    pub fn tell(&mut self, device: usize, incoming: Incoming) {
        let id = self.devices[device].id.clone();
        for (machine, node) in self.machines.iter().zip(&self.nodes) {
            if let Some(node) = node.as_ref().filter(|_| !machine.line.cut.load(Ordering::Relaxed)) {
                node.inbox.deliver(id.clone(), incoming.clone());
            }
        }
    }

    pub fn hear(&mut self, device: usize, report: bool, payload: &[u8]) {
        // A broker in the daemon's own process hears nothing more of a connection that another took over.
        let silent = self.devices[device].session.as_ref().is_some_and(|session| !session.listens);
        if silent && !self.plan.retained {
            return;
        }
        let incoming = if report {
            // The same bytes say the same: what was read when it was made is not read again.
            let last = self.devices[device].reported.as_ref().filter(|(bytes, _)| bytes == payload);
            let report = last.map_or_else(|| Report::parse(payload).ok(), |(_, report)| Some(report.clone()));
            report.map(Incoming::Report)
        } else {
            Request::parse(payload).ok().map(Incoming::Request)
        };
        match incoming {
            Some(_) if self.plan.has(Planted::ReportsIgnored) => {}
            Some(incoming) => {
                if let Incoming::Report(report) = &incoming {
                    self.devices[device].said = Some(report.clone());
                    self.owes(device, report);
                }
                self.tell(device, incoming);
            }
            None => self.broken(Invariant::Why, format!("dev-{device} said what no cloud can read")),
        }
    }
}
