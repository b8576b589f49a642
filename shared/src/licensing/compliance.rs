//! Whether a group is compliant, since when, and what follows when (domain C1-C2, E1-E5).
//!
//! **Method.** [`assess`] is one pure function of the previous assessment, the group's figures and an instant. It is
//! called after every change of a group and at every instant it announced itself; its result is stored in the log
//! whole, so a screen, a token and an audit years later read the same numbers. What is ahead is in
//! [`super::ahead`].

use super::ahead::{Ahead, ahead};
use super::clock::Clocks;
use super::coterm::{ExactInstant, Pool};
use super::safety::Tranches;
use super::settings::{Limits, Settings};
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, SiteId};
use crate::product::ProductType;
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Units per product type.
pub type Units = BTreeMap<ProductType, u64>;

/// Where a group's term stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "term", rename_all = "kebab-case")]
pub enum Term {
    /// No key was ever claimed into the group: there is no date.
    #[default]
    NeverLicensed,
    /// Active keys end together at this instant.
    Running {
        /// The exact co-termination instant.
        coterm: ExactInstant,
    },
    /// The keys retired together at this instant (domain D4).
    Ended {
        /// The exact co-termination instant, now past.
        coterm: ExactInstant,
    },
    /// All keys were moved away: nothing is granted and there is no date.
    Emptied,
}

impl Term {
    /// The exact co-termination instant; `None` if there is none.
    #[must_use]
    pub const fn coterm(&self) -> Option<ExactInstant> {
        match self {
            Term::NeverLicensed | Term::Emptied => None,
            Term::Running { coterm } | Term::Ended { coterm } => Some(*coterm),
        }
    }

    /// The group's `coterm_at`: floored to the second, `None` if it has no date.
    #[must_use]
    pub fn coterm_at(&self) -> Option<Timestamp> {
        self.coterm().map(|coterm| coterm.floor())
    }
}

/// The renewals that wait in a group (domain K3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The units they grant once they are active.
    pub capacity: Units,
    /// Their lines, with what is left of their terms in the place of an end.
    pub(super) pool: Pool,
}

impl Renewal {
    /// The exact co-termination instant if they are activated at `at`.
    #[must_use]
    pub fn coterm_if_activated_at(&self, at: Timestamp) -> Option<ExactInstant> {
        self.pool.begun_at(at).coterm()
    }
}

/// The figures compliance is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Where the term stands.
    #[serde(flatten)]
    pub term: Term,
    /// Units granted; after the term has ended, by the retired keys (domain D4).
    pub capacity: Units,
    /// Units consumed by active devices that are not on trial (domain G6, G8).
    pub in_use: Units,
    /// Active devices that are not on trial.
    pub active_devices: u64,
    /// The renewals that wait, if any do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<Renewal>,
}

impl Figures {
    /// The findings of over-capacity if `capacity` were granted.
    pub(super) fn shortfalls(&self, capacity: &Units) -> impl Iterator<Item = Finding> {
        self.in_use.iter().filter_map(|(&product, &in_use)| {
            let shortfall = in_use.saturating_sub(capacity.get(&product).copied().unwrap_or(0));
            (shortfall > 0).then_some(Finding::OverCapacity { product, shortfall })
        })
    }
}

/// Who brought clocks along into a group (domain E2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// A site, for itself and everything in it.
    Site(SiteId),
    /// A device.
    Device(DeviceId),
}

/// Where carried clocks came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "came", rename_all = "kebab-case")]
pub enum Origin {
    /// The site or device moved here from another group.
    Moved {
        /// That group.
        from: GroupId,
    },
    /// It moved within the group, out of a site that had brought these clocks.
    Within {
        /// That site.
        site: SiteId,
    },
    /// The device was retired and came back.
    Returned,
    /// The trial of the device had ended, and its own ladder had begun.
    Trial,
    /// The device took the place of another.
    Replaced {
        /// That device.
        device: DeviceId,
    },
}

