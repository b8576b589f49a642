//! What will become of a group if nothing else happens to it (domain E5, K3).
//!
//! A token carries the whole ladder ahead, so everything that is certain today belongs here: the end of the term, the
//! activation of renewals, and a shortfall that the renewed capacity will leave.

use super::clock::{CauseClock, Clocks};
use super::compliance::{Figures, Term};
use super::settings::Settings;
use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The ladder ahead, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// Of the end of the term.
    pub expiry: Schedule,
    /// Of over-capacity and of no license.
    pub capacity: Schedule,
}

impl Ahead {
    /// Of both causes: the element-wise earliest (domain E5).
    #[must_use]
    pub fn both(&self) -> Schedule {
        self.expiry.earliest(self.capacity)
    }

    /// The element-wise earliest of two, cause by cause.
    #[must_use]
    pub fn earliest(&self, other: &Ahead) -> Ahead {
        Ahead { expiry: self.expiry.earliest(other.expiry), capacity: self.capacity.earliest(other.capacity) }
    }
}

/// What is ahead by these clocks.
///
/// `clocks_reset_at` is when they start anew if the group stays compliant.
pub(super) fn ahead(
    clocks: &Clocks,
    figures: &Figures,
    clocks_reset_at: Option<Timestamp>,
    settings: &Settings,
) -> Ahead {
    let present = Ahead { expiry: clocks.expiry.schedule(), capacity: clocks.capacity.schedule() };
    let ends_at = match figures.term {
        Term::NeverLicensed | Term::Emptied | Term::Ended { .. } => return present,
        Term::Running { .. } if figures.active_devices == 0 => return present,
        Term::Running { coterm } => coterm.floor(),
    };
    // A group that stays compliant until then will have its whole grace again.
    let by_then = |clock: CauseClock, at: Timestamp| {
        if clocks_reset_at.is_some_and(|reset_at| reset_at <= at) { CauseClock::Fresh } else { clock }
    };
    let run = |clock: CauseClock, at: Timestamp| by_then(clock, at).run_from(at, settings).schedule();
    let Some(renewal) = &figures.renewal else {
        return Ahead { expiry: run(clocks.expiry, ends_at), ..present };
    };
    let renewed_until = renewal.coterm_if_activated_at(ends_at).map_or(ends_at, |coterm| coterm.floor());
    let over_now = present.capacity != Schedule::NEVER;
    let over_then = figures.shortfalls(&renewal.capacity).next().is_some();
    let capacity = match (over_now, over_then) {
        (false, false) => Schedule::NEVER,
        (false, true) => run(clocks.capacity, ends_at),
        (true, true) => present.capacity,
        // The renewal cures: what would have come later does not come.
        (true, false) => present.capacity.before(ends_at),
    };
    Ahead { expiry: run(clocks.expiry, renewed_until), capacity }
}

/// All findings the devices of a group should know: the present ones, and those that are ahead.
pub(super) fn announced(present: &[Finding], figures: &Figures) -> Vec<Finding> {
    let mut findings = present.to_vec();
    match figures.term {
        Term::Running { .. } if figures.active_devices > 0 => {
            findings.push(Finding::TermEnded);
            if let Some(renewal) = &figures.renewal {
                findings.extend(figures.shortfalls(&renewal.capacity));
            }
        }
        Term::Running { .. } | Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => {}
    }
    findings.sort_unstable();
    findings.dedup();
    findings
}
