//! A clerk who keeps the keys of an organization by its log alone (domain D1, D4, D5, G3, G5, K2-K8).
//!
//! **Problem.** A recount of the books takes the ends of keys, the state of a term and the units of a group whose keys have
//! retired from the very books it judges; and what time does by itself, nobody asked for. **Method.** The clerk reads what
//! happened, line by line, and computes what it comes to from instants and orders; the numbers that a line brings along have
//! to be the clerk's own, and so have the books that the daemon keeps. **Deliberately absent:** devices and clocks, which
//! `recount.rs` and `grace.rs` count, and who may do what.

use crate::recount::secs;
use coterm_cloud::store::Envelope;
use coterm_shared::id::{GroupId, KeyId, SiteId};
use coterm_shared::licensing::{
    Event, IssuedKey, KeyPlace, KeyState, LicenseKey, Organization, Place, SplitPart, Term,
};
use coterm_shared::product::ProductType;
use coterm_shared::time::DAY_SECS;
use std::collections::{BTreeMap, BTreeSet};

type Units = BTreeMap<ProductType, u64>;

/// Where a key is, by the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// In a group's pool.
    In(GroupId),
    /// In a group's queue, with so many seconds left.
    Waits(GroupId, i128),
    /// In no group, until it joins the default one.
    Alone(i128),
    /// Retired, split or given away.
    Gone,
}

/// A key, by the log.
#[derive(Clone, Debug)]
struct Card {
    /// Units, and what a second of them is worth.
    lines: Vec<(ProductType, u64, u64)>,
    /// When its clock runs out, unless it stands still.
    ends: i128,
    /// Its clock has stood still once.
    waited: bool,
    /// It was in a group: it cures, and gives no grace back any more (E2).
    used: bool,
    stand: Stand,
}

impl Card {
    fn mass(&self) -> i128 {
        self.lines.iter().map(|(_, quantity, weight)| i128::from(*quantity) * i128::from(*weight)).sum()
    }

    /// What is left of it; nothing is done with a key whose clock has run out (K5).
    fn left(&self, now: i128) -> Result<i128, String> {
        let left = match self.stand {
            Stand::Waits(_, left) => left,
            Stand::In(_) | Stand::Alone(_) | Stand::Gone => self.ends - now,
        };
        if left > 0 { Ok(left) } else { Err(format!("its clock ran out at {}", self.ends)) }
    }
}

/// What became of a group's term.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Account {
    Never,
    Runs,
    /// It ended with these units, which go on to count (D4).
    Ended(Units),
    Empty,
}

/// What the log comes to.
#[derive(Debug, Default)]
pub struct Clerk {
    /// Lines read.
    read: u64,
    keys: BTreeMap<KeyId, Card>,
    groups: BTreeMap<GroupId, Account>,
    /// Sites in no group, and when each joins the default one.
    sites: BTreeMap<SiteId, i128>,
    /// How long keys and sites may be in no group.
    countdown: i128,
    /// How often settings were changed.
    settings: u64,
    /// Groups into which a key came that never was in one.
    firsts: BTreeSet<GroupId>,
    /// Groups into which one came that was in another: for thirty days, longer than a schedule, no first key gives anything
    /// back beside it (E2).
    lent: BTreeSet<GroupId>,
}

/// Whether two numbers are the same, and what they are if not.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, said: T, counted: T) -> Result<(), String> {
    if said == counted {
        Ok(())
    } else {
        Err(format!("{what}: the log says {said:?}, it comes to {counted:?}"))
    }
}

impl Clerk {
    /// Lines read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How often settings were changed, of the organization or of a group.
    pub fn settings(&self) -> u64 {
        self.settings
    }

