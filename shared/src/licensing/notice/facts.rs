//! What a notice carries for programs: figures, dates, findings and cures, under stable names.

use super::lockouts::Paced;
use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, KeyId, SiteId};
use crate::licensing::compliance::Units;
use crate::licensing::explain::Cure;
use crate::licensing::safety::HeldView;
use crate::licensing::view::FindingView;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The facts behind a notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum NoticeFacts {
    /// Of a group.
    Group {
        /// The group.
        group: GroupId,
        /// Its name.
        group_name: String,
        /// When its term ends or ended; `None` if it has no date.
        coterm_at: Option<Timestamp>,
        /// Units granted.
        capacity: Units,
        /// Units in use.
        in_use: Units,
        /// Present findings, in code and words.
        findings: Vec<FindingView>,
        /// The earliest ladder of any of its devices.
        schedule: Schedule,
        /// The first day and the last, if its devices lock on different days (domain E6).
        #[serde(skip_serializing_if = "Option::is_none")]
        paced: Option<Box<Paced>>,
        /// What the waiting renewals will be short of, if any wait (domain K3).
        #[serde(skip_serializing_if = "Option::is_none")]
        renewal_short: Option<Vec<Finding>>,
        /// When the term ends that the waiting renewals begin, if any wait.
        #[serde(skip_serializing_if = "Option::is_none")]
        renewed_until: Option<Timestamp>,
        /// What would make it compliant again, the cheapest first.
        cures: Vec<Cure>,
    },
    /// Of keys and sites in no group (domain G3).
    Countdown {
        /// The group they join.
        joins: GroupId,
        /// Its name.
        joins_name: String,
        /// The keys, at most [`super::NAMED_MAX`].
        keys: Vec<KeyWaiting>,
        /// How many keys there are.
        key_count: usize,
        /// The sites, at most [`super::NAMED_MAX`].
        sites: Vec<SiteWaiting>,
        /// How many sites there are.
        site_count: usize,
    },
    /// Of devices on trial (domain G8).
    Trials {
        /// The devices, at most [`super::NAMED_MAX`].
        devices: Vec<TrialEnding>,
        /// How many devices there are.
        device_count: usize,
    },
    /// Of an operation that waits for the vendor, or did (domain E6).
    Held {
        /// The operation as it is shown.
        #[serde(flatten)]
        operation: Box<HeldView>,
        /// The digest of its preview when it was asked for; an approval names that of a preview made anew.
        digest: String,
        /// The names of the groups whose devices it would put on the way to lock, by id.
        group_names: BTreeMap<GroupId, String>,
    },
    /// Of a key that was issued (domain K1); never its code.
    Issued {
        /// The key.
        key: KeyId,
        /// Its code, masked.
        code: String,
        /// The order it was bought with.
        order_number: String,
        /// What it licenses.
        licenses: Units,
        /// Its term.
        term_days: u32,
        /// Since when its term runs.
        created_at: Timestamp,
        /// When its term ends, claimed or not.
        ends_at: Timestamp,
    },
    /// Nothing: a trial of the way.
    Nothing {},
}

/// An unassigned key whose countdown, or whose own term, ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyWaiting {
    /// Its id.
    pub id: KeyId,
    /// Its code, masked.
    pub code: String,
    /// When its countdown or its term ends, whichever is first.
    pub at: Timestamp,
    /// Whether its term ends before it can join.
    pub runs_out: bool,
}

/// An unassigned site whose countdown ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SiteWaiting {
    /// Its id.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// When it joins.
    pub at: Timestamp,
}

/// A device whose trial ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialEnding {
    /// The device.
    pub id: DeviceId,
    /// When.
    pub at: Timestamp,
}
