//! How often the same address or the same code may be tried.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The window counts are for.
const WINDOW: Duration = Duration::from_secs(60);
/// What is remembered at most; beyond it what is oldest is forgotten.
const MAX_KEYS: usize = 10_000;

/// Counts by key within a minute.
#[derive(Debug)]
pub(super) struct Rates<K> {
    most: u32,
    counts: Mutex<HashMap<K, (Instant, u32)>>,
}

impl<K: Eq + Hash + Clone> Rates<K> {
    /// At most `most` in a minute.
    pub(super) fn new(most: u32) -> Rates<K> {
        Rates { most, counts: Mutex::default() }
    }

    /// Seconds to wait before `key` may try again; `None` if it may now.
    pub(super) fn wait(&self, key: &K) -> Option<u32> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = counts.get(key).copied()?;
        let left = WINDOW.saturating_sub(since.elapsed());
        let over = !left.is_zero() && count >= self.most;
        over.then(|| u32::try_from(left.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// Notes one try.
    pub(super) fn count(&self, key: &K) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_KEYS && !counts.contains_key(key) {
            counts.retain(|_, (since, _)| since.elapsed() < WINDOW);
            if counts.len() >= MAX_KEYS {
                let oldest = counts.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| key.clone());
                oldest.and_then(|oldest| counts.remove(&oldest));
            }
        }
        let entry = counts.entry(key.clone()).or_insert_with(|| (Instant::now(), 0));
        if entry.0.elapsed() >= WINDOW {
            *entry = (Instant::now(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_tries_too_often_waits_and_the_others_do_not() {
        let rates = Rates::new(2);
        for _ in 0..2 {
            assert_eq!(rates.wait(&1), None);
            rates.count(&1);
        }
        assert!(rates.wait(&1).is_some_and(|secs| (1..=61).contains(&secs)));
        assert_eq!(rates.wait(&2), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rates = Rates::new(1);
        (0..MAX_KEYS + 10).for_each(|key| rates.count(&key));
        assert_eq!(rates.counts.lock().unwrap().len(), MAX_KEYS);
    }
}
