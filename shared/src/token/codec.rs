//! Deterministic CBOR (RFC 8949 §4.2.1): one spelling per value, and nothing the formats of this module do not need.
//!
//! **Problem.** A serde decoder accepts much that token §2 forbids: repeated and unsorted keys, long forms, trailing
//! bytes. **Method.** A cheap walk over the bytes first ([`check`]): bounded depth, definite lengths that fit in what
//! is left, shortest forms, sorted keys, no tags, no floats. It allocates nothing, so lengths that lie cost nothing.
//! Then serde, then the value is encoded again and must give the same bytes ([`decode`]). **Deliberately absent:**
//! simple values other than null; no format here has a use for them.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How deep arrays and maps may nest: what the deepest of our own formats needs.
pub(super) const MAX_DEPTH: u8 = 4;

/// Why bytes do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodecError {
    /// Not deterministic CBOR within the bounds of token §2.
    Encoding,
    /// Deterministic CBOR, but not of this type.
    Malformed,
}

/// The kinds of CBOR item (RFC 8949 §3.1) the formats use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Unsigned(u64),
    /// The encoded argument `n` of the value `-1 - n`.
    Negative(u64),
    Bytes(u64),
    Text(u64),
    Array(u64),
    Map(u64),
    Null,
}

/// A strict reader over bytes not yet believed. Every method answers `None` for what is not exactly as asked.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A reader from the first byte on.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes }
    }

    /// Whether everything was read.
    pub(super) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes, whatever they are.
    pub(super) fn take_array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(taken)
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn head(&mut self) -> Option<Head> {
        let [first] = *self.take_array::<1>()?;
        let argument = match first & 0x1f {
            short @ 0..=23 => u64::from(short),
            24 => u64::from(u8::from_be_bytes(*self.take_array()?)),
            25 => u64::from(u16::from_be_bytes(*self.take_array()?)),
            26 => u64::from(u32::from_be_bytes(*self.take_array()?)),
            27 => u64::from_be_bytes(*self.take_array()?),
            // 28 to 30 are reserved, 31 is an indefinite length.
            _ => return None,
        };
        let shortest = match first & 0x1f {
            0..=23 => true,
            24 => argument > 23,
            25 => argument > u64::from(u8::MAX),
            26 => argument > u64::from(u16::MAX),
            _ => argument > u64::from(u32::MAX),
        };
        match first >> 5 {
            _ if !shortest => None,
            0 => Some(Head::Unsigned(argument)),
            1 => Some(Head::Negative(argument)),
            2 => Some(Head::Bytes(argument)),
            3 => Some(Head::Text(argument)),
            4 => Some(Head::Array(argument)),
            5 => Some(Head::Map(argument)),
            7 if first == 0xf6 => Some(Head::Null),
            // Tags, floats, false, true, undefined and the other simple values.
            _ => None,
        }
    }

    /// An integer that fits in an `i64`.
    pub(super) fn int(&mut self) -> Option<i64> {
        match self.head()? {
            Head::Unsigned(value) => i64::try_from(value).ok(),
            Head::Negative(value) => i64::try_from(value).ok().map(|value| -1 - value),
            Head::Bytes(_) | Head::Text(_) | Head::Array(_) | Head::Map(_) | Head::Null => None,
        }
    }

    /// A byte string.
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        match self.head()? {
            Head::Bytes(length) => self.take(length),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Text(_)
            | Head::Array(_)
            | Head::Map(_)
            | Head::Null => None,
        }
    }

    /// A text string in UTF-8.
    pub(super) fn text(&mut self) -> Option<&'a str> {
        match self.head()? {
            Head::Text(length) => core::str::from_utf8(self.take(length)?).ok(),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Bytes(_)
            | Head::Array(_)
            | Head::Map(_)
            | Head::Null => None,
        }
    }

    /// The head of an array: how many items follow.
    pub(super) fn array(&mut self) -> Option<u64> {
        match self.head()? {
            Head::Array(items) => Some(items),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Bytes(_)
            | Head::Text(_)
            | Head::Map(_)
            | Head::Null => None,
        }
    }

    /// The head of a map: how many pairs follow.
    pub(super) fn map(&mut self) -> Option<u64> {
        match self.head()? {
            Head::Map(pairs) => Some(pairs),
            Head::Unsigned(_)
            | Head::Negative(_)
            | Head::Bytes(_)
            | Head::Text(_)
            | Head::Array(_)
            | Head::Null => None,
        }
    }

    /// One whole item of any kind; `depth` more levels may open.
    fn skip(&mut self, depth: u8) -> Option<()> {
        match self.head()? {
            Head::Unsigned(_) | Head::Negative(_) | Head::Null => {}
            Head::Bytes(length) => {
                self.take(length)?;
            }
            Head::Text(length) => {
                core::str::from_utf8(self.take(length)?).ok()?;
            }
            Head::Array(items) => {
                let depth = depth.checked_sub(1)?;
                // An item takes at least a byte, so a count that lies runs out of bytes, not of time.
                for _ in 0..items {
                    self.skip(depth)?;
                }
            }
            Head::Map(pairs) => {
                let depth = depth.checked_sub(1)?;
                let mut previous: Option<&[u8]> = None;
                for _ in 0..pairs {
                    let before = self.rest;
                    self.skip(depth)?;
                    let key = before.get(..before.len() - self.rest.len())?;
                    // Bytewise order of the encoded keys; equal would be a repeated key (RFC 8949 §4.2.1).
                    if previous.is_some_and(|previous| previous >= key) {
                        return None;
                    }
                    previous = Some(key);
                    self.skip(depth)?;
                }
            }
        }
        Some(())
    }
}

