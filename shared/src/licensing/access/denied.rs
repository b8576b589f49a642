//! Everything that is closed at an instant, with a print that differs exactly when an answer does.
//!
//! **Problem.** A platform that shows thousands of devices asks once and keeps the answers; it must learn of every change
//! and of nothing else. **Method.** The closed subjects, sorted, and half a SHA-256 over them. Two lists compare in one
//! walk. What is not in the list is open. **Deliberately absent:** what is announced: a date that moves closes nothing.

use super::answer::AccessCode;
use super::book::AccessBook;
use super::gate::{AccessSubject, Gate};
use crate::enforcement::EnforcementState;
use crate::finding::Finding;
use crate::id::GroupId;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Half the SHA-256 of what is closed. Text is 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeniedDigest([u8; 16]);

impl fmt::Display for DeniedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no such print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this feed: 32 lower-case hexadecimal digits")]
pub struct DeniedDigestError;

impl FromStr for DeniedDigest {
    type Err = DeniedDigestError;

    fn from_str(text: &str) -> Result<Self, DeniedDigestError> {
        let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if text.len() != 32 || !text.as_bytes().iter().all(hex) {
            return Err(DeniedDigestError);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| DeniedDigestError)?;
        Ok(DeniedDigest(number.to_be_bytes()))
    }
}

/// Why a subject is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Closed {
    code: AccessCode,
    state: EnforcementState,
    since: Timestamp,
    until: Option<Timestamp>,
    group: Option<GroupId>,
    reasons: Vec<&'static str>,
}

impl Closed {
    fn of(subject: &AccessSubject, gate: &Gate, now: Timestamp) -> Option<Closed> {
        let since = gate.closes_at().filter(|at| *at <= now)?;
        let mut reasons: Vec<&'static str> = gate.findings.iter().map(Finding::code).collect();
        reasons.dedup();
        Some(Closed {
            code: AccessCode::of(subject, gate, now),
            state: gate.state_at(now),
            since,
            until: gate.reopens_at,
            group: gate.group,
            reasons,
        })
    }
}

/// A closed subject, or one of which something changed, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeniedView {
    /// What it is: `organization`, `site` or `device`.
    pub kind: &'static str,
    /// Its id; `None` for the organization.
    pub id: Option<String>,
    /// Whether people are let in.
    pub allowed: bool,
    /// Why, in a stable code.
    pub code: AccessCode,
    /// Where the ladder stands; `None` if it is open.
    pub state: Option<EnforcementState>,
    /// Since when it is closed.
    pub since: Option<Timestamp>,
    /// When it opens by itself, if time alone will open it.
    pub until: Option<Timestamp>,
    /// The codes of the findings that hold now, each once.
    pub reasons: Vec<&'static str>,
    /// The license group whose ladder it is.
    pub group: Option<GroupId>,
}

impl DeniedView {
    fn of(subject: &AccessSubject, closed: Option<&Closed>) -> DeniedView {
        DeniedView {
            kind: subject.kind(),
            id: subject.id(),
            allowed: closed.is_none(),
            code: closed.map_or(AccessCode::Open, |closed| closed.code),
            state: closed.map(|closed| closed.state),
            since: closed.map(|closed| closed.since),
            until: closed.and_then(|closed| closed.until),
            reasons: closed.map(|closed| closed.reasons.clone()).unwrap_or_default(),
            group: closed.and_then(|closed| closed.group),
        }
    }
}

/// A subject whose answer changed, and what it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessChange {
    subject: AccessSubject,
    closed: Option<Closed>,
}

impl AccessChange {
    /// What changed.
    #[must_use]
    pub const fn subject(&self) -> &AccessSubject {
        &self.subject
    }

    /// What it is now.
    #[must_use]
    pub fn view(&self) -> DeniedView {
        DeniedView::of(&self.subject, self.closed.as_ref())
    }
}

/// Everything closed at an instant, retired devices among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    entries: Vec<(AccessSubject, Closed)>,
    digest: DeniedDigest,
    /// When it would be another list if nobody changes anything, at the earliest.
    changes_at: Option<Timestamp>,
}

