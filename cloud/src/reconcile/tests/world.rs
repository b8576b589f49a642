//! A cloud with fake books and a fake broker, whose devices accept and report like real ones.

use super::super::*;
use super::books::FakeLedger;
use crate::ports::{BoxFuture, Inbox, Incoming, Outgoing, PublishError};
use coterm_shared::enforcement::Schedule;
use coterm_shared::finding::Finding;
use coterm_shared::id::{GroupId, OrganizationId, SiteId};
use coterm_shared::licensing::Wanted;
use coterm_shared::protocol::{FormatV1, Proof, Report, Request, Topic};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Nonce, TokenDigest, TokenVersion};
use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;
use std::time::Instant;

pub(super) const LEASE: Seconds = Seconds::days(7);
pub(super) const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([1; 16]);

pub(super) fn cam(group: usize, n: usize) -> DeviceId {
    format!("cam-{group}-{n}").parse().unwrap()
}

fn group_id(group: usize) -> GroupId {
    let mut bytes = [2; 16];
    bytes[..8].copy_from_slice(&(group as u64).to_be_bytes());
    GroupId::from_bytes(bytes)
}

pub(super) fn nonce(n: u8) -> Nonce {
    Nonce::new(&[n; 8]).unwrap()
}

/// A token somebody else signed with our key, as the fake books verify it.
pub(super) fn proof(version: TokenVersion) -> Proof {
    Proof::new(version.to_string().into_bytes()).unwrap()
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// What another cloud made of a version, and a device says of it.
pub(super) fn another(version: TokenVersion) -> TokenDigest {
    TokenDigest::of(proof(version).token())
}

fn domain() -> TrustDomain {
    "coterm.local".parse().unwrap()
}

#[derive(Debug, Default)]
struct Air {
    /// Who holds another token of its version than was sent.
    others: HashSet<DeviceId>,
    connected: HashSet<DeviceId>,
    held: HashMap<DeviceId, (TokenVersion, Option<Nonce>)>,
    retained: HashSet<DeviceId>,
    keyring: Option<u64>,
    keyrings: usize,
    roots: Vec<u64>,
    refuse: bool,
    lose: bool,
    taken: usize,
    /// How often each device refused a token older than its own.
    refused: HashMap<DeviceId, usize>,
    hang_on: Option<DeviceId>,
}

/// A broker and the devices behind it: they take a newer token and report it, like real ones.
#[derive(Debug)]
pub(super) struct FakeBroker {
    air: Arc<Mutex<Air>>,
    inbox: Arc<LatestInbox>,
    under_way: std::sync::atomic::AtomicUsize,
    most_at_once: std::sync::atomic::AtomicUsize,
}

impl FakeBroker {
    pub(super) fn refuse(&self, refuse: bool) {
        locked(&self.air).refuse = refuse;
    }
    pub(super) fn lose_everything(&self, lose: bool) {
        locked(&self.air).lose = lose;
    }
    /// Tokens taken so far. The counter of publishes counts when sending starts: too early to wait for.
    pub(super) fn taken(&self) -> usize {
        locked(&self.air).taken
    }
    /// How often a device refused a token older than its own.
    pub(super) fn refused_by(&self, device: &DeviceId) -> usize {
        locked(&self.air).refused.get(device).copied().unwrap_or(0)
    }
    pub(super) fn hang_on(&self, device: DeviceId) {
        locked(&self.air).hang_on = Some(device);
    }
    pub(super) fn nonce_of(&self, device: &DeviceId) -> Option<Nonce> {
        locked(&self.air).held.get(device)?.1.clone()
    }
    pub(super) fn retained(&self) -> usize {
        locked(&self.air).retained.len()
    }
    pub(super) fn keyring(&self) -> Option<u64> {
        locked(&self.air).keyring
    }
    /// How often a keyring went out.
    pub(super) fn keyrings(&self) -> usize {
        locked(&self.air).keyrings
    }

    pub(super) fn roots(&self) -> Vec<u64> {
        locked(&self.air).roots.clone()
    }

    fn take(&self, message: &Outgoing) -> Result<bool, PublishError> {
        let mut air = locked(&self.air);
        if air.refuse {
            return Err(PublishError::Disconnected { reason: String::from("told to") });
        }
        let Some(device) = message.topic.device().cloned() else {
            if let Topic::Root(version) = message.topic {
                air.roots.push(version);
            } else {
                air.keyring = Some(message.payload[0].into());
                air.keyrings += 1;
            }
            return Ok(true);
        };
        if air.hang_on.as_ref() == Some(&device) {
            return Ok(false);
        }
        if message.retain {
            air.retained.insert(device.clone());
        }
        air.taken += 1;
        if air.connected.contains(&device) && !air.lose {
            let text = std::str::from_utf8(&message.payload).unwrap();
            let (version, nonce) = text.split_once(' ').unwrap();
            let version: TokenVersion = version.parse().unwrap();
            if air.held.get(&device).is_none_or(|(held, _)| *held < version) {
                air.others.remove(&device);
                air.held.insert(device.clone(), (version, nonce.parse().ok()));
                self.inbox.deliver(device, Incoming::Report(report(Some(version))));
            } else if air.held.get(&device).is_some_and(|(held, _)| *held > version) {
                *air.refused.entry(device).or_default() += 1;
            } else if air.others.contains(&device) {
                let count = air.refused.entry(device.clone()).or_default();
                *count += 1;
                let code = "EQUIVOCATION".parse().unwrap();
                let last_refusal = Some(coterm_shared::protocol::LastRefusal { code, count: *count as u64 });
                let held_digest = Some(another(version));
                let proof = Some(proof(version));
                let report = Report { last_refusal, held_digest, proof, ..report(Some(version)) };
                self.inbox.deliver(device, Incoming::Report(report));
            }
        }
        Ok(true)
    }
}

impl Broker for FakeBroker {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let relaxed = std::sync::atomic::Ordering::Relaxed;
            if message.topic.device().is_some() {
                let now = self.under_way.fetch_add(1, relaxed) + 1;
                self.most_at_once.fetch_max(now, relaxed);
                tokio::task::yield_now().await;
                self.under_way.fetch_sub(1, relaxed);
            }
            match self.take(&message) {
                Ok(true) => Ok(()),
                Ok(false) => std::future::pending().await,
                Err(error) => Err(error),
            }
        })
    }
    fn kick(&self, _: &DeviceId) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn local_addr(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

fn documents(root: u64, keyring: u8, epoch: u64) -> Documents {
    Documents {
        roots: (2..=root).map(|version| (version, Arc::from([0]))).collect(),
        root_version: root,
        keyring_version: keyring.into(),
        keyring: Arc::new([keyring]),
        epoch,
    }
}

fn report(held: Option<TokenVersion>) -> Report {
    let mut report: Report = serde_json::from_value(serde_json::json!({
        "v": 1, "class": "camera", "mode": "full", "state": "licensed", "keyring_version": 1, "root_version": 1,
        "trusted_time": "2027-01-15T08:00:00Z", "time_source": "token", "wall_skew_secs": 0,
        "boot_id": "00000000-0000-0000-0000-000000000001", "uptime_secs": 60, "agent_version": "1.0.0"
    }))
    .unwrap();
    report.held = held;
    report
}

/// What was done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) signatures: u64,
    pub(super) publishes: u64,
    pub(super) rows: u64,
    pub(super) plans: u64,
}

