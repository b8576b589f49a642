//! P3: work follows change, with the real books, the real signing ledger and the real reconciler.
//!
//! Fleets of 1 k, 10 k and 100 k groups of two devices in one organization, all with their tokens. Then a key is claimed
//! into each of k groups at once, which moves k dates; measured is until the broker has every token that follows, in
//! wall time and in processor time of the whole process. The cost is that of k groups and nothing of the fleet's: the
//! floor is the same change in the smallest fleet, measured in the same run. Counters say exactly what was done. The
//! broker takes what it is given and retains it.

use crate::report::{Goal, Report, median};
use crate::world::{
    catalog, claim_key, create_site, default_group, directory, execute, found, group, issue_key, load, open,
    populate, processor_ms, runtime, to,
};
use coterm_cloud::books::{Books, Change};
use coterm_cloud::ports::{BoxFuture, Broker, Outgoing, PublishError};
use coterm_cloud::reconcile::{LatestInbox, Reconciler, Settings, SigningLedger, TokenPolicy};
use coterm_cloud::signer::{Trust, TrustPolicy, Vault};
use coterm_shared::id::DeviceId;
use coterm_shared::licensing::Command;
use coterm_shared::time::Seconds;
use coterm_shared::token::TrustDomain;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEVICES: u64 = 2;
const ROUNDS: u64 = 7;
const UNRELATED: u64 = 500;

/// A broker that takes everything.
#[derive(Debug)]
struct Taker;

impl Broker for Taker {
    fn publish(&self, _: Outgoing) -> BoxFuture<'_, Result<(), PublishError>> {
        Box::pin(async { Ok(()) })
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

/// What was done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    signatures: u64,
    publishes: u64,
    rows: u64,
    plans: u64,
}

impl Done {
    fn since(self, before: Done) -> Done {
        Done {
            signatures: self.signatures - before.signatures,
            publishes: self.publishes - before.publishes,
            rows: self.rows - before.rows,
            plans: self.plans - before.plans,
        }
    }
}

/// What one change of many groups cost.
struct Cost {
    done: Done,
    wall_ms: f64,
    processor_ms: f64,
}

struct Cloud {
    books: Books,
    reconciler: Reconciler,
    groups: u64,
    /// The next group whose date is moved, and the number of the next key.
    next: u64,
    _directory: TempDir,
}

impl Cloud {
    async fn start(groups: u64) -> Cloud {
        let directory = directory();
        let books = open(&directory);
        load(&books, [catalog()]).await;
        populate(&books, 1, 0, groups, DEVICES).await;
        execute(&books, found(2)).await;
        let trust_domain: TrustDomain = "bench.local".parse().unwrap();
        let lease = Seconds::days(7);
        let policy = TrustPolicy {
            trust_domain: trust_domain.clone(),
            key_lifetime: Seconds::days(90),
            lease,
            keep: Seconds::days(30),
        };
        let vault = Vault::files(directory.path().join("keys"));
        let trust = Trust::open_or_create(directory.path(), policy, vault, books.now());
        let trust = Arc::new(trust.unwrap());
        let tokens =
            TokenPolicy { trust_domain: trust_domain.clone(), lease, offline_budget: Seconds::days(90) };
        let ledger = Arc::new(SigningLedger::new(books.clone(), Arc::clone(&trust), tokens));
        let settings = Settings {
            trust_domain,
            retained: true,
            sweep: Duration::from_secs(86_400),
            tick: Duration::from_secs(1),
            publishes_in_flight: 256,
            publish_deadline: Duration::from_secs(10),
            nonce_interval: Seconds(60),
        };
        let inbox = Arc::new(LatestInbox::new(Arc::default()));
        let keyring = trust.subscribe();
        let reconciler = Reconciler::start(settings, ledger, Arc::new(Taker), inbox, keyring).await.unwrap();
        let cloud = Cloud { books, reconciler, groups, next: 0, _directory: directory };
        cloud.until(|done| done.publishes >= groups * DEVICES).await;
        cloud.swept().await;
        cloud
    }

    fn done(&self) -> Done {
        let counters = self.reconciler.counters();
        Done {
            signatures: counters.signatures.get(),
            publishes: counters.publishes.get(),
            rows: counters.rows.get(),
            plans: counters.plans.get(),
        }
    }

