//! What time it certainly is, on a device whose clock anyone may set (token §5).
//!
//! **Problem.** Grace, lock and stop are instants, and a device has a battery that dies, an owner who may turn the
//! clock back, and often no network. **Method.** A *floor* that is certain: the greatest of firmware build time, the
//! persisted tick and every signed time accepted, plus the boot clock (which no one can set, and which counts suspend)
//! since. It only rises, but for one signed exception. Beside it runs a *lock time*, at or ahead of the floor, that
//! may come from a wall clock seen running steadily for a day; it may lock management and never stop. Signed time that
//! answers the device's own nonce takes an adopted lead back. **Deliberately absent:** reading clocks. A
//! [`ClockReading`] is an argument; what must survive a reboot is a [`ClockRecord`].

mod wall;

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;

pub use wall::WallStanding;

use crate::time::{Seconds, Timestamp};
use alloc::string::String;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wall::WallWatch;

/// Which boot of the machine a boot-clock reading belongs to: the kernel's random boot id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId([u8; 16]);

impl BootId {
    /// The boot id with these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> BootId {
        BootId(bytes)
    }
}

/// Why a text is not a boot id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a boot id: expected a UUID, as in /proc/sys/kernel/random/boot_id")]
pub struct BootIdError;

impl FromStr for BootId {
    type Err = BootIdError;

    fn from_str(text: &str) -> Result<Self, BootIdError> {
        uuid::Uuid::try_parse(text.trim()).map(|id| BootId(id.into_bytes())).map_err(|_| BootIdError)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0).hyphenated(), f)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for BootId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BootId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The clocks of a machine at one moment; all a [`TrustedClock`] is ever told of the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// Which boot this is.
    pub boot_id: BootId,
    /// Whole seconds since boot, suspend included (`CLOCK_BOOTTIME`).
    pub boot_secs: u64,
    /// What the wall clock shows, clamped to 1970..9999. Believed only as token §5 allows.
    pub wall: Timestamp,
}

/// The numbers of token §5; only a demonstration changes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockPolicy {
    /// When this software was built: it is certainly later than that.
    pub built_at: Timestamp,
    /// The longest time between two persisted ticks, at least 1 s (600 s).
    pub longest_tick: Seconds,
    /// For how long a wall clock must be seen running steadily before it is adopted (24 h).
    pub steady: Seconds,
    /// By how much a wall clock may drift against the boot clock and still count as steady, and differ from the floor
    /// and still agree with it (120 s).
    pub tolerance: Seconds,
    /// The longest round trip for which an answered nonce sets the time (60 s).
    pub round_trip: Seconds,
}

impl ClockPolicy {
    /// The numbers of token §5, for software built at `built_at`.
    #[must_use]
    pub const fn standard(built_at: Timestamp) -> ClockPolicy {
        ClockPolicy {
            built_at,
            longest_tick: Seconds(600),
            steady: Seconds::days(1),
            tolerance: Seconds(120),
            round_trip: Seconds(60),
        }
    }
}

/// What last determined the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// The build time of this software: nothing better was ever known.
    Build,
    /// A tick persisted earlier.
    Stored,
    /// The issuing instant of a verified token.
    Token,
    /// A verified token that answered this device's own nonce in time: the time is known, not only bounded.
    Nonce,
    /// The instant of a keyring that raised the minimum epoch (token §3).
    Keyring,
}

impl TimeSource {
    /// Every source.
    pub const ALL: [TimeSource; 5] =
        [TimeSource::Build, TimeSource::Stored, TimeSource::Token, TimeSource::Nonce, TimeSource::Keyring];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TimeSource::Build => "build",
            TimeSource::Stored => "stored",
            TimeSource::Token => "token",
            TimeSource::Nonce => "nonce",
            TimeSource::Keyring => "keyring",
        }
    }
}

