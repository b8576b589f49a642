//! What the agent remembers over power cuts: two slots, one of which is always whole.
//!
//! **Problem.** Power goes at any moment, flash writes tear, disks fill up. After any of it the agent must come back
//! with something it once accepted, never with something made of two halves, and never with anything milder than what
//! was on disk. **Method.** Two slots written in turn, each with generation, length and SHA-256 over all of it. A save
//! overwrites the slot with the older (or no) valid content, syncs the file and its directory, and only then counts.
//! Reading takes the highest valid generation; a torn or flipped slot does not exist. Slots are padded to whole
//! blocks and overwritten in place, so that a full disk rarely stops a save. **Deliberately absent:** what the bytes
//! mean (`coterm_shared::enforcement::Record`), and secrecy: nothing in here is secret, but the files are 0600 all
//! the same. Somebody who can write the files can restore both slots of an earlier day; that is the residual risk of
//! a device without a hardware counter.

#[cfg(test)]
pub(crate) mod crash_points;
mod medium;
#[cfg(test)]
mod tests;

pub use medium::{FileMedium, Medium, Slot};

use sha2::{Digest, Sha256};
use std::io;

const MAGIC: [u8; 8] = *b"COTERMST";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 8 + 4 + 32;
const BLOCK_BYTES: usize = 4096;
/// The longest record a slot takes, in bytes: a token, a keyring, and room to grow.
pub const MAX_RECORD_BYTES: usize = 192 * 1024;

/// Why the state could not be read or written; every sentence says what to do.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its sentence")]
pub enum StoreError {
    #[error("the state could not be read: {0}; check the state directory and the disk")]
    Read(io::Error),
    #[error("the state could not be written: {0}; free space in the state directory or replace the disk")]
    Write(io::Error),
    #[error("the state has {0} bytes, more than fits a slot; this is a defect, please report it")]
    TooLong(usize),
    #[error(
        "the state directory was written by a newer coterm-agent (format {0}); install that version again"
    )]
    Newer(u32),
}

/// Where the agent keeps its one record (a port: the driver's tests put a failing memory behind it).
pub trait StateStore {
    /// The last record that was saved completely, or `None` if there never was one that survives.
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError>;
    /// Saves the record; on `Ok` it survives a power cut, on `Err` the one before it still does.
    fn save(&mut self, record: &[u8]) -> Result<(), StoreError>;
}

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Valid {
        generation: u64,
        record: Vec<u8>,
    },
    /// Whole, but in a format this version does not know.
    Newer(u32),
    /// Empty, torn, or flipped.
    Nothing,
}

/// Two slots on a medium.
#[derive(Debug)]
pub struct TwoSlots<M> {
    medium: M,
    /// Known after the first load or save.
    next: Option<Next>,
    damaged: bool,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    slot: Slot,
    generation: u64,
}

impl<M: Medium> TwoSlots<M> {
    /// The slots on this medium.
    pub fn new(medium: M) -> TwoSlots<M> {
        TwoSlots { medium, next: None, damaged: false }
    }

    /// Whether the last load found bytes in a slot that were not a whole record: a power cut, or a dying disk.
    pub fn found_damage(&self) -> bool {
        self.damaged
    }

    fn survey(&mut self) -> Result<(Option<Vec<u8>>, Next), StoreError> {
        let mut best: Option<(u64, Slot, Vec<u8>)> = None;
        let mut dead = None;
        self.damaged = false;
        for slot in Slot::BOTH {
            let bytes = match self.medium.read(slot) {
                Ok(bytes) => bytes,
                // A sector that cannot be read any more is as good as a torn one, as long as the other slot is whole.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    self.damaged = true;
                    dead = Some(error);
                    continue;
                }
                Err(error) => return Err(StoreError::Read(error)),
            };
            match decode(&bytes) {
                Content::Valid { generation, record } => {
                    if best.as_ref().is_none_or(|(newest, _, _)| generation > *newest) {
                        best = Some((generation, slot, record));
                    }
                }
                // Downgrading must not forget what a newer version accepted.
                Content::Newer(format) => return Err(StoreError::Newer(format)),
                Content::Nothing => self.damaged |= !bytes.is_empty(),
            }
        }
        match (best, dead) {
            (Some((generation, slot, record)), _) => {
                let next = Next { slot: slot.other(), generation: generation.saturating_add(1) };
                Ok((Some(record), next))
            }
            // What cannot be read may be a token: beginning without it would overwrite it.
            (None, Some(error)) => Err(StoreError::Read(error)),
            (None, None) => Ok((None, Next { slot: Slot::Zero, generation: 1 })),
        }
    }
}

impl<M: Medium> StateStore for TwoSlots<M> {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let (record, next) = self.survey()?;
        self.next = Some(next);
        Ok(record)
    }

    fn save(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let next = match self.next {
            Some(next) => next,
            None => self.survey()?.1,
        };
        let bytes = encode(next.generation, record).ok_or(StoreError::TooLong(record.len()))?;
        // Until both steps are done the other slot is the state; a failed save tries this same slot again, with this
        // same generation, so it can never destroy the one that is whole.
        self.medium.write(next.slot, &bytes).map_err(StoreError::Write)?;
        self.medium.sync(next.slot).map_err(StoreError::Write)?;
        self.next = Some(Next { slot: next.slot.other(), generation: next.generation.saturating_add(1) });
        Ok(())
    }
}

fn encode(generation: u64, record: &[u8]) -> Option<Vec<u8>> {
    if record.len() > MAX_RECORD_BYTES {
        return None;
    }
    let length = u32::try_from(record.len()).ok()?;
    let size = (HEADER_BYTES + record.len()).next_multiple_of(BLOCK_BYTES);
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&generation.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    let digest = digest(&bytes, record);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(record);
    bytes.resize(size, 0);
    Some(bytes)
}

fn digest(head: &[u8], record: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(record);
    hash.finalize().into()
}

fn decode(bytes: &[u8]) -> Content {
    decode_whole(bytes).unwrap_or(Content::Nothing)
}

fn decode_whole(bytes: &[u8]) -> Option<Content> {
    let (head, rest) = bytes.split_at_checked(HEADER_BYTES - 32)?;
    let (sum, rest) = rest.split_at_checked(32)?;
    let (magic, fields) = head.split_at_checked(8)?;
    let (format, fields) = fields.split_at_checked(4)?;
    let (generation, length) = fields.split_at_checked(8)?;
    if magic != MAGIC {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let record = rest.get(..length).filter(|record| record.len() <= MAX_RECORD_BYTES)?;
    if digest(head, record) != sum {
        return None;
    }
    // The checksum holds, so this number was really written.
    let format = u32::from_le_bytes(format.try_into().ok()?);
    if format != FORMAT {
        return Some(Content::Newer(format));
    }
    let generation = u64::from_le_bytes(generation.try_into().ok()?);
    Some(Content::Valid { generation, record: record.to_vec() })
}
