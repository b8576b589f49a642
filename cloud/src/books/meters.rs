//! How the books are doing: what was committed, how long it took, and whether the writer lives.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
#[cfg(feature = "daemon")]
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds, from a disk with a battery to one that is dying.
const BUCKETS: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// How long the writer may not have been seen before it counts as stuck: it looks at its clock every second.
const STUCK: Duration = Duration::from_secs(60);

/// What keeps the books from being kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The last commit failed, and none succeeded since.
    Failing,
    /// The writer was not seen for a minute, or is gone.
    Stuck,
}

/// How the books are doing.
#[derive(Debug)]
pub struct Meters {
    commits: Counter,
    failures: Counter,
    changes: Counter,
    refusals: Counter,
    seconds: Histogram,
    failing: AtomicBool,
    /// Milliseconds after `started` at which the writer was last seen.
    seen_millis: AtomicU64,
    started: Instant,
}

impl Default for Meters {
    fn default() -> Meters {
        Meters {
            commits: Counter::default(),
            failures: Counter::default(),
            changes: Counter::default(),
            refusals: Counter::default(),
            seconds: Histogram::new(BUCKETS),
            failing: AtomicBool::new(false),
            seen_millis: AtomicU64::new(0),
            started: Instant::now(),
        }
    }
}

impl Meters {
    #[cfg(feature = "daemon")]
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("coterm_commits", "Commits, each of all that waited", self.commits.clone());
        registry.register("coterm_commit_failures", "Commits that failed", self.failures.clone());
        registry.register(
            "coterm_changes",
            "Changes committed, transitions that were due among them",
            self.changes.clone(),
        );
        registry.register("coterm_changes_refused", "Changes refused by the rules", self.refusals.clone());
        registry.register(
            "coterm_commit_seconds",
            "Time from the first decision to the disk",
            self.seconds.clone(),
        );
    }

    /// The writer lives.
    pub(super) fn seen(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.seen_millis.store(millis, Ordering::Relaxed);
    }

    /// A commit succeeded, with so many changes and refusals.
    pub(super) fn committed(&self, changes: u64, refusals: u64, took: Duration) {
        self.commits.inc();
        self.changes.inc_by(changes);
        self.refusals.inc_by(refusals);
        self.seconds.observe(took.as_secs_f64());
        self.failing.store(false, Ordering::Relaxed);
    }

    /// A commit failed.
    pub(super) fn failed(&self) {
        self.failures.inc();
        self.failing.store(true, Ordering::Relaxed);
    }

    /// What keeps the books from being kept, if anything does.
    #[must_use]
    pub fn ailment(&self) -> Option<Ailment> {
        let seen = Duration::from_millis(self.seen_millis.load(Ordering::Relaxed));
        if self.started.elapsed().saturating_sub(seen) > STUCK {
            Some(Ailment::Stuck)
        } else {
            self.failing.load(Ordering::Relaxed).then_some(Ailment::Failing)
        }
    }
}
