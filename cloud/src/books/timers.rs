//! The timer index: which organization has a transition due, and when.
//!
//! One entry per organization, so the work of a tick is that of the organizations whose dates passed (architecture,
//! decision 5), however many others there are.

use coterm_shared::id::OrganizationId;
use coterm_shared::time::Timestamp;
use std::collections::{BTreeSet, HashMap};

/// When each organization wants to be looked at.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Timestamp, OrganizationId)>,
    by_id: HashMap<OrganizationId, Timestamp>,
}

impl Timers {
    /// Replaces the organization's entry.
    pub(super) fn set(&mut self, id: OrganizationId, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_id.insert(id, at),
            None => self.by_id.remove(&id),
        };
        if let Some(old) = old {
            self.order.remove(&(old, id));
        }
        self.order.extend(at.map(|at| (at, id)));
    }

    /// Whether the organization is due, and still waits for its turn.
    pub(super) fn is_due(&self, id: OrganizationId, now: Timestamp) -> bool {
        self.by_id.get(&id).is_some_and(|at| *at <= now)
    }

    /// At most `limit` organizations that are due, the longest due first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<OrganizationId> {
        self.order.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, id)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_due_come_first_and_each_has_one_entry() {
        let at = |secs| Timestamp::from_secs(secs).unwrap();
        let id = |n| OrganizationId::from_bytes([n; 16]);
        let mut timers = Timers::default();
        for (n, secs) in [(1, 30), (2, 10), (3, 20), (4, 40)] {
            timers.set(id(n), Some(at(secs)));
        }
        timers.set(id(2), Some(at(25)));
        timers.set(id(4), None);
        assert_eq!(timers.due(at(30), 9), [id(3), id(2), id(1)]);
        assert_eq!(timers.due(at(30), 2), [id(3), id(2)]);
        assert!(timers.due(at(19), 9).is_empty());
        assert!(
            timers.is_due(id(3), at(20)) && !timers.is_due(id(3), at(19)) && !timers.is_due(id(4), at(99))
        );
    }
}
