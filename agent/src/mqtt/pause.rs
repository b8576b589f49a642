//! For how long a report waits that can wait.
//!
//! What a fleet is told in one moment it would answer in one moment, and the answers of the first would be in the way of
//! what the last are still to be told. So each device holds its answer for a pause of its own, drawn anew each time.

use std::time::Duration;

/// The shortest pause: what thousands were told at once has arrived by then.
const SHORTEST_MS: u64 = 500;
/// By how much longer a pause may be: an operator who waits for what a device says waits a second on average.
const SPREAD_MS: u64 = 1_000;

/// A pause anywhere between half a second and one and a half: `random` 0 is the shortest.
pub fn report_pause(random: u32) -> Duration {
    Duration::from_millis(SHORTEST_MS + (SPREAD_MS.saturating_mul(u64::from(random)) >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_between_half_a_second_and_one_and_a_half() {
        let millis = [0, u32::MAX / 2, u32::MAX].map(|random| report_pause(random).as_millis());
        assert_eq!(millis, [500, 999, 1_499]);
    }
}
