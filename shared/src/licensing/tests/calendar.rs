//! Days that are not like others: leap days, the year 2100, midnights that are skipped or come twice, days that are
//! skipped, offsets of three quarters of an hour (domain D2, E3).

use super::world::{World, at, group, key, site};
use crate::licensing::coterm::term_end;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Timestamp;
use chrono::{DateTime, Datelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;

fn midnight(zone: &str, after: &str) -> Timestamp {
    at(after).next_midnight(zone.parse::<Tz>().unwrap())
}

#[test]
fn d2_a_term_counts_days_of_86400_seconds_whatever_the_calendar_does() {
    for (created, days, ends) in [
        // Bought on a leap day.
        ("2028-02-29T12:00:00Z", 365, "2029-02-28T12:00:00Z"),
        ("2028-02-29T12:00:00Z", 1095, "2031-02-28T12:00:00Z"),
        ("2028-02-29T12:00:00Z", 1825, "2033-02-27T12:00:00Z"),
        ("2028-02-29T12:00:00Z", 3650, "2038-02-26T12:00:00Z"),
        // Across one, and to one.
        ("2027-03-01T00:00:00Z", 365, "2028-02-29T00:00:00Z"),
        ("2027-06-01T00:00:00Z", 1825, "2032-05-30T00:00:00Z"),
        // 2000 was a leap year, 2100 is none, 2400 is one again.
        ("2000-02-28T00:00:00Z", 1, "2000-02-29T00:00:00Z"),
        ("2100-02-28T00:00:00Z", 1, "2100-03-01T00:00:00Z"),
        ("2099-03-01T00:00:00Z", 365, "2100-03-01T00:00:00Z"),
        ("2400-02-28T23:59:59Z", 1, "2400-02-29T23:59:59Z"),
        // The longest term: a hundred years less the leap days.
        ("2028-02-29T00:00:00Z", 36_500, "2128-02-05T00:00:00Z"),
        // A leap second is in no term.
        ("2016-12-31T23:59:59Z", 1, "2017-01-01T23:59:59Z"),
    ] {
        assert_eq!(term_end(at(created), days), Some(at(ends)), "{created} + {days} d");
    }
    assert!("2100-02-29T00:00:00Z".parse::<Timestamp>().is_err());
}

#[test]
fn e3_a_midnight_that_does_not_exist_is_the_first_instant_of_its_day() {
    for (zone, after, first) in [
        // Clocks go from 00:00 to 01:00.
        ("America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"),
        ("Asia/Beirut", "2022-03-26T12:00:00Z", "2022-03-26T22:00:00Z"),
        ("Africa/Cairo", "2023-04-27T12:00:00Z", "2023-04-27T22:00:00Z"),
        // By fifteen minutes, once: Nepal, 1986.
        ("Asia/Kathmandu", "1985-12-31T12:00:00Z", "1985-12-31T18:30:00Z"),
        // By 44 minutes and 30 seconds, once: Liberia, 1972.
        ("Africa/Monrovia", "1972-01-06T12:00:00Z", "1972-01-07T00:44:30Z"),
        // A whole day is skipped: the night of the 29th is followed by the 31st (Samoa, 2011).
        ("Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Fakaofo", "2011-12-29T12:00:00Z", "2011-12-30T11:00:00Z"),
    ] {
        let found = midnight(zone, after);
        assert_eq!(found, at(first), "{zone}");
        assert_eq!(midnight(zone, first), found, "a midnight is its own next midnight: {zone}");
    }
}

#[test]
fn e3_of_a_midnight_that_comes_twice_the_first_is_meant() {
    // Havana sets its clocks from 01:00 back to 00:00.
    assert_eq!(midnight("America/Havana", "2022-11-05T12:00:00Z"), at("2022-11-06T04:00:00Z"));
    // Once it has passed, the second is no new day.
    assert_eq!(midnight("America/Havana", "2022-11-06T04:00:01Z"), at("2022-11-07T05:00:00Z"));
    // Where 24:00 becomes 23:00, the day begins an hour later than by the clocks of the day before.
    assert_eq!(midnight("America/Sao_Paulo", "2018-02-17T12:00:00Z"), at("2018-02-18T03:00:00Z"));
    assert_eq!(midnight("Asia/Beirut", "2022-10-29T12:00:00Z"), at("2022-10-29T22:00:00Z"));
    assert_eq!(midnight("Africa/Cairo", "2023-10-26T12:00:00Z"), at("2023-10-26T22:00:00Z"));
}

#[test]
fn e3_offsets_that_are_no_whole_hours_and_both_sides_of_the_date_line() {
    for (zone, first) in [
        ("Asia/Kathmandu", "2027-01-10T18:15:00Z"),
        ("Pacific/Chatham", "2027-01-10T10:15:00Z"),
        ("Australia/Eucla", "2027-01-10T15:15:00Z"),
        ("Australia/Lord_Howe", "2027-01-10T13:00:00Z"),
        ("America/St_Johns", "2027-01-11T03:30:00Z"),
        ("Pacific/Marquesas", "2027-01-10T09:30:00Z"),
        ("Pacific/Kiritimati", "2027-01-10T10:00:00Z"),
        ("Pacific/Apia", "2027-01-10T11:00:00Z"),
        ("Pacific/Pago_Pago", "2027-01-10T11:00:00Z"),
        ("Etc/GMT+12", "2027-01-10T12:00:00Z"),
        ("Etc/GMT-14", "2027-01-10T10:00:00Z"),
    ] {
        assert_eq!(midnight(zone, "2027-01-10T09:00:00Z"), at(first), "{zone}");
    }
}

#[test]
fn e3_a_lock_that_falls_on_a_missing_midnight_lands_on_the_first_instant_of_the_day() {
    let mut world = World::new("2023-03-29T00:00:00Z");
    let cairo = SettingsChange { time_zone: Some("Africa/Cairo".into()), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(cairo));
    world.claim_camera(1, site(1));
    // 30 days later it is the 28th of April, 02:00 in Cairo; the day that begins next is the 29th.
    let schedule = world.group(1).assessment.schedule();
    assert_eq!(schedule.lock_at, Some(at("2023-04-28T21:00:00Z")));
    // An hour earlier it is the night itself: the 28th begins at 01:00, which is 22:00 UTC.
    let mut world = World::new("2023-03-28T21:30:00Z");
    let cairo = SettingsChange { time_zone: Some("Africa/Cairo".into()), ..SettingsChange::default() };
    world.ok(Command::ChangeSettings(cairo));
    world.claim_camera(1, site(1));
    assert_eq!(world.group(1).assessment.schedule().lock_at, Some(at("2023-04-27T22:00:00Z")));
}

#[test]
fn e2_a_whole_ladder_across_a_leap_day_and_2100() {
    for (start, lock, stop) in [
        ("2028-02-01T10:00:00Z", "2028-03-03T00:00:00Z", "2028-05-02T00:00:00Z"),
        ("2100-02-01T10:00:00Z", "2100-03-04T00:00:00Z", "2100-05-03T00:00:00Z"),
    ] {
        let mut world = World::new(start);
        world.claim_key(key(1, &[(ProductType::DOOR, 1, 1)], 365, world.now), group(1));
        world.claim_camera(1, site(1));
        let schedule = world.group(1).assessment.schedule();
        assert_eq!((schedule.lock_at, schedule.stop_at), (Some(at(lock)), Some(at(stop))));
    }
}

fn local_day(of: Timestamp, zone: Tz) -> i32 {
    let utc: DateTime<Utc> = DateTime::from_timestamp(i64::try_from(of.as_secs()).unwrap(), 0).unwrap();
    utc.with_timezone(&zone).date_naive().num_days_from_ce()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn e3_the_next_midnight_begins_a_day_in_every_zone_at_every_time(
        zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        // 1970-01-03 to 2199.
        secs in 172_800..7_226_582_400_u64,
    ) {
        let after = Timestamp::from_secs(secs).unwrap();
        let found = after.next_midnight(zone);
        prop_assert!(found >= after);
        // Two days at most, where one is skipped.
        prop_assert!(found.as_secs() - secs < 49 * 3600, "{} {} {}", zone, after, found);
        let before = Timestamp::from_secs(found.as_secs() - 1).unwrap();
        prop_assert!(local_day(before, zone) < local_day(found, zone), "{} {} {}", zone, after, found);
        // No other day began meanwhile.
        if found > after {
            prop_assert!(local_day(before, zone) <= local_day(after, zone), "{} {} {}", zone, after, found);
        }
    }
}
