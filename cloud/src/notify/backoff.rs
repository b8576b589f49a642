//! When a delivery that failed is tried again, and when it is given up.

use coterm_shared::time::{Seconds, Timestamp};

/// The longest wait between two attempts, and the longest a receiver may ask for.
const LONGEST: Seconds = Seconds(3600);
const LONGEST_ASKED: Seconds = Seconds(6 * 3600);

/// How patiently deliveries are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience {
    /// Before the second attempt; twice as long before each further one, up to an hour.
    pub(super) first: Seconds,
    /// After this a delivery is given up.
    pub(super) give_up: Seconds,
}

/// When to try again after `attempts` failed since `since`; `None` if it is given up.
///
/// `jitter` of 0 to 255 spreads the waits from 0.75 to 1.25 of themselves, so that what failed together does not come back
/// together.
pub(super) fn next_try(
    patience: Patience,
    attempts: u32,
    since: Timestamp,
    now: Timestamp,
    asked: Option<Seconds>,
    jitter: u8,
) -> Option<Timestamp> {
    if now.since(since) >= patience.give_up {
        return None;
    }
    let doublings = attempts.saturating_sub(1).min(20);
    let wait = patience.first.0.saturating_mul(1_u64 << doublings).min(LONGEST.0.max(patience.first.0));
    let spread =
        wait.saturating_mul(384_u64.saturating_add(u64::from(jitter))).checked_div(512).unwrap_or(wait);
    let asked = asked.unwrap_or(Seconds::ZERO).min(LONGEST_ASKED);
    Some(now.saturating_add(Seconds(spread.max(1)).max(asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { first: Seconds(60), give_up: Seconds::days(3) };

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    #[test]
    fn n2_waits_double_up_to_an_hour_spread_and_end_after_days() {
        let wait = |attempts, jitter| {
            next_try(PATIENCE, attempts, at(0), at(1000), None, jitter).unwrap().as_secs() - 1000
        };
        assert_eq!([1, 2, 3, 7, 8, 4_000_000].map(|n| wait(n, 128)), [60, 120, 240, 3600, 3600, 3600]);
        assert_eq!((wait(1, 0), wait(1, 255)), (45, 74));
        let asked =
            |secs| next_try(PATIENCE, 1, at(0), at(1000), Some(Seconds(secs)), 128).unwrap().as_secs() - 1000;
        assert_eq!((asked(5), asked(900), asked(1 << 40)), (60, 900, 6 * 3600), "but not for years");
        assert_eq!(next_try(PATIENCE, 9, at(0), at(3 * 86_400), None, 0), None);
    }
}
