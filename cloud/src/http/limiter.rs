//! Guessing license keys is slow: each principal has so many wrong codes a minute (domain K1).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong codes in one window.
const MAX_FAILURES: u32 = 20;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);

/// Counts failures by principal. Its size is bounded by the number of API tokens.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<HashMap<String, (Instant, u32)>>);

impl Limiter {
    /// Seconds to wait before `who` may try again, `None` if it may now.
    pub(super) fn wait(&self, who: &str) -> Option<u64> {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = failures.get(who).copied()?;
        let left = WINDOW.saturating_sub(since.elapsed());
        if left.is_zero() {
            failures.remove(who);
            return None;
        }
        (count >= MAX_FAILURES).then(|| left.as_secs().saturating_add(1))
    }

    /// Notes a wrong code.
    pub(super) fn failed(&self, who: &str) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = failures.entry(who.to_owned()).or_insert_with(|| (Instant::now(), 0));
        entry.1 = entry.1.saturating_add(1);
    }
}