/// Whether the bytes are one item of deterministic CBOR within the bounds of token §2.
pub(super) fn check(bytes: &[u8]) -> Result<(), CodecError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.skip(MAX_DEPTH) {
        Some(()) if cursor.is_at_end() => Ok(()),
        _ => Err(CodecError::Encoding),
    }
}

/// Decodes deterministic CBOR; what encodes again to other bytes is refused.
///
/// After the walk the bytes are known to be the one encoding of something, so a difference means that serde was lenient
/// about a type (it takes a byte string for a text), not that the encoding is wrong.
pub(super) fn decode<'de, T: Deserialize<'de> + Serialize>(bytes: &'de [u8]) -> Result<T, CodecError> {
    check(bytes)?;
    let value: T = serde_cbor::from_slice(bytes).map_err(|_| CodecError::Malformed)?;
    if encode(&value).as_deref() == Some(bytes) { Ok(value) } else { Err(CodecError::Malformed) }
}

/// Encodes deterministically, given that `value` serializes its keys in order. `None` cannot happen for our types: a
/// vector takes every write and all their lengths are known.
pub(super) fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    serde_cbor::to_vec(value).ok()
}

/// The unsigned integer under a path of integer keys; for telling an unknown version from a broken document.
pub(super) fn uint_at(bytes: &[u8], path: &[i64]) -> Option<u64> {
    let mut cursor = Cursor::new(bytes);
    for wanted in path {
        let pairs = cursor.map()?;
        let mut found = false;
        for _ in 0..pairs {
            if cursor.int()? == *wanted {
                found = true;
                break;
            }
            cursor.skip(MAX_DEPTH)?;
        }
        if !found {
            return None;
        }
    }
    match cursor.head()? {
        Head::Unsigned(value) => Some(value),
        Head::Negative(_) | Head::Bytes(_) | Head::Text(_) | Head::Array(_) | Head::Map(_) | Head::Null => {
            None
        }
    }
}

/// Appends a byte string.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_head(out, 0x40, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends a text string.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_head(out, 0x60, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Appends the head of an array.
pub(super) fn push_array(out: &mut Vec<u8>, items: usize) {
    push_head(out, 0x80, items);
}

/// `major` is the major type in its place, the upper three bits.
fn push_head(out: &mut Vec<u8>, major: u8, argument: usize) {
    let wide = (argument as u64).to_be_bytes();
    let [_, _, _, _, c, d, e, f] = wide;
    match argument as u64 {
        0..=23 => out.push(major | f),
        24..=0xff => out.extend_from_slice(&[major | 24, f]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, e, f]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[major | 26, c, d, e, f]),
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&wide);
        }
    }
}
