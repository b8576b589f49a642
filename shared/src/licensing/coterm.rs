//! Co-termination: the one end all licenses of a group share (domain D1-D8).
//!
//! **Problem.** `coterm_at` is a weighted mean of instants; rounding anywhere but at the very end makes dates drift
//! with the order of claims. **Method.** A pool keeps two integer sums, Σ q·w and Σ q·w·end, so adding and removing a
//! line are exact inverses and the mean is an exact fraction. It is floored to a second only to be compared with a
//! clock. **Deliberately absent:** "now". The formula does not contain it, so the date cannot drift.

use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An exact, reduced, non-negative fraction.
///
/// Serializes as text (`"172645/224"`, whole numbers as `"730"`): JSON numbers would not survive other programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    numerator: u128,
    denominator: u128,
}

impl Fraction {
    /// `numerator / denominator`, reduced; `None` if the denominator is zero.
    #[must_use]
    pub fn new(numerator: u128, denominator: u128) -> Option<Fraction> {
        let divisor = gcd(numerator, denominator);
        // A zero divisor means both are zero; a zero denominator divides nothing.
        let denominator = denominator.checked_div(divisor).filter(|d| *d > 0)?;
        Some(Fraction { numerator: numerator.checked_div(divisor)?, denominator })
    }

    /// The reduced numerator.
    #[must_use]
    pub const fn numerator(&self) -> u128 {
        self.numerator
    }

    /// The reduced denominator, at least 1.
    #[must_use]
    pub const fn denominator(&self) -> u128 {
        self.denominator
    }

    /// The whole part.
    #[must_use]
    pub fn floor(&self) -> u128 {
        self.numerator.checked_div(self.denominator).unwrap_or(0)
    }

    /// The nearest whole number, halves up (domain D6: for display only).
    #[must_use]
    pub fn round_half_up(&self) -> u128 {
        let remainder = self.numerator.checked_rem(self.denominator).unwrap_or(0);
        // remainder >= denominator / 2, without doubling past the type.
        let up = remainder >= self.denominator.saturating_sub(remainder);
        self.floor().saturating_add(u128::from(up))
    }
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while let Some(remainder) = a.checked_rem(b) {
        a = b;
        b = remainder;
    }
    a
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.denominator == 1 {
            write!(f, "{}", self.numerator)
        } else {
            write!(f, "{}/{}", self.numerator, self.denominator)
        }
    }
}

impl fmt::Debug for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fraction: write it as `numerator/denominator`, reduced")]
pub struct FractionError;

impl FromStr for Fraction {
    type Err = FractionError;

    fn from_str(text: &str) -> Result<Self, FractionError> {
        let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
        let parse = |digits: &str| digits.parse::<u128>().map_err(|_| FractionError);
        Fraction::new(parse(numerator)?, parse(denominator)?).ok_or(FractionError)
    }
}

impl Serialize for Fraction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An exact instant: seconds since 1970 as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExactInstant(Fraction);

impl ExactInstant {
    /// Seconds since 1970, exactly.
    #[must_use]
    pub const fn exact_secs(&self) -> Fraction {
        self.0
    }

    /// Floored to the second: for storage and comparison with a clock (domain D1).
    #[must_use]
    pub fn floor(&self) -> Timestamp {
        Timestamp::from_secs_clamped(u64::try_from(self.0.floor()).unwrap_or(u64::MAX))
    }

    /// Exact days from `since` to this instant, or `None` if `since` is later.
    #[must_use]
    pub fn days_since(&self, since: Timestamp) -> Option<Fraction> {
        let behind = u128::from(since.as_secs()).checked_mul(self.0.denominator())?;
        let ahead = self.0.numerator().checked_sub(behind)?;
        Fraction::new(ahead, self.0.denominator().checked_mul(u128::from(DAY_SECS))?)
    }
}

