//! A daemon: the real books and the real reconciler in a runtime of its own, whose time the world moves.
//!
//! The runtime is single-threaded and its clock is paused: it runs until nothing is left to do before an instant, then that
//! instant is. Dropping it is `kill -9` at whatever each task was waiting for. Power that goes in the middle of a commit is
//! the store's matter; from then on nothing of this daemon gets out.

use crate::invariants::Invariant;
use crate::ledger::Watched;
use crate::operator::ADA;
use crate::plan::{BEGINS_SECS, Plan};
use crate::planted::Planted;
use crate::store::{Shared, Store, locked};
use crate::told::{Hourly, KEYRINGS_AN_HOUR, Terms};
use crate::trust::{Keys, domain};
use coterm_cloud::books::{
    Books, BooksError, Change, Committed, ImportFile, Imported, Mode, Request, StoredResponse,
};
use coterm_cloud::clock::Clock;
use coterm_cloud::ports::{BoxFuture, Broker, Outgoing, PublishError};
use coterm_cloud::reconcile::{Counters, LatestInbox, Reconciler, Settings, SigningLedger, TokenPolicy};
use coterm_cloud::signer::Documents;
use coterm_shared::enforcement::Schedule;
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::licensing::{Command, PreviewDigest, SafetyCommand};
use coterm_shared::protocol::Topic;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Kid, TokenVersion};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A token as it was issued, known to the world and to nobody in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// For which device.
    pub device: DeviceId,
    /// Of which organization.
    pub organization: OrganizationId,
    /// Its version.
    pub version: TokenVersion,
    /// Its ladder.
    pub schedule: Schedule,
    /// When it is said to have been issued.
    pub issued_at: Timestamp,
    /// When management locks if nothing newer comes.
    pub offline_lock_at: Timestamp,
    /// When its lease ends.
    pub lease_ends_at: Timestamp,
    /// True seconds at which it was issued.
    pub truly_at: u64,
}

/// What left the daemons, and what the world knows of it.
#[derive(Debug, Default)]
pub struct Air {
    /// Published and not yet taken by the broker: when, by which daemon, what.
    pub sent: Vec<(u64, usize, Outgoing)>,
    /// Every token ever issued, by its bytes; never gone through, for the order is a hash table's.
    pub issued: HashMap<Arc<[u8]>, Issue>,
    /// Tokens that were let out before they were on disk.
    pub early: Vec<TokenVersion>,
    /// Sequences that are taken, by organization.
    pub taken: BTreeSet<(OrganizationId, TokenVersion)>,
    /// Tokens with a sequence that was taken.
    pub twice: Vec<TokenVersion>,
    /// Tokens that announce what a freeze forbids.
    pub thawed: Vec<TokenVersion>,
    /// Tokens issued under a freeze.
    pub frozen: u64,
    /// What else was seen that must not be, by the invariant it breaks.
    pub broken: Vec<(Invariant, String)>,
    /// Tokens that were compared with the books.
    pub compared: u64,
    /// Who was issued how many tokens of late.
    pub tokens: Hourly<DeviceId>,
    /// Which daemon sent the keyring to everybody how often of late.
    pub keyrings: Hourly<usize>,
    /// The broker is down until then, in milliseconds of the world.
    pub down_until: u64,
    /// The newest version issued to each device, and the key that signed it.
    pub newest: BTreeMap<DeviceId, (TokenVersion, Kid)>,
}

/// The clock of the machine a daemon runs on.
#[derive(Debug)]
pub struct MachineClock {
    base: Instant,
    base_millis: u64,
    booted_millis: u64,
    boot: u64,
    planted: Option<Planted>,
    /// The wall clock less true time, in milliseconds.
    pub offset: AtomicI64,
}

impl MachineClock {
    /// True time, in milliseconds of the world.
    pub fn world_millis(&self) -> u64 {
        self.base_millis + u64::try_from(self.base.elapsed().as_millis()).expect("centuries")
    }
}

