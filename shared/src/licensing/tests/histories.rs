//! Random histories of all operations, against the implementation on paper ([`super::paper`]).
//!
//! What happens to groups, sites and devices is in [`super::histories_of_places`].

use super::histories_of_places::Place;
use super::paper::{Paper, PaperKey, Site, Spot, Where};
use super::world::{World, group, key, site};
use crate::id::{KeyId, OrganizationId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use proptest::prelude::*;

const PRODUCTS: [ProductType; 3] =
    [ProductType::CAMERA, ProductType::DOOR, ProductType::ENVIRONMENTAL_SENSOR];

/// The organization keys are given to.
const ELSEWHERE: OrganizationId = OrganizationId::from_bytes([3; 16]);

/// One thing that happens in a history.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Wait(u64),
    Claim {
        group: Option<u8>,
        renewal: bool,
        product: usize,
        quantity: u64,
        weight: u64,
        days: u32,
        age: u64,
    },
    Move {
        nth: usize,
        group: u8,
        renewal: bool,
    },
    Unclaim {
        nth: usize,
    },
    Split {
        nth: usize,
        first: u64,
        groups: [Option<u8>; 2],
        renewal: bool,
        /// The second part goes to another organization.
        away: bool,
    },
    Grace {
        days: u64,
    },
    Scope(Scope),
    Pace(u64),
    Transfer {
        nth: usize,
    },
    Place(Place),
}

fn step() -> impl Strategy<Value = Step> {
    let groups = || prop_oneof![4 => (1..=3_u8).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        4 => (0..200 * 86_400_u64).prop_map(Step::Wait),
        4 => (groups(), any::<bool>(), 0..3_usize, 1..20_u64, 1..500_u64, 1..800_u32, 0..400_u64).prop_map(
            |(group, renewal, product, quantity, weight, days, age)| Step::Claim {
                group, renewal, product, quantity, weight, days, age
            }
        ),
        3 => (0..20_usize, 1..=3_u8, any::<bool>())
            .prop_map(|(nth, group, renewal)| Step::Move { nth, group, renewal }),
        1 => (0..20_usize).prop_map(|nth| Step::Unclaim { nth }),
        2 => (0..20_usize, 0..20_u64, groups(), groups(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(nth, first, a, b, renewal, away)| {
                let b = b.filter(|_| !away);
                Step::Split { nth, first, groups: [a, b], renewal, away }
            }),
        1 => (0..=90_u64).prop_map(|days| Step::Grace { days }),
        1 => prop_oneof![Just(Scope::Group), Just(Scope::Product)].prop_map(Step::Scope),
        1 => (0..4_u64).prop_map(Step::Pace),
        1 => (0..20_usize).prop_map(|nth| Step::Transfer { nth }),
        11 => super::histories_of_places::place().prop_map(Step::Place),
    ]
}

/// A random history, up to `length` steps.
pub(super) fn history(length: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..length)
}

/// The world after a history.
pub(super) fn lived(steps: &[Step]) -> World {
    let mut both = Both::new();
    steps.iter().for_each(|step| both.run(step));
    both.world
}

fn id(n: u32) -> KeyId {
    key(n, &[(PRODUCTS[0], 1, 1)], 1, Timestamp::EPOCH).id
}

/// The aggregate and the paper, side by side.
pub(super) struct Both {
    pub(super) world: World,
    pub(super) paper: Paper,
    next_key: u32,
}

impl Both {
    fn new() -> Both {
        let mut world = World::new("2026-01-01T08:00:00Z");
        world.ok(Command::CreateGroup { id: group(2), name: "G2".to_string(), settings: Default::default() });
        for (n, of) in [(2, 2), (3, 1)] {
            let name = n.to_string();
            world.ok(Command::CreateSite { id: site(n), name, parent: None, group: Some(group(of)) });
        }
        let place = |name: &str, group| Site { name: name.to_string(), spot: Spot::In(group) };
        let paper = Paper {
            groups: [(1, "Group 1".to_string()), (2, "G2".to_string())].into(),
            sites: [(1, place("HQ", 1)), (2, place("2", 2)), (3, place("3", 1))].into(),
            ..Paper::default()
        };
        Both { world, paper, next_key: 1 }
    }

    /// Runs a command if the paper says it may be done, and expects a refusal if not.
    pub(super) fn expect(&mut self, allowed: bool, command: Command) {
        if allowed {
            self.world.ok(command);
        } else {
            assert!(!self.world.refused(command).is_empty());
        }
    }

