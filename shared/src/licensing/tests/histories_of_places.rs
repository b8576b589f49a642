//! What random histories do with groups, sites and devices, against the implementation on paper ([`super::paper`]).
//!
//! The paper keeps no clocks. Where a rule about clocks refuses what the paper would allow, the refusal must say that it
//! does for a clock's sake; that these rules are right is shown in [`super::evasions`].

use super::histories::Both;
use super::paper::{PaperDevice, Site, Spot, Standing, Where};
use super::world::{device, group, new_device, site};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::Seconds;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;

const PRODUCTS: [ProductType; 3] =
    [ProductType::CAMERA, ProductType::DOOR, ProductType::ENVIRONMENTAL_SENSOR];
const ZONES: [&str; 4] = ["UTC", "Pacific/Kiritimati", "America/St_Johns", "Etc/GMT+12"];

/// Refusals for the sake of a clock.
const FOR_A_CLOCK: [&str; 3] = ["DEVICE_CARRIES_CLOCK", "COUNTDOWN_WOULD_RESTART", "SCOPE_IN_USE"];

#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Group(u8),
    Within(u8),
    Alone,
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    NewGroup { n: u8 },
    DeleteGroup { n: u8 },
    GroupFromSite { n: u8, site: u8 },
    Doors { n: u32, doors: u64 },
    CountDoors { configured: bool },
    RenameGroup { n: u8, name: u8 },
    GroupSettings { n: u8, grace: u64, zone: usize, product: bool },
    NewSite { n: u8, to: Target },
    DeleteSite { n: u8 },
    RenameSite { n: u8, name: u8 },
    MoveSite { n: u8, to: Target },
    Claim { n: u32, site: u8, product: usize, units: u64, trial: Option<u64> },
    MoveDevice { n: u32, site: u8 },
    Convert { n: u32 },
    Replace { old: u32, new: u32, product: usize, trial: Option<u64> },
    Retire { n: u32 },
    Stolen { n: u32 },
}

pub(super) fn place() -> impl Strategy<Value = Place> {
    let groups = || 1..=4_u8;
    let sites = || 1..=7_u8;
    let devices = || 0..12_u32;
    let trial = || prop_oneof![3 => Just(None), 1 => (1..=90_u64).prop_map(Some)];
    let target = move || {
        prop_oneof![
            2 => groups().prop_map(Target::Group),
            2 => sites().prop_map(Target::Within),
            1 => Just(Target::Alone),
        ]
    };
    prop_oneof![
        1 => (3..=4_u8).prop_map(|n| Place::NewGroup { n }),
        1 => groups().prop_map(|n| Place::DeleteGroup { n }),
        1 => (3..=4_u8, sites()).prop_map(|(n, site)| Place::GroupFromSite { n, site }),
        1 => (devices(), 0..=5_u64).prop_map(|(n, doors)| Place::Doors { n, doors }),
        1 => any::<bool>().prop_map(|configured| Place::CountDoors { configured }),
        1 => (groups(), 1..6_u8).prop_map(|(n, name)| Place::RenameGroup { n, name }),
        1 => (groups(), 0..=90_u64, 0..4_usize, any::<bool>())
            .prop_map(|(n, grace, zone, product)| Place::GroupSettings { n, grace, zone, product }),
        2 => (sites(), target()).prop_map(|(n, to)| Place::NewSite { n, to }),
        1 => sites().prop_map(|n| Place::DeleteSite { n }),
        1 => (sites(), 1..9_u8).prop_map(|(n, name)| Place::RenameSite { n, name }),
        4 => (sites(), target()).prop_map(|(n, to)| Place::MoveSite { n, to }),
        8 => (devices(), sites(), 0..3_usize, 1..5_u64, trial())
            .prop_map(|(n, site, product, units, trial)| Place::Claim { n, site, product, units, trial }),
        3 => (devices(), sites()).prop_map(|(n, site)| Place::MoveDevice { n, site }),
        1 => devices().prop_map(|n| Place::Convert { n }),
        1 => (devices(), devices(), 0..3_usize, trial())
            .prop_map(|(old, new, product, trial)| Place::Replace { old, new, product, trial }),
        3 => devices().prop_map(|n| Place::Retire { n }),
        1 => devices().prop_map(|n| Place::Stolen { n }),
    ]
}