impl Clock for MachineClock {
    fn unix_millis(&self) -> u64 {
        let truth = i64::try_from(BEGINS_SECS * 1000 + self.world_millis()).expect("centuries");
        u64::try_from(truth + self.offset.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn monotonic(&self) -> Duration {
        let up = self.world_millis() - self.booted_millis;
        let moved = if self.planted == Some(Planted::CloudClockBlind) {
            self.offset.load(Ordering::Relaxed)
        } else {
            0
        };
        Duration::from_millis(up.saturating_add_signed(moved))
    }

    fn boot(&self) -> Option<String> {
        Some(self.boot.to_string())
    }
}

/// The line between a daemon and the broker.
#[derive(Debug, Default)]
pub struct Line {
    /// It is cut.
    pub cut: AtomicBool,
    /// Publishes are taken and never answered.
    pub hangs: AtomicBool,
}

struct AirBroker {
    number: usize,
    /// Whether it is a process of its own.
    apart: bool,
    air: Arc<Mutex<Air>>,
    line: Arc<Line>,
    disk: Shared,
    clock: Arc<MachineClock>,
    said: Arc<Notify>,
}

impl Broker for AirBroker {
    fn publish(&self, message: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async move {
            if locked(&self.disk).dead || self.line.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let mut air = self.air.lock().expect("whole");
            let now = self.clock.world_millis();
            if self.line.cut.load(Ordering::Relaxed) || (self.apart && now < air.down_until) {
                return Err(PublishError::Disconnected { reason: "cut off".to_owned() });
            }
            if message.topic == Topic::Keyring
                && let Some(many) = air.keyrings.count(&self.number, now, KEYRINGS_AN_HOUR)
            {
                let what = format!("cloud {} sent the keyring {many} times within an hour", self.number);
                air.broken.push((Invariant::Quiet, what));
            }
            if let (Topic::Token(_), Some(issue)) =
                (&message.topic, air.issued.get(&message.payload).cloned())
                && locked(&self.disk).db.last_seq(issue.organization) < issue.version.seq
            {
                air.early.push(issue.version);
            }
            let mut message = message;
            if self.clock.planted == Some(Planted::MixedUp)
                && matches!(message.topic, Topic::Token(_))
                && let Some((_, _, last)) =
                    air.sent.iter().rev().find(|(_, _, last)| matches!(last.topic, Topic::Token(_)))
            {
                message.payload = Arc::clone(&last.payload);
            }
            if let Topic::Token(to) = &message.topic
                && air.issued.get(&message.payload).is_none_or(|issue| issue.device != *to)
            {
                let what = format!("{to} is sent what was not issued to it");
                air.broken.push((Invariant::Told, what));
            }
            air.sent.push((now, self.number, message));
            self.said.notify_one();
            Ok(())
        })
    }

    fn kick(&self, _: &DeviceId) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}

/// A machine a daemon can run on; it survives the daemon.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Which: 0 is the deployment's own, 1 that of whoever copied it.
    pub number: usize,
    /// Its disk.
    pub disk: Shared,
    /// Its line to the broker.
    pub line: Arc<Line>,
    /// Its wall clock less true time, in milliseconds.
    pub offset: i64,
    /// Which boot it is in.
    pub boot: u64,
    /// When that began, in milliseconds of the world.
    pub booted: u64,
    /// No daemon has noted its clocks in it yet, or what was noted is gone.
    pub booted_unseen: bool,
}

/// A running daemon.
pub struct Node {
    runtime: Runtime,
    /// The books.
    pub books: Books,
    /// The reconciler.
    pub reconciler: Reconciler,
    /// Where the broker puts what devices say.
    pub inbox: Arc<LatestInbox>,
    /// The clock of its machine.
    pub clock: Arc<MachineClock>,
    documents: watch::Sender<Documents>,
    /// It has said something.
    said: Arc<Notify>,
    base: Instant,
    base_millis: u64,
}

