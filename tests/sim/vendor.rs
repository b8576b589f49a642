//! What takes a second person or more than one request: held operations and who decides on them, freezes, files, and
//! several requests in one commit.

use crate::invariants::Invariant;
use crate::operator::{ADA, Acknowledged, id, new_device};
use crate::planted::Planted;
use crate::rng::Rng;
use crate::store::locked;
use crate::world::World;
use coterm_cloud::books::{Change, ImportFile};
use coterm_cloud::imports::{Kind, Underway};
use coterm_shared::id::{DeviceId, GroupId, HeldId, KeyId, SiteId};
use coterm_shared::licensing::import::{ImportLine, ImportRow};
use coterm_shared::licensing::{
    Actor, ClaimMode, Command, Organization, SafetyCommand, SettingsChange, SiteTarget,
};
use coterm_shared::platform::PlatformCommand;
use coterm_shared::time::Seconds;
use std::sync::Arc;

fn actor(id: &str) -> Actor {
    Actor { id: id.to_owned(), name: id.to_owned() }
}

/// Who decides on what others asked for.
const BOB: &str = "user:bob";

fn of_safety(command: SafetyCommand) -> Command {
    Command::Safety(command)
}

impl World {
    /// The vendor's people do something, or somebody does several things at once.
    pub fn operate_vendor(&mut self, node: usize, organization: usize, of: &Organization, dice: &mut Rng) {
        let frozen = of.freeze().is_some_and(|freeze| freeze.is_on());
        match dice.below(8) {
            0 | 1 => {
                let mut changes = Vec::new();
                for _ in 0..dice.range(2, 5) {
                    if let Some(command) = self.any_command(organization, of, dice) {
                        let change = Change::Organization { id: of.id(), command };
                        changes.push((change, self.operators.next_request()));
                    }
                }
                self.ask_together(node, changes);
            }
            2 => self.import(node, organization, of, dice),
            3 if frozen => self.unfreeze(node, organization),
            3 => {
                self.command(node, organization, of_safety(SafetyCommand::Freeze { by: actor(BOB) }));
            }
            4 => self.freeze_everything(node, dice.chance(300)),
            _ => self.decide(node, organization, of, dice),
        }
    }

    /// Decides on one of the operations that wait, if any does.
    fn decide(&mut self, node: usize, organization: usize, of: &Organization, dice: &mut Rng) {
        let waiting: Vec<HeldId> =
            of.held_operations_after(None).filter(|held| held.waits()).map(|held| held.id).collect();
        if waiting.is_empty() {
            if let Some(command) = self.any_command(organization, of, dice) {
                self.command(node, organization, command);
            }
            return;
        }
        let held = *dice.pick(&waiting);
        let asked_by = of.held_operation(held).map(|held| held.by.id.clone()).unwrap_or_default();
        match dice.below(6) {
            0..=2 => {
                let by = actor(BOB);
                let approve = SafetyCommand::Approve { held, by, made_by: Vec::new() };
                self.command(node, organization, of_safety(approve));
            }
            3 => {
                // Whoever asked tries to approve it, under whatever name the shell gives them.
                let new = self.plan.has(Planted::SelfApproval);
                let by = actor(if new { "session:17" } else { &asked_by });
                let approve = SafetyCommand::Approve { held, by, made_by: Vec::new() };
                let done = self.command(node, organization, of_safety(approve));
                self.check(Invariant::Held, !done, || format!("{asked_by} approved what they had asked for"));
            }
            4 => {
                self.command(node, organization, of_safety(SafetyCommand::Reject { held, by: actor(BOB) }));
            }
            _ => {
                self.command(node, organization, of_safety(SafetyCommand::Withdraw { held, by: actor(ADA) }));
            }
        }
    }

    fn unfreeze(&mut self, node: usize, organization: usize) {
        let lease_secs = Seconds(self.plan.lease_secs);
        self.command(
            node,
            organization,
            of_safety(SafetyCommand::Unfreeze { by: actor(BOB), lease_secs, announced: None }),
        );
    }

    fn is_everything_frozen(&self, node: usize) -> bool {
        let platform = self.nodes[node].as_ref().map(|node| node.books.platform());
        platform.is_some_and(|platform| platform.freeze().is_some_and(|freeze| freeze.is_on()))
    }

    /// Ends the freeze of the platform, or begins one.
    fn freeze_everything(&mut self, node: usize, begins: bool) {
        let by = actor(BOB);
        if self.is_everything_frozen(node) {
            let lease_secs = Seconds(self.plan.lease_secs);
            self.request(
                node,
                Change::Platform(PlatformCommand::Unfreeze { by, lease_secs, announced: None }),
            );
        } else if begins {
            self.request(node, Change::Platform(PlatformCommand::Freeze { by }));
        }
    }

    /// Before everything is judged, no freeze lasts.
    pub fn end_freezes(&mut self) {
        self.freeze_everything(0, false);
        for organization in 0..2 {
            let of = self.organization(0, organization);
            if of.is_some_and(|of| of.freeze().is_some_and(|freeze| freeze.is_on())) {
                self.unfreeze(0, organization);
            }
        }
    }

