//! Notices: every threshold told once, nothing untrue told, and nothing forgotten by a daemon that was down (domain N1, N2).

use super::world::{World, at, device, group, key, new_device, site};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use proptest::prelude::*;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;

/// Someone who tells and remembers, as the daemon does.
#[derive(Default)]
pub(super) struct Teller {
    wakes: Option<Wakes>,
    pub(super) told: BTreeMap<Topic, Mark>,
    pub(super) heard: Vec<(Timestamp, Notice)>,
}

impl Teller {
    pub(super) fn untold(&self, world: &World, about: &About) -> Vec<Notice> {
        let told = |topic: &Topic| Ok::<_, Infallible>(self.told.get(topic).copied());
        let Ok(found) = notices(&world.organization, world.now, about, told);
        found
    }

    /// Forgets what is of no use any more, which must make no difference; then tells.
    pub(super) fn look(&mut self, world: &World, about: &About) {
        self.told.retain(|topic, mark| !is_mark_over(&world.organization, topic.as_str(), mark, world.now));
        for notice in self.untold(world, about) {
            assert!(
                still_true(&world.organization, &notice.head, world.now),
                "told though untrue at {}: {notice:?}",
                world.now
            );
            assert!(!notice.title.is_empty() && !notice.text.is_empty());
            assert!(serde_json::to_string(&notice.facts).unwrap().starts_with('{'));
            self.told.extend(notice.marks.iter().cloned());
            self.heard.push((world.now, notice));
        }
        let again = self.untold(world, about);
        assert_eq!(again, [], "told twice at {}", world.now);
        self.wakes(world).told(&world.organization, about, world.now);
    }

    /// When to come by next, known from the first look on.
    fn wakes(&mut self, world: &World) -> &mut Wakes {
        self.wakes.get_or_insert_with(|| Wakes::of(&world.organization, world.now))
    }

    fn next(&mut self, world: &World) -> Option<Timestamp> {
        let due = world.organization.next_due();
        [due, self.wakes(world).next()].into_iter().flatten().min()
    }

    /// What a change touched is told with it.
    pub(super) fn after(&mut self, world: &World, decision: &Decision) {
        let mut changed = Changed::default();
        decision.events.iter().for_each(|dated| changed.add(&dated.event));
        self.look(world, &About::Changed(changed));
    }

    /// Comes by whenever it is time, and at no other time, until an instant.
    pub(super) fn until(&mut self, world: &mut World, end: Timestamp) {
        loop {
            let due = world.organization.next_due();
            let Some(next) = self.next(world).filter(|next| *next <= end) else { break };
            assert!(next > world.now || due.is_some_and(|due| due <= world.now), "no rest at {next}");
            world.now = next.max(world.now);
            let decision = world.ok(Command::Materialize);
            self.after(world, &decision);
            let due = self.wakes(world).due(world.now);
            self.look(world, &About::Changed(due));
            assert_eq!(self.untold(world, &About::Everything), [], "forgotten at {}", world.now);
        }
        world.now = end;
    }

    /// What was told, as `day kind threshold`.
    pub(super) fn story(&self) -> Vec<String> {
        let each = self.heard.iter().map(|(at, notice)| {
            let day = at.to_string();
            let days = notice.head.days.map(|days| format!(" {days}")).unwrap_or_default();
            format!("{} {}{days}", &day[..10], notice.head.kind)
        });
        each.collect()
    }
}

