//! License keys: what was bought, in lines (domain §3).

use super::coterm::{PoolLine, term_end};
use super::name::OrderNumber;
use super::refusal::{Findings, Refusal, RefusalCode};
use crate::id::{GroupId, KeyId};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The largest quantity or weight of a line (domain §1).
pub const QUANTITY_MAX: u64 = 1_000_000_000;
/// The longest term in days (domain §1).
pub const TERM_MAX_DAYS: u32 = 36_500;
/// The most lines of one key.
pub const KEY_MAX_LINES: usize = 100;
/// The most lines of one group (domain §1).
pub const GROUP_MAX_LINES: u64 = 1_000_000;

/// A line of a key: so many units of a product type at the weight of the day it was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLine {
    /// What is licensed.
    pub product: ProductType,
    /// Units, 1 to 10⁹.
    pub quantity: u64,
    /// The list price of one unit for a year when the key was issued, 1 to 10⁹ in the price book's smallest unit.
    pub weight: u64,
}

/// A key as the vendor issued it; it never changes afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedKey {
    /// Its id.
    pub id: KeyId,
    /// The end of its code, for people to recognise it by (domain K1).
    pub code_tail: String,
    /// The order it was bought with.
    pub order_number: OrderNumber,
    /// What it licenses: 1 to 100 lines, one per product type.
    pub lines: Vec<KeyLine>,
    /// Its term in days, 1 to 36,500.
    pub term_days: u32,
    /// When it was bought: its clock runs from here (domain D5).
    pub created_at: Timestamp,
    /// When its own term ends: creation plus term (domain D1).
    pub ends_at: Timestamp,
}

/// Checks the term of a key and computes its end, all faults reported.
pub fn check_term(created_at: Timestamp, term_days: u32, now: Timestamp) -> Result<Timestamp, Vec<Refusal>> {
    let mut refusals = Vec::new();
    if created_at > now {
        refusals.push(
            Refusal::new(
                RefusalCode::CreatedInFuture,
                format!("the creation date {created_at} is after now, {now}"),
                "a key's clock runs from its purchase: give a past instant, or none for now",
            )
            .at("created_at"),
        );
    }
    let end = term_end(created_at, term_days).filter(|_| (1..=TERM_MAX_DAYS).contains(&term_days));
    match end {
        Some(end) if refusals.is_empty() => Ok(end),
        Some(_) => Err(refusals),
        None => {
            refusals.push(
                Refusal::new(
                    RefusalCode::TermOutOfBounds,
                    format!("a term of {term_days} days from {created_at} is not possible"),
                    format!("a term has 1 to {TERM_MAX_DAYS} days and ends before the year 10000"),
                )
                .at("term_days"),
            );
            Err(refusals)
        }
    }
}

/// A line as an order states it, before the price book gave it a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// What is licensed.
    pub product: ProductType,
    /// Units, 1 to 10⁹.
    pub quantity: u64,
}

/// Weighs order lines by a price book (`weight_of`), all faults reported.
pub(crate) fn weigh(
    lines: &[OrderLine],
    findings: &mut Findings,
    weight_of: impl Fn(ProductType) -> Option<u64>,
) -> Vec<KeyLine> {
    if lines.is_empty() || lines.len() > KEY_MAX_LINES {
        findings.push(
            Refusal::new(
                RefusalCode::LinesInvalid,
                format!("a key has 1 to {KEY_MAX_LINES} lines, not {}", lines.len()),
                "name at least one product type and quantity; split a larger order over several keys",
            )
            .at("lines"),
        );
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut weighed = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        if !seen.insert(line.product) {
            findings.push(
                Refusal::new(
                    RefusalCode::LinesInvalid,
                    format!("two lines for {}", line.product),
                    "add their quantities up in one line",
                )
                .at(format!("lines[{index}].product")),
            );
        }
        if !(1..=QUANTITY_MAX).contains(&line.quantity) {
            findings.push(
                Refusal::new(
                    RefusalCode::QuantityOutOfBounds,
                    format!("a quantity of {} is not possible", line.quantity),
                    format!("a quantity is a whole number from 1 to {QUANTITY_MAX}"),
                )
                .at(format!("lines[{index}].quantity")),
            );
        }
        match weight_of(line.product) {
            Some(weight) => {
                weighed.push(KeyLine { product: line.product, quantity: line.quantity, weight });
            }
            None => findings.push(
                Refusal::new(
                    RefusalCode::PriceUnknown,
                    format!("the price book has no price for {}", line.product),
                    "set its list price first: it is the weight of the line",
                )
                .at(format!("lines[{index}].product")),
            ),
        }
    }
    weighed
}

/// Where a claimed key stands (domain §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum KeyState {
    /// Its lines are in a group's pool.
    Active {
        /// The group.
        group: GroupId,
    },
    /// It waits in a group for the end of the term, its own clock standing still (domain K3).
    Queued {
        /// The group.
        group: GroupId,
        /// What is left of its term, in seconds.
        left_secs: Seconds,
    },
    /// It is in no group and burns on its own (domain G3).
    Unassigned {
        /// Since when.
        since: Timestamp,
        /// When it joins the default group.
        joins_at: Timestamp,
    },
    /// Its group's term has ended (domain D4), or its own while it was unassigned.
    Retired {
        /// The group it ended in, if it was in one.
        group: Option<GroupId>,
        /// When.
        at: Timestamp,
    },
    /// It was split in two (domain K7).
    Split {
        /// The keys it became.
        children: [KeyId; 2],
    },
    /// The vendor moved it to another organization (domain K8).
    Transferred {
        /// When.
        at: Timestamp,
    },
}