fn claimed(n: u32, product: usize, units: u64, trial: Option<u64>) -> NewDevice {
    NewDevice { trial_secs: trial.map(Seconds::days), ..new_device(n, PRODUCTS[product], units) }
}

impl Both {
    /// Runs a command the paper allows, unless a clock forbids it; expects a refusal of any other. Whether it was done.
    fn attempt(&mut self, allowed: bool, command: Command) -> bool {
        if allowed && decide(&self.world.organization, &command, &self.world.context()).is_err() {
            let codes = self.world.refused(command);
            assert!(codes.iter().all(|code| FOR_A_CLOCK.contains(code)), "{codes:?}");
            return false;
        }
        self.expect(allowed, command);
        allowed
    }

    /// Where a target is for a root or a sub-site, if it exists.
    fn spot(&self, of: Option<u8>, to: Target) -> Option<Spot> {
        match to {
            Target::Group(n) => self.paper.groups.contains_key(&n).then_some(Spot::In(n)),
            Target::Within(n) => self.paper.sites.contains_key(&n).then_some(Spot::Within(n)),
            Target::Alone => Some(match of {
                Some(site) => self.paper.root(site),
                None => Spot::Waits(self.world.now.saturating_add(Seconds::days(30))),
            }),
        }
    }

    /// Whether a name is free among the sites of the same parent, or among the roots.
    fn is_free(&self, name: &str, spot: Spot, but: u8) -> bool {
        let parent = |spot: Spot| if let Spot::Within(parent) = spot { Some(parent) } else { None };
        let mut others = self.paper.sites.iter().filter(|(n, _)| **n != but);
        others.all(|(_, site)| parent(site.spot) != parent(spot) || site.name != name)
    }

    /// Whether a device that is not in use may be claimed, on trial or not (domain G8-G10).
    fn may_come(&self, n: u32, trial: Option<u64>) -> bool {
        let paper = &self.paper;
        let gone = paper.replaced.contains(&n) || paper.stolen.contains(&n);
        !paper.devices.contains_key(&n) && !gone && (trial.is_none() || !paper.known.contains(&n))
    }

    fn comes(&mut self, n: u32, device: PaperDevice) {
        self.paper.known.insert(n);
        self.paper.devices.insert(n, device);
    }

