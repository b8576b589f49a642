//! A small world to test in: an organization, a clock that is set by hand, and ids that count.

use crate::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use crate::licensing::*;
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

pub(in crate::licensing) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(in crate::licensing) fn group(n: u8) -> GroupId {
    GroupId::from_bytes([n; 16])
}

pub(in crate::licensing) fn site(n: u8) -> SiteId {
    SiteId::from_bytes([n; 16])
}

pub(in crate::licensing) fn device(n: u32) -> DeviceId {
    format!("dev-{n}").parse().unwrap()
}

/// A device that is claimed without a trial.
pub(in crate::licensing) fn new_device(n: u32, product: ProductType, units: u64) -> NewDevice {
    NewDevice { id: device(n), model: "CD42".to_string(), product, units, trial_secs: None, doors: None }
}

/// A key as the vendor would have issued it.
pub(in crate::licensing) fn key(
    n: u32,
    lines: &[(ProductType, u64, u64)],
    term_days: u32,
    created_at: Timestamp,
) -> IssuedKey {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    IssuedKey {
        id: KeyId::from_bytes(id),
        code_tail: format!("{n:05}"),
        order_number: OrderNumber::parse("PO-1").unwrap(),
        lines: lines
            .iter()
            .map(|&(product, quantity, weight)| KeyLine { product, quantity, weight })
            .collect(),
        term_days,
        created_at,
        ends_at: coterm::term_end(created_at, term_days).unwrap(),
    }
}

pub(in crate::licensing) struct World {
    pub(in crate::licensing) organization: Organization,
    pub(in crate::licensing) now: Timestamp,
    pub(in crate::licensing) limits: Limits,
    pub(in crate::licensing) log: Vec<Dated>,
}

impl World {
    /// A world with one organization whose default group is `group(1)` and has the root site `site(1)`.
    pub(in crate::licensing) fn new(now: &str) -> World {
        let now = at(now);
        let limits = Limits::default();
        let founding = FoundOrganization {
            id: OrganizationId::from_bytes([9; 16]),
            name: "Acme".to_string(),
            default_group: group(1),
            settings: SettingsChange::default(),
            license_groups: false,
        };
        let decision = found(&founding, &Context { now, limits }).unwrap();
        let mut world = World { organization: decision.after, now, limits, log: decision.events };
        world.ok(Command::CreateSite { id: site(1), name: "HQ".to_string(), parent: None, group: None });
        world.ok(Command::EnableGroups);
        world
    }

    pub(in crate::licensing) fn context(&self) -> Context {
        Context { now: self.now, limits: self.limits }
    }

    /// Runs a command that must be accepted; checks on the way that the events alone give the same organization.
    pub(in crate::licensing) fn ok(&mut self, command: Command) -> Decision {
        let decision = decide(&self.organization, &command, &self.context()).unwrap();
        let mut replayed = self.organization.clone();
        for dated in &decision.events {
            // What is stored is JSON: replay what a store would hand back.
            let stored = serde_json::to_string(dated).unwrap();
            replayed.apply(&serde_json::from_str(&stored).unwrap()).unwrap();
        }
        assert_eq!(replayed, decision.after, "the events alone give the same organization");
        super::safety_always::check(&decision, &command);
        self.organization = decision.after.clone();
        self.log.extend(decision.events.iter().cloned());
        decision
    }

    /// Runs a command that must be refused; returns the codes.
    pub(in crate::licensing) fn refused(&self, command: Command) -> Vec<&'static str> {
        let before = self.organization.clone();
        let Err(refusals) = decide(&self.organization, &command, &self.context()) else {
            panic!("not refused: {command:?}")
        };
        assert_eq!(self.organization, before);
        for refusal in refusals.all() {
            assert!(!refusal.message.is_empty() && !refusal.hint.is_empty(), "{}", refusal.code);
        }
        refusals.all().iter().map(|refusal| refusal.code.as_str()).collect()
    }

    pub(in crate::licensing) fn wait(&mut self, by: Seconds) -> Decision {
        self.now = self.now.saturating_add(by);
        self.ok(Command::Materialize)
    }

    pub(in crate::licensing) fn until(&mut self, instant: &str) -> Decision {
        self.now = at(instant);
        self.ok(Command::Materialize)
    }

    pub(in crate::licensing) fn claim_camera(&mut self, n: u32, into: SiteId) -> Decision {
        self.claim_device(n, into, ProductType::CAMERA, 1)
    }

    pub(in crate::licensing) fn claim_device(
        &mut self,
        n: u32,
        into: SiteId,
        product: ProductType,
        units: u64,
    ) -> Decision {
        self.ok(Command::ClaimDevice { device: new_device(n, product, units), site: into })
    }

    pub(in crate::licensing) fn claim_key(&mut self, key: IssuedKey, into: GroupId) -> Decision {
        self.ok(Command::ClaimKey { key: Box::new(key), group: Some(into), mode: ClaimMode::Increase })
    }

    pub(in crate::licensing) fn group(&self, n: u8) -> &Group {
        self.organization.group(group(n)).unwrap()
    }

    pub(in crate::licensing) fn coterm(&self, n: u8) -> Option<Timestamp> {
        self.group(n).figures.term.coterm_at()
    }

    pub(in crate::licensing) fn codes(&self, n: u8) -> Vec<&'static str> {
        self.group(n).assessment.findings.iter().map(|finding| finding.code()).collect()
    }
}