impl Cost {
    pub(super) fn since(&self, before: &Cost) -> Cost {
        Cost {
            signatures: self.signatures - before.signatures,
            publishes: self.publishes - before.publishes,
            rows: self.rows - before.rows,
            plans: self.plans - before.plans,
        }
    }
}

pub(super) struct World {
    ledger: Arc<FakeLedger>,
    pub(super) broker: Arc<FakeBroker>,
    inbox: Arc<LatestInbox>,
    documents: watch::Sender<Documents>,
    reconciler: Reconciler,
    retained: bool,
}

impl World {
    /// Groups of devices: `(how many, devices in each)`.
    pub(super) async fn start(groups: &[(usize, usize)]) -> World {
        Self::start_with(groups, false).await
    }

    pub(super) async fn start_retained(groups: &[(usize, usize)]) -> World {
        Self::start_with(groups, true).await
    }

    async fn start_with(groups: &[(usize, usize)], retained: bool) -> World {
        let ledger = FakeLedger::default();
        let start = 1_800_000_000;
        *locked(&ledger.now) = start;
        let at = |secs: u64| Timestamp::from_secs(start + secs);
        let sizes = groups.iter().flat_map(|(count, size)| std::iter::repeat_n(*size, *count));
        for (group, size) in sizes.enumerate() {
            for n in 0..size {
                let wanted = Wanted {
                    device: cam(group, n),
                    organization: ORGANIZATION,
                    site: SiteId::from_bytes([3; 16]),
                    group: Some(group_id(group)),
                    findings: Vec::new(),
                    schedule: Schedule {
                        grace_begins_at: at(3_600),
                        lock_at: at(86_400),
                        stop_at: at(2 * 86_400),
                    },
                    frozen_since: None,
                    coterm_at: at(3_600),
                };
                locked(&ledger.database).wanted.insert(cam(group, n), wanted);
            }
        }
        Self::run(Arc::new(ledger), Arc::default(), retained).await
    }

