//! The planner against a reference that tries every share of every key (domain G4, K5).

use super::*;
use crate::id::DeviceId;
use crate::licensing::tests::world::{World, group, key, new_device, site};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use proptest::prelude::*;

const CAMERA: ProductType = ProductType::CAMERA;
const DOOR: ProductType = ProductType::DOOR;

/// Cameras, doors, their weights, the term in days; those of 20 days are spent when the site moves.
type Drawn = (u64, u64, u64, u64, u32);

/// Group 1 with these keys and devices at home; site 2, which moves, with its own; group 2 with some units.
fn world(keys: &[Drawn], home: (u64, u64), moving: (u64, u64), free: (u64, u64), renewal: bool) -> World {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "North".into(),
        settings: SettingsChange::default(),
    });
    world.ok(Command::CreateSite { id: site(2), name: "Depot".into(), parent: None, group: Some(group(1)) });
    let lines = |cameras: u64, doors: u64, weights: (u64, u64)| {
        let all = [(CAMERA, cameras, weights.0), (DOOR, doors, weights.1)];
        all.into_iter().filter(|(_, quantity, _)| *quantity > 0).collect::<Vec<_>>()
    };
    for (n, (cameras, doors, w1, w2, days)) in (1..).zip(keys) {
        let lines = lines(*cameras, *doors, (*w1, *w2));
        if !lines.is_empty() {
            world.claim_key(key(n, &lines, *days, world.now), group(1));
        }
    }
    if free != (0, 0) {
        world.claim_key(key(90, &lines(free.0, free.1, (199, 99)), 500, world.now), group(2));
    }
    if renewal && !keys.is_empty() {
        let queued = Box::new(key(91, &[(CAMERA, 9, 199)], 365, world.now));
        world.ok(Command::ClaimKey { key: queued, group: Some(group(1)), mode: ClaimMode::Renewal });
    }
    let mut n = 0;
    for (count, product, into) in
        [(home.0, CAMERA, 1), (home.1, DOOR, 1), (moving.0, CAMERA, 2), (moving.1, DOOR, 2)]
    {
        for _ in 0..count {
            n += 1;
            world.ok(Command::ClaimDevice { device: new_device(n, product, 1), site: site(into) });
        }
    }
    world.wait(Seconds::days(30));
    world
}

fn the_move() -> Command {
    Command::MoveSite { id: site(2), to: SiteTarget::Group(group(2)) }
}

fn planned(world: &World) -> Result<LicensePlan, NoPlan> {
    let decision = decide(&world.organization, &the_move(), &world.context()).unwrap();
    plan(&decision, Home::Group(group(1)), group(2), world.now)
}

/// Steps, splits and units; the greater change of date; the keys.
type Best = (usize, usize, u64, u64, Vec<KeyId>);