/// Someone who comes into a group with clocks of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who.
    pub holder: Holder,
    /// With which clocks.
    pub clocks: Clocks,
    /// Since when the holder is in the group with them.
    pub since: Timestamp,
    /// Where they come from.
    pub origin: Option<Origin>,
}

/// Clocks that a site or device brought along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Who brought them.
    pub holder: Holder,
    /// The clocks; they run and pause with the causes of the group they are in now.
    pub clocks: Clocks,
    /// When they came.
    pub arrived_at: Timestamp,
    /// Where they came from; `None` in logs that did not say yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The ladder ahead for the holder, by these clocks alone.
    pub ahead: Ahead,
    /// When these clocks start anew if the group stays compliant.
    pub clocks_reset_at: Option<Timestamp>,
}

/// What is known of a group's compliance at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// All present findings; empty is compliant (domain C1).
    pub findings: Vec<Finding>,
    /// Since when the group is compliant; `None` while it is not.
    pub compliant_since: Option<Timestamp>,
    /// The clocks of the two causes.
    #[serde(flatten)]
    pub clocks: Clocks,
    /// The ladder ahead, by cause, of the present causes and of those that are ahead (domain E5).
    pub ahead: Ahead,
    /// Where the ladder stands.
    pub state: EnforcementState,
    /// When both clocks start anew if the group stays compliant (domain E2); `None` if nothing was spent.
    pub clocks_reset_at: Option<Timestamp>,
    /// Clocks that sites and devices brought along, by holder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Carried>,
    /// On which days its devices lock, fixed when its ladder began; `None` if all of them do at once, or none does (domain
    /// E6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tranches: Option<Tranches>,
    /// When a key that had been in a group before came last: it may be lent, to make a first claim look like a cure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_key_came_at: Option<Timestamp>,
}

impl Assessment {
    /// Whether nothing is wrong now.
    #[must_use]
    pub fn is_compliant(&self) -> bool {
        self.findings.is_empty()
    }

    /// The whole ladder ahead, of both causes.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.ahead.both()
    }

    /// What `holder` brought along, if anything is left of it.
    #[must_use]
    pub fn carried_by(&self, holder: &Holder) -> Option<&Carried> {
        // They are kept by holder.
        let found = self.carried.binary_search_by(|carried| carried.holder.cmp(holder));
        found.ok().and_then(|index| self.carried.get(index))
    }
}

/// What happened that [`assess`] cannot see in the figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// A key came into a group for the first time since it was issued (domain E2).
    pub first_claim_of_a_key: bool,
    /// A key came that was in a group before, here or elsewhere.
    pub used_key_came: bool,
    /// Who came, with the clocks they had.
    pub arrivals: Vec<Arrival>,
    /// Who left.
    pub departures: Vec<Holder>,
}

impl Occasion {
    /// Someone is here with these clocks, whatever it had before.
    #[must_use]
    pub fn brings(arrival: Arrival) -> Occasion {
        if arrival.clocks.is_fresh() {
            return Occasion::default();
        }
        Occasion {
            departures: Vec::from([arrival.holder.clone()]),
            arrivals: Vec::from([arrival]),
            ..Occasion::default()
        }
    }
}

/// All present findings (domain C1): never only the first, equality is compliant, no devices no fault.
#[must_use]
pub fn findings(figures: &Figures) -> Vec<Finding> {
    if figures.active_devices == 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    match figures.term {
        // Without any key nothing was granted; saying so once is enough.
        Term::NeverLicensed => {
            found.push(Finding::NoLicense);
            return found;
        }
        Term::Running { .. } | Term::Emptied => {}
        Term::Ended { .. } => found.push(Finding::TermEnded),
    }
    found.extend(figures.shortfalls(&figures.capacity));
    found
}

