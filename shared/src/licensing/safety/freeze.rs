//! Freezing enforcement: no step that is still ahead is reached while it lasts (domain E6).
//!
//! **Problem.** Something is wrong at the vendor's, and until it is understood nobody shall be locked. **Method.** Tokens
//! that are issued meanwhile announce no further lock and no stop before their own lease ends, and the next token does the
//! same for the next lease. A step that was reached before stays reached: a freeze stops what would happen, it is no
//! pardon. Whoever is not connected hears of nothing and follows the token it holds. When the freeze ends, what came due
//! meanwhile comes one lease later, and not before anything that was announced: leases are shortened, and freezes follow
//! each other, so what those before did to the dates is remembered, and what one put off had not come when another began. **Deliberately absent:** retired
//! devices, which nobody's mistake has locked, and grace, which takes nothing away.

use super::held::Actor;
use crate::enforcement::Schedule;
use crate::time::{Seconds, Timestamp};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Freezes that have ended and are remembered with the one after them.
const PAST_KEPT: usize = 16;

/// A freeze of an organization, or of the whole platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Since when: what was locked or stopped by then stays so.
    pub since: Timestamp,
    /// Who froze.
    pub by: Actor,
    /// What those before it did to the dates, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PutOff>,
    /// How it ended; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thaw: Option<Thaw>,
}

/// What a freeze that has ended did to the dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// Since when it lasted.
    pub since: Timestamp,
    /// When it ended.
    pub thawed_at: Timestamp,
    /// No step that came due meanwhile is reached before this.
    pub until: Timestamp,
}

impl PutOff {
    /// A schedule none of whose locks and stops that came due meanwhile is reached before its time.
    pub(in crate::licensing) fn of(&self, schedule: Schedule) -> Schedule {
        put_off(schedule, self.since, self.until)
    }
}

/// The end of a freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thaw {
    /// When.
    pub at: Timestamp,
    /// Who ended it.
    pub by: Actor,
    /// No step that came due meanwhile is reached before this: nothing that was announced moves earlier.
    pub until: Timestamp,
}

impl Freeze {
    /// A freeze that begins at `at`, after one that has ended.
    #[must_use]
    pub fn after(earlier: Option<&Freeze>, at: Timestamp, by: Actor) -> Freeze {
        let mut past: Vec<PutOff> = earlier.into_iter().flat_map(Freeze::put_offs).collect();
        past.drain(..past.len().saturating_sub(PAST_KEPT));
        Freeze { since: at, by, past, thaw: None }
    }

    /// Until when what came due meanwhile is put off if it ends at `at`: for one lease, and no earlier than any token said,
    /// though the lease may be shorter by now. `announced` is the latest instant to which a token issued meanwhile puts a
    /// step off.
    #[must_use]
    pub fn put_off_until(&self, at: Timestamp, lease: Seconds, announced: Option<Timestamp>) -> Timestamp {
        announced.into_iter().fold(at.saturating_add(lease), Timestamp::max)
    }

    /// Whether it lasts.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.thaw.is_none()
    }

    /// What it and those before it did to the dates, as far as they have ended.
    pub(in crate::licensing) fn put_offs(&self) -> impl Iterator<Item = PutOff> {
        let own = self.thaw.as_ref();
        let own = own.map(|thaw| PutOff { since: self.since, thawed_at: thaw.at, until: thaw.until });
        self.past.iter().copied().chain(own)
    }
}

/// A schedule none of whose locks and stops after `since` comes before `to`.
pub(in crate::licensing) fn put_off(schedule: Schedule, since: Timestamp, to: Timestamp) -> Schedule {
    let later = |step: Option<Timestamp>| step.map(|at| if at > since { at.max(to) } else { at });
    Schedule { lock_at: later(schedule.lock_at), stop_at: later(schedule.stop_at), ..schedule }
}

/// A schedule of the books as a connected device lives by it at `now` while a freeze of `since` lasts: what came due
/// meanwhile was not reached, and never is before the freeze ends.
pub(in crate::licensing) fn held_back(schedule: Schedule, since: Timestamp, now: Timestamp) -> Schedule {
    let kept = |step: Option<Timestamp>| step.filter(|at| *at <= since || *at > now);
    let (lock_at, stop_at) = (kept(schedule.lock_at), kept(schedule.stop_at));
    Schedule { lock_at, stop_at: lock_at.and(stop_at), ..schedule }
}