    /// Groups into which a key came that never was in one, since somebody asked; also by what is due in these books and not
    /// written yet.
    pub fn firsts(&mut self, books: &Organization) -> BTreeSet<GroupId> {
        let written = |key: &&LicenseKey| self.keys.get(&key.issued.id).is_some_and(|card| card.used);
        let due = books.keys().filter(|key| key.was_in_group && !written(key));
        let due: Vec<GroupId> = due.filter_map(|key| key.state.group()).collect();
        std::mem::take(&mut self.firsts).into_iter().chain(due).collect()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// It says something else than it comes to, or what must not happen.
    pub fn enter(&mut self, line: &Envelope) -> Result<(), String> {
        self.read += 1;
        let event: Event = serde_json::from_slice(&line.event).map_err(|error| error.to_string())?;
        self.settings +=
            u64::from(matches!(event, Event::SettingsChanged { .. } | Event::GroupSettingsChanged { .. }));
        self.happened(&event, secs(line.at)).map_err(|what| format!("line {}, {event:?}: {what}", line.seq))
    }

    fn happened(&mut self, event: &Event, at: i128) -> Result<(), String> {
        match event {
            Event::OrganizationFounded { settings, default_group, .. } => {
                self.countdown = i128::from(settings.countdown_secs.0);
                self.groups.insert(*default_group, Account::Never);
            }
            Event::SettingsChanged { settings } => self.countdown = i128::from(settings.countdown_secs.0),
            Event::GroupCreated { group, .. } => {
                self.groups.insert(*group, Account::Never);
            }
            Event::GroupDeleted { group } => {
                self.groups.remove(group);
                let of =
                    |card: &&Card| matches!(card.stand, Stand::In(of) | Stand::Waits(of, _) if of == *group);
                same("keys in it", self.keys.values().filter(of).count(), 0)?;
            }
            Event::SiteCreated { site, place, .. } | Event::SiteMoved { site, place } => match place {
                Place::Unassigned { joins_at, .. } => {
                    same("its countdown", secs(*joins_at), at + self.countdown)?;
                    self.sites.insert(*site, secs(*joins_at));
                }
                Place::Root { .. } | Place::Within { .. } => {
                    self.sites.remove(site);
                }
            },
            Event::SiteDeleted { site } => {
                self.sites.remove(site);
            }
            Event::KeyClaimed { key, place, past } => {
                let ends = secs(key.created_at) + i128::from(key.term_days) * i128::from(DAY_SECS);
                // One that waited elsewhere, or came of one that did, ends later by that.
                let card = card(key, if past.has_waited { secs(key.ends_at).max(ends) } else { ends })?;
                self.keys.insert(key.id, Card { waited: past.has_waited, used: past.was_in_group, ..card });
                self.put(key.id, place, at)?;
            }
            Event::KeyPlaced { key, place } => {
                let from = self.take(*key, at)?;
                self.put(*key, place, at)?;
                self.left_alone(from);
            }
            Event::KeySplit { key, parts } => self.split(*key, parts, at)?,
            Event::KeyExpired { key } => {
                let card = self.keys.get_mut(key).ok_or("nobody has it")?;
                same("when it ran out", at, card.ends)?;
                if !matches!(card.stand, Stand::Alone(_)) {
                    return Err(format!("it was {:?}", card.stand));
                }
                card.stand = Stand::Gone;
            }
            Event::KeyTransferred { key, .. } => {
                let from = self.take(*key, at)?;
                self.gone(*key);
                self.left_alone(from);
            }
            Event::RenewalsActivated { group, keys } => self.renewed(*group, *keys, at)?,
            Event::TermEnded { group, keys } => self.ended(*group, *keys, at)?,
            // Devices, clocks and people.
            _ => {}
        }
        Ok(())
    }

    /// Takes a key from where it is, for somewhere else.
    fn take(&mut self, key: KeyId, at: i128) -> Result<Option<GroupId>, String> {
        let card = self.keys.get(&key).ok_or("nobody has it")?;
        card.left(at)?;
        Ok(match card.stand {
            Stand::In(group) => Some(group),
            Stand::Waits(..) | Stand::Alone(_) => None,
            Stand::Gone => return Err("it is gone".to_owned()),
        })
    }

    /// Puts a key somewhere, with what is left of it.
    fn put(&mut self, key: KeyId, place: &KeyPlace, at: i128) -> Result<(), String> {
        let Clerk { keys, groups, countdown, firsts, lent, .. } = self;
        let card = keys.get_mut(&key).ok_or("nobody has it")?;
        let left = card.left(at)?;
        let from = match card.stand {
            Stand::In(group) | Stand::Waits(group, _) => Some(group),
            Stand::Alone(_) | Stand::Gone => None,
        };
        lent.extend(place.group().filter(|group| card.used && from != Some(*group)));
        firsts.extend(place.group().filter(|group| !card.used && !lent.contains(group)));
        card.used |= place.group().is_some();
        let runs = |group: &GroupId| groups.get(group) == Some(&Account::Runs);
        match place {
            KeyPlace::Active { group, ends_at } => {
                same("its end", secs(*ends_at), at + left)?;
                card.waited |= at + left > card.ends;
                (card.ends, card.stand) = (at + left, Stand::In(*group));
                groups.insert(*group, Account::Runs);
            }
            KeyPlace::Queued { group, left_secs } => {
                same("what is left of it", i128::from(left_secs.0), left)?;
                if card.waited || !runs(group) {
                    return Err(format!(
                        "it waits, has waited: {}, a term runs: {}",
                        card.waited,
                        runs(group)
                    ));
                }
                card.stand = Stand::Waits(*group, left);
            }
            KeyPlace::Unassigned { joins_at, ends_at } => {
                // The clock it had goes on as if it had never stood still (K3).
                same("its end", secs(*ends_at), card.ends)?;
                if card.ends <= at {
                    return Err("its own clock has run out".to_owned());
                }
                same("its countdown", secs(*joins_at), at + *countdown)?;
                card.stand = Stand::Alone(secs(*joins_at));
            }
        }
        Ok(())
    }

    /// A key left a group, perhaps the last one.
    fn left_alone(&mut self, group: Option<GroupId>) {
        if let Some(group) = group.filter(|group| self.of(*group).next().is_none()) {
            self.groups.insert(group, Account::Empty);
        }
    }

    fn split(&mut self, key: KeyId, parts: &[SplitPart; 2], at: i128) -> Result<(), String> {
        let from = self.take(key, at)?;
        let whole = self.keys.get(&key).cloned().ok_or("nobody has it")?;
        let mut lines: BTreeMap<(ProductType, u64), u64> = BTreeMap::new();
        for part in parts {
            for line in &part.key.lines {
                *lines.entry((line.product, line.weight)).or_default() += line.quantity;
            }
        }
        let of_both = lines.into_iter().map(|((product, weight), quantity)| (product, quantity, weight));
        let mut of_whole = whole.lines.clone();
        of_whole.sort_unstable();
        same("its lines", of_both.collect::<Vec<_>>(), of_whole)?;
        for part in parts {
            let own = card(&part.key, whole.ends)?;
            self.keys.insert(part.key.id, Card { lines: own.lines, ..whole.clone() });
            self.put(part.key.id, &part.place, at)?;
        }
        self.gone(key);
        self.left_alone(from);
        Ok(())
    }

    fn gone(&mut self, key: KeyId) {
        if let Some(card) = self.keys.get_mut(&key) {
            card.stand = Stand::Gone;
        }
    }

    /// The keys in a group's pool.
    fn of(&self, group: GroupId) -> impl Iterator<Item = &Card> {
        self.keys.values().filter(move |card| card.stand == Stand::In(group))
    }

    fn units(&self, group: GroupId) -> Units {
        let mut units = Units::new();
        for (product, quantity, _) in self.of(group).flat_map(|card| &card.lines) {
            *units.entry(*product).or_default() += quantity;
        }
        units
    }

    /// The whole second in which a group's keys end together (D1).
    fn together(&self, group: GroupId) -> Option<i128> {
        let (mass, moment) = self
            .of(group)
            .fold((0, 0), |(mass, moment), card| (mass + card.mass(), moment + card.mass() * card.ends));
        (mass > 0).then(|| moment / mass)
    }

    fn ended(&mut self, group: GroupId, keys: u64, at: i128) -> Result<(), String> {
        same("how many keys", keys, self.of(group).count() as u64)?;
        same("when", Some(at), self.together(group))?;
        self.groups.insert(group, Account::Ended(self.units(group)));
        self.keys.values_mut().filter(|card| card.stand == Stand::In(group)).for_each(|card| {
            card.stand = Stand::Gone;
        });
        Ok(())
    }

    /// All that waits in a group without a key goes on together, with what was left (K3).
    fn renewed(&mut self, group: GroupId, keys: u64, at: i128) -> Result<(), String> {
        same("keys it has", self.of(group).count(), 0)?;
        let mut renewed = 0;
        for card in self.keys.values_mut() {
            let Stand::Waits(_, left) = card.stand else { continue };
            if card.stand == Stand::Waits(group, left) {
                renewed += 1;
                card.waited |= at + left > card.ends;
                (card.ends, card.stand) = (at + left, Stand::In(group));
            }
        }
        self.groups.insert(group, Account::Runs);
        same("how many keys", keys, renewed)
    }

    /// Whether the books of the same version agree, and nothing is left that was due by the last line.
    ///
    /// # Errors
    /// What differs, or was due.
    pub fn agree(&self, books: &Organization) -> Result<(), String> {
        same("keys", books.keys().count(), self.keys.len())?;
        for key in books.keys() {
            let card = self.keys.get(&key.issued.id).ok_or_else(|| format!("nobody claimed {key:?}"))?;
            self.agree_on(key, card).map_err(|what| format!("key {}: {what}", key.issued.id))?;
        }
        let now = secs(books.as_of());
        if let Some((site, joins_at)) = self.sites.iter().find(|(_, joins_at)| **joins_at <= now) {
            return Err(format!("site {site} was to join the default group at {joins_at}"));
        }
        let late = |card: &Card| matches!(card.stand, Stand::Alone(joins_at) if joins_at <= now);
        if let Some((key, card)) = self.keys.iter().find(|(_, card)| late(card)) {
            return Err(format!("key {key} was to join the default group: {card:?}"));
        }
        for group in books.groups() {
            let account = self.groups.get(&group.id).unwrap_or(&Account::Never);
            let (known, capacity) = match account {
                Account::Never => (matches!(group.figures.term, Term::NeverLicensed), Units::new()),
                Account::Runs => (
                    group.figures.term.coterm_at().map(secs) == self.together(group.id)
                        && matches!(group.figures.term, Term::Running { .. }),
                    self.units(group.id),
                ),
                Account::Ended(units) => (matches!(group.figures.term, Term::Ended { .. }), units.clone()),
                Account::Empty => (matches!(group.figures.term, Term::Emptied), Units::new()),
            };
            if !known {
                let term = group.figures.term;
                return Err(format!("group {}: its term is {term:?}, by the log {account:?}", group.name));
            }
            let mut said = group.figures.capacity.clone();
            said.retain(|_, units| *units > 0);
            same(&format!("group {}: what it has", group.name), said, capacity)?;
            let waits = |card: &Card| matches!(card.stand, Stand::Waits(of, _) if of == group.id);
            if *account != Account::Runs && self.keys.values().any(waits) {
                return Err(format!("group {}: keys wait for no term", group.name));
            }
        }
        Ok(())
    }

    fn agree_on(&self, key: &LicenseKey, card: &Card) -> Result<(), String> {
        let stand = match key.state {
            KeyState::Active { group } => Stand::In(group),
            KeyState::Queued { group, left_secs } => Stand::Waits(group, i128::from(left_secs.0)),
            KeyState::Unassigned { joins_at, .. } => Stand::Alone(secs(joins_at)),
            KeyState::Retired { .. } | KeyState::Split { .. } | KeyState::Transferred { .. } => Stand::Gone,
        };
        same("where it is", stand, card.stand)?;
        if stand == Stand::Gone { Ok(()) } else { same("its end", secs(key.ends_at), card.ends) }
    }
}

/// A key as it was issued, to end then (D5).
fn card(key: &IssuedKey, ends: i128) -> Result<Card, String> {
    same("its own end", secs(key.ends_at), ends)?;
    let lines = key.lines.iter().map(|line| (line.product, line.quantity, line.weight)).collect();
    Ok(Card { lines, ends, waited: false, used: false, stand: Stand::Alone(0) })
}
