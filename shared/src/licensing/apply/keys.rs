//! Bookkeeping of keys: pools, queues, and the keys that are in neither.

use super::{add_units, take_units};
use crate::id::{GroupId, KeyId};
use crate::licensing::compliance::{Renewal, Term};
use crate::licensing::coterm::{ExactInstant, Pool, PoolLine};
use crate::licensing::event::{Dated, SplitPart, Subject};
use crate::licensing::group::{DateMoved, Group};
use crate::licensing::license_key::{IssuedKey, KeyPast, KeyPlace, KeyState, LicenseKey};
use crate::licensing::organization::{Due, Organization, State};
use crate::time::{Seconds, Timestamp};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use rpds::RedBlackTreeSetSync;

impl Organization {
    /// Applies an event that takes and puts keys, and remembers of every group whose date it moved that it did (domain
    /// T2): from where to where the event as a whole moved it, whatever the steps in between came to.
    pub(super) fn dating(
        &mut self,
        dated: &Dated,
        change: impl FnOnce(&mut Organization) -> Option<()>,
    ) -> Option<()> {
        let groups = dated.event.subjects().into_iter().filter_map(|subject| match subject {
            Subject::Group(id) => Some(id),
            Subject::Key(id) => self.keys.get(&id)?.state.group(),
            Subject::Site(_) | Subject::Device(_) => None,
        });
        let date =
            |organization: &Organization, id: &GroupId| organization.groups.get(id)?.figures.term.coterm();
        let before: BTreeMap<GroupId, Option<ExactInstant>> =
            groups.map(|id| (id, date(self, &id))).collect();
        change(self)?;
        for (id, from) in before {
            let to = date(self, &id);
            if from != to {
                let by = dated.event.name().to_string();
                let moved = DateMoved { at: dated.at, version: self.version, by, from, to };
                self.groups.get_mut(&id)?.last_moved = Some(moved);
            }
        }
        Some(())
    }

    pub(super) fn claim_key(
        &mut self,
        key: &IssuedKey,
        place: &KeyPlace,
        past: KeyPast,
        dated: &Dated,
    ) -> Option<()> {
        // One that was given away and comes back has been through what it was here, and there.
        let past = past.or(self.keys.get(&key.id).map_or(KeyPast::default(), LicenseKey::past));
        let claimed = LicenseKey {
            issued: key.clone(),
            claimed_at: dated.at,
            ends_at: key.ends_at,
            was_in_group: past.was_in_group,
            has_waited: past.has_waited,
            // Where it really stands is written by `put`.
            state: KeyState::Retired { group: None, at: dated.at },
        };
        self.keys.insert_mut(key.id, claimed);
        self.put(key.id, place, dated)
    }

    pub(super) fn place_key(&mut self, id: KeyId, place: &KeyPlace, dated: &Dated) -> Option<()> {
        self.take(id)?;
        self.put(id, place, dated)
    }

    pub(super) fn split_key(&mut self, id: KeyId, parts: &[SplitPart; 2], dated: &Dated) -> Option<()> {
        self.take(id)?;
        let parent = self.keys.get_mut(&id)?;
        let [first, second] = parts;
        parent.state = KeyState::Split { children: [first.key.id, second.key.id] };
        let (claimed_at, past) = (parent.claimed_at, parent.past());
        for part in parts {
            self.claim_key(&part.key, &part.place, past, dated)?;
            self.keys.get_mut(&part.key.id)?.claimed_at = claimed_at;
        }
        Some(())
    }

    pub(super) fn expire_key(&mut self, id: KeyId, dated: &Dated) -> Option<()> {
        self.take(id)?;
        self.keys.get_mut(&id)?.state = KeyState::Retired { group: None, at: dated.at };
        Some(())
    }

    pub(super) fn transfer_key(&mut self, id: KeyId, dated: &Dated) -> Option<()> {
        self.take(id)?;
        self.keys.get_mut(&id)?.state = KeyState::Transferred { at: dated.at };
        Some(())
    }

    pub(super) fn activate_renewals(&mut self, id: GroupId, dated: &Dated) -> Option<()> {
        let group = self.groups.get_mut(&id)?;
        let queue = core::mem::replace(&mut group.queue, RedBlackTreeSetSync::new_sync());
        group.figures.renewal = None;
        for key in queue.iter() {
            let waiting = self.keys.get(key)?;
            // Counted in its queue so far, and in the pool from now on.
            let lines = waiting.line_count();
            let left_secs = match waiting.state {
                KeyState::Queued { left_secs, .. } => left_secs,
                KeyState::Active { .. }
                | KeyState::Unassigned { .. }
                | KeyState::Retired { .. }
                | KeyState::Split { .. }
                | KeyState::Transferred { .. } => Seconds::ZERO,
            };
            let group = self.groups.get_mut(&id)?;
            group.line_count = group.line_count.saturating_sub(lines);
            let place = KeyPlace::Active { group: id, ends_at: dated.at.saturating_add(left_secs) };
            self.put(*key, &place, dated)?;
        }
        Some(())
    }