    pub(super) fn run_place(&mut self, place: &Place) {
        match *place {
            Place::NewGroup { n } => {
                let name = format!("G{n}");
                let free =
                    !self.paper.groups.contains_key(&n) && !self.paper.groups.values().any(|g| *g == name);
                let settings = SettingsChange::default();
                if self.attempt(free, Command::CreateGroup { id: group(n), name: name.clone(), settings }) {
                    self.paper.groups.insert(n, name);
                }
            }
            Place::GroupFromSite { n, site: s } => {
                let name = self.paper.sites.get(&s).map(|site| site.name.clone());
                let free = name.as_ref().is_some_and(|name| {
                    let named = self.paper.groups.values().any(|taken| taken == name);
                    !named && self.is_free(name, Spot::In(n), s)
                });
                let allowed = free && !self.paper.groups.contains_key(&n);
                let settings = SettingsChange::default();
                let command =
                    Command::CreateGroupFromSite { id: group(n), site: site(s), name: None, settings };
                if self.attempt(allowed, command) {
                    self.paper.groups.insert(n, name.unwrap());
                    self.paper.sites.get_mut(&s).unwrap().spot = Spot::In(n);
                }
            }
            Place::Doors { n, doors } => {
                let allowed = self.paper.devices.get(&n).is_some_and(|device| {
                    let fits = (1..=device.units).contains(&doors) && device.doors != Some(doors);
                    device.product == ProductType::DOOR && fits
                });
                if self.attempt(allowed, Command::ConfigureDoors { id: device(n), doors }) {
                    self.paper.devices.get_mut(&n).unwrap().doors = Some(doors);
                }
            }
            Place::CountDoors { configured } => {
                let by = if configured { DoorUnits::Configured } else { DoorUnits::Model };
                let change = SettingsChange { door_units: Some(by), ..SettingsChange::default() };
                self.world.ok(Command::ChangeSettings(change));
                self.paper.by_doors = configured;
            }
            Place::DeleteGroup { n } => {
                let here = |at: Where| matches!(at, Where::Pool(of) | Where::Queue(of, _) if of == n);
                let empty = !self.paper.keys.values().any(|key| here(key.at))
                    && !self.paper.sites.values().any(|site| site.spot == Spot::In(n));
                let allowed = self.paper.groups.contains_key(&n) && n != 1 && empty;
                if self.attempt(allowed, Command::DeleteGroup { id: group(n) }) {
                    self.paper.groups.remove(&n);
                    self.paper.standing.insert(n, Standing::Never);
                }
            }
            Place::RenameGroup { n, name } => {
                let name = format!("G{name}");
                let free = !self.paper.groups.iter().any(|(of, taken)| *of != n && *taken == name);
                let allowed = self.paper.groups.contains_key(&n) && free;
                if self.attempt(allowed, Command::RenameGroup { id: group(n), name: name.clone() }) {
                    self.paper.groups.insert(n, name);
                }
            }
            Place::GroupSettings { n, grace, zone, product } => {
                let settings = SettingsChange {
                    grace_secs: Some(Seconds::days(grace)),
                    time_zone: Some(ZONES[zone].to_string()),
                    scope: Some(if product { Scope::Product } else { Scope::Group }),
                    ..SettingsChange::default()
                };
                let exists = self.paper.groups.contains_key(&n);
                let _ = self.attempt(exists, Command::ChangeGroupSettings { id: group(n), settings });
            }
            Place::NewSite { n, to } => self.new_site(n, to),
            Place::DeleteSite { n } => {
                let children = self.paper.sites.values().any(|site| site.spot == Spot::Within(n));
                let devices = self.paper.devices.values().any(|device| device.site == n);
                let allowed = self.paper.sites.contains_key(&n) && !children && !devices;
                if self.attempt(allowed, Command::DeleteSite { id: site(n) }) {
                    self.paper.sites.remove(&n);
                }
            }
            Place::RenameSite { n, name } => {
                let name = name.to_string();
                let spot = self.paper.sites.get(&n).map(|site| site.spot);
                let allowed = spot.is_some_and(|spot| self.is_free(&name, spot, n));
                if self.attempt(allowed, Command::RenameSite { id: site(n), name: name.clone() }) {
                    self.paper.sites.get_mut(&n).unwrap().name = name;
                }
            }
            Place::MoveSite { n, to } => self.move_site(n, to),
            Place::Claim { n, site: s, product, units, trial } => {
                let allowed = self.paper.sites.contains_key(&s) && self.may_come(n, trial);
                let new = claimed(n, product, units, trial);
                if self.attempt(allowed, Command::ClaimDevice { device: new, site: site(s) }) {
                    let product = PRODUCTS[product];
                    self.comes(
                        n,
                        PaperDevice { site: s, product, units, doors: None, on_trial: trial.is_some() },
                    );
                }
            }
            Place::MoveDevice { n, site: s } => {
                let from = self.paper.devices.get(&n).map(|device| device.site);
                let allowed = from.is_some_and(|from| {
                    let there = from != s && self.paper.sites.contains_key(&s);
                    there && !self.is_back_to_unassigned(self.paper.root(from), self.paper.root(s))
                });
                if self.attempt(allowed, Command::MoveDevice { id: device(n), site: site(s) }) {
                    self.paper.devices.get_mut(&n).unwrap().site = s;
                }
            }
            Place::Convert { n } => {
                let allowed = self.paper.devices.get(&n).is_some_and(|device| device.on_trial);
                if self.attempt(allowed, Command::ConvertTrial { id: device(n) }) {
                    self.paper.devices.get_mut(&n).unwrap().on_trial = false;
                }
            }
            Place::Replace { old, new, product, trial } => {
                let goes = self.paper.devices.get(&old).cloned();
                let allowed = goes.as_ref().is_some_and(|goes| {
                    // It takes over a trial, which it must not have had.
                    let trial = trial.or(goes.on_trial.then_some(0));
                    self.may_come(new, trial)
                });
                let command =
                    Command::ReplaceDevice { old: device(old), new: claimed(new, product, 1, trial) };
                if self.attempt(allowed, command) {
                    let (goes, product) = (goes.unwrap(), PRODUCTS[product]);
                    self.paper.devices.remove(&old);
                    self.paper.replaced.insert(old);
                    // G9: as many of the doors as it has, which is one.
                    let doors = goes.doors.filter(|_| goes.product == product).map(|doors| doors.min(1));
                    let on_trial = trial.is_some() || goes.on_trial;
                    self.comes(new, PaperDevice { site: goes.site, product, units: 1, doors, on_trial });
                }
            }
            Place::Retire { n } => {
                let allowed = self.paper.devices.contains_key(&n);
                if self.attempt(allowed, Command::RetireDevice { id: device(n) }) {
                    self.paper.devices.remove(&n);
                }
            }
            Place::Stolen { n } => {
                let allowed = self.paper.known.contains(&n) && !self.paper.stolen.contains(&n);
                if self.attempt(allowed, Command::ReportStolen { id: device(n) }) {
                    self.paper.devices.remove(&n);
                    self.paper.stolen.insert(n);
                }
            }
        }
    }