impl KeyState {
    /// The group it is active or queued in.
    #[must_use]
    pub const fn group(&self) -> Option<GroupId> {
        match self {
            KeyState::Active { group } | KeyState::Queued { group, .. } => Some(*group),
            KeyState::Unassigned { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => None,
        }
    }

    /// The state in one word or two, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            KeyState::Active { .. } => "active",
            KeyState::Queued { .. } => "queued renewal",
            KeyState::Unassigned { .. } => "unassigned",
            KeyState::Retired { .. } => "retired",
            KeyState::Split { .. } => "split",
            KeyState::Transferred { .. } => "transferred",
        }
    }
}

/// Where a key is put by a claim, a move, a split or an unclaim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "kebab-case")]
pub enum KeyPlace {
    /// Into a group's pool, at once.
    Active {
        /// The group.
        group: GroupId,
        /// When the key's own term ends, the time it stood queued added.
        ends_at: Timestamp,
    },
    /// Into a group's queue.
    Queued {
        /// The group.
        group: GroupId,
        /// What is left of its term, in seconds.
        left_secs: Seconds,
    },
    /// Into Unassigned.
    Unassigned {
        /// When it joins the default group.
        joins_at: Timestamp,
        /// When the key's own term ends: its creation clock, whatever it waited.
        ends_at: Timestamp,
    },
}

impl KeyPlace {
    /// The group, if it is one.
    #[must_use]
    pub const fn group(&self) -> Option<GroupId> {
        match self {
            KeyPlace::Active { group, .. } | KeyPlace::Queued { group, .. } => Some(*group),
            KeyPlace::Unassigned { .. } => None,
        }
    }
}

/// What a key has been through: it goes with the key, also to another organization (domain K7, K8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPast {
    /// Whether it was ever in a group (domain E2).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub was_in_group: bool,
    /// Whether it came out of a queue with its clock set forward by the wait (domain K3).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub has_waited: bool,
}

impl KeyPast {
    /// Whether it is that of a key as issued.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self == KeyPast::default()
    }

    /// What either of them tells.
    #[must_use]
    pub const fn or(self, other: KeyPast) -> KeyPast {
        KeyPast {
            was_in_group: self.was_in_group || other.was_in_group,
            has_waited: self.has_waited || other.has_waited,
        }
    }
}

/// A key claimed by an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LicenseKey {
    /// The key as issued.
    pub issued: IssuedKey,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its own term ends, the time it stood queued added (domain D1).
    pub ends_at: Timestamp,
    /// Whether it was ever in a group: then it cures, but no longer resets clocks (domain E2).
    pub was_in_group: bool,
    /// Whether it came out of a queue with its clock set forward by the wait: that happens once (domain D5, K3).
    #[serde(default)]
    pub has_waited: bool,
    /// Where it stands.
    #[serde(flatten)]
    pub state: KeyState,
}

impl LicenseKey {
    /// What it has been through so far.
    #[must_use]
    pub const fn past(&self) -> KeyPast {
        KeyPast { was_in_group: self.was_in_group, has_waited: self.has_waited }
    }

    /// Its lines as a pool takes them, with this end.
    pub(super) fn pool_lines(&self, ends_at: Timestamp) -> impl Iterator<Item = PoolLine> + '_ {
        self.issued.lines.iter().map(move |line| PoolLine {
            quantity: line.quantity,
            weight: line.weight,
            ends_at,
        })
    }

    /// Whether its units are usable in a group.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        match self.state {
            KeyState::Active { .. } => true,
            KeyState::Queued { .. }
            | KeyState::Unassigned { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => false,
        }
    }

    /// Whether it waits in a queue.
    #[must_use]
    pub const fn is_queued(&self) -> bool {
        match self.state {
            KeyState::Queued { .. } => true,
            KeyState::Active { .. }
            | KeyState::Unassigned { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => false,
        }
    }

    /// How many lines it has.
    pub(super) fn line_count(&self) -> u64 {
        u64::try_from(self.issued.lines.len()).unwrap_or(u64::MAX)
    }

    /// What is left of its term at `now`, in seconds: while it waits, its clock stands still.
    #[must_use]
    pub fn left_at(&self, now: Timestamp) -> Seconds {
        match self.state {
            KeyState::Queued { left_secs, .. } => left_secs,
            KeyState::Active { .. }
            | KeyState::Unassigned { .. }
            | KeyState::Retired { .. }
            | KeyState::Split { .. }
            | KeyState::Transferred { .. } => self.ends_at.since(now),
        }
    }

    /// Its credit at `now`: quantity × weight × remaining seconds, over all lines (domain §1).
    #[must_use]
    pub fn credit_at(&self, now: Timestamp) -> u128 {
        let mass: u128 = self.pool_lines(self.ends_at).map(|line| line.mass()).sum();
        mass.saturating_mul(u128::from(self.left_at(now).0))
    }
}
