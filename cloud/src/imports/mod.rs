//! Files with many things in them: read, and made ready to be decided as one change.
//!
//! **Method.** A file is CSV (RFC 4180) in UTF-8, with or without a byte order mark, its first line the names of its
//! columns. Every line is read, every bad one is said with its number and column; what is decided then is
//! [`coterm_shared::licensing::import`]. What was exported is read back: a leading apostrophe that keeps a cell from being
//! a formula is taken off. **Deliberately absent:** rules.

mod cells;
mod heads;
mod kind;
mod rows;
#[cfg(test)]
mod tests;
mod underway;

pub use kind::{Kind, KindError};
pub use rows::{Claimed, Parsed, read};
pub use underway::{Phase, Place, Run, RunView, Underway};

/// Bytes of a file at most.
pub const MAX_BYTES: u64 = 512 * 1024 * 1024;
/// Lines of a file at most, without the first.
pub const MAX_LINES: u64 = 1_000_000;
