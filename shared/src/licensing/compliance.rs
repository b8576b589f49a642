//! Whether a group is compliant, since when, and what follows when (domain C1-C2, E1-E5).
//!
//! **Method.** [`assess`] is one pure function of the previous assessment, the group's figures and an instant. It is
//! called after every change of a group and at every instant it announced itself; its result is stored in the log
//! whole, so a screen, a token and an audit years later read the same numbers.

use super::clock::CauseClock;
use super::coterm::ExactInstant;
use super::settings::{Limits, Settings};
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
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
}

impl Term {
    /// The group's `coterm_at`: floored to the second, `None` if it never had a key.
    #[must_use]
    pub fn coterm_at(&self) -> Option<Timestamp> {
        match self {
            Term::NeverLicensed => None,
            Term::Running { coterm } | Term::Ended { coterm } => Some(coterm.floor()),
        }
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
    /// Units consumed by active devices (domain G6).
    pub in_use: Units,
    /// Active devices.
    pub active_devices: u64,
}

/// What is known of a group's compliance at an instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assessment {
    /// All present findings; empty is compliant (domain C1).
    pub findings: Vec<Finding>,
    /// Since when the group is compliant; `None` while it is not.
    pub compliant_since: Option<Timestamp>,
    /// The clock of `TERM_ENDED`.
    pub expiry: CauseClock,
    /// The clock of `OVER_CAPACITY` and `NO_LICENSE`.
    pub capacity: CauseClock,
    /// The whole ladder ahead, of the present causes and of the end of the term (domain E5).
    pub schedule: Schedule,
    /// Where the ladder stands.
    pub state: EnforcementState,
    /// When both clocks start anew if the group stays compliant (domain E2); `None` if nothing was spent.
    pub clocks_reset_at: Option<Timestamp>,
}

impl Assessment {
    /// Whether nothing is wrong now.
    #[must_use]
    pub fn is_compliant(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What happened that [`assess`] cannot see in the figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occasion {
    /// A key was claimed that had never been claimed before, anywhere (domain E2).
    pub first_claim_of_a_key: bool,
}

/// All present findings (domain C1): never only the first, equality is compliant, no devices no fault.
#[must_use]
pub fn findings(figures: &Figures) -> Vec<Finding> {
    let mut found = Vec::new();
    if figures.active_devices == 0 {
        return found;
    }
    match figures.term {
        // Without any key nothing was granted; saying so once is enough.
        Term::NeverLicensed => {
            found.push(Finding::NoLicense);
            return found;
        }
        Term::Running { .. } => {}
        Term::Ended { .. } => found.push(Finding::TermEnded),
    }
    for (&product, &in_use) in &figures.in_use {
        let capacity = figures.capacity.get(&product).copied().unwrap_or(0);
        let shortfall = in_use.saturating_sub(capacity);
        if shortfall > 0 {
            found.push(Finding::OverCapacity { product, shortfall });
        }
    }
    found
}

/// Judges a group at `at`, continuing from `previous`.
#[must_use]
pub fn assess(
    previous: &Assessment,
    figures: &Figures,
    occasion: Occasion,
    settings: &Settings,
    limits: &Limits,
    at: Timestamp,
) -> Assessment {
    let findings = findings(figures);
    let expired = findings.iter().any(is_expiry);
    let over = findings.iter().any(|finding| !is_expiry(finding));
    let compliant = findings.is_empty();

    let (mut expiry, mut capacity) = (previous.expiry, previous.capacity);
    // E2: thirty consecutive compliant days give everything back, and so does a key's first claim ever if it cures.
    let reset_is_due = previous.clocks_reset_at.is_some_and(|reset_at| reset_at <= at);
    if compliant && (reset_is_due || occasion.first_claim_of_a_key) {
        (expiry, capacity) = (CauseClock::Fresh, CauseClock::Fresh);
    }
    expiry = if expired { expiry.started(at, settings) } else { expiry.paused(at) };
    capacity = if over { capacity.started(at, settings) } else { capacity.paused(at) };

    let compliant_since = compliant.then(|| previous.compliant_since.unwrap_or(at));
    let clocks_reset_at = compliant_since
        .filter(|_| !(expiry.is_fresh() && capacity.is_fresh()))
        .map(|since| since.saturating_add(limits.clock_reset_secs));

    let schedule = expiry_ahead(&expiry, figures, clocks_reset_at, settings).earliest(capacity.schedule());
    Assessment {
        findings,
        compliant_since,
        expiry,
        capacity,
        schedule,
        state: schedule.state_at(at),
        clocks_reset_at,
    }
}

const fn is_expiry(finding: &Finding) -> bool {
    match finding {
        Finding::TermEnded => true,
        Finding::OverCapacity { .. } | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {
            false
        }
    }
}

/// The ladder of the term's end: as announced if it has ended, as it will be if it is ahead (domain E5).
fn expiry_ahead(
    expiry: &CauseClock,
    figures: &Figures,
    clocks_reset_at: Option<Timestamp>,
    settings: &Settings,
) -> Schedule {
    match figures.term {
        Term::NeverLicensed => Schedule::NEVER,
        Term::Ended { .. } => expiry.schedule(),
        Term::Running { .. } if figures.active_devices == 0 => Schedule::NEVER,
        Term::Running { coterm } => {
            let ends_at = coterm.floor();
            // A group that stays compliant until then will have its whole grace again.
            let will_be_fresh = clocks_reset_at.is_some_and(|reset_at| reset_at <= ends_at);
            let clock = if will_be_fresh { CauseClock::Fresh } else { *expiry };
            clock.run_from(ends_at, settings).schedule()
        }
    }
}

/// When a group wants to be assessed again, if nothing else happens to it.
#[must_use]
pub(super) fn next_due(figures: &Figures, assessment: &Assessment, after: Timestamp) -> Option<Timestamp> {
    let term = match figures.term {
        Term::Running { coterm } => Some(coterm.floor()),
        Term::NeverLicensed | Term::Ended { .. } => None,
    };
    [term, assessment.clocks_reset_at, assessment.schedule.next_change_after(after)]
        .into_iter()
        .flatten()
        .min()
}