    /// Nothing but a key goes back to Unassigned (domain G3).
    fn is_back_to_unassigned(&self, from: Spot, to: Spot) -> bool {
        matches!((from, to), (Spot::In(_), Spot::Waits(_)))
    }

    fn new_site(&mut self, n: u8, to: Target) {
        let name: String = n.to_string();
        let spot = self.spot(None, to);
        let free = spot.is_some_and(|spot| self.is_free(&name, spot, n));
        let allowed = free && !self.paper.sites.contains_key(&n);
        let (parent, of) = match to {
            Target::Group(of) => (None, Some(group(of))),
            Target::Within(parent) => (Some(site(parent)), None),
            Target::Alone => (None, None),
        };
        let command = Command::CreateSite { id: site(n), name: name.clone(), parent, group: of };
        if self.attempt(allowed, command) {
            self.paper.sites.insert(n, Site { name, spot: spot.unwrap() });
        }
    }

    fn move_site(&mut self, n: u8, to: Target) {
        let known = self.paper.sites.get(&n).cloned();
        let spot = known.as_ref().and_then(|_| self.spot(Some(n), to));
        let allowed = known.as_ref().zip(spot).is_some_and(|(old, spot)| {
            let (cycle, root) = match spot {
                Spot::Within(parent) => (self.paper.is_inside(parent, n), self.paper.root(parent)),
                Spot::In(_) | Spot::Waits(_) => (false, spot),
            };
            let back = self.is_back_to_unassigned(self.paper.root(n), root);
            !cycle && old.spot != spot && !back && self.is_free(&old.name, spot, n)
        });
        let target = match to {
            Target::Group(of) => SiteTarget::Group(group(of)),
            Target::Within(parent) => SiteTarget::Within(site(parent)),
            Target::Alone => SiteTarget::Root,
        };
        if self.attempt(allowed, Command::MoveSite { id: site(n), to: target }) {
            self.paper.sites.get_mut(&n).unwrap().spot = spot.unwrap();
        }
    }
}
