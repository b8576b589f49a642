//! The files that are being imported: how many at a time, and how far each has come.
//!
//! **Deliberately absent:** what came of them; whoever sent a file is answered.

use super::Kind;
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::import::Decided;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that are imported at a time: each holds all it decides in memory.
const MAX_IMPORTS: usize = 2;

/// What is done with a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It comes in.
    #[default]
    Receiving,
    /// Its lines are read.
    Reading,
    /// Its lines are decided.
    Checking,
    /// It is written, all of it at once.
    Writing,
}

impl Phase {
    /// The names of all phases, in order.
    pub const NAMES: [&'static str; 4] = ["receiving", "reading", "checking", "writing"];
}

/// One file that is being imported.
#[derive(Debug)]
pub struct Run {
    organization: OrganizationId,
    request_id: String,
    kind: Kind,
    dry_run: bool,
    phase: Mutex<Phase>,
    bytes: AtomicU64,
    lines: AtomicU64,
    decided: Decided,
}

/// How far a file has come, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunView {
    /// The request that sent it.
    pub request_id: String,
    /// What it is of.
    pub kind: &'static str,
    /// Whether it is only looked at.
    pub dry_run: bool,
    /// What is done with it now.
    pub phase: Phase,
    /// Bytes that came in so far.
    pub bytes: u64,
    /// Lines that are read so far, without the first.
    pub lines: u64,
    /// Lines that are decided so far; of orders, keys.
    pub decided: u64,
}

impl Run {
    /// More bytes came in.
    pub fn received(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many lines are read.
    pub fn read(&self, lines: u64) {
        self.lines.store(lines, Ordering::Relaxed);
    }

    /// What is done with it from now on.
    pub fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Where the lines are counted that are decided.
    #[must_use]
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    fn view(&self) -> RunView {
        RunView {
            request_id: self.request_id.clone(),
            kind: self.kind.name(),
            dry_run: self.dry_run,
            phase: *lock(&self.phase),
            bytes: self.bytes.load(Ordering::Relaxed),
            lines: self.lines.load(Ordering::Relaxed),
            decided: u64::try_from(self.decided.count()).unwrap_or(u64::MAX),
        }
    }
}

/// All files that are being imported.
#[derive(Clone, Debug, Default)]
pub struct Underway(Arc<Mutex<Vec<Arc<Run>>>>);

impl Underway {
    /// A place for one more file; `None` if there are as many as there may be.
    #[must_use]
    pub fn begin(
        &self,
        organization: OrganizationId,
        request_id: String,
        kind: Kind,
        dry_run: bool,
    ) -> Option<Place> {
        let run = Arc::new(Run {
            organization,
            request_id,
            kind,
            dry_run,
            phase: Mutex::default(),
            bytes: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            decided: Decided::default(),
        });
        let mut runs = lock(&self.0);
        if runs.len() >= MAX_IMPORTS {
            return None;
        }
        runs.push(run.clone());
        Some(Place { run, of: self.clone() })
    }

    /// The files of an organization, in the order in which they came.
    #[must_use]
    pub fn of(&self, organization: OrganizationId) -> Vec<RunView> {
        let runs = lock(&self.0);
        runs.iter().filter(|run| run.organization == organization).map(|run| run.view()).collect()
    }
}

/// The place of a file that is being imported, until it is dropped.
#[derive(Debug)]
pub struct Place {
    run: Arc<Run>,
    of: Underway,
}

impl Place {
    /// The file.
    #[must_use]
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.of.0).retain(|run| !Arc::ptr_eq(run, &self.run));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_a_time_each_seen_by_its_organization_until_it_is_done() {
        let underway = Underway::default();
        let [one, other] = [1, 2].map(|n| OrganizationId::from_bytes([n; 16]));
        let begin = |of, name: &str| underway.begin(of, name.to_owned(), Kind::Devices, false);
        let place = begin(one, "a").unwrap();
        let more = begin(other, "b").unwrap();
        assert!(begin(one, "c").is_none());
        place.run().received(7);
        place.run().read(2);
        place.run().enter(Phase::Checking);
        let seen = serde_json::to_value(underway.of(one)).unwrap();
        let expect = serde_json::json!([{ "request_id": "a", "kind": "devices", "dry_run": false,
            "phase": "checking", "bytes": 7, "lines": 2, "decided": 0 }]);
        assert_eq!(seen, expect);
        drop(place);
        assert!(underway.of(one).is_empty() && underway.of(other).len() == 1);
        drop(more);
        assert!(begin(one, "c").is_some());
    }

    #[test]
    fn every_phase_has_its_name() {
        let phases = [Phase::Receiving, Phase::Reading, Phase::Checking, Phase::Writing];
        let names = phases.map(|phase| serde_json::to_value(phase).unwrap());
        assert_eq!(names.map(|name| name.as_str().unwrap().to_owned()), Phase::NAMES.map(str::to_owned));
    }
}
