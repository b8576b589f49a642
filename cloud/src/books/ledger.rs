//! The state in memory: what is committed, and the uncommitted tail the writer decides on.
//!
//! Aggregates are persistent data structures, so a clone costs a few pointers: readers get a consistent snapshot, and
//! the tail is an overlay of what the open transaction changed.

use super::plan::{OrganizationPlan, Plan, PlatformPlan};
use super::replay::Replay;
use super::rules::View;
use crate::store::{Reads, Snapshot, StoreError, StreamId};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Organization, Touched};
use coterm_shared::platform::Platform;
use std::collections::{BTreeMap, HashMap};

/// Entries read at a time while loading.
const PAGE: u32 = 1000;

/// What is committed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) platform: Platform,
    pub(super) organizations: BTreeMap<OrganizationId, Organization>,
    /// Position of the store up to which this is complete.
    pub(super) position: u64,
}

impl View for Ledger {
    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.organizations.get(&id).cloned()
    }
}

/// The newest snapshot of a stream: when the next is worth its cost depends on both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frozen {
    pub(super) version: u64,
    pub(super) bytes: usize,
}

impl Frozen {
    pub(super) fn of(snapshot: &Snapshot) -> Frozen {
        Frozen { version: snapshot.version, bytes: snapshot.body.len() }
    }
}

/// The state of a stream, with the snapshot it came from.
fn load<T: Replay>(
    store: &(impl Reads + ?Sized),
    stream: StreamId,
) -> Result<(Option<T>, Option<Frozen>), StoreError> {
    let found = store.snapshot(stream)?;
    let thawed = found.as_ref().and_then(|snapshot| Some((T::thaw(snapshot)?, snapshot)));
    if thawed.is_none() && found.is_some() {
        tracing::info!(%stream, "the snapshot is of another version of this program; replaying the log");
    }
    let frozen = thawed.as_ref().map(|(_, snapshot)| Frozen::of(snapshot));
    Ok((follow(store, stream, thawed.map(|(state, _)| state))?, frozen))
}

/// The state after every entry that follows it.
fn follow<T: Replay>(
    store: &(impl Reads + ?Sized),
    stream: StreamId,
    mut state: Option<T>,
) -> Result<Option<T>, StoreError> {
    loop {
        let version = state.as_ref().map_or(0, T::version);
        let page = store.entries(stream, version, PAGE)?;
        let full = u32::try_from(page.len()) == Ok(PAGE);
        for (expected, entry) in (version.saturating_add(1)..).zip(page) {
            if entry.seq != expected {
                let told = format!("entry {expected} of {stream} is missing");
                return Err(StoreError::Damaged(told));
            }
            state = Some(T::replay(state, stream, &entry)?);
        }
        if !full {
            return Ok(state);
        }
    }
}

impl Ledger {
    /// Everything in the store, with the snapshots it came from.
    pub(super) fn load(
        store: &(impl Reads + ?Sized),
    ) -> Result<(Ledger, HashMap<StreamId, Frozen>), StoreError> {
        // The position is read first: what is committed meanwhile is then caught up with, not missed.
        let position = store.position()?;
        let mut ledger = Ledger { position, ..Ledger::default() };
        let mut frozen = HashMap::new();
        for stream in store.streams()? {
            let snapshot = match stream.organization() {
                None => {
                    let (platform, snapshot) = load::<Platform>(store, stream)?;
                    ledger.platform = platform.unwrap_or_default();
                    snapshot
                }
                Some(id) => {
                    let (organization, snapshot) = load::<Organization>(store, stream)?;
                    ledger.organizations.extend(organization.map(|organization| (id, organization)));
                    snapshot
                }
            };
            frozen.extend(snapshot.map(|snapshot| (stream, snapshot)));
        }
        Ok((ledger, frozen))
    }

    /// What the store has beyond this, for a ledger to take over: made by another writer, or by a commit whose
    /// outcome was unknown.
    pub(super) fn beyond(&self, store: &(impl Reads + ?Sized)) -> Result<Option<Tail>, StoreError> {
        let position = store.position()?;
        if position == self.position {
            return Ok(None);
        }
        if position < self.position {
            let told = format!("the log ends at position {position}, it was at {} before", self.position);
            return Err(StoreError::Damaged(told));
        }
        let mut tail = Tail { position: Some(position), ..Tail::default() };
        for stream in store.streams_after(self.position)? {
            match stream.organization() {
                None => tail.platform = follow(store, stream, Some(self.platform.clone()))?,
                Some(id) => {
                    let organization = follow(store, stream, self.organization(id))?;
                    tail.organizations.extend(organization.map(|organization| (id, organization)));
                }
            }
        }
        Ok(Some(tail))
    }

    /// Takes over what was committed.
    pub(super) fn take(&mut self, tail: Tail) {
        if let Some(platform) = tail.platform {
            self.platform = platform;
        }
        self.organizations.extend(tail.organizations);
        self.position = tail.position.unwrap_or(self.position);
    }
}

/// What the open transaction changed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub(super) platform: Option<Platform>,
    pub(super) organizations: HashMap<OrganizationId, Organization>,
    pub(super) position: Option<u64>,
}

impl Tail {
    /// Takes over what a plan comes to; returns what it touched, by organization.
    pub(super) fn take(&mut self, plan: Plan) -> impl Iterator<Item = (OrganizationId, Touched)> + use<> {
        let Plan { organization, receiver, platform, .. } = plan;
        if let Some(PlatformPlan { decision, .. }) = platform {
            self.platform = Some(decision.after);
        }
        // In the order of the changes: that of a receiver comes after that of who gave.
        [organization, receiver]
            .map(|plan| {
                plan.map(|OrganizationPlan { id, decision, .. }| {
                    // Its own books, whatever froze everything when it was decided.
                    self.organizations.insert(id, decision.after.under(None));
                    (id, decision.touched)
                })
            })
            .into_iter()
            .flatten()
    }
}

/// The tail over what is committed: what the next request of the group is decided on.
pub(super) struct Overlay<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) tail: &'a Tail,
}

impl View for Overlay<'_> {
    fn platform(&self) -> &Platform {
        self.tail.platform.as_ref().unwrap_or(&self.ledger.platform)
    }

    fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.tail.organizations.get(&id).cloned().or_else(|| self.ledger.organization(id))
    }
}