/// Every share of every key, judged by the definitions and nothing of the planner's.
fn reference(world: &World) -> Option<Best> {
    let now = world.now;
    let after = decide(&world.organization, &the_move(), &world.context()).unwrap().after;
    let (old, new) = (after.group(group(1)).unwrap(), after.group(group(2)).unwrap());
    if new.assessment.is_compliant() {
        return Some((0, 0, 0, 0, Vec::new()));
    }
    let active: Vec<&LicenseKey> = old.active_keys().map(|id| after.key(id).unwrap()).collect();
    let there: Vec<&LicenseKey> = new.active_keys().map(|id| after.key(id).unwrap()).collect();
    let queued = old.queued_keys().count();
    // A key as (what it holds, what of it goes).
    let lines_of = |key: &LicenseKey| key.issued.lines.clone();
    let mut best: Option<Best> = None;
    let mut shares: Vec<Vec<u64>> = active.iter().map(|key| vec![0; key.issued.lines.len()]).collect();
    loop {
        let spent_goes =
            active.iter().zip(&shares).any(|(key, goes)| key.ends_at <= now && goes.iter().any(|n| *n > 0));
        let mut stays: BTreeMap<ProductType, u64> = BTreeMap::new();
        let mut comes: BTreeMap<ProductType, u64> = BTreeMap::new();
        let (mut old_sums, mut new_sums) = ((0_u128, 0_u128), (0_u128, 0_u128));
        let add = |sums: &mut (u128, u128), n: u64, line: &KeyLine, key: &LicenseKey| {
            let mass = u128::from(n) * u128::from(line.weight);
            *sums = (sums.0 + mass, sums.1 + mass * u128::from(key.ends_at.as_secs()));
        };
        let (mut steps, mut splits, mut units, mut whole) = (0, 0, 0, 0);
        let mut ids = Vec::new();
        for (key, goes) in active.iter().zip(&shares) {
            for (line, n) in lines_of(key).iter().zip(goes) {
                *stays.entry(line.product).or_default() += line.quantity - n;
                *comes.entry(line.product).or_default() += n;
                add(&mut old_sums, line.quantity - n, line, key);
                add(&mut new_sums, *n, line, key);
                units += n;
            }
            let all = lines_of(key).iter().zip(goes).all(|(line, n)| line.quantity == *n);
            if goes.iter().any(|n| *n > 0) {
                steps += 1;
                splits += usize::from(!all);
                whole += usize::from(all);
                ids.push(key.issued.id);
            }
        }
        for key in &there {
            for line in lines_of(key) {
                *comes.entry(line.product).or_default() += line.quantity;
                add(&mut new_sums, line.quantity, &line, key);
            }
        }
        let enough = |has: &BTreeMap<ProductType, u64>, uses: &Units| {
            uses.iter().all(|(product, n)| has.get(product).copied().unwrap_or(0) >= *n)
        };
        let date = |sums: (u128, u128)| (sums.0 > 0).then(|| u64::try_from(sums.1 / sums.0).unwrap());
        let (old_date, new_date) = (date(old_sums), date(new_sums));
        let owes = old_date.is_some_and(|date| date <= now.as_secs());
        let renewals_begin = queued > 0 && whole == active.len();
        if steps > 0
            && !spent_goes
            && !owes
            && !renewals_begin
            && enough(&stays, &old.figures.in_use)
            && enough(&comes, &new.figures.in_use)
        {
            let change = |group: &Group, date: Option<u64>| {
                let before = match group.figures.term {
                    Term::Running { coterm } => Some(coterm.floor().as_secs()),
                    Term::NeverLicensed | Term::Ended { .. } | Term::Emptied => None,
                };
                before.zip(date).map_or(0, |(before, after)| before.abs_diff(after))
            };
            let found = (steps, splits, units, change(old, old_date).max(change(new, new_date)), ids);
            if best.as_ref().is_none_or(|best| found < *best) {
                best = Some(found);
            }
        }
        // The next shares, as an odometer counts.
        let mut digits =
            active.iter().zip(&mut shares).flat_map(|(key, goes)| key.issued.lines.iter().zip(goes));
        loop {
            match digits.next() {
                None => return best,
                Some((line, n)) if *n < line.quantity => {
                    *n += 1;
                    break;
                }
                Some((_, n)) => *n = 0,
            }
        }
    }
}

fn units_of(plan: &LicensePlan) -> u64 {
    plan.keys.iter().flat_map(|key| key.goes.values()).sum()
}

fn splits_of(plan: &LicensePlan) -> usize {
    plan.keys.iter().filter(|key| !key.stays.is_empty()).count()
}

/// The plan as a command, its parts with ids of their own.
fn together(plan: &LicensePlan) -> Command {
    let mut n = 1000;
    let mut part = || {
        n += 1;
        Ok::<_, ()>((key(n, &[(CAMERA, 1, 1)], 1, Timestamp::EPOCH).id, format!("{n}")))
    };
    let keys = plan.keys.iter().map(|key| key.step(&mut part).unwrap()).collect();
    Command::WithLicenses { of: Box::new(the_move()), keys, proven_smallest: plan.proven_smallest }
}

