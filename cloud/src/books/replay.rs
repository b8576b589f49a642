//! From entries of the log and snapshots back to the aggregates.
//!
//! **Deliberately absent:** any judgement. What the log says happened is applied, and an entry that cannot be is damage.

use crate::store::{Envelope, Snapshot, StoreError, StreamId};
use coterm_shared::licensing::{Dated, Organization};
use coterm_shared::platform::{DatedPlatformEvent, Platform};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Number of the snapshots' encoding: raised whenever an aggregate changes its shape, or what
/// the same entries make of it.
const SNAPSHOT_SCHEMA: u32 = 11;

fn damaged(stream: StreamId, seq: u64, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!("entry {seq} of {stream} cannot be replayed: {error}"))
}

fn decode<T: DeserializeOwned>(stream: StreamId, entry: &Envelope) -> Result<T, StoreError> {
    serde_json::from_slice(&entry.event).map_err(|error| damaged(stream, entry.seq, &error))
}

/// An aggregate rebuilt from its stream.
pub(super) trait Replay: Sized + Serialize + DeserializeOwned {
    /// Takes one more entry; `None` is the state before the first.
    fn replay(before: Option<Self>, stream: StreamId, entry: &Envelope) -> Result<Self, StoreError>;
    /// How many entries made it.
    fn version(&self) -> u64;

    /// The state a snapshot holds, `None` if it is of another program.
    fn thaw(snapshot: &Snapshot) -> Option<Self> {
        if snapshot.schema != SNAPSHOT_SCHEMA {
            return None;
        }
        let state: Self = serde_json::from_slice(&snapshot.body).ok()?;
        (state.version() == snapshot.version).then_some(state)
    }

    /// A snapshot of this state.
    fn freeze(&self) -> Option<Snapshot> {
        let body = serde_json::to_vec(self).ok()?;
        Some(Snapshot { schema: SNAPSHOT_SCHEMA, version: self.version(), body })
    }
}

impl Replay for Organization {
    fn replay(before: Option<Self>, stream: StreamId, entry: &Envelope) -> Result<Self, StoreError> {
        let dated = Dated { at: entry.at, event: decode(stream, entry)? };
        let after = match before {
            None => Organization::open(&dated),
            Some(mut state) => state.apply(&dated).map(|()| state),
        };
        after.map_err(|error| damaged(stream, entry.seq, &error))
    }

    fn version(&self) -> u64 {
        Organization::version(self)
    }
}

impl Replay for Platform {
    fn replay(before: Option<Self>, stream: StreamId, entry: &Envelope) -> Result<Self, StoreError> {
        let dated = DatedPlatformEvent { at: entry.at, event: decode(stream, entry)? };
        let mut state = before.unwrap_or_default();
        state.apply(&dated).map_err(|error| damaged(stream, entry.seq, &error))?;
        Ok(state)
    }

    fn version(&self) -> u64 {
        Platform::version(self)
    }
}