    /// The number of the nth key that is in use.
    fn nth(&self, nth: usize) -> Option<u32> {
        let usable: Vec<u32> =
            self.paper.keys.iter().filter(|(_, key)| key.at != Where::Gone).map(|(id, _)| *id).collect();
        (!usable.is_empty()).then(|| usable[nth % usable.len()])
    }

    fn group_of(&self, key: u32) -> Option<u8> {
        match self.paper.keys[&key].at {
            Where::Pool(group) | Where::Queue(group, _) => Some(group),
            Where::Nowhere(_) | Where::Gone => None,
        }
    }

    fn countdown(&self) -> Timestamp {
        self.world.now.saturating_add(Seconds::days(30))
    }

    /// Whether the paper lets a key leave where it is (domain K5).
    fn may_leave(&self, key: u32) -> bool {
        let now = self.world.now;
        let spent = self.paper.keys[&key].left(now) == Seconds::ZERO;
        let owes = match self.paper.keys[&key].at {
            Where::Pool(group) => self.paper.would_owe_without(key, group, now),
            Where::Queue(..) | Where::Nowhere(_) | Where::Gone => false,
        };
        !spent && !owes
    }

    /// Whether a key may go to a group in this mode: it waits once (domain K3).
    fn may_wait(&self, key: u32, group: u8, renewal: bool) -> bool {
        !(renewal && self.paper.is_running(group) && self.paper.keys[&key].has_waited)
    }

    fn run(&mut self, step: &Step) {
        let now = self.world.now;
        match *step {
            Step::Wait(secs) => {
                let before = self.world.organization.clone();
                self.world.wait(Seconds(secs));
                self.paper.pass_time(self.world.now);
                let queued = before.groups().any(|g| g.queued_keys().count() > 0);
                let unassigned = before.unassigned_keys().count() + before.unassigned_sites().count() > 0;
                for dev in before.devices().filter(|dev| dev.is_active() && !queued && !unassigned) {
                    // E5: what merely comes as announced needs no message, a reset of the clocks included.
                    let (old, new) = (before.wanted(&dev.id), self.world.organization.wanted(&dev.id));
                    assert_eq!(old, new, "E5: changed by waiting");
                }
            }
            Step::Claim { group: to, renewal, product, quantity, weight, days, age } => {
                let n = self.next_key;
                let created_at = now.saturating_sub(Seconds::days(age));
                let key = key(n, &[(PRODUCTS[product], quantity, weight)], days, created_at);
                let end = key.ends_at;
                let mode = if renewal { ClaimMode::Renewal } else { ClaimMode::Increase };
                let claim = Command::ClaimKey { key: Box::new(key), group: to.map(group), mode };
                // K3, K5: a renewal waits in a group, and a spent key is refused.
                let exists = to.is_none_or(|to| self.paper.groups.contains_key(&to));
                let allowed = end > now && exists && !(renewal && to.is_none());
                self.expect(allowed, claim);
                if allowed {
                    self.next_key += 1;
                    let at = Where::Nowhere(self.countdown());
                    self.paper.keys.insert(
                        n,
                        PaperKey { product: PRODUCTS[product], quantity, weight, end, at, has_waited: false },
                    );
                    if let Some(to) = to {
                        self.paper.put(n, to, renewal, now);
                    }
                }
            }
            Step::Move { nth, group: to, renewal } => {
                let Some(n) = self.nth(nth) else { return };
                let from = self.group_of(n);
                let exists = self.paper.groups.contains_key(&to);
                let allowed =
                    exists && self.may_leave(n) && from != Some(to) && self.may_wait(n, to, renewal);
                let mode = Some(if renewal { ClaimMode::Renewal } else { ClaimMode::Increase });
                self.expect(allowed, Command::MoveKey { id: id(n), group: group(to), mode });
                if allowed {
                    self.paper.put(n, to, renewal, now);
                    from.into_iter().for_each(|from| self.paper.after_leaving(from, now));
                }
            }
            Step::Unclaim { nth } => {
                let Some(n) = self.nth(nth) else { return };
                let from = self.group_of(n);
                let allowed = self.may_leave(n) && from.is_some() && self.paper.keys[&n].end > now;
                self.expect(allowed, Command::UnclaimKey { id: id(n) });
                if allowed {
                    self.paper.keys.get_mut(&n).unwrap().at = Where::Nowhere(self.countdown());
                    from.into_iter().for_each(|from| self.paper.after_leaving(from, now));
                }
            }
            Step::Split { nth, first, groups, renewal, away } => {
                self.split(nth, first, groups, renewal, away);
            }
            Step::Transfer { nth } => {
                let Some(n) = self.nth(nth) else { return };
                let key = &self.paper.keys[&n];
                let allowed = matches!(key.at, Where::Nowhere(_)) && key.left(now) > Seconds::ZERO;
                self.expect(allowed, Command::TransferKey { id: id(n), to: ELSEWHERE });
                if allowed {
                    self.paper.keys.get_mut(&n).unwrap().at = Where::Gone;
                }
            }
            Step::Place(ref place) => self.run_place(place),
            Step::Scope(scope) => {
                let change = SettingsChange { scope: Some(scope), ..SettingsChange::default() };
                // A wider one would lock devices that were spared, where something is missing.
                self.ok_unless(Command::ChangeSettings(change), "SCOPE_IN_USE");
            }
            Step::Pace(per_day) => {
                self.world.limits.lockout_pace_min = Some(1);
                let change = SettingsChange { lockout_pace: Some(per_day), ..SettingsChange::default() };
                self.world.ok(Command::ChangeSettings(change));
            }
            Step::Grace { days } => {
                let change =
                    SettingsChange { grace_secs: Some(Seconds::days(days)), ..SettingsChange::default() };
                self.world.ok(Command::ChangeSettings(change));
            }
        }
    }