/// Applies a plan and checks that the log and the figures never show less than both groups compliant.
fn applied(world: &mut World, plan: &LicensePlan) {
    let credit = |world: &World| {
        world
            .organization
            .keys()
            .filter(|k| k.state.group().is_some())
            .map(|k| k.credit_at(world.now))
            .sum::<u128>()
    };
    let before = credit(world);
    let decision = world.ok(together(plan));
    assert_eq!(credit(world), before, "D8: no credit is made or lost");
    // Where nothing is missing, the old group may be as short as it was.
    let old = (!plan.keys.is_empty()).then_some(group(1));
    for id in old.into_iter().chain([group(2)]) {
        let found = world.organization.group(id).unwrap();
        assert!(found.assessment.is_compliant(), "G4: both groups are compliant");
        let judged = decision
            .own_events()
            .filter(|dated| matches!(&dated.event, Event::GroupAssessed { group, .. } if *group == id));
        assert!(judged.count() <= 1, "judged once: no state in between");
        if let Term::Running { coterm } = found.figures.term {
            assert!(coterm.floor() > world.now, "K5");
        }
    }
    let wrong = decision.own_events().any(
        |dated| matches!(&dated.event, Event::GroupAssessed { assessment, group: of, .. } if !assessment.is_compliant() && (*of != group(1) || old.is_some())),
    );
    assert!(!wrong);
}

fn check(mut world: World) -> Result<(), TestCaseError> {
    let planned = planned(&world);
    let reference = reference(&world);
    match (&planned, &reference) {
        (Err(why), None) => prop_assert!(why.sentence.ends_with('.'), "{why:?}"),
        (Ok(plan), Some((steps, splits, units, shift, ids))) => {
            prop_assert_eq!((plan.keys.len(), splits_of(plan), units_of(plan)), (*steps, *splits, *units));
            prop_assert!(plan.proven_smallest && plan.proven_closest);
            if *splits <= 1 {
                // Beyond that, what the splits share out is no part of the order.
                prop_assert_eq!(
                    &plan.keys.iter().map(|key| key.key).collect::<Vec<_>>(),
                    ids,
                    "shift {}",
                    shift
                );
            }
            let plan = plan.clone();
            applied(&mut world, &plan);
        }
        _ => prop_assert!(false, "planned {planned:?}, by the reference {reference:?}"),
    }
    Ok(())
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (
        0..3_u64,
        0..3_u64,
        prop_oneof![Just(1_u64), Just(100)],
        Just(99_u64),
        prop_oneof![Just(20_u32), Just(400), Just(800)],
    )
}