/// One camera with one unit for a year from 2026.
fn licensed() -> World {
    let mut world = World::new("2026-01-01T12:00:00Z");
    world.claim_key(key(1, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    world.claim_camera(1, site(1));
    world
}

#[test]
fn n1_the_whole_story_of_a_group_that_expires_and_is_cured() {
    let (mut world, mut teller) = (licensed(), Teller::default());
    teller.until(&mut world, at("2027-03-30T00:00:00Z"));
    let noncompliant = &teller.heard.iter().find(|(_, n)| n.head.kind == NoticeKind::Noncompliant).unwrap().1;
    let text = noncompliant.text.join("\n");
    for part in
        ["TERM_ENDED", "2027-02-01T00:00:00Z", "2027-04-02T00:00:00Z", "Claim a key with at least 1 camera"]
    {
        assert!(text.contains(part), "findings, dates and what would cure it: {part} in {text}");
    }
    let decision = world.claim_key(key(2, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    teller.after(&world, &decision);
    teller.until(&mut world, at("2027-06-01T00:00:00Z"));
    assert_eq!(
        teller.story(),
        [
            "2026-12-02 term-ends 30",
            "2026-12-25 term-ends 7",
            "2026-12-31 term-ends 1",
            "2027-01-01 noncompliant",
            "2027-01-25 lock-ahead 7",
            "2027-01-31 lock-ahead 1",
            "2027-03-26 stop-ahead 7",
            "2027-03-30 compliant",
        ]
    );
}

#[test]
fn n2_who_was_down_for_days_tells_what_is_still_true_once() {
    for (back, expect) in [
        ("2026-12-27T12:00:00Z", vec!["2026-12-27 term-ends 7"]),
        ("2027-01-01T11:00:00Z", vec!["2027-01-01 term-ends 1"]),
        ("2027-01-02T00:00:00Z", vec!["2027-01-02 noncompliant"]),
        // The lock a day ahead is told with the rest, not beside it.
        ("2027-01-31T12:00:00Z", vec!["2027-01-31 noncompliant"]),
        ("2027-03-31T12:00:00Z", vec!["2027-03-31 noncompliant"]),
    ] {
        let (mut world, mut teller) = (licensed(), Teller::default());
        world.until(back);
        teller.look(&world, &About::Everything);
        assert_eq!(teller.story(), expect, "back at {back}");
    }
}

/// By product, the device that is covered locks later, by the end of the term: the group itself waits for its stop by then.
#[test]
fn n1_a_lock_by_another_clock_than_the_groups_own_is_told_ahead_too() {
    let (mut world, mut teller) = (World::new("2026-01-01T08:00:00Z"), Teller::default());
    world.claim_key(key(1, &[(CAMERA, 1, 100)], 20, world.now), group(1));
    world.ok(Command::ChangeSettings(SettingsChange { scope: Some(Scope::Product), ..Default::default() }));
    world.claim_camera(1, site(1));
    world.claim_camera(2, site(1));
    teller.until(&mut world, at("2026-02-22T00:00:00Z"));
    let ahead: Vec<String> = teller.story().into_iter().filter(|told| told.contains("lock-ahead")).collect();
    let expect = [
        "2026-01-25 lock-ahead 7",
        "2026-01-31 lock-ahead 1",
        "2026-02-14 lock-ahead 7",
        "2026-02-20 lock-ahead 1",
    ];
    assert_eq!(ahead, expect);
}

#[test]
fn n2_a_notice_that_waited_too_long_is_untrue_and_not_sent() {
    let (mut world, mut teller) = (licensed(), Teller::default());
    teller.until(&mut world, at("2027-01-26T00:00:00Z"));
    let waiting: Vec<NoticeHead> = teller.heard.iter().map(|(_, notice)| notice.head.clone()).collect();
    let left = |world: &World| -> Vec<String> {
        let left = waiting.iter().filter(|head| still_true(&world.organization, head, world.now));
        left.map(|head| head.kind.to_string()).collect()
    };
    assert_eq!(left(&world), ["noncompliant", "lock-ahead"], "the terms are over");
    world.until("2027-01-31T12:00:00Z");
    assert_eq!(left(&world), ["noncompliant"], "the lock is told at a closer threshold");
    world.claim_key(key(2, &[(CAMERA, 1, 199)], 900, world.now), group(1));
    assert_eq!(left(&world), [""; 0]);
}

#[test]
fn n1_a_date_that_moves_a_little_is_not_told_again_and_one_that_moves_much_is() {
    let mut world = licensed();
    world.claim_key(key(2, &[(CAMERA, 1000, 199)], 365, world.now), group(1));
    let mut teller = Teller::default();
    teller.until(&mut world, at("2026-12-28T00:00:00Z"));
    assert_eq!(teller.story(), ["2026-12-02 term-ends 30", "2026-12-25 term-ends 7"]);
    // One unit more for a year moves the date of a thousand by some hours.
    let decision = world.claim_key(key(3, &[(CAMERA, 1, 199)], 365, world.now), group(1));
    teller.after(&world, &decision);
    assert_eq!(teller.heard.len(), 2);
    // A thousand more move it by half a year.
    let decision = world.claim_key(key(4, &[(CAMERA, 1000, 199)], 365, world.now), group(1));
    teller.after(&world, &decision);
    teller.until(&mut world, at("2027-06-20T00:00:00Z"));
    assert_eq!(teller.story()[2..], ["2027-05-31 term-ends 30"]);
}

#[test]
fn k3_a_renewal_below_what_is_in_use_is_told_and_the_term_repeats_it() {
    let mut world = licensed();
    world.claim_key(key(2, &[(CAMERA, 2, 199)], 365, world.now), group(1));
    world.claim_camera(2, site(1));
    let mut teller = Teller::default();
    let key = Box::new(key(3, &[(CAMERA, 1, 199)], 365, world.now));
    let decision = world.ok(Command::ClaimKey { key, group: Some(group(1)), mode: ClaimMode::Renewal });
    teller.after(&world, &decision);
    teller.until(&mut world, at("2026-12-03T00:00:00Z"));
    assert_eq!(teller.story(), ["2026-01-01 renewal-too-small", "2026-12-02 term-ends 30"]);
    for (_, notice) in &teller.heard {
        assert!(
            notice.text.join(" ").contains("1 more camera unit(s) in use than licensed"),
            "{:?}",
            notice.text
        );
    }
    world.ok(Command::RetireDevice { id: device(2) });
    let told = &teller.heard[0].1.head;
    assert!(!still_true(&world.organization, told, world.now), "it is enough now");
}

#[test]
fn g3_countdowns_that_end_on_one_day_are_told_together_at_seven_days_and_one() {
    let (mut world, mut teller) = (World::new("2026-01-01T12:00:00Z"), Teller::default());
    for n in 2..40_u8 {
        let name = format!("S{n}");
        let decision = world.ok(Command::CreateSite { id: site(n), name, parent: None, group: None });
        teller.after(&world, &decision);
        world.now = world.now.saturating_add(Seconds(60));
    }
    let command = Command::ClaimKey {
        key: Box::new(key(1, &[(CAMERA, 1, 199)], 365, world.now)),
        group: None,
        mode: ClaimMode::Increase,
    };
    let decision = world.ok(command);
    teller.after(&world, &decision);
    teller.until(&mut world, at("2026-03-01T00:00:00Z"));
    assert_eq!(teller.story()[..2], ["2026-01-24 countdown-ends 7", "2026-01-30 countdown-ends 1"]);
    let NoticeFacts::Countdown { key_count, site_count, sites, .. } = &teller.heard[0].1.facts else {
        panic!("{:?}", teller.heard[0])
    };
    assert_eq!((*key_count, *site_count, sites.len()), (1, 38, NAMED_MAX));
}

#[test]
fn g3_a_countdown_shorter_than_its_threshold_is_told_when_it_begins() {
    let (mut world, mut teller) = (World::new("2026-01-01T12:00:00Z"), Teller::default());
    let three_days = SettingsChange { countdown_secs: Some(Seconds::days(3)), ..Default::default() };
    world.ok(Command::ChangeSettings(three_days));
    let decision = world.ok(Command::CreateSite { id: site(2), name: "B".into(), parent: None, group: None });
    teller.after(&world, &decision);
    teller.until(&mut world, at("2026-02-01T00:00:00Z"));
    assert_eq!(teller.story(), ["2026-01-01 countdown-ends 7", "2026-01-03 countdown-ends 1"]);
}

#[test]
fn g8_trials_that_end_are_told_and_one_that_was_converted_is_not() {
    let (mut world, mut teller) = (World::new("2026-01-01T12:00:00Z"), Teller::default());
    for n in [1, 2] {
        let device = NewDevice { trial_secs: Some(Seconds::days(30)), ..new_device(n, CAMERA, 1) };
        let decision = world.ok(Command::ClaimDevice { device, site: site(1) });
        teller.after(&world, &decision);
    }
    teller.until(&mut world, at("2026-01-28T00:00:00Z"));
    let decision = world.ok(Command::ConvertTrial { id: device(1) });
    teller.after(&world, &decision);
    teller.until(&mut world, at("2026-02-10T00:00:00Z"));
    let trials: Vec<(Option<u32>, usize)> = teller
        .heard
        .iter()
        .filter(|(_, notice)| notice.head.kind == NoticeKind::TrialEnds)
        .map(|(_, notice)| (notice.head.days, notice.head.items.len()))
        .collect();
    assert_eq!(trials, [(Some(7), 2), (Some(1), 1)]);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// The daemon is down for so long, and nobody can do anything.
    Outage(u64),
    Claim {
        into: Option<u8>,
        renewal: bool,
        door: bool,
        quantity: u64,
        days: u32,
    },
    Device {
        n: u32,
        site: u8,
        door: bool,
        trial: bool,
    },
    Retire(u32),
    Convert(u32),
    Site {
        n: u8,
        into: Option<u8>,
    },
    Move {
        n: u8,
        into: u8,
    },
    Grace {
        days: u64,
        stop: u64,
    },
    Scope(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let into = || prop_oneof![3 => (1..=2_u8).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        4 => (0..60 * 86_400_u64).prop_map(Step::Wait),
        2 => (0..60 * 86_400_u64).prop_map(Step::Outage),
        4 => (into(), any::<bool>(), any::<bool>(), 1..6_u64, 20..120_u32)
            .prop_map(|(into, renewal, door, quantity, days)| Step::Claim { into, renewal, door, quantity, days }),
        4 => (0..12_u32, 1..4_u8, any::<bool>(), prop::bool::weighted(0.3))
            .prop_map(|(n, site, door, trial)| Step::Device { n, site, door, trial }),
        2 => (0..12_u32).prop_map(Step::Retire),
        1 => (0..12_u32).prop_map(Step::Convert),
        2 => (2..8_u8, into()).prop_map(|(n, into)| Step::Site { n, into }),
        2 => (1..8_u8, 1..=2_u8).prop_map(|(n, into)| Step::Move { n, into }),
        1 => (0..=90_u64, 30..90_u64).prop_map(|(days, stop)| Step::Grace { days, stop }),
        1 => any::<bool>().prop_map(Step::Scope),
    ]
}

fn command(step: &Step, next_key: &mut u32, now: Timestamp) -> Option<Command> {
    let product = |door: &bool| if *door { DOOR } else { CAMERA };
    Some(match step {
        Step::Wait(_) | Step::Outage(_) => return None,
        Step::Claim { into, renewal, door, quantity, days } => {
            *next_key += 1;
            let mode = if *renewal { ClaimMode::Renewal } else { ClaimMode::Increase };
            let key = Box::new(key(*next_key, &[(product(door), *quantity, 100)], *days, now));
            Command::ClaimKey { key, group: into.map(group), mode }
        }
        Step::Device { n, site: into, door, trial } => {
            let trial_secs = trial.then_some(Seconds::days(20));
            let device = NewDevice { trial_secs, ..new_device(*n, product(door), 1) };
            Command::ClaimDevice { device, site: site(*into) }
        }
        Step::Retire(n) => Command::RetireDevice { id: device(*n) },
        Step::Convert(n) => Command::ConvertTrial { id: device(*n) },
        Step::Site { n, into } => {
            Command::CreateSite { id: site(*n), name: format!("S{n}"), parent: None, group: into.map(group) }
        }
        Step::Move { n, into } => Command::MoveSite { id: site(*n), to: SiteTarget::Group(group(*into)) },
        Step::Grace { days, stop } => Command::ChangeSettings(SettingsChange {
            grace_secs: Some(Seconds::days(*days)),
            stop_after_lock_secs: Some(Seconds::days(*stop)),
            ..Default::default()
        }),
        Step::Scope(product) => Command::ChangeSettings(SettingsChange {
            scope: Some(if *product { Scope::Product } else { Scope::Group }),
            ..Default::default()
        }),
    })
}

proptest! {
    /// N2: over random histories with a daemon that is down now and then, nothing untrue is told, nothing twice, what a
    /// change touches is told with it, and between two wake-ups there is nothing to tell.
    #[test]
    fn n2_every_threshold_is_told_once_and_nothing_untrue(
        steps in prop::collection::vec(step(), 1..25),
        peek in 0..1000_u64,
    ) {
        let (mut world, mut teller) = (World::new("2026-01-01T08:00:00Z"), Teller::default());
        world.ok(Command::CreateGroup { id: group(2), name: "G2".to_string(), settings: Default::default() });
        let mut next_key = 0;
        for step in &steps {
            match step {
                Step::Wait(secs) => {
                    let end = world.now.saturating_add(Seconds(*secs));
                    teller.until(&mut world, end);
                }
                Step::Outage(secs) => {
                    let decision = world.wait(Seconds(*secs));
                    teller.after(&world, &decision);
                    teller.look(&world, &About::Everything);
                }
                Step::Claim { .. }
                | Step::Device { .. }
                | Step::Retire(_)
                | Step::Convert(_)
                | Step::Site { .. }
                | Step::Move { .. }
                | Step::Grace { .. }
                | Step::Scope(_) => {
                    let Some(command) = command(step, &mut next_key, world.now) else { continue };
                    if decide(&world.organization, &command, &world.context()).is_ok() {
                        let decision = world.ok(command);
                        teller.after(&world, &decision);
                    }
                }
            }
            // Whoever comes by at any moment finds that everything is told.
            prop_assert_eq!(teller.untold(&world, &About::Everything), []);
            if let Some(next) = teller.next(&world) {
                let between = next.since(world.now).0.saturating_sub(1) * peek / 1000;
                let now = world.now;
                world.now = now.saturating_add(Seconds(between));
                prop_assert_eq!(teller.untold(&world, &About::Everything), [], "between {} and {}", now, next);
                world.now = now;
            }
        }
    }
}
