//! The clocks as they were last seen, kept over a restart.
//!
//! A restart must not be a way around a doubt, and the boot clock, which nobody can set, tells after a restart in the
//! same boot whether the wall clock was set meanwhile.

use crate::clock::Tick;
use crate::store::{Note, NoteChange, Reads, StoreError};
use coterm_shared::time::Timestamp;

/// The kind of the one note there is.
const KIND: &str = "clock";

/// The last tick; one that cannot be read is as good as none, the last event still holds.
pub(super) fn read(reads: &impl Reads) -> Result<Option<Tick>, StoreError> {
    let notes = reads.notes(KIND)?;
    Ok(notes.first().and_then(|note| serde_json::from_slice(&note.body).ok()))
}

/// The change that keeps a tick.
pub(super) fn keep(tick: &Tick) -> Option<NoteChange> {
    let body = serde_json::to_vec(tick).ok()?;
    let at = Timestamp::from_secs_clamped(tick.believed_millis / 1000);
    Some(NoteChange::Keep(Note { kind: KIND.to_owned(), subject: String::new(), at, body }))
}