fn cameras() -> impl Strategy<Value = Drawn> {
    (
        1..5_u64,
        Just(0_u64),
        prop_oneof![Just(1_u64), Just(50)],
        Just(1_u64),
        prop_oneof![1 => Just(20_u32), 3 => Just(400), 3 => Just(700)],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn g4_k5_the_plan_is_the_smallest_of_all_of_two_products(
        keys in prop::collection::vec(drawn(), 1..=5),
        home in (0..3_u64, 0..3_u64),
        moving in (0..4_u64, 0..4_u64),
        free in (0..2_u64, 0..2_u64),
        renewal: bool,
    ) {
        check(world(&keys, home, moving, free, renewal))?;
    }

    #[test]
    fn g4_k5_the_plan_is_the_smallest_of_all_of_six_keys(
        keys in prop::collection::vec(cameras(), 1..=6),
        home in 0..6_u64,
        moving in 0..9_u64,
        renewal: bool,
    ) {
        check(world(&keys, (home, 0), (moving, 0), (0, 0), renewal))?;
    }
}

#[test]
fn g4_what_is_missing_in_total_is_said() {
    let world = world(&[(2, 1, 199, 99, 400)], (2, 1), (1, 2), (0, 0), false);
    let why = planned(&world).unwrap_err();
    assert_eq!((why.code, &why.missing), (NoPlanCode::TooFewUnits, &[(CAMERA, 1), (DOOR, 2)].into()));
    assert!(why.sentence.contains("1 camera, 2 door missing in total"), "{}", why.sentence);
}

#[test]
fn k5_licenses_that_cannot_be_moved_are_no_plan() {
    // All cameras are in a key whose own end has passed; the other key keeps the group alive.
    let spent = world(&[(5, 0, 1, 1, 20), (0, 5, 1, 99, 800)], (1, 0), (2, 0), (0, 0), false);
    assert_eq!(planned(&spent).unwrap_err().code, NoPlanCode::KeysSpent);
    // The key that would go is all that keeps the common end in the future.
    let owing = world(&[(5, 0, 100, 1, 20), (2, 0, 100, 1, 800)], (1, 0), (2, 0), (0, 0), false);
    assert_eq!(planned(&owing).unwrap_err().code, NoPlanCode::WouldOwe);
    let alone = world(&[(2, 0, 100, 1, 400)], (0, 0), (2, 0), (0, 0), true);
    assert_eq!(planned(&alone).unwrap_err().code, NoPlanCode::RenewalsWouldBegin);
}

#[test]
fn g4_a_group_short_itself_gives_nothing() {
    let mut world = world(&[(6, 1, 199, 99, 400)], (1, 1), (2, 0), (0, 3), false);
    world.ok(Command::ClaimDevice { device: new_device(50, DOOR, 1), site: site(1) });
    let why = planned(&world).unwrap_err();
    assert_eq!((why.code, &why.missing), (NoPlanCode::SourceShort, &[(DOOR, 1)].into()));
}

#[test]
fn g3_g4_unassigned_keys_go_along_with_an_unassigned_site() {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "North".into(),
        settings: SettingsChange::default(),
    });
    world.ok(Command::CreateSite { id: site(2), name: "Depot".into(), parent: None, group: None });
    for (n, units) in [(1, 3), (2, 5)] {
        let key = Box::new(key(n, &[(CAMERA, units, 199)], 365, world.now));
        world.ok(Command::ClaimKey { key, group: None, mode: ClaimMode::Increase });
    }
    for n in 1..=3 {
        world.claim_camera(n, site(2));
    }
    let decision = decide(&world.organization, &the_move(), &world.context()).unwrap();
    let plan = plan(&decision, Home::Unassigned, group(2), world.now).unwrap();
    assert_eq!((plan.keys.len(), splits_of(&plan), plan.keys[0].goes.clone()), (1, 0, [(CAMERA, 3)].into()));
    world.ok(together(&plan));
    assert!(world.group(2).assessment.is_compliant());
}

#[test]
fn g4_only_what_was_planned_of_the_right_group_and_enough_is_applied() {
    let world = world(&[(2, 0, 199, 99, 400), (4, 0, 199, 99, 400)], (1, 0), (2, 0), (0, 0), false);
    let good = planned(&world).unwrap();
    let with = |of: Command, keys| Command::WithLicenses { of: Box::new(of), keys, proven_smallest: true };
    assert_eq!(world.refused(with(the_move(), Vec::new())), ["LICENSES_DO_NOT_SUFFICE"]);
    let both = (1..=2).map(|n| KeyStep::Move { key: key(n, &[(CAMERA, 1, 1)], 1, world.now).id }).collect();
    assert_eq!(
        world.refused(with(the_move(), both)),
        ["LICENSES_DO_NOT_SUFFICE"],
        "too much is no plan either"
    );
    assert_eq!(world.refused(with(Command::Materialize, Vec::new())), ["NOTHING_MOVES"]);
    let mut elsewhere = world;
    elsewhere.ok(Command::UnclaimKey { id: good.keys[0].key });
    assert_eq!(elsewhere.refused(together(&good)), ["KEY_NOT_OF_SOURCE"]);
}