    async fn run(ledger: Arc<FakeLedger>, air: Arc<Mutex<Air>>, retained: bool) -> World {
        let inbox = Arc::new(LatestInbox::new(Arc::default()));
        let broker = Arc::new(FakeBroker {
            air,
            inbox: Arc::clone(&inbox),
            under_way: Default::default(),
            most_at_once: Default::default(),
        });
        let (documents, received) = watch::channel(documents(1, 1, 1));
        let settings = Settings {
            trust_domain: domain(),
            retained,
            sweep: Duration::from_secs(3_600),
            tick: Duration::from_millis(1),
            publishes_in_flight: 8,
            publish_deadline: Duration::from_secs(60),
            nonce_interval: Seconds(60),
        };
        let ports = (Arc::clone(&ledger), Arc::clone(&broker), Arc::clone(&inbox));
        let reconciler = Reconciler::start(settings, ports.0, ports.1, ports.2, received).await.unwrap();
        World { ledger, broker, inbox, documents, reconciler, retained }
    }

    /// The daemon stops and starts again; devices keep what they hold, connections end.
    pub(super) async fn restart(self) -> World {
        self.reconciler.stop().await;
        locked(&self.broker.air).connected.clear();
        Self::run(self.ledger, Arc::clone(&self.broker.air), self.retained).await
    }

    /// As [`World::restart`], with the database as it was before the first change.
    pub(super) async fn restart_from_first_backup(self) -> World {
        self.reconciler.stop().await;
        let backup = locked(&self.ledger.backup).clone().unwrap();
        *locked(&self.ledger.database) = backup;
        locked(&self.broker.air).connected.clear();
        Self::run(self.ledger, Arc::clone(&self.broker.air), self.retained).await
    }

    pub(super) fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    pub(super) fn counters(&self) -> &Counters {
        self.reconciler.counters()
    }

    pub(super) fn cost(&self) -> Cost {
        let counters = self.counters();
        Cost {
            signatures: counters.signatures.get(),
            publishes: counters.publishes.get(),
            rows: counters.rows.get(),
            plans: counters.plans.get(),
        }
    }

    fn devices(&self) -> Vec<DeviceId> {
        let database = locked(&self.ledger.database);
        let all: HashSet<DeviceId> = database.wanted.keys().chain(database.issued.keys()).cloned().collect();
        all.into_iter().collect()
    }

    pub(super) async fn connect_all(&self) {
        for device in self.devices() {
            locked(&self.broker.air).connected.insert(device.clone());
            self.inbox.deliver(device.clone(), Incoming::Connected);
            self.report(&device);
        }
    }

    /// Another cloud, with our keys, issues this to a device.
    pub(super) fn foreign_token(&self, device: &DeviceId, version: TokenVersion) {
        locked(&self.broker.air).held.insert(device.clone(), (version, None));
    }

