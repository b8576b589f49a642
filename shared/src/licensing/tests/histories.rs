//! Random histories against a second, obviously simple implementation: lists, rational numbers, no events.

use super::world::{World, device, group, key, site};
use crate::finding::Finding;
use crate::licensing::coterm::Fraction;
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const PRODUCTS: [ProductType; 3] =
    [ProductType::CAMERA, ProductType::DOOR, ProductType::ENVIRONMENTAL_SENSOR];

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Key { group: u8, product: usize, quantity: u64, weight: u64, term_days: u32, age_days: u64 },
    Device { n: u32, site: u8, product: usize, units: u64 },
    Retire { n: u32 },
    Grace { days: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..200 * 86_400_u64).prop_map(Step::Wait),
        3 => (1..=2_u8, 0..3_usize, 1..20_u64, 1..500_u64, 1..800_u32, 0..400_u64).prop_map(
            |(group, product, quantity, weight, term_days, age_days)| Step::Key {
                group, product, quantity, weight, term_days, age_days
            }
        ),
        4 => (0..12_u32, 1..=2_u8, 0..3_usize, 1..5_u64)
            .prop_map(|(n, site, product, units)| Step::Device { n, site, product, units }),
        2 => (0..12_u32).prop_map(|n| Step::Retire { n }),
        1 => (0..=90_u64).prop_map(|days| Step::Grace { days }),
    ]
}

/// One line on paper: quantity, weight, end, product.
type Line = (u64, u64, Timestamp, ProductType);

/// The reference: what a careful person would write on paper.
#[derive(Default)]
struct Paper {
    /// Per group: the lines of the present pool, and whether its term has ended.
    pools: BTreeMap<u8, (Vec<Line>, bool)>,
    devices: BTreeMap<u32, (u8, ProductType, u64)>,
}

impl Paper {
    fn coterm(&self, group: u8) -> Option<Fraction> {
        let (lines, _) = self.pools.get(&group)?;
        let sum = |f: &dyn Fn(&Line) -> u128| lines.iter().map(f).sum::<u128>();
        let mass = sum(&|l| u128::from(l.0) * u128::from(l.1));
        Fraction::new(sum(&|l| u128::from(l.0) * u128::from(l.1) * u128::from(l.2.as_secs())), mass)
    }

    fn pass_time(&mut self, now: Timestamp) {
        for n in [1, 2] {
            let ended = self.coterm(n).is_some_and(|coterm| coterm.floor() <= u128::from(now.as_secs()));
            if let Some(pool) = self.pools.get_mut(&n) {
                pool.1 |= ended;
            }
        }
    }

    fn claim(&mut self, group: u8, line: Line) {
        let pool = self.pools.entry(group).or_default();
        if pool.1 {
            *pool = (Vec::new(), false);
        }
        pool.0.push(line);
    }

    fn findings(&self, group: u8) -> Vec<Finding> {
        let mine: Vec<_> = self.devices.values().filter(|device| device.0 == group).collect();
        if mine.is_empty() {
            return Vec::new();
        }
        let Some((lines, ended)) = self.pools.get(&group) else { return [Finding::NoLicense].into() };
        let mut found: Vec<Finding> = if *ended { [Finding::TermEnded].into() } else { Vec::new() };
        for product in PRODUCTS {
            let in_use: u64 = mine.iter().filter(|device| device.1 == product).map(|device| device.2).sum();
            let capacity: u64 = lines.iter().filter(|line| line.3 == product).map(|line| line.0).sum();
            if in_use > capacity {
                found.push(Finding::OverCapacity { product, shortfall: in_use - capacity });
            }
        }
        found
    }
}

fn run(steps: &[Step]) -> World {
    let mut world = World::new("2026-01-01T08:00:00Z");
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "Two".to_string(),
        settings: SettingsChange::default(),
    });
    world.ok(Command::CreateSite { id: site(2), name: "B".to_string(), parent: None, group: Some(group(2)) });
    let mut paper = Paper::default();
    for (index, step) in steps.iter().enumerate() {
        let before: Vec<_> = [1, 2].map(|n| world.group(n).assessment.clone()).into();
        match step.clone() {
            Step::Wait(secs) => {
                let before_wait = world.organization.clone();
                world.wait(Seconds(secs));
                // E5: what merely comes as announced needs no message, a reset of the clocks included.
                for dev in before_wait.devices().filter(|dev| dev.is_active()) {
                    let (old, new) = (before_wait.wanted(&dev.id), world.organization.wanted(&dev.id));
                    assert_eq!(old, new, "E5: changed by waiting");
                }
            }
            Step::Key { group: n, product, quantity, weight, term_days, age_days } => {
                let created_at = world.now.saturating_sub(Seconds::days(age_days));
                let number = u32::try_from(index).unwrap();
                let key = key(number, &[(PRODUCTS[product], quantity, weight)], term_days, created_at);
                if key.ends_at > world.now {
                    paper.pass_time(world.now);
                    paper.claim(n, (quantity, weight, key.ends_at, PRODUCTS[product]));
                    world.claim_key(key, group(n));
                }
            }
            Step::Device { n, site: s, product, units } => {
                if !world.organization.device(&device(n)).is_some_and(|d| d.is_active()) {
                    paper.devices.insert(n, (s, PRODUCTS[product], units));
                    world.claim_device(n, site(s), PRODUCTS[product], units);
                }
            }
            Step::Retire { n } => {
                if paper.devices.remove(&n).is_some() {
                    world.ok(Command::RetireDevice { id: device(n) });
                }
            }
            Step::Grace { days } => {
                world.ok(Command::ChangeSettings(SettingsChange {
                    grace_secs: Some(Seconds::days(days)),
                    ..SettingsChange::default()
                }));
            }
        }
        paper.pass_time(world.now);
        for n in [1, 2] {
            let group = world.group(n);
            let exact = match group.figures.term {
                Term::NeverLicensed => None,
                Term::Running { coterm } | Term::Ended { coterm } => Some(coterm.exact_secs()),
            };
            assert_eq!(exact, paper.coterm(n), "D1: the exact date of group {n}");
            assert_eq!(group.assessment.findings, paper.findings(n), "C1: findings of group {n}");
            let schedule = group.assessment.schedule;
            assert!(schedule.is_ordered());
            assert_eq!(group.assessment.state, schedule.state_at(world.now), "state follows the schedule");
            if group.assessment.is_compliant() {
                assert_eq!(group.assessment.state, crate::enforcement::EnforcementState::Licensed, "E4");
            }
            // E3: while a clock keeps running, its announced dates never come earlier.
            let old = &before[usize::from(n) - 1];
            for (old, new) in
                [(old.expiry, group.assessment.expiry), (old.capacity, group.assessment.capacity)]
            {
                if let (CauseClock::Running(old), CauseClock::Running(new)) = (old, new)
                    && old.since == new.since
                {
                    assert!(new.lock_at >= old.lock_at && new.stop_at >= old.stop_at, "E3");
                }
            }
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_aggregate_agrees_with_paper(steps in prop::collection::vec(step(), 1..40)) {
        let world = run(&steps);
        // A snapshot is the organization, and so is its replayed log.
        let snapshot = serde_json::to_string(&world.organization).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Organization>(&snapshot).unwrap(), &world.organization);
        let mut replayed = Organization::open(&world.log[0]).unwrap();
        for dated in &world.log[1..] {
            replayed.apply(dated).unwrap();
        }
        prop_assert_eq!(&replayed, &world.organization);
        // The log is in order.
        prop_assert!(world.log.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