impl fmt::Display for TimeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Trusted time at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedTime {
    /// It is certainly not earlier than this; grace, lock and stop are judged by it.
    pub floor: Timestamp,
    /// At or ahead of the floor; ahead if a steady wall clock was adopted. May lock management, never stop.
    pub lock_time: Timestamp,
    /// What last determined the floor.
    pub source: TimeSource,
}

impl TrustedTime {
    /// Time of which everything is certain.
    #[must_use]
    pub const fn certain(at: Timestamp, source: TimeSource) -> TrustedTime {
        TrustedTime { floor: at, lock_time: at, source }
    }

    /// Whether the lock time runs ahead because a wall clock was adopted.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.lock_time > self.floor
    }

    /// This time `by` later, by the boot clock.
    #[must_use]
    pub const fn later(self, by: Seconds) -> TrustedTime {
        TrustedTime {
            floor: self.floor.saturating_add(by),
            lock_time: self.lock_time.saturating_add(by),
            source: self.source,
        }
    }
}

/// What of the clock survives a reboot: a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRecord {
    /// The boot in which it was taken.
    pub boot_id: BootId,
    /// Seconds since that boot when it was taken.
    pub boot_secs: u64,
    /// The floor when it was taken.
    pub floor: Timestamp,
    /// The lock time when it was taken, at or ahead of the floor.
    pub lock_time: Timestamp,
}

/// The trusted clock of a device (token §5).
#[derive(Clone, Debug)]
pub struct TrustedClock {
    policy: ClockPolicy,
    boot_id: BootId,
    /// The latest boot-clock reading seen; floor and lock time are of this moment.
    boot_secs: u64,
    time: TrustedTime,
    watch: WallWatch,
    /// The uptime of the last tick persisted in this boot.
    ticked_boot_secs: Option<u64>,
}

impl TrustedClock {
    /// The clock of a process that has just started, from what was last persisted.
    ///
    /// In the boot of the record the time since counts in full; in a later boot, all of that boot so far does, because
    /// the record is certainly older. Build time counts from now only: the software may be newer than the boot.
    #[must_use]
    pub fn open(policy: ClockPolicy, record: Option<&ClockRecord>, now: &ClockReading) -> TrustedClock {
        let mut clock = TrustedClock {
            policy,
            boot_id: now.boot_id,
            boot_secs: now.boot_secs,
            time: TrustedTime::certain(policy.built_at, TimeSource::Build),
            watch: WallWatch::begin(now),
            ticked_boot_secs: None,
        };
        if let Some(record) = record {
            clock.boot_id = record.boot_id;
            clock.boot_secs = record.boot_secs;
            clock.time = TrustedTime {
                floor: record.floor,
                lock_time: record.lock_time.max(record.floor),
                source: TimeSource::Stored,
            };
            clock.ticked_boot_secs = Some(record.boot_secs);
            clock.advance(now);
            clock.raise(policy.built_at, TimeSource::Build);
        }
        clock
    }

    /// The time now.
    pub fn observe(&mut self, now: &ClockReading) -> TrustedTime {
        self.advance(now);
        self.watch.observe(now, &self.policy);
        // Within the tolerance there is nothing to adopt: the two agree.
        if let Some(adopted) = self.watch.adoptable(self.boot_secs, &self.policy)
            && adopted.since(self.time.floor) > self.policy.tolerance
        {
            self.time.lock_time = self.time.lock_time.max(adopted);
        }
        self.time
    }

    /// Takes in the issuing instant of a token that was just verified and newly accepted.
    ///
    /// `round_trip` is given if the token answered the nonce this device had outstanding: the boot-clock time since the
    /// nonce was sent. Within the limit the time is then known, and a lead adopted from the wall clock ends.
    pub fn token_accepted(
        &mut self,
        now: &ClockReading,
        issued_at: Timestamp,
        round_trip: Option<Seconds>,
    ) -> TrustedTime {
        self.observe(now);
        let fresh = round_trip.filter(|took| *took <= self.policy.round_trip);
        self.raise(issued_at, TimeSource::Token);
        if let Some(took) = fresh {
            self.time.lock_time = self.time.floor;
            self.time.source = TimeSource::Nonce;
            self.watch.signed(now.wall, issued_at, Some(issued_at.saturating_add(took)), &self.policy);
        } else {
            self.watch.signed(now.wall, issued_at, None, &self.policy);
        }
        self.time
    }