impl ExactInstant {
    /// Which way and how many exact days it is from `other` to this instant; `None` if the exact answer does not fit
    /// 128 bits, which takes denominators beyond 10¹⁵ on both sides.
    #[must_use]
    pub fn days_from(&self, other: &ExactInstant) -> Option<(Ordering, Fraction)> {
        let (ours, theirs) = (self.0, other.0);
        let denominator = ours.denominator().checked_mul(theirs.denominator())?;
        // Only the parts below a second need the common denominator; whole seconds are small.
        let over = |whole: u128, of: Fraction, by: u128| {
            let rest = of.numerator().checked_rem(of.denominator())?.checked_mul(by)?;
            whole.checked_mul(denominator)?.checked_add(rest)
        };
        let base = ours.floor().min(theirs.floor());
        let ours = over(ours.floor().checked_sub(base)?, ours, theirs.denominator())?;
        let theirs = over(theirs.floor().checked_sub(base)?, theirs, self.0.denominator())?;
        let days = Fraction::new(ours.abs_diff(theirs), denominator.checked_mul(u128::from(DAY_SECS))?)?;
        Some((ours.cmp(&theirs), days))
    }
}

/// One line of a pool: so many units of such a weight until such an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLine {
    /// Units, 1 to 10⁹.
    pub quantity: u64,
    /// The weight of one unit: its list price when the key was issued, 1 to 10⁹.
    pub weight: u64,
    /// When the line's own term ends.
    pub ends_at: Timestamp,
}

impl PoolLine {
    /// Its share of the mean's denominator: quantity × weight, at most 10¹⁸.
    #[must_use]
    pub const fn mass(&self) -> u128 {
        // Both factors are at most u64, so the product always fits.
        (self.quantity as u128).saturating_mul(self.weight as u128)
    }

    /// Its share of the mean's numerator: quantity × weight × end in seconds since 1970.
    #[must_use]
    pub fn moment(&self) -> u128 {
        self.mass().saturating_mul(u128::from(self.ends_at.as_secs()))
    }
}

/// The running sums behind one group's co-termination instant (domain D1, D7).
///
/// Within the bounds of domain §1 (10⁶ lines, quantities and weights to 10⁹, the year 9999) the sums stay below
/// 2.6·10³⁵, far from the end of `u128`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    mass: u128,
    moment: u128,
}

impl Pool {
    /// A pool without lines.
    pub const EMPTY: Pool = Pool { mass: 0, moment: 0 };

    /// Adds a line.
    pub fn add(&mut self, line: &PoolLine) {
        self.mass = self.mass.saturating_add(line.mass());
        self.moment = self.moment.saturating_add(line.moment());
    }

    /// Takes out a line that was added before.
    pub fn remove(&mut self, line: &PoolLine) {
        self.mass = self.mass.saturating_sub(line.mass());
        self.moment = self.moment.saturating_sub(line.moment());
    }

    /// Σ quantity × weight.
    #[must_use]
    pub const fn mass(&self) -> u128 {
        self.mass
    }

    /// Σ quantity × weight × end.
    #[must_use]
    pub const fn moment(&self) -> u128 {
        self.moment
    }

    /// The exact weighted mean of all ends; `None` for an empty pool.
    #[must_use]
    pub fn coterm(&self) -> Option<ExactInstant> {
        if self.mass == 0 { None } else { Fraction::new(self.moment, self.mass).map(ExactInstant) }
    }
}

impl Pool {
    /// A pool of terms that have yet to begin, begun at `at`: every end moves later by that instant (domain K3).
    ///
    /// The lines of such a pool have their remaining term in the place of an end.
    #[must_use]
    pub fn begun_at(&self, at: Timestamp) -> Pool {
        let later = self.mass.saturating_mul(u128::from(at.as_secs()));
        Pool { mass: self.mass, moment: self.moment.saturating_add(later) }
    }
}

impl Serialize for Pool {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.moment, self.mass))
    }
}

impl<'de> Deserialize<'de> for Pool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let sums = text
            .split_once('/')
            .and_then(|(moment, mass)| Some(Pool { mass: mass.parse().ok()?, moment: moment.parse().ok()? }));
        sums.ok_or_else(|| de::Error::custom("not the sums of a pool"))
    }
}