    /// A change that one of many may be, as likely as not one that takes licenses away.
    fn any_command(&mut self, organization: usize, of: &Organization, dice: &mut Rng) -> Option<Command> {
        let groups: Vec<GroupId> = of.groups().map(|group| group.id).collect();
        let sites: Vec<SiteId> = of.sites().map(|site| site.id).collect();
        let keys: Vec<KeyId> = of.keys().map(|key| key.issued.id).collect();
        let active: Vec<DeviceId> =
            of.devices().filter(|device| device.is_active()).map(|device| device.id.clone()).collect();
        if groups.is_empty() || sites.is_empty() {
            return None;
        }
        let (group, site) = (*dice.pick(&groups), *dice.pick(&sites));
        let some = |dice: &mut Rng, of: &[DeviceId]| (!of.is_empty()).then(|| dice.pick(of).clone());
        Some(match dice.below(8) {
            0 if !keys.is_empty() => Command::UnclaimKey { id: *dice.pick(&keys) },
            1 | 2 if !keys.is_empty() => {
                let mode = if dice.chance(400) { ClaimMode::Renewal } else { ClaimMode::Increase };
                Command::MoveKey { id: *dice.pick(&keys), group, mode: Some(mode) }
            }
            3 | 4 => Command::MoveSite { id: site, to: SiteTarget::Group(group) },
            5 => Command::MoveDevice { id: some(dice, &active)?, site },
            6 => {
                let device = self.idle(organization, of, dice)?;
                Command::ClaimDevice { device: new_device(device, None), site }
            }
            7 if groups.len() < 4 => {
                let n = self.operators.fresh();
                let (id, settings) = (GroupId::from_bytes(id(n, 2)), SettingsChange::default());
                Command::CreateGroup { id, name: format!("Group {n}"), settings }
            }
            _ => Command::RetireDevice { id: some(dice, &active)? },
        })
    }

    /// A device of theirs that nobody has claimed.
    fn idle(&self, organization: usize, of: &Organization, dice: &mut Rng) -> Option<DeviceId> {
        let ours = self.devices.iter().filter(|device| device.plan.organization == organization);
        let idle: Vec<DeviceId> = ours
            .map(|device| device.id.clone())
            .filter(|id| of.device(id).is_none_or(|device| !device.is_active()))
            .collect();
        (!idle.is_empty()).then(|| dice.pick(&idle).clone())
    }

    /// A file with a group, sites, and perhaps a device.
    fn import(&mut self, node: usize, organization: usize, of: &Organization, dice: &mut Rng) {
        let n = self.operators.fresh();
        let mut rows = Vec::new();
        let group = if of.groups().count() < 4 && dice.chance(300) {
            let name = format!("Imported {n}");
            rows.push(ImportRow::Group { id: GroupId::from_bytes(id(n, 2)), name: name.clone() });
            Some(name)
        } else {
            let groups: Vec<GroupId> = of.groups().map(|group| group.id).collect();
            (!groups.is_empty()).then(|| dice.pick(&groups).to_string())
        };
        let path = format!("Site {n}");
        rows.push(ImportRow::Site { id: SiteId::from_bytes(id(n, 3)), path: path.clone(), group });
        let below = format!("{path}/Floor 1");
        rows.push(ImportRow::Site { id: SiteId::from_bytes(id(n + 1, 3)), path: below.clone(), group: None });
        if let Some(device) = self.idle(organization, of, dice) {
            let device = Box::new(new_device(device, None));
            rows.push(ImportRow::Device { device, site: if dice.chance(500) { path } else { below } });
        }
        let lines = (1..).zip(rows).map(|(line, row)| ImportLine { line, row }).collect();
        let request_id = self.operators.next_request();
        let place = Underway::default().begin(of.id(), request_id.clone(), Kind::Devices, false);
        let Some(place) = place else { return };
        let file = ImportFile {
            organization: of.id(),
            print: format!("file {n}"),
            lines: Arc::new(lines),
            orders: Arc::default(),
            run: Arc::clone(place.run()),
        };
        let Some(daemon) = &self.nodes[node] else { return };
        let before = daemon.books.version(of.id()).unwrap_or(0);
        let answer = daemon.import(file, request_id.clone());
        daemon.settle();
        match answer {
            Ok(imported) => {
                self.note(&[34, imported.version], || format!("cloud {node}: import done ({request_id})"));
                if node == 0 {
                    let position = locked(&self.machines[node].disk).db.position();
                    let lines = usize::try_from(imported.version - before).ok();
                    let organization = Some(of.id());
                    self.operators.acknowledged.push(Acknowledged {
                        request_id,
                        organization,
                        lines,
                        position,
                    });
                }
            }
            Err(error) => self.note(&[35], || format!("cloud {node}: import: {error}")),
        }
        self.collect();
    }
}
