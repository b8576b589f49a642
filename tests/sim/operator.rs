//! The people who use the product, and what they were told.
//!
//! They claim and move keys and devices, found groups, change settings, and retry with the same idempotency key what was
//! not answered. What was acknowledged is written down here, and looked for in the log whenever a daemon starts.

use crate::clerk::Clerk;
use crate::grace::Look;
use crate::invariants::Invariant;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::safety::Lately;
use crate::store::{Db, locked};
use crate::world::World;
use coterm_cloud::books::{BooksError, Change, Committed, Idempotency, NewPart, Request};
use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::{
    ClaimMode, Command, FoundOrganization, Limits, NewDevice, OrderLine, Organization, PartRequest,
    PartTarget, Refusal, RefusalCode, Scope, SettingsChange, SiteTarget,
};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use coterm_shared::time::Seconds;
use std::collections::BTreeMap;

/// What is licensed, by the class of the device.
const PRODUCTS: [ProductType; 3] =
    [ProductType::CAMERA, ProductType::DOOR, ProductType::ENVIRONMENTAL_SENSOR];

/// Who asks.
pub const ADA: &str = "user:ada";

/// A change that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The request.
    pub request_id: String,
    /// The organization, if it was one's.
    pub organization: Option<OrganizationId>,
    /// How many lines it wrote; unknown for one that was answered as a repetition.
    pub lines: Option<usize>,
    /// The position of the store after it.
    pub position: u64,
}

/// What operators know.
#[derive(Debug)]
pub struct Office {
    /// The organizations.
    pub organizations: [OrganizationId; 2],
    /// What was acknowledged.
    pub acknowledged: Vec<Acknowledged>,
    /// Not answered yet.
    pub open: Vec<(Change, String)>,
    /// Copies of the database.
    pub backups: Vec<Db>,
    /// The books as they were looked at last.
    pub looked: BTreeMap<OrganizationId, Look>,
    /// What the logs of the organizations come to.
    pub clerks: [Clerk; 2],
    /// What was done of late by the first cloud that put devices on the way to lock.
    pub lately: Lately,
    /// Requests ever made.
    pub requests: u64,
    /// Refused by the rules.
    pub refused: u64,
    rng: Rng,
}

/// An id of this number.
pub fn id(n: u64, kind: u8) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[..8].copy_from_slice(&(0x0190_0000_0000_7000 + n).to_be_bytes());
    bytes
}

impl Office {
    /// Nobody has asked for anything yet.
    pub fn new(plan: &Plan) -> Office {
        Office {
            organizations: [1, 2].map(|n| OrganizationId::from_bytes(id(n, 1))),
            acknowledged: Vec::new(),
            open: Vec::new(),
            backups: Vec::new(),
            looked: BTreeMap::new(),
            clerks: Default::default(),
            lately: Lately::default(),
            requests: 0,
            refused: 0,
            rng: Rng::fork(plan.seed, "ids"),
        }
    }

    /// A backup was restored: what came after it is known to be lost.
    pub fn forget_after(&mut self, position: u64) {
        self.acknowledged.retain(|acknowledged| acknowledged.position <= position);
        self.looked.clear();
        self.clerks = Default::default();
        self.lately = Lately::default();
    }

    /// A number nobody has had.
    pub fn fresh(&mut self) -> u64 {
        self.rng.next() >> 20
    }

    /// The id of the next request.
    pub fn next_request(&mut self) -> String {
        self.requests += 1;
        format!("req-{}", self.requests)
    }
}

/// A device as it is claimed.
pub fn new_device(id: DeviceId, trial: Option<u64>) -> NewDevice {
    let n: usize = id.as_str().trim_start_matches("dev-").parse().unwrap_or(0);
    let product = PRODUCTS[n % PRODUCTS.len()];
    let units = if product == ProductType::DOOR && n.is_multiple_of(2) { 2 } else { 1 };
    NewDevice { id, model: "m-1".to_owned(), product, units, trial_secs: trial.map(Seconds), doors: None }
}

impl World {
    /// Asks the books of a daemon, and writes down what it answered.
    fn ask(&mut self, node: usize, change: Change, request_id: String) -> bool {
        self.ask_together(node, vec![(change, request_id)])
    }

