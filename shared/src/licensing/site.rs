//! Sites: places that nest, and where they belong (domain G2, G3).

use super::name::Name;
use crate::id::{DeviceId, GroupId, SiteId};
use crate::time::Timestamp;
use rpds::RedBlackTreeSetSync;
use serde::{Deserialize, Serialize};

/// Where a site stands: a root in a group or in none, or part of another site (domain G2, G3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum Place {
    /// A root site.
    Root {
        /// Its group.
        group: GroupId,
    },
    /// A root site in no group yet.
    Unassigned {
        /// Since when.
        since: Timestamp,
        /// When it joins the default group.
        joins_at: Timestamp,
    },
    /// A sub-site; it is where its root is.
    Within {
        /// The site it is part of.
        parent: SiteId,
    },
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name, unique among its siblings.
    pub name: Name,
    /// Where it stands.
    pub place: Place,
    /// When it was created.
    pub created_at: Timestamp,
    pub(super) children: RedBlackTreeSetSync<SiteId>,
    pub(super) devices: RedBlackTreeSetSync<DeviceId>,
}

impl Site {
    /// The site it is part of, if it is a sub-site.
    #[must_use]
    pub const fn parent(&self) -> Option<SiteId> {
        match self.place {
            Place::Root { .. } | Place::Unassigned { .. } => None,
            Place::Within { parent } => Some(parent),
        }
    }

    /// Its sub-sites.
    pub fn children(&self) -> impl Iterator<Item = SiteId> + '_ {
        self.children.iter().copied()
    }

    /// The active devices directly in it.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceId> + '_ {
        self.devices.iter()
    }

    /// Whether nothing keeps it from being deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty() && self.devices.is_empty()
    }
}

/// Where a site and its devices belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Home {
    /// A license group.
    Group(GroupId),
    /// No group yet (domain G3).
    Unassigned,
}

impl Home {
    /// The group, if it is one.
    #[must_use]
    pub const fn group(self) -> Option<GroupId> {
        match self {
            Home::Group(group) => Some(group),
            Home::Unassigned => None,
        }
    }
}
