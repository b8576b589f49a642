//! The access question, asked by many and often (domain E8): answers in memory, and a feed of what changed.
//!
//! **Problem.** A platform asks on every page it shows, for organizations of a hundred thousand devices, and must learn
//! of every change at once. **Method.** For every organization that is asked about, a [`Shelf`] keeps what was found out of
//! the present state of its books, and what changed since: a cursor of the feed is the print of the list that a client
//! knows, so that it outlives a restart of the daemon, and whoever knows the present list is told to wait, not to read it
//! again. **Deliberately absent:** the rule ([`coterm_shared::licensing::access`]), and anything that would have to be
//! stored: a cursor that nobody remembers is answered with "read the list again".

use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::Organization;
use coterm_shared::licensing::access::{
    AccessAction, AccessAnswer, AccessBook, AccessChange, AccessSubject, Denied, DeniedDigest,
};
use coterm_shared::time::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Organizations that are kept in memory; of more, the one that was asked about longest ago is forgotten.
const SHELVES: usize = 256;
/// Changes remembered for one organization.
const REMEMBERED: usize = 4096;
/// Changes told at a time; whoever missed more reads the list again.
pub const TOLD: usize = 1000;

/// What was found out about the organizations asked about.
#[derive(Debug, Default)]
pub struct Desk {
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    by_id: HashMap<OrganizationId, (u64, Arc<Mutex<Shelf>>)>,
    asked: u64,
}

/// An answer, and until when it stays as it is if nobody changes anything; `None` is for good.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer.
    pub answer: AccessAnswer,
    /// Until when it holds.
    pub until: Option<Timestamp>,
}

/// What changed since a list that a client knows.
#[derive(Clone, Debug)]
pub struct Changes {
    /// The print of the present list: the cursor to go on with.
    pub cursor: DeniedDigest,
    /// The list that was known is not remembered, or too much changed since: read the list again.
    pub resync: bool,
    /// The subjects that changed, each once and as it is now; empty with `resync`.
    pub changes: Vec<AccessChange>,
    /// When the list changes next if nobody changes anything, at the earliest.
    pub until: Option<Timestamp>,
}

impl Desk {
    /// The answer to one question about an organization as of `now`; `None` if there is no such subject.
    #[must_use]
    pub fn answer(
        &self,
        organization: &Organization,
        subject: &AccessSubject,
        action: Option<AccessAction>,
        now: Timestamp,
    ) -> Option<Answered> {
        self.shelf(organization.id(), |shelf| {
            let ask = |book: &mut AccessBook| {
                let answer = book.answer(subject, action, now)?;
                Some(Answered { answer, until: book.valid_until(subject, now) })
            };
            match shelf.book(organization) {
                Some(book) => ask(book),
                None => ask(&mut AccessBook::of(organization)),
            }
        })
    }

    /// Everything closed in an organization as of `now`.
    #[must_use]
    pub fn denied(&self, organization: &Organization, now: Timestamp) -> Arc<Denied> {
        self.shelf(organization.id(), |shelf| shelf.denied(organization, now))
    }

    /// What changed in an organization as of `now` since the list with the print `after`.
    #[must_use]
    pub fn changes(
        &self,
        organization: &Organization,
        after: Option<DeniedDigest>,
        now: Timestamp,
    ) -> Changes {
        self.shelf(organization.id(), |shelf| {
            let denied = shelf.denied(organization, now);
            let (cursor, until) = (denied.digest(), denied.changes_at());
            let known = after.and_then(|after| shelf.since(after, cursor));
            let told = known.filter(|changes| changes.len() <= TOLD);
            Changes { cursor, until, resync: told.is_none(), changes: told.unwrap_or_default() }
        })
    }

    /// Does something with the shelf of an organization; other organizations need not wait for it.
    fn shelf<T>(&self, id: OrganizationId, look: impl FnOnce(&mut Shelf) -> T) -> T {
        let shelf = {
            let mut shelves = lock(&self.shelves);
            shelves.asked = shelves.asked.saturating_add(1);
            let asked = shelves.asked;
            if !shelves.by_id.contains_key(&id) && shelves.by_id.len() >= SHELVES {
                let oldest = shelves.by_id.iter().min_by_key(|(_, (asked, _))| *asked).map(|(id, _)| *id);
                oldest.and_then(|oldest| shelves.by_id.remove(&oldest));
            }
            let entry = shelves.by_id.entry(id).or_default();
            entry.0 = asked;
            entry.1.clone()
        };
        look(&mut lock(&shelf))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was found out about one organization.
#[derive(Debug, Default)]
struct Shelf {
    book: Option<AccessBook>,
    /// The last list, and the instant and version of the books it was made of.
    denied: Option<(Timestamp, u64, Arc<Denied>)>,
    /// From the list with this print to the next: what changed.
    steps: VecDeque<(DeniedDigest, Vec<AccessChange>)>,
    remembered: usize,
}

impl Shelf {
    /// The book of this state of the organization; `None` if a newer state was seen already.
    fn book(&mut self, organization: &Organization) -> Option<&mut AccessBook> {
        match &self.book {
            Some(book) if book.is_of(organization) => {}
            Some(book) if book.organization().version() > organization.version() => return None,
            Some(_) | None => self.book = Some(AccessBook::of(organization)),
        }
        self.book.as_mut()
    }

    fn denied(&mut self, organization: &Organization, now: Timestamp) -> Arc<Denied> {
        let version = organization.version();
        if let Some((made_at, of, denied)) = &self.denied {
            let holds = *of == version && denied.changes_at().is_none_or(|at| now < at);
            // Whoever was overtaken by another request gets what that one found.
            if (holds && *made_at <= now) || *of > version || (*of == version && *made_at > now) {
                return denied.clone();
            }
        }
        let made = match self.book(organization) {
            Some(book) => book.denied(now),
            None => AccessBook::of(organization).denied(now),
        };
        let made = Arc::new(made);
        if let Some((_, _, earlier)) = self.denied.replace((now, version, made.clone()))
            && earlier.digest() != made.digest()
        {
            self.remember(earlier.digest(), made.since(&earlier));
        }
        made
    }

    fn remember(&mut self, from: DeniedDigest, changes: Vec<AccessChange>) {
        self.remembered = self.remembered.saturating_add(changes.len());
        self.steps.push_back((from, changes));
        while self.remembered > REMEMBERED {
            let Some((_, forgotten)) = self.steps.pop_front() else { break };
            self.remembered = self.remembered.saturating_sub(forgotten.len());
        }
    }

    /// What changed from the list with the print `after` to the present one; `None` if that is not known any more.
    fn since(&self, after: DeniedDigest, present: DeniedDigest) -> Option<Vec<AccessChange>> {
        if after == present {
            return Some(Vec::new());
        }
        let start = self.steps.iter().rposition(|(from, _)| *from == after)?;
        let mut newest: BTreeMap<&AccessSubject, &AccessChange> = BTreeMap::new();
        for change in self.steps.iter().skip(start).flat_map(|(_, changes)| changes) {
            newest.insert(change.subject(), change);
        }
        Some(newest.into_values().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