impl Node {
    /// Starts a daemon at `now`, in milliseconds of the world; `None` if its disk does not let it.
    pub fn start(
        machine: &Machine,
        keys: &Keys,
        air: &Arc<Mutex<Air>>,
        plan: &Plan,
        now: u64,
    ) -> Option<Node> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let store = Store::on(&machine.disk);
        let (documents, known) = watch::channel(keys.0.lock().expect("whole").documents());
        let inbox = Arc::new(LatestInbox::new(Arc::new(Counters::default())));
        let terms = Terms::of(plan);
        let policy = TokenPolicy {
            trust_domain: domain(),
            lease: if plan.has(Planted::LeaseForever) { Seconds::days(900) } else { terms.lease },
            offline_budget: if plan.has(Planted::OfflineForgotten) {
                Seconds::days(900)
            } else {
                terms.offline
            },
        };
        let settings = Settings {
            trust_domain: domain(),
            retained: plan.retained,
            sweep: Duration::from_millis(plan.sweep),
            tick: Duration::from_millis(plan.tick),
            publishes_in_flight: 4,
            publish_deadline: Duration::from_secs(10),
            nonce_interval: Seconds(60),
        };
        let (own, planted) = (keys.clone(), plan.planted);
        let said = Arc::new(Notify::new());
        let says = Arc::clone(&said);
        let (keys, air, received) = (Arc::new(keys.clone()), Arc::clone(air), Arc::clone(&inbox));
        let started = runtime.block_on(async move {
            let base = Instant::now();
            let clock = Arc::new(MachineClock {
                base,
                base_millis: now,
                booted_millis: machine.booted,
                boot: machine.boot,
                planted,
                offset: AtomicI64::new(machine.offset),
            });
            let books =
                Books::by_hand(store, Arc::clone(&clock) as Arc<dyn Clock>, Mode::Demonstration).ok()?;
            let inner = SigningLedger::new(books.clone(), keys, policy);
            let (watched, seen) = (Arc::clone(&clock), Arc::clone(&air));
            let ledger = Arc::new(Watched { inner, air: seen, clock: watched, terms, keys: own, planted });
            let broker = Arc::new(AirBroker {
                number: machine.number,
                apart: settings.retained,
                air,
                line: Arc::clone(&machine.line),
                disk: Arc::clone(&machine.disk),
                clock: Arc::clone(&clock),
                said: says,
            });
            let reconciler = Reconciler::start(settings, ledger, broker, received, known).await.ok()?;
            Some((base, clock, books, reconciler))
        });
        let (base, clock, books, reconciler) = started?;
        Some(Node { runtime, books, reconciler, inbox, clock, documents, said, base, base_millis: now })
    }

    /// Lets it do everything it does until `now`, or until it says something; tells when that is.
    pub fn run_until(&self, now: u64) -> u64 {
        let until = self.base + Duration::from_millis(now.saturating_sub(self.base_millis));
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.said.notified() => {
                    // What else it says at this instant belongs to it.
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                    self.clock.world_millis().min(now)
                }
                () = tokio::time::sleep_until(until) => now,
            }
        })
    }

    /// Lets what was just handed to it be looked at.
    pub fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        });
    }

    /// Asks the books, for everything at once.
    pub fn execute(&self, requests: Vec<Request>) -> Vec<Result<Committed, BooksError>> {
        self.runtime.block_on(self.books.execute_together(requests))
    }

    /// The digest of what an approval would do now, as whoever approves has looked at it; `None` for anything else.
    pub fn approval_seen(&self, change: &Change) -> Option<PreviewDigest> {
        let Change::Organization { command: Command::Safety(SafetyCommand::Approve { .. }), .. } = change
        else {
            return None;
        };
        let shown = self.runtime.block_on(self.books.preview(change.clone())).ok()??;
        Some(shown.digest)
    }

    /// Imports a file.
    pub fn import(&self, file: ImportFile, request_id: String) -> Result<Imported, BooksError> {
        let respond = |_, _: &[_]| StoredResponse { status: 200, body: Vec::new() };
        self.runtime.block_on(self.books.import(file, ADA.to_owned(), request_id, None, false, respond))
    }

    /// Lets the books answer their timers.
    pub fn turn(&self) {
        let _inside = self.runtime.enter();
        self.books.turn();
    }

    /// Reads its clock.
    pub fn now(&self) -> Timestamp {
        let _inside = self.runtime.enter();
        self.books.now()
    }

    /// New documents are there.
    pub fn tell(&self, documents: Documents) {
        self.documents.send_replace(documents);
    }

    /// An operator looks: confirms the time if it is in doubt, and halts that are over. Tells what there was.
    pub fn attend(&self, settle_halts: bool) -> (bool, usize) {
        self.runtime.block_on(async {
            let doubted = self.books.time_doubt().is_some();
            if doubted {
                let _dead = self.books.confirm_time().await;
            }
            let mut settled = 0;
            if settle_halts {
                let mut of: Vec<OrganizationId> =
                    self.reconciler.suspicions().iter().map(|suspicion| suspicion.organization).collect();
                of.dedup();
                for organization in of {
                    if matches!(self.reconciler.confirm(organization).await, Ok(true)) {
                        settled += 1;
                    }
                }
            }
            (doubted, settled)
        })
    }
}
