//! Snapshots of aggregates, made beside the writer.
//!
//! Encoding a large organization takes long, so a helper thread does it on a clone and hands the bytes back; the writer
//! stores them when nothing else waits. A snapshot that is lost only makes the next start slower. How often is a matter
//! of cost: the more bytes a snapshot has, the more events it must save replaying.

use super::ledger::Frozen;
use super::replay::Replay;
use crate::store::{Snapshot, StreamId};
use coterm_shared::licensing::Organization;
use coterm_shared::platform::Platform;
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Events after which a small aggregate gets a new snapshot.
const EVERY: u64 = 256;
/// Bytes of the last snapshot that one event must be worth.
const BYTES_PER_EVENT: usize = 4096;
/// Snapshots in the making at most; more wait for the next change of their aggregate.
const WAITING: usize = 16;

/// An aggregate to be encoded.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on its way to the disk")]
pub(super) enum Subject {
    /// The platform.
    Platform(Platform),
    /// An organization.
    Organization(Organization),
}

impl Subject {
    fn stream(&self) -> StreamId {
        match self {
            Subject::Platform(_) => StreamId::PLATFORM,
            Subject::Organization(organization) => organization.id().into(),
        }
    }

    fn version(&self) -> u64 {
        match self {
            Subject::Platform(platform) => platform.version(),
            Subject::Organization(organization) => organization.version(),
        }
    }

    fn freeze(&self) -> Option<Snapshot> {
        match self {
            Subject::Platform(platform) => Replay::freeze(platform),
            Subject::Organization(organization) => Replay::freeze(organization),
        }
    }
}

/// Decides when a snapshot is due, and has it made.
#[derive(Debug)]
pub(super) struct Snapshots {
    last: HashMap<StreamId, Frozen>,
    /// `None` if the helper thread could not be started: then there are no snapshots, and starts are slower.
    subjects: Option<SyncSender<Subject>>,
    made: Receiver<(StreamId, Snapshot)>,
    /// Where they go if whoever asks makes them, too.
    at_once: Option<SyncSender<(StreamId, Snapshot)>>,
}

impl Snapshots {
    pub(super) fn new(last: HashMap<StreamId, Frozen>) -> Snapshots {
        let (subjects, waiting) = sync_channel::<Subject>(WAITING);
        let (done, made) = sync_channel(WAITING);
        let helper = std::thread::Builder::new().name("books-snapshots".to_owned()).spawn(move || {
            for subject in waiting {
                let made = subject.freeze().map(|snapshot| (subject.stream(), snapshot));
                // The writer is gone: so is the need.
                if made.is_some_and(|made| done.send(made).is_err()) {
                    return;
                }
            }
        });
        Snapshots { last, subjects: helper.ok().map(|_| subjects), made, at_once: None }
    }

    /// Made at once, without a thread: the same requests give the same snapshots at the same places.
    pub(super) fn at_once(last: HashMap<StreamId, Frozen>) -> Snapshots {
        let (done, made) = sync_channel(WAITING);
        Snapshots { last, subjects: None, made, at_once: Some(done) }
    }

    /// Has a snapshot made of what was just committed, if one is due.
    pub(super) fn consider(&mut self, subject: Subject) {
        let (stream, version) = (subject.stream(), subject.version());
        let last = self.last.get(&stream).copied().unwrap_or_default();
        let worth = u64::try_from(last.bytes / BYTES_PER_EVENT).unwrap_or(u64::MAX).max(EVERY);
        if version.saturating_sub(last.version) < worth {
            return;
        }
        if let (Some(done), Some(snapshot)) =
            (&self.at_once, self.at_once.as_ref().and_then(|_| subject.freeze()))
        {
            let _full = done.try_send((stream, snapshot));
            return;
        }
        if self.subjects.as_ref().is_some_and(|subjects| subjects.try_send(subject).is_ok()) {
            // Counted from now, so that it is not made twice meanwhile.
            self.last.insert(stream, Frozen { version, ..last });
        }
    }

    /// A snapshot that was made, to be stored.
    pub(super) fn made(&mut self) -> Option<(StreamId, Snapshot)> {
        let (stream, snapshot) = self.made.try_recv().ok()?;
        self.last.insert(stream, Frozen::of(&snapshot));
        Some((stream, snapshot))
    }
}
