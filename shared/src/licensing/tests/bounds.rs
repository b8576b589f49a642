//! The bounds of domain §1: at every limit the answer is exact, beyond it a refusal, and nothing wraps or panics.
//!
//! The tests run with overflow checks; the arithmetic below is checked when they are compiled.

use super::world::{World, at, group, key, new_device, site};
use crate::enforcement::EnforcementState::Stopped;
use crate::licensing::coterm::{ExactInstant, Fraction, Pool, PoolLine, term_end};
use crate::licensing::explain::GroupExplanation;
use crate::licensing::license_key::{
    GROUP_MAX_LINES, KEY_MAX_LINES, QUANTITY_MAX, TERM_MAX_DAYS, check_term,
};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{DAY_SECS, Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

const CAMERA: ProductType = ProductType::CAMERA;

const Q: u128 = QUANTITY_MAX as u128;
const LINES: u128 = GROUP_MAX_LINES as u128;
const END: u128 = Timestamp::MAX.as_secs() as u128;
const I128: u128 = i128::MAX as u128;

// Σ q·w·end of a full group fits i128, 671 times over.
const _: () = assert!(I128 / (LINES * Q * Q * END) >= 671);
// So does the same pool begun late (K3: every end moves by an instant), doubled and in hundredths (D6).
const _: () = assert!(LINES * Q * Q * (END + END) <= I128 / 200);
// Σ q·w times the seconds of a month or a day, as the denominator of what is shown, doubled.
const _: () = assert!(LINES * Q * Q <= I128 / (2 * 2_628_000));
// The capacity of a full group, and devices in use, fit u64.
const _: () = assert!(LINES * Q <= u64::MAX as u128);

#[test]
fn d1_a_million_lines_at_every_limit_sum_up_exactly() {
    let line = PoolLine { quantity: QUANTITY_MAX, weight: QUANTITY_MAX, ends_at: Timestamp::MAX };
    let earlier = PoolLine { ends_at: Timestamp::from_secs_clamped(Timestamp::MAX.as_secs() - 1), ..line };
    let mut pool = Pool::EMPTY;
    for n in 0..GROUP_MAX_LINES {
        pool.add(if n % 2 == 0 { &line } else { &earlier });
    }
    assert_eq!((pool.mass(), pool.moment()), (LINES * Q * Q, LINES * Q * Q / 2 * (2 * END - 1)));
    let exact = pool.coterm().unwrap();
    assert_eq!(exact.exact_secs(), Fraction::new(2 * END - 1, 2).unwrap());
    assert_eq!(exact.floor(), earlier.ends_at);
    assert_eq!(exact.days_since(Timestamp::EPOCH), Fraction::new(2 * END - 1, 2 * u128::from(DAY_SECS)));
    // The smallest line there is moves it, and comes out again without a trace.
    let full = pool;
    let least = PoolLine { quantity: 1, weight: 1, ends_at: Timestamp::EPOCH };
    pool.add(&least);
    assert!(is_earlier(&pool.coterm().unwrap(), &exact));
    pool.remove(&least);
    assert_eq!(pool, full);
    // A full queue that begins in the last second there is.
    assert_eq!(full.begun_at(Timestamp::MAX).moment(), full.moment() + full.mass() * END);
}

fn is_earlier(a: &ExactInstant, b: &ExactInstant) -> bool {
    // n/d < m/e as whole parts and rests; denominators this large do not multiply within 128 bits.
    (a.floor(), a.exact_secs().floor()) < (b.floor(), b.exact_secs().floor())
        || a.exact_secs().floor() == b.exact_secs().floor() && a != b
}

#[test]
fn d1_a_full_group_refuses_one_line_more_whether_it_waits_or_not() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 1)], 365, world.now), group(1));
    let claim = |mode| Command::ClaimKey {
        key: Box::new(key(2, &[(CAMERA, 1, 1), (ProductType::DOOR, 1, 1)], 365, at("2026-01-01T00:00:00Z"))),
        group: Some(group(1)),
        mode,
    };
    for mode in [ClaimMode::Increase, ClaimMode::Renewal] {
        let mut full = World::new("2026-01-01T00:00:00Z");
        full.organization = world.organization.clone();
        full.organization.groups.get_mut(&group(1)).unwrap().line_count = GROUP_MAX_LINES - 1;
        assert_eq!(full.refused(claim(mode)), ["TOO_MANY_LINES"]);
    }
    world.ok(claim(ClaimMode::Renewal));
    assert_eq!(world.group(1).line_count, 3, "what waits becomes the pool as a whole, so it counts with it");
    world.wait(Seconds::days(365));
    assert_eq!(world.group(1).line_count, 2);
}

/// A key of a hundred product types at every limit, ending as late as anything can.
fn largest(n: u32, created_at: Timestamp, term_days: u32) -> IssuedKey {
    let product = |n: usize| ProductType::from_number(u16::try_from(n + 1).unwrap()).unwrap();
    let lines: Vec<_> = (0..KEY_MAX_LINES).map(|n| (product(n), QUANTITY_MAX, QUANTITY_MAX)).collect();
    key(n, &lines, term_days, created_at)
}

