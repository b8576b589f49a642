//! Which of many has its time come, and when the next has.
//!
//! One entry each, so the work of a tick is that of those whose dates passed (architecture, decision 5), however many
//! others there are. **Deliberately absent:** a clock, and what is to be done when the time has come.

use crate::time::Timestamp;
use alloc::collections::{BTreeMap, BTreeSet};

/// When each of them wants to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K> {
    order: BTreeSet<(Timestamp, K)>,
    by_key: BTreeMap<K, Timestamp>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Timers { order: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Replaces the entry of one; `None` takes it out.
    pub fn set(&mut self, key: K, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if let Some(old) = old {
            self.order.remove(&(old, key));
        }
        self.order.extend(at.map(|at| (at, key)));
    }

    /// Whether one is due, and still waits for its turn.
    #[must_use]
    pub fn is_due(&self, key: K, now: Timestamp) -> bool {
        self.by_key.get(&key).is_some_and(|at| *at <= now)
    }

    /// Those that are due, the longest due first.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = K> + '_ {
        self.order.iter().take_while(move |(at, _)| *at <= now).map(|(_, key)| *key)
    }

    /// When the first is due.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_longest_due_come_first_and_each_has_one_entry() {
        let at = |secs| Timestamp::from_secs(secs).unwrap();
        let mut timers = Timers::default();
        let due = |timers: &Timers<u8>, secs, limit| timers.due(at(secs)).take(limit).collect::<Vec<_>>();
        for (n, secs) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
            timers.set(n, Some(at(secs)));
        }
        assert_eq!(timers.next(), Some(at(10)));
        timers.set(2, Some(at(25)));
        timers.set(4, None);
        assert_eq!(due(&timers, 30, 9), [3, 2, 1]);
        assert_eq!(due(&timers, 30, 2), [3, 2]);
        assert!(due(&timers, 19, 9).is_empty());
        assert!(timers.is_due(3, at(20)) && !timers.is_due(3, at(19)) && !timers.is_due(4, at(99)));
        assert_eq!(timers.next(), Some(at(20)));
    }
}
