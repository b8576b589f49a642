//! What is in no group yet, and when it will be (domain G3): a list that asks for a decision before a date does.

use super::license_key::{KeyLine, KeyState, LicenseKey};
use super::organization::{Organization, above};
use super::site::{Place, Site};
use crate::id::{IdError, KeyId, SiteId};
use crate::platform::code::masked;
use crate::time::{Seconds, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::Serialize;

/// A key or a root site in no group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnassignedView {
    /// What it is.
    #[serde(flatten)]
    pub what: Waiting,
    /// When it arrived.
    pub since: Timestamp,
    /// When it joins the default group.
    pub joins_at: Timestamp,
    /// How long that still is, in seconds.
    pub left_secs: Seconds,
    /// The name of the group it then joins.
    pub joins: String,
}

/// What can be unassigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Waiting {
    /// A key, burning on its own.
    Key {
        /// Its id.
        id: KeyId,
        /// Its code, masked.
        code: String,
        /// What it licenses.
        lines: Vec<KeyLine>,
        /// When its own term ends; if that is earlier, it never joins.
        ends_at: Timestamp,
    },
    /// A root site, not enforced.
    Site {
        /// Its id.
        id: SiteId,
        /// Its name.
        name: String,
        /// Active devices in it and its sub-sites.
        devices: usize,
    },
}

impl Waiting {
    /// Its place in the list.
    #[must_use]
    pub const fn id(&self) -> WaitingId {
        match self {
            Waiting::Key { id, .. } => WaitingId::Key(*id),
            Waiting::Site { id, .. } => WaitingId::Site(*id),
        }
    }
}

/// The id of what is unassigned: keys come before sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitingId {
    /// Of a key.
    Key(KeyId),
    /// Of a root site.
    Site(SiteId),
}

impl fmt::Display for WaitingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitingId::Key(id) => id.fmt(f),
            WaitingId::Site(id) => id.fmt(f),
        }
    }
}

impl FromStr for WaitingId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(WaitingId::Key).or_else(|_| text.parse().map(WaitingId::Site))
    }
}

impl Organization {
    /// Everything unassigned at `now` above `after`, by [`Waiting::id`].
    pub fn unassigned_after(
        &self,
        after: Option<WaitingId>,
        now: Timestamp,
    ) -> impl Iterator<Item = UnassignedView> + '_ {
        let (after_key, after_site) = match after {
            None => (Some(None), None),
            Some(WaitingId::Key(key)) => (Some(Some(key)), None),
            Some(WaitingId::Site(site)) => (None, Some(site)),
        };
        let keys = after_key.into_iter().flat_map(|after| self.unassigned_keys.range(above(after)));
        let keys = keys.filter_map(|id| self.waiting_key(self.key(*id)?));
        let sites = self.unassigned_sites.range(above(after_site));
        let sites = sites.filter_map(|id| self.waiting_site(self.site(*id)?));
        let joins = self.group(self.default_group()).map(|group| group.name.to_string()).unwrap_or_default();
        keys.chain(sites).map(move |(what, since, joins_at)| UnassignedView {
            what,
            since,
            joins_at,
            left_secs: joins_at.since(now),
            joins: joins.clone(),
        })
    }

    fn waiting_key(&self, key: &LicenseKey) -> Option<(Waiting, Timestamp, Timestamp)> {
        let (since, joins_at) = match key.state {
            KeyState::Unassigned { since, joins_at } => (since, joins_at),
            KeyState::Active { .. }
            | KeyState::Queued { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => return None,
        };
        let waiting = Waiting::Key {
            id: key.issued.id,
            code: masked(&key.issued.code_tail),
            lines: key.issued.lines.clone(),
            ends_at: key.ends_at,
        };
        Some((waiting, since, joins_at))
    }

    fn waiting_site(&self, site: &Site) -> Option<(Waiting, Timestamp, Timestamp)> {
        let (since, joins_at) = match site.place {
            Place::Unassigned { since, joins_at } => (since, joins_at),
            Place::Root { .. } | Place::Within { .. } => return None,
        };
        let devices = self.site_tree(site.id).map(|site| site.devices().count()).sum();
        Some((Waiting::Site { id: site.id, name: site.name.to_string(), devices }, since, joins_at))
    }
}
