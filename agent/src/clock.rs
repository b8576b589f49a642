//! The clocks of this machine, read and not judged.
//!
//! `CLOCK_BOOTTIME` counts suspend and nobody can set it; the kernel's boot id says which boot it counts from; the wall
//! clock is whatever it is. What of it is believed decides `coterm_shared::enforcement::TrustedClock` (token §5).

use crate::config::Demonstration;
use coterm_shared::enforcement::{BootId, ClockPolicy, ClockReading};
use coterm_shared::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// When this software was built, so that no device starts in 1970: `SOURCE_DATE_EPOCH` of the build, or this release.
pub(crate) fn built_at() -> Timestamp {
    const RELEASE: u64 = 1_793_491_200; // 2026-11-01T00:00:00Z
    let epoch = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok());
    Timestamp::from_secs_clamped(epoch.unwrap_or(RELEASE))
}

/// Why the clocks cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {message}; without a boot id no time can be trusted")]
pub(crate) struct ClockError {
    path: PathBuf,
    message: String,
}

/// The clocks of a machine (a port).
pub(crate) trait Clock {
    /// All of them, at one moment.
    fn reading(&self) -> Result<ClockReading, ClockError>;
    /// How long to really wait for this much device time.
    fn real(&self, device: Duration) -> Duration;
}

/// This machine's.
#[derive(Clone, Debug)]
pub(crate) struct SystemClock {
    boot_id_file: PathBuf,
    scale: u32,
}

impl SystemClock {
    /// The real clocks, unless a demonstration says otherwise.
    pub(crate) fn new(demonstration: Option<&Demonstration>) -> SystemClock {
        SystemClock {
            boot_id_file: demonstration
                .and_then(|demonstration| demonstration.boot_id_file.clone())
                .unwrap_or_else(|| PathBuf::from(KERNEL_BOOT_ID)),
            scale: demonstration.map_or(1, |demonstration| demonstration.time_scale.max(1)),
        }
    }
}

/// The numbers of token §5, or a demonstration's.
pub(crate) fn policy(demonstration: Option<&Demonstration>) -> ClockPolicy {
    let standard = ClockPolicy::standard(built_at());
    ClockPolicy {
        longest_tick: demonstration.and_then(|own| own.longest_tick).unwrap_or(standard.longest_tick),
        steady: demonstration.and_then(|own| own.steady).unwrap_or(standard.steady),
        ..standard
    }
}

impl Clock for SystemClock {
    fn reading(&self) -> Result<ClockReading, ClockError> {
        let error = |message: String| ClockError { path: self.boot_id_file.clone(), message };
        let text = std::fs::read_to_string(&self.boot_id_file).map_err(|cause| error(cause.to_string()))?;
        let mut words = text.split_ascii_whitespace();
        let boot_id: BootId = words
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|cause: coterm_shared::enforcement::BootIdError| error(cause.to_string()))?;
        // A demonstration's file may add at which uptime of the machine its boot began.
        let began = words.next().and_then(|word| word.parse().ok()).unwrap_or(0_u64);
        let uptime = secs(clock_gettime(ClockId::Boottime).tv_sec).saturating_sub(began);
        let scale = u64::from(self.scale);
        // A wall clock before 1970 shows 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let wall = wall.saturating_add(uptime.saturating_mul(scale.saturating_sub(1)));
        Ok(ClockReading {
            boot_id,
            boot_secs: uptime.saturating_mul(scale),
            wall: Timestamp::from_secs_clamped(wall),
        })
    }

    fn real(&self, device: Duration) -> Duration {
        device / self.scale.max(1)
    }
}

fn secs(tv_sec: i64) -> u64 {
    u64::try_from(tv_sec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_clocks() {
        let clock = SystemClock::new(None);
        let (first, second) = (clock.reading().unwrap(), clock.reading().unwrap());
        assert_eq!(first.boot_id, second.boot_id);
        assert!(second.boot_secs >= first.boot_secs);
    }

    #[test]
    fn a_demonstration_reboots_by_writing_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("boot_id");
        let demonstration = Demonstration {
            boot_id_file: Some(file.clone()),
            time_scale: 1000,
            longest_tick: None,
            steady: None,
        };
        let clock = SystemClock::new(Some(&demonstration));
        assert!(clock.reading().is_err());
        let uptime = SystemClock::new(None).reading().unwrap().boot_secs;
        std::fs::write(&file, format!("0190a1b2-0000-7000-8000-000000000001 {uptime}\n")).unwrap();
        let reading = clock.reading().unwrap();
        assert_eq!(reading.boot_id.to_string(), "0190a1b2-0000-7000-8000-000000000001");
        assert!(reading.boot_secs < 60_000, "{}", reading.boot_secs);
        assert_eq!(clock.real(Duration::from_secs(10)), Duration::from_millis(10));
        std::fs::write(&file, "nonsense").unwrap();
        assert!(clock.reading().unwrap_err().to_string().contains("boot id"));
    }
}