    /// Does it, or has it refused for this reason.
    fn ok_unless(&mut self, command: Command, refusal: &str) {
        match decide(&self.world.organization, &command, &self.world.context()) {
            Ok(_) => drop(self.world.ok(command)),
            Err(_) => assert_eq!(self.world.refused(command).first(), Some(&refusal)),
        }
    }

    fn split(&mut self, nth: usize, first: u64, groups: [Option<u8>; 2], renewal: bool, away: bool) {
        let now = self.world.now;
        let Some(n) = self.nth(nth) else { return };
        let parent = self.paper.keys[&n].clone();
        let from = self.group_of(n);
        let quantities = [first, parent.quantity.saturating_sub(first)];
        let mode = if renewal { ClaimMode::Renewal } else { ClaimMode::Increase };
        let ids = [self.next_key, self.next_key + 1];
        let part = |which: usize| PartRequest {
            id: id(ids[which]),
            code_tail: "ABCDE".to_string(),
            lines: Vec::from([OrderLine { product: parent.product, quantity: quantities[which] }]),
            target: match groups[which] {
                None if away && which == 1 => PartTarget::Other(ELSEWHERE),
                to => PartTarget::Own { group: to.map(group), mode: to.map(|_| mode) },
            },
        };
        let both_hold = quantities.iter().all(|quantity| *quantity > 0);
        // A part that stays in the pool keeps the group from owing.
        let spent = parent.left(now) == Seconds::ZERO;
        let mut after = self.paper.clone();
        after.keys.get_mut(&n).unwrap().at = Where::Gone;
        let emptied =
            matches!(parent.at, Where::Pool(_)) && !after.keys.values().any(|key| key.at == parent.at);
        if emptied && let Some(from) = from {
            after.standing.insert(from, super::paper::Standing::Emptied);
        }
        for which in 0..2 {
            let at = Where::Nowhere(self.countdown());
            let at = if let Where::Queue(..) = parent.at { parent.at } else { at };
            after.keys.insert(ids[which], PaperKey { quantity: quantities[which], at, ..parent.clone() });
            match groups[which] {
                // Whether there is a term to wait for is asked before the key leaves: both parts get the same answer.
                Some(to) => after.put_as(ids[which], to, renewal && self.paper.is_running(to), now),
                None => {
                    let gone = away && which == 1;
                    let at = if gone { Where::Gone } else { Where::Nowhere(self.countdown()) };
                    after.keys.get_mut(&ids[which]).unwrap().at = at;
                }
            }
        }
        from.into_iter().for_each(|from| after.after_leaving(from, now));
        if emptied && let Some(from) = from {
            after.activate_if_idle(from, now);
        }
        let owes = from.is_some_and(|from| {
            after.standing(from) == super::paper::Standing::Running
                && after.coterm(from).is_some_and(|coterm| coterm.floor() <= u128::from(now.as_secs()))
        });
        let unclaimed = groups.iter().any(Option::is_none) && parent.end <= now;
        let exist = groups.iter().flatten().all(|to| self.paper.groups.contains_key(to));
        let wait = groups.iter().flatten().all(|to| self.may_wait(n, *to, renewal));
        let allowed = both_hold && !spent && !owes && !unclaimed && wait && exist;
        self.expect(allowed, Command::SplitKey { id: id(n), parts: Box::new([part(0), part(1)]) });
        if allowed {
            self.next_key += 2;
            let credit = |paper: &Paper, n: u32| paper.keys[&n].credit(now);
            if !groups.contains(&None) || !matches!(parent.at, Where::Queue(..)) {
                assert_eq!(credit(&after, ids[0]) + credit(&after, ids[1]), parent.credit(now), "K7");
            }
            self.paper = after;
        }
    }