    /// Asks the books of a daemon for several changes at once; tells whether all were done.
    pub fn ask_together(&mut self, node: usize, changes: Vec<(Change, String)>) -> bool {
        let Some(daemon) = &self.nodes[node] else { return false };
        let mut before: BTreeMap<OrganizationId, Organization> = BTreeMap::new();
        let mut requests = Vec::new();
        for (change, request_id) in &changes {
            let presently = |id| daemon.books.present(id, daemon.now()).map(|now| (id, now));
            before.extend(change.organization().and_then(presently));
            requests.push(Request {
                idempotency: Some(Idempotency {
                    principal: "ada".to_owned(),
                    key: request_id.clone(),
                    fingerprint: [7; 32],
                }),
                expected_preview: daemon.approval_seen(change),
                ..Request::new(ADA, request_id.clone(), change.clone())
            });
        }
        let answers = daemon.execute(requests);
        daemon.settle();
        let mut all = true;
        for ((change, request_id), answer) in changes.into_iter().zip(answers) {
            all &= self.answered(node, change, request_id, answer, &mut before);
        }
        self.collect();
        all
    }

    /// Writes down what the books of a daemon answered. `before` is each organization as it was before this change, and
    /// then as it is after it.
    fn answered(
        &mut self,
        node: usize,
        change: Change,
        request_id: String,
        answer: Result<Committed, BooksError>,
        before: &mut BTreeMap<OrganizationId, Organization>,
    ) -> bool {
        let organization = change.organization();
        let name = match &change {
            Change::Organization { command, .. } => command.name(),
            Change::FoundOrganization(_) => "found",
            Change::ClaimKey { .. } => "claim-key",
            Change::SplitKey { .. } => "split-key",
            Change::TransferKey { .. } => "transfer-key",
            Change::WithLicenses { .. } => "with-licenses",
            Change::Prepared(_) => "import",
            Change::Platform(command) => command.name(),
        };
        let position = locked(&self.machines[node].disk).db.position();
        match answer {
            Ok(committed) => {
                self.note(&[30, committed.version], || {
                    format!("cloud {node}: {name} done, version {} ({request_id})", committed.version)
                });
                if node == 0 {
                    let lines = committed.replayed.is_none().then_some(committed.events.len());
                    self.operators.acknowledged.push(Acknowledged {
                        request_id,
                        organization,
                        lines: lines.filter(|_| organization.is_some()),
                        position,
                    });
                }
                let known = organization.and_then(|id| before.remove(&id));
                if let (Some(id), Some(after)) = (organization, &committed.organization) {
                    before.insert(id, after.clone());
                }
                if committed.replayed.is_none()
                    && let (Some(before), Some(after)) = (known, &committed.organization)
                {
                    self.look_at_done(node, &change, &before, &committed, after);
                }
                true
            }
            Err(BooksError::Refused(refusals)) => {
                self.operators.refused += 1;
                let code = refusals.all().first().map(|refusal| refusal.code.as_str()).unwrap_or_default();
                let contradicts = |refusal: &Refusal| refusal.code == RefusalCode::InternalContradiction;
                let sound = !refusals.all().iter().any(contradicts);
                self.check(Invariant::Sound, sound, || format!("{name}: {refusals}"));
                self.note(&[31], || format!("cloud {node}: {name} refused: {code}"));
                false
            }
            // What panics behind the books is answered with this, once its story is in the log of the program.
            Err(BooksError::Internal) => {
                self.broken(Invariant::Sound, format!("{name} met a defect of the books"));
                false
            }
            Err(error) => {
                self.note(&[32], || format!("cloud {node}: {name} failed: {error}"));
                // Whoever was not answered asks again, with the same key.
                if node == 0 && self.operators.open.len() < 20 {
                    self.operators.open.push((change, request_id));
                }
                false
            }
        }
    }

    /// Asks for something new.
    pub fn request(&mut self, node: usize, change: Change) -> bool {
        let request_id = self.operators.next_request();
        self.ask(node, change, request_id)
    }

    /// The same of an organization.
    pub fn command(&mut self, node: usize, organization: usize, command: Command) -> bool {
        let id = self.operators.organizations[organization];
        self.request(node, Change::Organization { id, command })
    }

