//! Forecasts (domain E5, K3, G3): what is said of an instant ahead is what the books say when the clock gets there.

use super::histories::{history, lived};
use super::world::{World, at, device, group, key, new_device, site};
use crate::enforcement::OperatingMode;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

fn forecast(world: &World, now: Timestamp) -> Organization {
    world.organization.present(&Context { now, limits: world.limits }).unwrap()
}

#[test]
fn a_forecast_counts_renewals_countdowns_and_trials() {
    let mut world = World::new("2026-01-01T12:00:00Z");
    let camera = ProductType::CAMERA;
    world.claim_key(key(1, &[(camera, 2, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    let renewal = Box::new(key(2, &[(camera, 1, 199)], 730, world.now));
    world.ok(Command::ClaimKey { key: renewal, group: Some(group(1)), mode: ClaimMode::Renewal });
    let trial = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(2, camera, 1) };
    world.ok(Command::ClaimDevice { device: trial, site: site(1) });
    world.ok(Command::CreateSite { id: site(2), name: "New".to_string(), parent: None, group: None });
    world.claim_camera(3, site(2));
    let coterm = |on: &str| {
        let then = forecast(&world, at(on));
        (then.group(group(1)).unwrap().figures.term.coterm_at(), then.unassigned_sites().count())
    };
    // K3: the renewal begins when the term ends, with its two years; G3: the site joins after thirty days.
    assert_eq!(coterm("2026-01-31T11:59:59Z"), (Some(at("2027-01-01T12:00:00Z")), 1));
    assert_eq!(coterm("2026-01-31T12:00:00Z"), (Some(at("2027-01-01T12:00:00Z")), 0));
    assert_eq!(coterm("2027-01-01T12:00:00Z"), (Some(at("2028-12-31T12:00:00Z")), 0));
    // G8: the trial ends, and only that device's ladder begins.
    let then = forecast(&world, at("2026-12-01T00:00:00Z"));
    let state =
        |n: u32| then.wanted(&device(n)).unwrap().schedule.state_at(at("2026-12-01T00:00:00Z")).name();
    assert_eq!([1, 2].map(state), ["licensed", "stopped"]);
    assert_eq!(world.organization.next_due(), Some(at("2026-01-31T12:00:00Z")), "nothing happened yet");
}

#[test]
fn a_forecast_of_the_last_instant_there_is_ends() {
    for year in ["9999-12-31T23:59:59Z", "9999-01-01T00:00:00Z"] {
        let mut world = World::new("9998-12-01T00:00:00Z");
        world.claim_camera(1, site(1));
        world.claim_key(key(1, &[(ProductType::CAMERA, 1, 199)], 60, world.now), group(1));
        world.ok(Command::CreateSite { id: site(2), name: "New".to_string(), parent: None, group: None });
        world.claim_camera(2, site(2));
        let then = forecast(&world, at(year));
        assert!(then.next_due().is_none_or(|due| due > at(year)), "nothing is left due");
        let events = then.version() - world.organization.version();
        assert!(events < 40, "{events} events");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_forecast_is_what_the_books_say_when_the_clock_gets_there(
        steps in history(30), waits in prop::collection::vec(0..400 * 86_400_u64, 1..8)
    ) {
        let mut world = lived(&steps);
        let ahead = waits.iter().fold(world.now, |at, wait| at.saturating_add(Seconds(*wait)));
        let said = forecast(&world, ahead);
        let said_of: Vec<_> = said.devices().map(|device| said.wanted(&device.id)).collect();
        // The clock gets there in its own time, and looks at any number of instants on the way.
        for wait in waits {
            world.wait(Seconds(wait));
        }
        prop_assert_eq!(world.now, ahead);
        prop_assert_eq!(&said, &world.organization);
        let really = world.organization.devices().map(|device| world.organization.wanted(&device.id));
        for (said, really) in said_of.into_iter().zip(really) {
            prop_assert_eq!(&said, &really);
            let mode = |of: &Option<Wanted>| {
                of.as_ref().map(|wanted| OperatingMode::wanted_by(wanted.schedule.state_at(ahead)))
            };
            prop_assert_eq!(mode(&said), mode(&really));
        }
    }

    #[test]
    fn a_forecast_of_any_instant_takes_work_bounded_by_what_there_is(steps in history(40)) {
        let world = lived(&steps);
        let then = forecast(&world, Timestamp::MAX);
        prop_assert!(then.next_due().is_none(), "at the end of time nothing is due");
        // Everything that can be due happens a bounded number of times: a key joins or ends once, a site joins once, a
        // trial ends once, and after each a group is judged for its term and each step of its and of carried clocks.
        let of = &world.organization;
        let once = of.keys().count() + of.unassigned_sites().count() + of.devices().count();
        let carried: usize = of.groups().map(|group| group.assessment.carried.len()).sum();
        let bound = 12 * (of.groups().count() + carried + once) + 12;
        let events = usize::try_from(then.version() - of.version()).unwrap();
        prop_assert!(events <= bound, "{} events, at most {}", events, bound);
    }
}
