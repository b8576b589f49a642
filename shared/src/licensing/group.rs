//! A license group: its pool, its queue, its figures and its last judgement.

use super::ahead::announced;
use super::compliance::{Assessment, Figures, Units};
use super::coterm::{ExactInstant, Pool};
use super::name::Name;
use super::settings::Overrides;
use crate::finding::Finding;
use crate::id::{GroupId, KeyId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use rpds::RedBlackTreeSetSync;
use serde::{Deserialize, Serialize};

/// A license group (domain §1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its name, unique in the organization.
    pub name: Name,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its departures from the organization's settings.
    pub overrides: Overrides,
    /// What it is judged by.
    pub figures: Figures,
    /// The last judgement.
    pub assessment: Assessment,
    /// The sums behind the co-termination instant.
    pub(super) pool: Pool,
    /// Lines in the pool and in the queue.
    pub(super) line_count: u64,
    /// Active keys.
    pub(super) keys: RedBlackTreeSetSync<KeyId>,
    /// Queued renewals.
    pub(super) queue: RedBlackTreeSetSync<KeyId>,
    /// What moved its co-termination instant last.
    pub last_moved: Option<DateMoved>,
    /// Root sites.
    pub(super) sites: RedBlackTreeSetSync<SiteId>,
    /// When it wants to be judged again.
    pub(super) due_at: Option<Timestamp>,
}

/// A move of a group's co-termination instant (domain T2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateMoved {
    /// When.
    pub at: Timestamp,
    /// The version of the organization with the event that did it: its number in the log.
    pub version: u64,
    /// The name of that event.
    pub by: String,
    /// The exact instant before.
    pub from: Option<ExactInstant>,
    /// The exact instant after.
    pub to: Option<ExactInstant>,
}

impl Group {
    pub(super) fn new(id: GroupId, name: Name, overrides: Overrides, at: Timestamp) -> Group {
        Group {
            id,
            name,
            created_at: at,
            overrides,
            figures: Figures::default(),
            assessment: Assessment { compliant_since: Some(at), ..Assessment::default() },
            pool: Pool::EMPTY,
            line_count: 0,
            keys: RedBlackTreeSetSync::new_sync(),
            queue: RedBlackTreeSetSync::new_sync(),
            last_moved: None,
            sites: RedBlackTreeSetSync::new_sync(),
            due_at: None,
        }
    }

    /// Its active keys.
    pub fn active_keys(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.keys.iter().copied()
    }

    /// Its queued renewals.
    pub fn queued_keys(&self) -> impl Iterator<Item = KeyId> + '_ {
        self.queue.iter().copied()
    }

    /// Its root sites.
    pub fn root_sites(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.sites.iter().copied()
    }

    /// Whether nothing keeps it from being deleted (domain G5).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty() && self.keys.is_empty() && self.queue.is_empty()
    }

    /// All findings its devices should know: the present ones, and those that are ahead.
    #[must_use]
    pub fn announced_findings(&self) -> Vec<Finding> {
        announced(&self.assessment.findings, &self.figures)
    }

    /// Units still free per product type that has any capacity.
    #[must_use]
    pub fn free(&self) -> Units {
        let used = |product: &ProductType| self.figures.in_use.get(product).copied().unwrap_or(0);
        self.figures.capacity.iter().map(|(p, capacity)| (*p, capacity.saturating_sub(used(p)))).collect()
    }
}