    /// What there is before the first device is switched on.
    pub fn found(&mut self) {
        let (grace, stop) = self.plan.ladder;
        let limits = Limits { lockout_pace_min: Some(1), ..Limits::default() };
        self.request(0, Change::Platform(PlatformCommand::SetLimits { limits }));
        for product in PRODUCTS {
            self.request(
                0,
                Change::Platform(PlatformCommand::SetPrice {
                    product,
                    price: 100 + u64::from(product.number()) * 50,
                }),
            );
        }
        for n in 0..2 {
            let id = self.operators.organizations[n];
            let settings = SettingsChange {
                grace_secs: Some(Seconds(grace)),
                stop_after_lock_secs: Some(Seconds(stop)),
                scope: (self.plan.seed.is_multiple_of(3)).then_some(Scope::Product),
                countdown_secs: Some(Seconds(self.plan.sweep / 1_000 * 8)),
                hold_devices: self.plan.hold.map(|(devices, _)| devices),
                hold_share_percent: self.plan.hold.map(|(_, share)| share),
                lockout_pace: self.plan.pace,
                ..SettingsChange::default()
            };
            self.request(
                0,
                Change::FoundOrganization(FoundOrganization {
                    id,
                    name: format!("Organization {n}"),
                    default_group: GroupId::from_bytes(self::id(n as u64, 2)),
                    settings,
                    license_groups: true,
                }),
            );
            for site in 0..3 {
                let group = (site < 2).then(|| GroupId::from_bytes(self::id(n as u64, 2)));
                let id = SiteId::from_bytes(self::id((n * 10 + site) as u64, 3));
                self.command(
                    0,
                    n,
                    Command::CreateSite { id, name: format!("Site {site}"), parent: None, group },
                );
            }
        }
        for n in 0..2 {
            let mut dice = Rng::fork(self.plan.seed, &format!("first key {n}"));
            self.claim_key(0, n, &mut dice);
        }
        for n in 0..self.devices.len() {
            let organization = self.devices[n].plan.organization;
            // Some come without ever having been claimed.
            if n % 7 == 6 {
                continue;
            }
            let site = SiteId::from_bytes(id((organization * 10 + n % 3) as u64, 3));
            let device = new_device(self.devices[n].id.clone(), None);
            self.command(0, organization, Command::ClaimDevice { device, site });
        }
    }

    fn claim_key(&mut self, node: usize, organization: usize, dice: &mut Rng) {
        let now = match &self.nodes[node] {
            Some(node) => node.now(),
            None => return,
        };
        let mut lines = Vec::new();
        for product in PRODUCTS {
            if dice.chance(700) {
                lines.push(OrderLine { product, quantity: dice.range(1, 6) });
            }
        }
        if lines.is_empty() {
            lines.push(OrderLine { product: PRODUCTS[0], quantity: 3 });
        }
        let n = self.operators.fresh();
        let code = KeyCode::from_random(id(n, 9));
        let days = dice.range(1, 40);
        // Most end within the week.
        let age = if dice.chance(700) { (days - 1) * 86_400 + dice.below(80_000) } else { 0 };
        let age = age.saturating_sub(dice.below(4) * 86_400);
        let issue = IssueKey {
            id: KeyId::from_bytes(id(n, 4)),
            code_hash: code.hash(),
            code_tail: code.tail(),
            order_number: format!("order-{n}"),
            lines,
            term_days: u32::try_from(days).expect("few"),
            created_at: Some(now.saturating_sub(Seconds(age))),
        };
        if !self.request(node, Change::Platform(PlatformCommand::IssueKey(issue))) {
            return;
        }
        let id = self.operators.organizations[organization];
        let groups = self.groups(node, organization);
        let group = if dice.chance(850) && !groups.is_empty() { Some(*dice.pick(&groups)) } else { None };
        let mode = if group.is_some() && dice.chance(350) { ClaimMode::Renewal } else { ClaimMode::Increase };
        self.request(node, Change::ClaimKey { organization: id, code, group, mode });
    }

    /// An organization as a daemon has it.
    pub fn organization(&self, node: usize, organization: usize) -> Option<Organization> {
        self.nodes[node].as_ref()?.books.organization(self.operators.organizations[organization])
    }

    fn groups(&self, node: usize, organization: usize) -> Vec<GroupId> {
        self.organization(node, organization)
            .map(|of| of.groups().map(|group| group.id).collect())
            .unwrap_or_default()
    }