    async fn until(&self, reached: impl Fn(Done) -> bool) {
        while !reached(self.done()) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Until a whole sweep is over: nothing is left to do.
    async fn swept(&self) {
        let before = self.reconciler.counters().sweeps.get();
        self.reconciler.sweep();
        while self.reconciler.counters().sweeps.get() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Moves the dates of the next `count` groups, taken from all over the fleet.
    async fn change(&mut self, count: u64) -> Cost {
        let key = |n: u64| 1_000_000_000 + n;
        let numbers = self.next..self.next + count;
        self.next += count;
        load(&self.books, numbers.clone().map(|n| vec![issue_key(key(n), 1, 730)])).await;
        // A stride without a factor of the fleets' sizes meets every group once before any twice.
        let stride = (self.groups / 2 + 1) | 1;
        let claims: Vec<Vec<Change>> =
            numbers.map(|n| vec![claim_key(1, key(n), 1 + n * stride % self.groups)]).collect();
        let before = self.done();
        let (started, processor) = (Instant::now(), processor_ms());
        load(&self.books, claims).await;
        self.until(|done| done.since(before).publishes >= count * DEVICES).await;
        let (wall_ms, processor_ms) = (started.elapsed().as_secs_f64() * 1e3, processor_ms() - processor);
        // What comes late is counted as well.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Cost { done: self.done().since(before), wall_ms, processor_ms }
    }

    async fn changes(&mut self, count: u64) -> (Done, f64, f64) {
        let _warm = self.change(count).await;
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            costs.push(self.change(count).await);
        }
        let done = costs[0].done;
        for cost in &costs {
            assert_eq!(
                (cost.done.signatures, cost.done.publishes, cost.done.rows),
                (done.signatures, done.publishes, done.rows)
            );
        }
        let wall = median(costs.iter().map(|cost| cost.wall_ms).collect());
        (done, wall, median(costs.iter().map(|cost| cost.processor_ms).collect()))
    }

    /// Changes that no token tells of, in this organization and in another.
    async fn unrelated(&self) -> Done {
        let before = self.done();
        let rename = |n: u64| to(1, Command::RenameGroup { id: group(1 + n), name: format!("Renamed {n}") });
        load(&self.books, (0..UNRELATED).map(|n| vec![rename(n)])).await;
        load(&self.books, (0..UNRELATED).map(|n| vec![create_site(2, 5_000_000 + n, default_group(2))]))
            .await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        self.done().since(before)
    }
}

pub(crate) fn run() {
    let mut report = Report::new("follow");
    let runtime = runtime();
    let mut small = None;
    for (groups, name) in [(1_000, "1 k"), (10_000, "10 k"), (100_000, "100 k")] {
        eprintln!("{name} groups...");
        let started = Instant::now();
        let mut cloud = runtime.block_on(Cloud::start(groups));
        eprintln!("loaded, signed and published in {:.1} s", started.elapsed().as_secs_f64());
        let (done, wall, processor) = runtime.block_on(cloud.changes(100));
        let (small_wall, small_processor) = *small.get_or_insert((wall, processor));
        let of_small = "1 k groups";
        let named = |what: &str| format!("P3 100 of {name} groups: {what}");
        report.add(
            named("signatures"),
            "",
            done.signatures as f64,
            None,
            Goal::Exactly((100 * DEVICES) as f64),
        );
        report.add(
            named("publishes"),
            "",
            done.publishes as f64,
            None,
            Goal::Exactly((100 * DEVICES) as f64),
        );
        report.add(named("token rows"), "", done.rows as f64, None, Goal::Exactly((100 * DEVICES) as f64));
        report.add(named("devices looked at"), "", done.plans as f64, None, Goal::Shown);
        report.add(
            named("processor"),
            "ms",
            processor,
            Some((small_processor, of_small)),
            Goal::RatioWithin(0.2),
        );
        report.add(
            named("until published"),
            "ms",
            wall,
            Some((small_wall, of_small)),
            Goal::RatioWithin(0.2),
        );
        if groups == 10_000 {
            let each_of_100 = processor / 100.0;
            for count in [10, 1_000] {
                let (done, _, processor) = runtime.block_on(cloud.changes(count));
                let floor = Some((each_of_100, "100 of 10 k groups, for each"));
                report.add(
                    format!("P3 {count} of 10 k groups: signatures"),
                    "",
                    done.signatures as f64,
                    None,
                    Goal::Exactly((count * DEVICES) as f64),
                );
                let each = processor / count as f64;
                report.add(
                    format!("P3 {count} of 10 k groups: processor for each"),
                    "ms",
                    each,
                    floor,
                    Goal::Shown,
                );
            }
        }
        let unrelated = runtime.block_on(cloud.unrelated());
        let named = |what: &str| format!("P3 1,000 unrelated changes beside {name} groups: {what}");
        report.add(named("signatures"), "", unrelated.signatures as f64, None, Goal::Exactly(0.0));
        report.add(named("publishes"), "", unrelated.publishes as f64, None, Goal::Exactly(0.0));
        let started = Instant::now();
        runtime.block_on(cloud.swept());
        report.add(
            format!("P3 a sweep over {name} groups, for each device"),
            "us",
            started.elapsed().as_secs_f64() * 1e6 / (groups * DEVICES) as f64,
            None,
            Goal::Shown,
        );
        runtime.block_on(async {
            cloud.reconciler.stop().await;
            cloud.books.close().await;
        });
    }
    report.finish();
}