/// The end of a key's own term (domain D1: creation plus term; D2: a day has 86,400 seconds).
///
/// `None` past the year 9999.
#[must_use]
pub fn term_end(created_at: Timestamp, term_days: u32) -> Option<Timestamp> {
    created_at.checked_add(Seconds::days(u64::from(term_days)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn days(of: &[(u64, u64, u64)]) -> (String, u128) {
        let mut pool = Pool::EMPTY;
        for &(quantity, weight, ends_day) in of {
            pool.add(&PoolLine {
                quantity,
                weight,
                ends_at: Timestamp::EPOCH.saturating_add(Seconds::days(ends_day)),
            });
        }
        let exact = pool.coterm().unwrap().days_since(Timestamp::EPOCH).unwrap();
        (exact.to_string(), exact.round_half_up())
    }

    #[test]
    fn d1_worked_examples_come_out_exactly() {
        assert_eq!(days(&[(1, 199, 365), (1, 199, 1095)]), ("730".to_string(), 730));
        assert_eq!(days(&[(1, 199, 365), (1, 249, 1095)]), ("172645/224".to_string(), 771));
    }

    #[test]
    fn d1_ten_cameras_and_three_more_at_month_four() {
        // A month is 2,628,000 s (D2); a year of twelve of them is 365 days.
        let month = Seconds(2_628_000);
        let year = Seconds::days(365);
        let later = Timestamp::EPOCH.saturating_add(Seconds(4 * month.0));
        let mut pool = Pool::EMPTY;
        pool.add(&PoolLine { quantity: 10, weight: 199, ends_at: Timestamp::EPOCH.saturating_add(year) });
        let before = pool.coterm().unwrap().exact_secs();
        pool.add(&PoolLine { quantity: 3, weight: 199, ends_at: later.saturating_add(year) });
        let after = pool.coterm().unwrap().exact_secs();
        let months = |secs: Fraction, less: u64| {
            Fraction::new(
                secs.numerator() - u128::from(less) * secs.denominator(),
                secs.denominator() * u128::from(month.0),
            )
            .unwrap()
        };
        assert_eq!(months(after, later.as_secs()).to_string(), "116/13");
        let moved = months(after, u64::try_from(before.floor()).unwrap());
        assert_eq!(moved.to_string(), "12/13");
    }

    #[test]
    fn d6_days_are_shown_half_up() {
        for (numerator, denominator, shown) in
            [(1, 2, 1), (149, 100, 1), (3, 2, 2), (0, 5, 0), (u128::MAX, 1, u128::MAX)]
        {
            assert_eq!(Fraction::new(numerator, denominator).unwrap().round_half_up(), shown);
        }
        assert_eq!(Fraction::new(1, 0), None);
        assert_eq!(Fraction::new(0, 0), None);
    }

    #[test]
    fn the_bounds_of_the_domain_do_not_overflow() {
        let line = PoolLine { quantity: 1_000_000_000, weight: 1_000_000_000, ends_at: Timestamp::MAX };
        let mut pool = Pool::EMPTY;
        // A million such lines, summed by hand.
        pool.mass = line.mass() * 1_000_000;
        pool.moment = line.moment() * 1_000_000;
        let exact = pool.coterm().unwrap();
        assert_eq!(exact.floor(), Timestamp::MAX);
        assert!(exact.days_since(Timestamp::EPOCH).is_some());
    }

    fn line() -> impl Strategy<Value = PoolLine> {
        (1..=1_000_000_000_u64, 1..=1_000_000_000_u64, 0..=Timestamp::MAX.as_secs()).prop_map(
            |(quantity, weight, end)| PoolLine {
                quantity,
                weight,
                ends_at: Timestamp::from_secs_clamped(end),
            },
        )
    }

    proptest! {
        #[test]
        fn d8_order_does_not_matter_and_removal_is_exact(lines in prop::collection::vec(line(), 1..20), extra in line()) {
            let sum = |of: &[PoolLine]| { let mut p = Pool::EMPTY; of.iter().for_each(|l| p.add(l)); p };
            let forward = sum(&lines);
            let backward = sum(&lines.iter().rev().copied().collect::<Vec<_>>());
            prop_assert_eq!(forward, backward);
            let mut with = forward;
            with.add(&extra);
            // D8: a line that ends later never shortens, one that ends earlier never lengthens.
            let (old, new) = (forward.coterm().unwrap(), with.coterm().unwrap());
            if extra.ends_at > old.floor() { prop_assert!(new.floor() >= old.floor()); }
            if extra.ends_at < old.floor() { prop_assert!(new.floor() <= old.floor()); }
            with.remove(&extra);
            prop_assert_eq!(with, forward);
        }

        #[test]
        fn text_round_trips(numerator: u128, denominator in 1..u128::MAX) {
            let fraction = Fraction::new(numerator, denominator).unwrap();
            prop_assert_eq!(fraction.to_string().parse::<Fraction>(), Ok(fraction));
        }
    }
}