    /// Operators do something.
    pub fn operate(&mut self, dice: u64) {
        let mut dice = Rng::new(dice);
        for (change, request_id) in std::mem::take(&mut self.operators.open) {
            self.ask(0, change, request_id);
        }
        let node = if self.nodes[1].is_some() && dice.chance(400) { 1 } else { 0 };
        let organization = usize::from(dice.chance(250));
        let Some(of) = self.organization(node, organization) else { return };
        let groups: Vec<GroupId> = of.groups().map(|group| group.id).collect();
        let sites: Vec<SiteId> = of.sites().map(|site| site.id).collect();
        let keys: Vec<KeyId> = of.keys().map(|key| key.issued.id).collect();
        let active: Vec<DeviceId> =
            of.devices().filter(|device| device.is_active()).map(|device| device.id.clone()).collect();
        let ours = self.devices.iter().filter(|device| device.plan.organization == organization);
        let idle: Vec<DeviceId> =
            ours.map(|device| device.id.clone()).filter(|id| !active.contains(id)).collect();
        if groups.is_empty() || sites.is_empty() {
            return;
        }
        let (group, site) = (*dice.pick(&groups), *dice.pick(&sites));
        let mode = if dice.chance(400) { ClaimMode::Renewal } else { ClaimMode::Increase };
        if dice.chance(250) {
            return self.operate_vendor(node, organization, &of, &mut dice);
        }
        let n = self.operators.fresh();
        let some = |dice: &mut Rng, of: &[DeviceId]| (!of.is_empty()).then(|| dice.pick(of).clone());
        match dice.below(20) {
            0..=4 => self.claim_key(node, organization, &mut dice),
            5 | 6 if !keys.is_empty() => {
                let id = *dice.pick(&keys);
                self.command(node, organization, Command::MoveKey { id, group, mode: Some(mode) });
            }
            7 if !keys.is_empty() => {
                self.command(node, organization, Command::UnclaimKey { id: *dice.pick(&keys) });
            }
            8 if !keys.is_empty() => {
                self.split(node, organization, &of, *dice.pick(&keys), &groups, &mut dice)
            }
            9 if groups.len() < 4 => {
                let id = GroupId::from_bytes(id(n, 2));
                let settings = SettingsChange::default();
                self.command(
                    node,
                    organization,
                    Command::CreateGroup { id, name: format!("Group {n}"), settings },
                );
            }
            10 => {
                self.command(node, organization, Command::DeleteGroup { id: group });
            }
            11 | 12 => {
                self.command(
                    node,
                    organization,
                    Command::MoveSite { id: site, to: SiteTarget::Group(group) },
                );
            }
            13 => {
                if let Some(id) = some(&mut dice, &active) {
                    self.command(node, organization, Command::MoveDevice { id, site });
                }
            }
            14 => {
                if let Some(id) = some(&mut dice, &active) {
                    self.command(node, organization, Command::RetireDevice { id });
                }
            }
            15 | 16 => {
                if let Some(id) = some(&mut dice, &idle) {
                    let trial = dice.chance(200).then(|| dice.range(3_600, 200_000));
                    let device = new_device(id, trial);
                    self.command(node, organization, Command::ClaimDevice { device, site });
                }
            }
            17 => {
                if let (Some(old), Some(new)) = (some(&mut dice, &active), some(&mut dice, &idle)) {
                    let new = new_device(new, None);
                    self.command(node, organization, Command::ReplaceDevice { old, new });
                }
            }
            18 => {
                let grace = dice.range(1, 50) * 3_600;
                let settings =
                    SettingsChange { grace_secs: Some(Seconds(grace)), ..SettingsChange::default() };
                let command = if dice.chance(500) {
                    // A pace is the organization's; 0 is none.
                    let lockout_pace = dice.chance(500).then(|| dice.below(4));
                    Command::ChangeSettings(SettingsChange { lockout_pace, ..settings })
                } else {
                    Command::ChangeGroupSettings { id: group, settings }
                };
                self.command(node, organization, command);
            }
            _ => {
                let trial = of.devices().find(|device| device.is_active() && !device.consumes());
                let command = match trial {
                    Some(device) => Command::ConvertTrial { id: device.id.clone() },
                    None => {
                        let id = SiteId::from_bytes(id(n, 3));
                        let parent = dice.chance(400).then_some(site);
                        let group = if parent.is_none() { Some(group) } else { None };
                        Command::CreateSite { id, name: format!("Site {n}"), parent, group }
                    }
                };
                self.command(node, organization, command);
            }
        }
    }

    fn split(
        &mut self,
        node: usize,
        organization: usize,
        of: &Organization,
        key: KeyId,
        groups: &[GroupId],
        dice: &mut Rng,
    ) {
        let Some(of) = of.key(key) else { return };
        let cut: Vec<(ProductType, u64, u64)> = of
            .issued
            .lines
            .iter()
            .map(|line| (line.product, line.quantity, dice.below(line.quantity + 1)))
            .collect();
        let mut part = |second: bool| {
            let n = self.operators.fresh();
            let code = KeyCode::from_random(id(n, 9));
            let lines = cut
                .iter()
                .map(|(product, all, first)| OrderLine {
                    product: *product,
                    quantity: if second { all - first } else { *first },
                })
                .filter(|line| line.quantity > 0)
                .collect();
            let group = dice.chance(800).then(|| *dice.pick(groups));
            let mode = group.map(|_| if dice.chance(300) { ClaimMode::Renewal } else { ClaimMode::Increase });
            let target = PartTarget::Own { group, mode };
            let request =
                PartRequest { id: KeyId::from_bytes(id(n, 4)), code_tail: code.tail(), lines, target };
            NewPart { request, code_hash: code.hash() }
        };
        let parts = Box::new([part(false), part(true)]);
        let organization = self.operators.organizations[organization];
        self.request(node, Change::SplitKey { organization, key, parts });
    }
}