/// Judges a group at `at`, continuing from `previous`.
#[must_use]
pub fn assess(
    previous: &Assessment,
    figures: &Figures,
    occasion: &Occasion,
    settings: &Settings,
    limits: &Limits,
    at: Timestamp,
) -> Assessment {
    let findings = findings(figures);
    let expired = findings.iter().any(is_expiry);
    let over = findings.iter().any(|finding| !is_expiry(finding));
    let compliant = findings.is_empty();
    let compliant_since = compliant.then(|| previous.compliant_since.unwrap_or(at));
    let used_key_came_at = if occasion.used_key_came { Some(at) } else { previous.used_key_came_at };
    let lent = used_key_came_at.is_some_and(|came_at| at.since(came_at) < limits.clock_reset_secs);
    // The new key must be what made the difference: not one for a group that was compliant without it, nor beside one
    // that another group may have lent for a moment.
    let cured = compliant && !previous.is_compliant() && occasion.first_claim_of_a_key && !lent;
    // E2: thirty consecutive compliant days give everything back, and so does a key's first claim ever if it cures.
    // What a site or device brought from elsewhere is not this group's to give back: that takes the days.
    let settle = |clocks: Clocks, since: Timestamp, cured: bool| {
        let reset_at = compliant_since.map(|s| s.max(since).saturating_add(limits.clock_reset_secs));
        let reset = cured || reset_at.is_some_and(|reset_at| reset_at <= at);
        let clocks = if reset { Clocks::FRESH } else { clocks };
        let clocks = clocks.judged(expired, over, at, settings);
        (clocks, reset_at.filter(|_| !clocks.is_fresh()))
    };

    let (clocks, clocks_reset_at) = settle(previous.clocks, Timestamp::EPOCH, cured);
    let here = ahead(&clocks, figures, clocks_reset_at, settings);
    let stayed = previous.carried.iter().filter(|c| !occasion.departures.contains(&c.holder));
    let stayed = stayed.map(|c| Arrival {
        holder: c.holder.clone(),
        clocks: c.clocks,
        since: c.arrived_at,
        origin: c.origin.clone(),
    });
    let mut carried: Vec<Carried> = stayed
        .chain(occasion.arrivals.iter().cloned())
        .filter_map(|Arrival { holder, clocks, since, origin }| {
            let (clocks, clocks_reset_at) = settle(clocks, since, false);
            let ahead = ahead(&clocks, figures, clocks_reset_at, settings);
            // Clocks on which nothing was spent say nothing the group's own do not.
            let kept = Carried { holder, clocks, arrived_at: since, origin, ahead, clocks_reset_at };
            (!clocks.is_fresh()).then_some(kept)
        })
        .collect();
    carried.sort_by(|a, b| a.holder.cmp(&b.holder));
    carried.dedup_by(|a, b| a.holder == b.holder);

    Assessment {
        findings,
        compliant_since,
        clocks,
        state: here.both().state_at(at),
        ahead: here,
        clocks_reset_at,
        carried,
        tranches: previous.tranches.clone(),
        used_key_came_at,
    }
}

/// When a group wants to be assessed again, if nothing else happens to it.
#[must_use]
pub(super) fn next_due(figures: &Figures, assessment: &Assessment, after: Timestamp) -> Option<Timestamp> {
    let term = match figures.term {
        Term::Running { coterm } => Some(coterm.floor()),
        Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
    };
    let own = [term, assessment.clocks_reset_at, assessment.schedule().next_change_after(after)];
    let brought = assessment
        .carried
        .iter()
        .flat_map(|carried| [carried.clocks_reset_at, carried.ahead.both().next_change_after(after)]);
    let tranches = assessment.tranches.as_ref();
    let paced = tranches.and_then(|days| days.next_change_after(&assessment.clocks, after));
    own.into_iter().chain(brought).flatten().chain(paced).min()
}

const fn is_expiry(finding: &Finding) -> bool {
    match finding {
        Finding::TermEnded => true,
        Finding::OverCapacity { .. } | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {
            false
        }
    }
}