    pub(super) fn end_term(&mut self, id: GroupId, dated: &Dated) -> Option<()> {
        let State { groups, keys: all, .. } = &mut **self;
        let group = groups.get_mut(&id)?;
        if let Term::Running { coterm } = group.figures.term {
            group.figures.term = Term::Ended { coterm };
        }
        // The retired units stay in the capacity: an expired group has one fault, not two (domain D4).
        group.pool = Pool::EMPTY;
        let keys = core::mem::replace(&mut group.keys, RedBlackTreeSetSync::new_sync());
        for key in keys.iter() {
            let retired = all.get_mut(key)?;
            retired.state = KeyState::Retired { group: Some(id), at: dated.at };
            group.line_count = group.line_count.saturating_sub(retired.line_count());
        }
        Some(())
    }

    /// Puts a key that is nowhere into its place.
    fn put(&mut self, id: KeyId, place: &KeyPlace, dated: &Dated) -> Option<()> {
        let key = self.keys.get_mut(&id)?;
        match *place {
            KeyPlace::Active { group, ends_at } => {
                // Queued and activated in the same instant, it did not wait: a clock that stood still ends later (K3).
                key.has_waited |= ends_at > key.ends_at;
                key.state = KeyState::Active { group };
                key.ends_at = ends_at;
                key.was_in_group = true;
                let key = key.clone();
                let group = self.groups.get_mut(&group)?;
                group.keys.insert_mut(id);
                group.begin_pool();
                for line in &key.issued.lines {
                    add_units(&mut group.figures.capacity, line.product, line.quantity);
                }
                group.line_count = group.line_count.saturating_add(key.line_count());
                key.pool_lines(ends_at).for_each(|line| group.pool.add(&line));
                group.redate();
            }
            KeyPlace::Queued { group, left_secs } => {
                key.state = KeyState::Queued { group, left_secs };
                key.was_in_group = true;
                let key = key.clone();
                let group = self.groups.get_mut(&group)?;
                group.queue.insert_mut(id);
                group.line_count = group.line_count.saturating_add(key.line_count());
                let renewal = group
                    .figures
                    .renewal
                    .get_or_insert_with(|| Renewal { capacity: Default::default(), pool: Pool::EMPTY });
                for line in &key.issued.lines {
                    add_units(&mut renewal.capacity, line.product, line.quantity);
                }
                waiting_lines(&key, left_secs).for_each(|line| renewal.pool.add(&line));
            }
            KeyPlace::Unassigned { joins_at, ends_at } => {
                key.state = KeyState::Unassigned { since: dated.at, joins_at };
                key.ends_at = ends_at;
                self.unassigned_keys.insert_mut(id);
                self.set_due(Due::Key(id), None, Some(joins_at.min(ends_at)));
            }
        }
        Some(())
    }

    /// Takes a key from its place; its state is the caller's to write.
    fn take(&mut self, id: KeyId) -> Option<()> {
        let key = self.keys.get(&id)?.clone();
        match key.state {
            KeyState::Active { group } => {
                let group = self.groups.get_mut(&group)?;
                group.keys.remove_mut(&id);
                for line in &key.issued.lines {
                    take_units(&mut group.figures.capacity, line.product, line.quantity);
                }
                group.line_count = group.line_count.saturating_sub(key.line_count());
                key.pool_lines(key.ends_at).for_each(|line| group.pool.remove(&line));
                group.redate();
            }
            KeyState::Queued { group, left_secs } => {
                let group = self.groups.get_mut(&group)?;
                group.queue.remove_mut(&id);
                group.line_count = group.line_count.saturating_sub(key.line_count());
                if let Some(renewal) = &mut group.figures.renewal {
                    for line in &key.issued.lines {
                        take_units(&mut renewal.capacity, line.product, line.quantity);
                    }
                    waiting_lines(&key, left_secs).for_each(|line| renewal.pool.remove(&line));
                }
                if group.queue.is_empty() {
                    group.figures.renewal = None;
                }
            }
            KeyState::Unassigned { joins_at, .. } => {
                self.unassigned_keys.remove_mut(&id);
                self.set_due(Due::Key(id), Some(joins_at.min(key.ends_at)), None);
            }
            KeyState::Retired { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => return None,
        }
        Some(())
    }
}

impl Group {
    /// What is claimed after the end, or into an emptied group, starts a new pool (domain D4, K4).
    fn begin_pool(&mut self) {
        match self.figures.term {
            Term::Running { .. } => {}
            Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => self.figures.capacity.clear(),
        }
    }

    /// Computes the co-termination instant anew (domain D1).
    fn redate(&mut self) {
        self.figures.term = self.pool.coterm().map_or(Term::Emptied, |coterm| Term::Running { coterm });
    }
}

/// A waiting key's lines, with what is left of its term in the place of an end.
fn waiting_lines(key: &LicenseKey, left_secs: Seconds) -> impl Iterator<Item = PoolLine> + '_ {
    key.pool_lines(Timestamp::from_secs_clamped(left_secs.0))
}
