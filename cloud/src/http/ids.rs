//! Ids on their way in, and fresh ones.

use super::problem::{Problem, Result};
use coterm_shared::time::Timestamp;
use std::str::FromStr;

/// The id in a path. Malformed, unknown and foreign ids are answered alike: 404.
///
/// # Errors
/// 404.
pub(super) fn of_path<T: FromStr>(text: &str, what: &str) -> Result<T> {
    text.parse().map_err(|_| Problem::not_found(what))
}

/// The 16 bytes of a fresh UUIDv7 (RFC 9562): later ids sort later, to the second.
///
/// # Errors
/// 500 if the system has no randomness.
pub(super) fn fresh(now: Timestamp) -> Result<[u8; 16]> {
    let mut random = [0_u8; 10];
    if let Err(error) = getrandom::fill(&mut random) {
        tracing::error!(%error, "no randomness");
        return Err(Problem::internal());
    }
    let millis = now.as_secs().saturating_mul(1000);
    Ok(*uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_bytes())
}