#[test]
fn d1_the_largest_keys_live_their_whole_lives_exactly() {
    // 9999-12-31T23:59:59Z less 36,500 days.
    let start = Timestamp::from_secs_clamped(Timestamp::MAX.as_secs() - 36_500 * DAY_SECS);
    let mut world = World::new(&start.to_string());
    assert_eq!(term_end(start, TERM_MAX_DAYS), Some(Timestamp::MAX));
    assert_eq!(term_end(start.saturating_add(Seconds(1)), TERM_MAX_DAYS), None);
    world.ok(Command::CreateGroup { id: group(2), name: "Two".to_string(), settings: Default::default() });
    world.claim_key(largest(1, start, TERM_MAX_DAYS), group(1));
    world.claim_key(largest(2, start, 1), group(1));
    let half = Timestamp::from_secs_clamped(start.as_secs() + (36_500 + 1) * DAY_SECS / 2);
    assert_eq!(world.coterm(1), Some(half), "the mean of the longest term and the shortest");
    // Devices as hungry as they can be, and more of them than are licensed.
    for n in 0..3 {
        world.claim_device(n, site(1), CAMERA, QUANTITY_MAX);
    }
    assert_eq!(world.codes(1), ["OVER_CAPACITY"]);
    // A renewal waits, with all that is explained and shown about it.
    let waits = Command::ClaimKey {
        key: Box::new(largest(3, start, TERM_MAX_DAYS)),
        group: Some(group(1)),
        mode: ClaimMode::Renewal,
    };
    assert!(preview(&world.organization, &waits, &world.context()).is_ok());
    world.ok(waits);
    let explained = GroupExplanation::of(&world.organization, world.group(1), world.now);
    assert_eq!(explained.date.unwrap().coterm_at, half);
    // Halves of everything, there and back.
    let id = world.group(1).active_keys().next().unwrap();
    let credit = |world: &World| -> u128 {
        let used = world.organization.keys().filter(|key| key.is_active() || key.is_queued());
        used.map(|key| key.credit_at(world.now)).sum()
    };
    let before = credit(&world);
    let part = |n: u32, quantity: u64, to: u8| PartRequest {
        id: key(n, &[(CAMERA, 1, 1)], 1, start).id,
        code_tail: "ABCDE".to_string(),
        lines: (0..KEY_MAX_LINES)
            .map(|n| OrderLine {
                product: ProductType::from_number(u16::try_from(n + 1).unwrap()).unwrap(),
                quantity,
            })
            .collect(),
        target: PartTarget::Own { group: Some(group(to)), mode: None },
    };
    let parts = Box::new([part(8, 1, 1), part(9, QUANTITY_MAX - 1, 2)]);
    world.ok(Command::SplitKey { id, parts });
    assert_eq!(credit(&world), before, "K7: to the last unit-second");
    // To the end of time: what would lie beyond it, ends with it.
    world.wait(Seconds::days(36_500));
    world.wait(Seconds(u64::MAX));
    assert_eq!(world.now, Timestamp::MAX);
    for n in [1, 2] {
        assert!(world.coterm(n).is_none_or(|coterm| coterm <= Timestamp::MAX));
    }
    assert!(world.organization.next_due().is_none_or(|due| due >= world.now));
    let _ = GroupExplanation::of(&world.organization, world.group(1), world.now);
}

#[test]
fn e1_a_ladder_that_would_reach_past_the_year_9999_ends_with_it() {
    let start = "9999-11-01T00:00:00Z";
    let mut world = World::new(start);
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 30, at(start)), group(1));
    world.claim_camera(1, site(1));
    let schedule = world.group(1).assessment.schedule();
    assert_eq!(schedule.lock_at, Some(at("9999-12-31T00:00:00Z")));
    assert_eq!(schedule.stop_at, Some(Timestamp::MAX));
    world.now = Timestamp::MAX;
    world.ok(Command::Materialize);
    assert_eq!(world.group(1).assessment.state, Stopped);
    world.ok(Command::Materialize);
}

#[test]
fn a_term_beyond_the_bounds_is_refused_and_one_at_them_is_not() {
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(check_term(now, TERM_MAX_DAYS, now), Ok(at("2125-12-08T00:00:00Z")));
    for (created_at, term_days) in
        [(now, 0), (now, TERM_MAX_DAYS + 1), (now, u32::MAX), (Timestamp::MAX, 1), (Timestamp::MAX, u32::MAX)]
    {
        let refusals = check_term(created_at, term_days, created_at).unwrap_err();
        assert_eq!(refusals[0].code, RefusalCode::TermOutOfBounds, "{created_at} {term_days}");
    }
    assert!(check_term(Timestamp::EPOCH, 1, now).is_ok());
}

#[test]
fn g7_units_of_devices_stay_within_bounds_and_add_up_beyond_them() {
    let world = World::new("2026-01-01T00:00:00Z");
    for units in [0, QUANTITY_MAX + 1, u64::MAX] {
        let claim = Command::ClaimDevice { device: new_device(1, CAMERA, units), site: site(1) };
        assert_eq!(world.refused(claim), ["UNITS_OUT_OF_BOUNDS"]);
    }
}

#[test]
fn d6_rounding_is_half_up_at_the_limits_too() {
    for (fraction, shown) in [
        (Fraction::new(u128::MAX, 2), u128::MAX / 2 + 1),
        (Fraction::new(u128::MAX - 1, 2), u128::MAX / 2),
        (Fraction::new(u128::MAX, u128::MAX), 1),
        (Fraction::new(u128::MAX / 2, u128::MAX), 0),
        (Fraction::new(u128::MAX / 2 + 1, u128::MAX), 1),
    ] {
        assert_eq!(fraction.unwrap().round_half_up(), shown, "{fraction:?}");
    }
}
