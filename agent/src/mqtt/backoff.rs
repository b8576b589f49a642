//! When to connect again: full jitter, doubling, bounded.
//!
//! A fleet that lost its broker at one moment must not come back at one moment, and a broker that accepts and then
//! kicks must not be hammered: only a session that was healthy for a minute makes the pause short again.

use std::time::Duration;

/// For how long a session must have lived for the pause to begin anew.
pub const HEALTHY: Duration = Duration::from_secs(60);
const FIRST_CEILING: Duration = Duration::from_secs(1);

/// The pause before the next attempt to connect.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// No failure yet; pauses never exceed `longest`.
    pub fn new(longest: Duration) -> Backoff {
        Backoff { longest, failures: 0 }
    }

    /// A session, or an attempt at one, ended after living for `lived`.
    ///
    /// Returns the pause, anywhere between nothing and the ceiling: `random` 0 is nothing, `u32::MAX` the ceiling.
    pub fn ended(&mut self, lived: Option<Duration>, random: u32) -> Duration {
        if lived.is_some_and(|lived| lived >= HEALTHY) {
            self.failures = 0;
        }
        let ceiling = FIRST_CEILING.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(millis.saturating_mul(u64::from(random)) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_is_bounded_and_resets_only_after_a_healthy_minute() {
        let longest = Duration::from_secs(20);
        let mut backoff = Backoff::new(longest);
        let kicked = Some(Duration::from_secs(59));
        let ceilings: Vec<u64> = [None, kicked, None, kicked, None, None, None]
            .map(|lived| backoff.ended(lived, u32::MAX).as_secs_f64().round() as u64)
            .to_vec();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(backoff.ended(Some(HEALTHY), u32::MAX).as_millis(), 999);
        assert_eq!(backoff.ended(None, 0), Duration::ZERO);
        let half = backoff.ended(None, u32::MAX / 2).as_millis();
        assert!((1990..=2000).contains(&half), "{half}");
        for _ in 0..100 {
            assert!(backoff.ended(None, u32::MAX) <= longest);
        }
    }
}