#[test]
fn k9_the_digest_binds_a_move_to_the_licenses_that_were_shown() {
    let mut world = world(&[(2, 0, 199, 99, 400), (4, 0, 199, 99, 400)], (1, 0), (2, 0), (0, 0), false);
    let plan = planned(&world).unwrap();
    let shown = preview(&world.organization, &together(&plan), &world.context()).unwrap();
    let said: Vec<_> = shown.warnings.iter().filter(|w| w.code == WarningCode::LicensesGoAlong).collect();
    assert!(
        said[0].sentence.starts_with("Move key") && said[0].sentence.ends_with("2 camera to North."),
        "{said:?}"
    );
    assert!(shown.groups.iter().all(|change| change.after.as_ref().unwrap().compliant));
    let again = decide(&world.organization, &together(&plan), &world.context()).unwrap();
    assert_eq!(check_digest(&again, &shown.digest), Ok(()));
    // Elsewhere nothing matters; in one of the groups everything does.
    world.ok(Command::CreateGroup { id: group(3), name: "West".into(), settings: SettingsChange::default() });
    let again = decide(&world.organization, &together(&plan), &world.context()).unwrap();
    assert_eq!(check_digest(&again, &shown.digest), Ok(()));
    world.claim_camera(60, site(1));
    let later = decide(&world.organization, &together(&plan), &world.context()).unwrap();
    assert!(check_digest(&later, &shown.digest).unwrap_err().has(RefusalCode::PreviewOutdated));
}

/// Ten thousand keys of four products in every mixture.
fn many(distinct: bool) -> (World, u64) {
    let mut world = World::new("2026-01-01T00:00:00Z");
    world.ok(Command::CreateGroup {
        id: group(2),
        name: "North".into(),
        settings: SettingsChange::default(),
    });
    world.ok(Command::CreateSite { id: site(2), name: "Depot".into(), parent: None, group: Some(group(1)) });
    let products = [CAMERA, DOOR, ProductType::INTERCOM, ProductType::VIEWING_STATION];
    let mut organization = world.organization.clone();
    let mut seed = 7_u64;
    for n in 1..=10_000_u32 {
        let mut lines = Vec::new();
        for (index, product) in products.iter().enumerate() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let quantity =
                if distinct { (seed >> 40) % 997 + 1 } else { [1, 5, 10, 25][(seed >> 40) as usize % 4] };
            if (n as usize + index).is_multiple_of(4) || (seed >> 33).is_multiple_of(5) {
                lines.push((*product, quantity, 199));
            }
        }
        if lines.is_empty() {
            continue;
        }
        let claimed = Box::new(key(n, &lines, 365 + n % 900, world.now));
        let claim = Command::ClaimKey { key: claimed, group: Some(group(1)), mode: ClaimMode::Increase };
        organization = decide(&organization, &claim, &world.context()).unwrap().after;
    }
    world.organization = organization;
    for (n, product) in (1_u32..).zip(products) {
        let id: DeviceId = format!("big-{n}").parse().unwrap();
        let device = NewDevice {
            id,
            model: "X".to_string(),
            product,
            units: 300 * u64::from(n),
            trial_secs: None,
            doors: None,
        };
        let claim = Command::ClaimDevice { device, site: site(2) };
        world.organization = decide(&world.organization, &claim, &world.context()).unwrap().after;
    }
    (world, 3000)
}

#[test]
fn g4_ten_thousand_keys_of_four_products_are_planned_with_bounded_work() {
    for distinct in [false, true] {
        let (world, needed) = many(distinct);
        let plan = planned(&world).unwrap();
        assert!(units_of(&plan) >= needed);
        let after = decide(&world.organization, &together(&plan), &world.context()).unwrap().after;
        assert!(after.groups().all(|group| group.assessment.is_compliant()));
        // What is proven and what is not is said; with so many ways the dates cannot all be tried.
        assert!(!plan.proven_closest);
    }
}

#[test]
fn g4_a_search_that_ends_early_says_so() {
    let world = world(&[(3, 0, 199, 99, 400); 6], (5, 0), (7, 0), (0, 0), false);
    let decision = decide(&world.organization, &the_move(), &world.context()).unwrap();
    let problem = Problem::of(&decision.after, Home::Group(group(1)), group(2), world.now).unwrap();
    let whole = search::search(&problem, search::WORK).unwrap();
    assert!(whole.smallest && whole.closest);
    let hurried = search::search(&problem, 30).unwrap();
    assert!(!hurried.smallest && !hurried.closest);
    assert_eq!(
        hurried.choice.rank.steps, whole.choice.rank.steps,
        "the first that is found is small already"
    );
}