    /// A device says that it refused a token which contradicts the one it holds; `count` is its count of refusals.
    pub(super) fn contradicted(&self, device: &DeviceId, count: u64, proof: Option<Proof>) {
        let held = locked(&self.broker.air).held.get(device).map(|(version, _)| *version);
        let code = "EQUIVOCATION".parse().unwrap();
        let last_refusal = Some(coterm_shared::protocol::LastRefusal { code, count });
        let report = Report { last_refusal, proof, ..report(held) };
        self.inbox.deliver(device.clone(), Incoming::Report(report));
    }

    /// What a device holds is another cloud's, of the version issued here: it refuses ours and shows its own.
    pub(super) fn hold_another(&self, device: &DeviceId) {
        locked(&self.broker.air).others.insert(device.clone());
    }

    /// A device says which token of the version it holds it is.
    pub(super) fn says_which(&self, device: &DeviceId, digest: TokenDigest) {
        let held = locked(&self.broker.air).held.get(device).map(|(version, _)| *version);
        let report = Report { held_digest: Some(digest), ..report(held) };
        self.inbox.deliver(device.clone(), Incoming::Report(report));
    }

    /// The token issued last to a device, to be shown.
    pub(super) fn token_of(&self, device: &DeviceId) -> Proof {
        Proof::new(locked(&self.ledger.database).issued[device].1.to_vec()).unwrap()
    }

    /// How many halts are on disk.
    pub(super) fn halts_on_disk(&self) -> usize {
        locked(&self.ledger.database).halts.len()
    }

    /// A device connects, subscribes and says nothing.
    pub(super) fn connect_silently(&self, device: &DeviceId) {
        locked(&self.broker.air).connected.insert(device.clone());
        self.inbox.deliver(device.clone(), Incoming::Connected);
    }

    /// A device's connection stands; it has not subscribed yet, and what is sent to it is lost.
    pub(super) fn connect_without_subscribing(&self, device: &DeviceId) {
        locked(&self.broker.air).connected.remove(device);
        self.inbox.deliver(device.clone(), Incoming::Connected);
    }

    /// A device whose connection stands subscribes, and says what it holds.
    pub(super) fn subscribe(&self, device: &DeviceId) {
        locked(&self.broker.air).connected.insert(device.clone());
        self.report(device);
    }

    /// A device's connection ends.
    pub(super) fn disconnect(&self, device: &DeviceId) {
        locked(&self.broker.air).connected.remove(device);
        self.inbox.deliver(device.clone(), Incoming::Disconnected);
    }

    pub(super) fn report(&self, device: &DeviceId) {
        let held = locked(&self.broker.air).held.get(device).map(|(version, _)| *version);
        self.inbox.deliver(device.clone(), Incoming::Report(report(held)));
    }

    pub(super) fn reports_of_all(&self) {
        self.devices().iter().for_each(|device| self.report(device));
    }

    pub(super) fn claim(&self, device: &DeviceId, version: TokenVersion, proof: Option<Proof>) {
        let report = Report { proof, ..report(Some(version)) };
        self.inbox.deliver(device.clone(), Incoming::Report(report));
    }

    pub(super) fn ask(&self, device: &DeviceId, n: u8) {
        let request = Request { v: FormatV1, nonce: nonce(n) };
        self.inbox.deliver(device.clone(), Incoming::Request(request));
    }

    /// Something that tokens say changes in the first groups.
    pub(super) fn change_groups(&self, count: usize) {
        let mut database = locked(&self.ledger.database);
        locked(&self.ledger.backup).get_or_insert_with(|| database.clone());
        let groups: Vec<GroupId> = (0..count).map(group_id).collect();
        for wanted in database.wanted.values_mut().filter(|w| w.group.is_some_and(|g| groups.contains(&g))) {
            wanted.coterm_at = wanted.coterm_at.map(|at| at.saturating_add(Seconds(1)));
        }
        drop(database);
        self.ledger.touch(groups, Vec::new());
    }

    pub(super) fn touch_without_change(&self, count: usize) {
        self.ledger.touch((0..count).map(group_id).collect(), Vec::new());
    }