impl Denied {
    pub(super) fn of(book: &mut AccessBook, now: Timestamp) -> Denied {
        let organization = book.organization().clone();
        let mut found = Found { now, entries: Vec::new(), changes_at: organization.next_due() };
        found.look(|| AccessSubject::Organization, book.gate(&AccessSubject::Organization, now));
        for group in organization.groups() {
            // Of a group that has not come to its first lock nothing is closed, and nothing need be asked.
            let first = organization.in_force(organization.first_ladder(group), Timestamp::MAX);
            if first.lock_at.is_none_or(|at| at > now) {
                found.changes_at = found.changes_at.into_iter().chain(first.lock_at).min();
                continue;
            }
            for site in organization.sites_in_group(group.id) {
                found.look(|| AccessSubject::Site(site.id), book.site_gate(site.id));
            }
            let common = book.common_gate(&organization, group.id).cloned();
            for device in organization.devices_in_group(group.id).filter(|device| device.consumes()) {
                let gate = book.gate_by(&organization, device, common.as_ref());
                found.look(|| AccessSubject::Device(device.id.clone()), gate);
            }
        }
        // On trial or retired: theirs is a ladder of their own.
        for device in organization.devices().filter(|device| !device.consumes()) {
            found.look(|| AccessSubject::Device(device.id.clone()), book.device_gate(&device.id));
        }
        let Found { mut entries, changes_at, .. } = found;
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let digest = digest_of(&entries);
        Denied { entries, digest, changes_at }
    }

    /// Its print.
    #[must_use]
    pub const fn digest(&self) -> DeniedDigest {
        self.digest
    }

    /// How many subjects are closed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Until when it stays as it is if nobody changes anything; `None` is for good. It may be earlier than that.
    #[must_use]
    pub const fn changes_at(&self) -> Option<Timestamp> {
        self.changes_at
    }

    /// What is closed above `after`, in the order of subjects.
    pub fn after<'a>(
        &'a self,
        after: Option<&AccessSubject>,
    ) -> impl Iterator<Item = (&'a AccessSubject, DeniedView)> + 'a {
        let start = after.map_or(0, |after| self.entries.partition_point(|(subject, _)| subject <= after));
        let rest = self.entries.iter().skip(start);
        rest.map(|(subject, closed)| (subject, DeniedView::of(subject, Some(closed))))
    }

    /// What is to be said to someone who knows `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Denied) -> Vec<AccessChange> {
        let mut changes = Vec::new();
        let change = |subject: &AccessSubject, closed: Option<&Closed>| AccessChange {
            subject: subject.clone(),
            closed: closed.cloned(),
        };
        let (mut old, mut new) = (earlier.entries.iter().peekable(), self.entries.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((was, _)), Some((is, _))) => was.cmp(is),
            };
            let was = if order.is_le() { old.next() } else { None };
            let is = if order.is_ge() { new.next() } else { None };
            match (was, is) {
                (Some((_, was)), Some((_, is))) if was == is => {}
                (_, Some((subject, is))) => changes.push(change(subject, Some(is))),
                (Some((subject, _)), None) => changes.push(change(subject, None)),
                (None, None) => return changes,
            }
        }
    }
}

/// What is closed, as far as it was looked for.
struct Found {
    now: Timestamp,
    entries: Vec<(AccessSubject, Closed)>,
    changes_at: Option<Timestamp>,
}

impl Found {
    fn look(&mut self, subject: impl FnOnce() -> AccessSubject, gate: Option<Gate>) {
        let Some(gate) = gate else { return };
        self.changes_at = self.changes_at.into_iter().chain(gate.next_change_after(self.now)).min();
        if gate.is_closed_at(self.now) {
            let subject = subject();
            let closed = Closed::of(&subject, &gate, self.now);
            self.entries.extend(closed.map(|closed| (subject, closed)));
        }
    }
}

fn digest_of(entries: &[(AccessSubject, Closed)]) -> DeniedDigest {
    let mut sha = Sha256::new();
    // One piece for each entry: many small ones cost more than the hash.
    let mut entry: Vec<u8> = Vec::new();
    for (subject, closed) in entries {
        entry.clear();
        let mut part = |bytes: &[u8]| {
            entry.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            entry.extend_from_slice(bytes);
        };
        part(subject.kind().as_bytes());
        match subject {
            AccessSubject::Organization => {}
            AccessSubject::Site(id) => part(id.as_bytes()),
            AccessSubject::Device(id) => part(id.as_str().as_bytes()),
        }
        part(closed.code.as_str().as_bytes());
        part(&[closed.state.number()]);
        part(&closed.since.as_secs().to_be_bytes());
        part(&closed.until.map_or(0, Timestamp::as_secs).to_be_bytes());
        part(closed.group.as_ref().map_or(&[], |group| group.as_bytes()));
        part(closed.reasons.join(",").as_bytes());
        sha.update(&entry);
    }
    let whole: [u8; 32] = sha.finalize().into();
    let mut half = [0; 16];
    half.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    DeniedDigest(half)
}