    /// Resets the floor to the own instant of a keyring that raised the minimum epoch, even if that is earlier
    /// (token §3): what signed times of the abandoned epoch pushed forward is undone.
    ///
    /// Call it once, when the raise is accepted, and persist keyring and clock together.
    pub fn epoch_raised(&mut self, now: &ClockReading, keyring_at: Timestamp) -> TrustedTime {
        self.observe(now);
        self.time = TrustedTime::certain(keyring_at.max(self.policy.built_at), TimeSource::Keyring);
        self.watch = WallWatch::begin(now);
        self.watch.signed(now.wall, keyring_at, None, &self.policy);
        self.ticked_boot_secs = None;
        self.time
    }

    /// The time of the last reading taken in.
    #[must_use]
    pub const fn time(&self) -> TrustedTime {
        self.time
    }

    /// How the wall clock stands against trusted time, to be shown and reported.
    #[must_use]
    pub fn wall(&self) -> WallStanding {
        self.watch.standing(self.boot_secs, self.time, &self.policy)
    }

    /// The wall clock less the floor, in seconds: positive if the wall clock is ahead.
    #[must_use]
    pub fn wall_skew_secs(&self) -> i64 {
        self.watch.skew_secs(self.time.floor)
    }

    /// What to persist now.
    #[must_use]
    pub const fn record(&self) -> ClockRecord {
        ClockRecord {
            boot_id: self.boot_id,
            boot_secs: self.boot_secs,
            floor: self.time.floor,
            lock_time: self.time.lock_time,
        }
    }

    /// Notes that `record` is on disk, and by that when the next tick is due.
    pub fn persisted(&mut self, record: &ClockRecord) {
        if record.boot_id == self.boot_id {
            self.ticked_boot_secs = Some(record.boot_secs);
        }
    }

    /// At which uptime, in seconds, the next tick must be on disk; in the past if it is due.
    ///
    /// Every tick comes before the uptime on disk has doubled (5 s, 10 s, 20 s ...), and at least every
    /// [`ClockPolicy::longest_tick`]. So a reboot loop hides at most half of its uptime, and flash wear is bounded.
    #[must_use]
    pub fn next_tick_boot_secs(&self) -> u64 {
        match self.ticked_boot_secs {
            None => self.boot_secs,
            Some(ticked) => ticked.saturating_add(ticked.min(self.policy.longest_tick.0).max(1)),
        }
    }

    /// Whether a tick is due.
    #[must_use]
    pub fn tick_due(&self) -> bool {
        self.next_tick_boot_secs() <= self.boot_secs
    }

    /// Moves time on by the boot clock.
    fn advance(&mut self, now: &ClockReading) {
        let elapsed = if now.boot_id == self.boot_id {
            now.boot_secs.saturating_sub(self.boot_secs)
        } else {
            // Rebooted: the boot clock began again, and all it shows has passed since the last reading.
            self.boot_id = now.boot_id;
            self.boot_secs = 0;
            self.ticked_boot_secs = None;
            self.watch = WallWatch::begin(now);
            now.boot_secs
        };
        self.boot_secs = self.boot_secs.max(now.boot_secs);
        self.time = self.time.later(Seconds(elapsed));
    }

    fn raise(&mut self, at: Timestamp, source: TimeSource) {
        if at > self.time.floor {
            self.time.floor = at;
            self.time.lock_time = self.time.lock_time.max(at);
            self.time.source = source;
        }
    }
}