    /// The organization retires it: from now on it has no license.
    pub(super) fn retire(&self, device: &DeviceId) {
        let now = self.ledger.now();
        let mut database = locked(&self.ledger.database);
        let wanted = database.wanted.get_mut(device).unwrap();
        wanted.group = None;
        wanted.findings = vec![Finding::NoLicense];
        let stop_at = Some(now.saturating_add(Seconds::days(60)));
        wanted.schedule = Schedule { grace_begins_at: Some(now), lock_at: Some(now), stop_at };
        assert!(wanted.is_farewell());
        drop(database);
        self.ledger.touch(Vec::new(), vec![device.clone()]);
    }

    /// It is another organization's from now on.
    pub(super) fn lose(&self, device: &DeviceId) {
        locked(&self.ledger.database).wanted.remove(device);
        self.ledger.touch(Vec::new(), vec![device.clone()]);
    }

    pub(super) fn publish_keyring(&self, version: u8) {
        self.documents.send_replace(documents(1, version, 1));
    }

    /// Roots up to this version, a keyring of this version, and an epoch, from now on.
    pub(super) fn publish_documents(&self, root: u64, keyring: u8, epoch: u64) {
        *locked(&self.ledger.epoch) = epoch;
        self.documents.send_replace(documents(root, keyring, epoch));
    }

    /// A device says which root and keyring it holds.
    pub(super) fn holds_documents(&self, device: &DeviceId, root: u64, keyring: u64) {
        let held = locked(&self.broker.air).held.get(device).map(|(version, _)| *version);
        let report = Report { root_version: root, keyring_version: keyring, ..report(held) };
        self.inbox.deliver(device.clone(), Incoming::Report(report));
    }

    /// What is stored for devices is signed by a key that was revoked.
    pub(super) fn revoke_key_of_stored_tokens(&self, revoked: bool) {
        *locked(&self.ledger.revoked) = revoked;
    }

    /// From now on nothing is signed, or again.
    pub(super) fn sign_nothing(&self, refuses: bool) {
        *locked(&self.ledger.refuses) = refuses;
    }

    pub(super) fn advance(&self, by: Seconds) {
        *locked(&self.ledger.now) += by.0;
    }

    /// What a device holds.
    pub(super) fn holds(&self, device: &DeviceId) -> Option<TokenVersion> {
        locked(&self.broker.air).held.get(device).map(|(version, _)| *version)
    }

    /// The most publishes that were ever under way at once.
    pub(super) fn most_at_once(&self) -> usize {
        self.broker.most_at_once.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(super) fn is_quarantined(&self, device: &DeviceId) -> bool {
        self.reconciler.status(device).is_some_and(|status| status.quarantine.is_some())
    }

    /// How many devices hold any token.
    pub(super) fn holders(&self) -> usize {
        locked(&self.broker.air).held.len()
    }

    pub(super) fn holding_what_is_wanted(&self) -> usize {
        let database = locked(&self.ledger.database);
        let air = locked(&self.broker.air);
        let good = |(device, wanted): &(&DeviceId, &Wanted)| {
            database.issued.get(device).is_some_and(|(issued, _)| {
                issued.wanted == digest(&domain(), wanted)
                    && air.held.get(device).is_some_and(|(held, _)| *held == issued.version)
            })
        };
        database.wanted.iter().filter(good).count()
    }

    pub(super) fn all_hold_what_is_wanted(&self) -> bool {
        self.holding_what_is_wanted() == locked(&self.ledger.database).wanted.len()
    }

    /// Waits for a condition that is bound to come true.
    pub(super) async fn until(&self, what: &str, condition: impl Fn(&World) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition(self) {
            assert!(Instant::now() < deadline, "timed out waiting until {what}: {:?}", self.cost());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// A full sweep, from its start to its end.
    pub(super) async fn sweep(&self) {
        let before = self.counters().sweeps.get();
        self.reconciler.sweep();
        self.until("the sweep is over", |world| world.counters().sweeps.get() > before).await;
    }

    /// Gives what goes to everybody the time to go out.
    pub(super) async fn settle_documents(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Sweeps until nothing more comes of it.
    pub(super) async fn settle(&self) {
        loop {
            let before = (self.cost().signatures, self.cost().publishes);
            self.sweep().await;
            if (self.cost().signatures, self.cost().publishes) == before {
                return;
            }
        }
    }
}
