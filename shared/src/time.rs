//! Instants and durations in whole seconds.
//!
//! The books, the tokens and the devices all speak whole seconds since 1970, up to the end of the year 9999
//! (domain §1). There is no other unit and no floating point, so an instant computed in the cloud and one judged on
//! the device compare exactly. **Deliberately absent:** a clock. "Now" is always an argument.

use alloc::string::{String, ToString};
use chrono::{DateTime, Datelike, LocalResult, NaiveDate, SecondsFormat, TimeZone, Utc};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Seconds in a day.
pub const DAY_SECS: u64 = 86_400;

/// An instant: whole seconds since 1970-01-01T00:00:00Z, at most 9999-12-31T23:59:59Z.
///
/// Serializes as RFC 3339 text in human-readable formats and as an unsigned integer elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Timestamp = Timestamp(0);
    /// 9999-12-31T23:59:59Z, the last instant the product knows.
    pub const MAX: Timestamp = Timestamp(253_402_300_799);

    /// The instant `secs` seconds after 1970, or `None` past the year 9999.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Option<Timestamp> {
        if secs <= Self::MAX.0 { Some(Timestamp(secs)) } else { None }
    }

    /// The instant `secs` seconds after 1970, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn from_secs_clamped(secs: u64) -> Timestamp {
        if secs <= Self::MAX.0 { Timestamp(secs) } else { Self::MAX }
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This instant moved later by `by`; `None` past the year 9999.
    #[must_use]
    pub fn checked_add(self, by: Seconds) -> Option<Timestamp> {
        self.0.checked_add(by.0).and_then(Timestamp::from_secs)
    }

    /// This instant moved later by `by`, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn saturating_add(self, by: Seconds) -> Timestamp {
        Self::from_secs_clamped(self.0.saturating_add(by.0))
    }

    /// This instant moved earlier by `by`, at least 1970.
    #[must_use]
    pub const fn saturating_sub(self, by: Seconds) -> Timestamp {
        Timestamp(self.0.saturating_sub(by.0))
    }

    /// The time from `earlier` to this instant, zero if `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Timestamp) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0))
    }

    /// The first midnight in `zone` at or after this instant (domain E3).
    ///
    /// Where a zone skips midnight (some daylight-saving changes do), the first instant of that local day is meant.
    #[must_use]
    pub fn next_midnight(self, zone: chrono_tz::Tz) -> Timestamp {
        let Some(utc) = self.to_utc() else { return self };
        let local = utc.with_timezone(&zone);
        let today = local.date_naive();
        for ahead in 0..=2_i64 {
            let Some(day) = today.checked_add_signed(chrono::TimeDelta::days(ahead)) else { break };
            if let Some(start) = start_of_day(zone, day)
                && start >= self
            {
                return start;
            }
        }
        self
    }

    fn to_utc(self) -> Option<DateTime<Utc>> {
        i64::try_from(self.0).ok().and_then(|secs| DateTime::<Utc>::from_timestamp(secs, 0))
    }
}

/// The first instant of a local calendar day.
fn start_of_day(zone: chrono_tz::Tz, day: NaiveDate) -> Option<Timestamp> {
    // Nearly always the first is midnight itself. Clocks have been set forward by as little as 15 minutes (Nepal, 1986)
    // and as odd as 44 min 30 s (Liberia, 1972), and never from one whole day past the next but one.
    (0..2_880_u32).find_map(|half_minutes| {
        let naive = day.and_hms_opt(half_minutes / 120, half_minutes / 2 % 60, half_minutes % 2 * 30)?;
        let at = match zone.from_local_datetime(&naive) {
            LocalResult::Single(at) => at,
            LocalResult::Ambiguous(first, _) => first,
            LocalResult::None => return None,
        };
        u64::try_from(at.timestamp()).ok().and_then(Timestamp::from_secs)
    })
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_utc() {
            Some(utc) => f.write_str(&utc.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an instant of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an instant: write RFC 3339 with a time zone, in whole seconds, between 1970 and 9999, such as 2027-03-01T00:00:00Z"
)]
pub struct TimestampError;

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Parses RFC 3339. A fraction of a second is refused, not rounded (domain §1): who wrote it would find another instant.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| TimestampError)?;
        if !(1970..=9999).contains(&at.to_utc().year()) || at.timestamp_subsec_nanos() > 0 {
            return Err(TimestampError);
        }
        u64::try_from(at.timestamp()).ok().and_then(Timestamp::from_secs).ok_or(TimestampError)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_string())
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Timestamp::from_secs(u64::deserialize(deserializer)?)
                .ok_or_else(|| de::Error::custom(TimestampError))
        }
    }
}

/// A duration in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(pub u64);

impl Seconds {
    /// No time at all.
    pub const ZERO: Seconds = Seconds(0);

    /// `days` days of 86,400 seconds (domain D2: licensing knows no leap seconds and no daylight saving).
    #[must_use]
    pub const fn days(days: u64) -> Seconds {
        Seconds(days.saturating_mul(DAY_SECS))
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn saturating_add(self, other: Seconds) -> Seconds {
        Seconds(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Seconds) -> Seconds {
        Seconds(self.0.saturating_sub(other.0))
    }

    /// Whether this is a day or more (domain E3 rounds only such durations).
    #[must_use]
    pub const fn is_a_day_or_more(self) -> bool {
        self.0 >= DAY_SECS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn text_round_trips_and_bounds_hold() {
        for text in
            ["1970-01-01T00:00:00Z", "2028-02-29T12:00:00Z", "2100-03-01T00:00:00Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(at(text).to_string(), text);
        }
        assert_eq!(at("2027-01-01T01:00:00.000+01:00"), at("2027-01-01T00:00:00Z"));
        for bad in [
            "",
            "2027-01-01",
            "1969-12-31T23:59:59Z",
            "+10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "2027-01-01T00:00:00.5Z",
            "2027-01-01T00:00:00.000000001Z",
            "2026-12-31T23:59:60Z",
        ] {
            assert!(Timestamp::from_str(bad).is_err(), "{bad}");
        }
        assert_eq!(Timestamp::MAX.saturating_add(Seconds(1)), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.checked_add(Seconds(1)), None);
    }

    #[test]
    fn midnight_is_local_and_never_earlier() {
        let rome: chrono_tz::Tz = "Europe/Rome".parse().unwrap();
        // The night clocks go forward, and the one they go back.
        assert_eq!(at("2027-03-27T23:30:00Z").next_midnight(rome), at("2027-03-28T22:00:00Z"));
        assert_eq!(at("2027-10-30T22:00:00Z").next_midnight(rome), at("2027-10-30T22:00:00Z"));
        assert_eq!(at("2027-10-30T22:00:01Z").next_midnight(rome), at("2027-10-31T23:00:00Z"));
        // Santiago skips midnight itself: the day starts at one o'clock.
        let santiago: chrono_tz::Tz = "America/Santiago".parse().unwrap();
        assert_eq!(at("2027-09-05T03:00:00Z").next_midnight(santiago), at("2027-09-05T04:00:00Z"));
        assert_eq!(at("2027-01-01T00:00:00Z").next_midnight(chrono_tz::UTC), at("2027-01-01T00:00:00Z"));
        assert_eq!(Timestamp::MAX.next_midnight(chrono_tz::UTC), Timestamp::MAX);
    }
}