    fn check(&self, before: &Organization, before_at: Timestamp) {
        let now = self.world.now;
        assert_eq!(self.world.organization.groups().count(), self.paper.groups.len());
        for &n in self.paper.groups.keys() {
            let group = self.world.group(n);
            let exact = group.figures.term.coterm().map(|coterm| coterm.exact_secs());
            assert_eq!(exact, self.paper.coterm(n), "D1: the exact date of group {n}");
            assert_eq!(group.figures.capacity, self.paper.capacity(n), "capacity of group {n}");
            assert_eq!(group.assessment.findings, self.paper.findings(n), "C1: findings of group {n}");
            let schedule = group.assessment.schedule();
            assert!(schedule.is_ordered());
            assert_eq!(group.assessment.state, schedule.state_at(now), "the state follows the schedule");
            if group.assessment.is_compliant() {
                assert_eq!(group.assessment.state, crate::enforcement::EnforcementState::Licensed, "E4");
            }
            // E3: while a clock keeps running, its announced dates never come earlier.
            let Some(old) = before.group(group.id).map(|group| &group.assessment) else { continue };
            for (old, new) in [
                (old.clocks.expiry, group.assessment.clocks.expiry),
                (old.clocks.capacity, group.assessment.clocks.capacity),
            ] {
                if let (CauseClock::Running(old), CauseClock::Running(new)) = (old, new)
                    && old.since == new.since
                {
                    assert!(new.lock_at >= old.lock_at && new.stop_at >= old.stop_at, "E3");
                }
            }
        }
        // Conservation: what every key is worth, key by key.
        for (n, on_paper) in &self.paper.keys {
            let key = self.world.organization.key(id(*n)).unwrap();
            let in_use = key.is_active() || key.is_queued() || key.state.name() == "unassigned";
            assert_eq!(in_use, on_paper.at != Where::Gone, "key {n}");
            if in_use {
                assert_eq!(key.credit_at(now), on_paper.credit(now), "credit of key {n}");
                // No operation makes credit: no key is ever worth more than it was.
                let old = before.key(id(*n)).map_or(u128::MAX, |old| old.credit_at(before_at));
                assert!(key.credit_at(now) <= old, "credit of key {n} grew");
            }
        }
        let in_use = self.world.organization.devices().filter(|dev| dev.is_active());
        assert_eq!(in_use.count(), self.paper.devices.len());
        let mut wants = Wants::of(&self.world.organization);
        for dev in self.world.organization.devices().filter(|dev| dev.is_active()) {
            let wanted = self.world.organization.wanted(&dev.id);
            assert!(wanted.as_ref().unwrap().schedule.is_ordered());
            // C3: asked alone or with all others, a device is told the same.
            assert_eq!(wants.wanted(&dev.id), wanted);
        }
        super::figures::are_what_devices_do(&self.world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("COTERM_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(500)
    ))]

    #[test]
    fn the_aggregate_agrees_with_paper(steps in prop::collection::vec(step(), 1..40)) {
        let mut both = Both::new();
        for step in &steps {
            let (before, at) = (both.world.organization.clone(), both.world.now);
            both.run(step);
            both.check(&before, at);
        }
        // A snapshot is the organization, and so is its replayed log.
        let world = both.world;
        let snapshot = serde_json::to_string(&world.organization).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Organization>(&snapshot).unwrap(), &world.organization);
        let mut replayed = Organization::open(&world.log[0]).unwrap();
        // T2: what moved a date last is the last event after which it was another, from what it was before that event.
        let mut moved = BTreeMap::new();
        for dated in &world.log[1..] {
            let before = replayed.clone();
            replayed.apply(dated).unwrap();
            // A group that is made anew with the id of one that was deleted has no past.
            moved.retain(|id, _| replayed.group(*id).is_some());
            for group in replayed.groups() {
                let date = |of: &Organization| of.group(group.id).and_then(|group| group.figures.term.coterm());
                let (from, to) = (date(&before), date(&replayed));
                if from != to {
                    moved.insert(group.id, (replayed.version(), from, to));
                }
            }
        }
        for group in replayed.groups() {
            let said = group.last_moved.as_ref().map(|last| (last.version, last.from, last.to));
            prop_assert_eq!(said.as_ref(), moved.get(&group.id), "{}", group.name);
        }
        prop_assert_eq!(&replayed, &world.organization);
        prop_assert!(world.log.windows(2).all(|pair| pair[0].at <= pair[1].at), "the log is in order");
    }
}
