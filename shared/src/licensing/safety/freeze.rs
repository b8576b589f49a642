//! Freezing enforcement: no step that is still ahead is reached while it lasts (domain E6).
//!
//! **Problem.** Something is wrong at the vendor's, and until it is understood nobody shall be locked. **Method.** Tokens
//! that are issued meanwhile announce no further lock and no stop before their own lease ends, and the next token does the
//! same for the next lease. A step that was reached before stays reached: a freeze stops what would happen, it is no
//! pardon. Whoever is not connected hears of nothing and follows the token it holds. When the freeze ends, what came due
//! meanwhile comes one lease later, which is not before anything that was announced. **Deliberately absent:** retired
//! devices, which nobody's mistake has locked, and grace, which takes nothing away.

use super::held::Actor;
use crate::enforcement::Schedule;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A freeze of an organization, or of the whole platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Since when: what was locked or stopped by then stays so.
    pub since: Timestamp,
    /// Who froze.
    pub by: Actor,
    /// How it ended; `None` while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thaw: Option<Thaw>,
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
    /// A freeze that begins at `at`, after one that may have ended.
    #[must_use]
    pub fn after(earlier: Option<&Freeze>, at: Timestamp, by: Actor) -> Freeze {
        // What the earlier one still holds back was not reached.
        let held_back = earlier.filter(|old| old.thaw.as_ref().is_none_or(|thaw| thaw.until > at));
        Freeze { since: held_back.map_or(at, |old| old.since), by, thaw: None }
    }

    /// Whether it lasts.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.thaw.is_none()
    }

    /// A schedule of the books after this freeze has ended; while it lasts, the same.
    #[must_use]
    pub fn thawed(&self, schedule: Schedule) -> Schedule {
        match &self.thaw {
            Some(thaw) => put_off(schedule, self.since, thaw.until),
            None => schedule,
        }
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
