//! Signs that somebody else signs with our keys, or that a device does not tell the truth (token §3).
//!
//! **Problem.** A second cloud on a copy of the books, or a thief with a token key, shows in nothing but what devices hold;
//! and a device can claim anything. **Method.** What a device *shows* and verifies halts its organization, on disk, until an
//! operator confirms; what it only *claims* puts that one device in quarantine. A confirmation settles everything up to
//! its moment: what devices hold from before is outdone, what is signed elsewhere afterwards halts again. A refusal for
//! contradiction (two tokens of one version) is an alarm with the device named, proof or not. **Deliberately absent:** any
//! way for a claim without proof to stop more than the device that makes it.

use super::ports::{Confirmation, Kept, Memory};
use super::status::{Cause, Contradiction, Halt, Suspicion};
use crate::alarms::{AlarmCode, Condition};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::Timestamp;
use coterm_shared::token::{TokenRefusal, TokenVersion, TrustRefusal};
use std::collections::BTreeMap;

/// Most devices named in one sentence.
const NAMED: usize = 5;

/// Everything suspected at present.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    halts: BTreeMap<OrganizationId, Halt>,
    /// Up to which version everything found on devices is settled.
    settled: BTreeMap<OrganizationId, TokenVersion>,
    quarantined: BTreeMap<(OrganizationId, DeviceId), Timestamp>,
    /// The last refusal for contradiction each device reported, also of those an operator took note of.
    contradictions: BTreeMap<(OrganizationId, DeviceId), Contradiction>,
    /// What is not on disk yet.
    unkept: Vec<Kept>,
}

impl Suspicions {
    /// What was suspected and settled before the start.
    pub(super) fn new(memory: &mut Memory) -> Suspicions {
        let contradictions = std::mem::take(&mut memory.contradictions).into_iter();
        Suspicions {
            halts: std::mem::take(&mut memory.halts).into_iter().collect(),
            settled: std::mem::take(&mut memory.settled).into_iter().collect(),
            contradictions: contradictions
                .map(|(device, found)| ((found.organization, device), found))
                .collect(),
            ..Suspicions::default()
        }
    }

    /// Whether nothing is signed for the organization.
    pub(super) fn is_halted(&self, organization: OrganizationId) -> bool {
        self.halts.contains_key(&organization)
    }

    /// Up to which version everything found on the organization's devices is settled.
    pub(super) fn settled(&self, organization: OrganizationId) -> Option<TokenVersion> {
        self.settled.get(&organization).copied()
    }

    /// Stops signing for the organization; returns whether it was going on.
    pub(super) fn halt(&mut self, organization: OrganizationId, halt: Halt) -> bool {
        let begins = !self.halts.contains_key(&organization);
        if begins {
            self.halts.insert(organization, halt.clone());
            self.unkept.push(Kept::Halt(organization, halt));
        }
        begins
    }

    /// Takes what is not on disk.
    pub(super) fn take_unkept(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.unkept)
    }

    /// It could not be put on disk and is to be tried again.
    pub(super) fn not_kept(&mut self, mut unkept: Vec<Kept>) {
        unkept.append(&mut self.unkept);
        self.unkept = unkept;
    }

    /// Notes since when a device's reports are not believed, or that they are again.
    pub(super) fn quarantine(
        &mut self,
        organization: OrganizationId,
        device: &DeviceId,
        since: Option<Timestamp>,
    ) {
        let key = (organization, device.clone());
        match since {
            Some(since) => self.quarantined.insert(key, since),
            None => self.quarantined.remove(&key),
        };
    }

    /// Takes in what a device last refused; returns whether that is a contradiction nobody heard of before. Whatever it
    /// refuses afterwards, the contradiction stands until an operator took note of it.
    pub(super) fn refused(
        &mut self,
        organization: OrganizationId,
        device: &DeviceId,
        report: &Report,
        now: Timestamp,
    ) -> bool {
        let Some(count) = contradiction(report) else { return false };
        let key = (organization, device.clone());
        let before = self.contradictions.get(&key);
        if before.is_some_and(|before| before.count == count) {
            return false;
        }
        let since = before.filter(|before| !before.noted).map_or(now, |before| before.since);
        let found = Contradiction { organization, since, count, noted: false };
        self.contradictions.insert(key, found);
        self.unkept.push(Kept::Contradiction(device.clone(), found));
        true
    }

    /// Another organization has the device now: its reports are none of the first one's business any more.
    pub(super) fn forget(&mut self, organization: OrganizationId, device: &DeviceId) {
        self.quarantined.remove(&(organization, device.clone()));
    }

    /// Everything an operator can confirm, of all organizations.
    pub(super) fn list(&self) -> Vec<Suspicion> {
        let halts = self.halts.iter().map(|(organization, halt)| Suspicion {
            organization: *organization,
            since: halt.since,
            device: halt.device.clone(),
            version: Some(halt.version),
            cause: halt.cause,
            halts: true,
        });
        let contradictions = self.standing().map(|(device, found)| Suspicion {
            organization: found.organization,
            since: found.since,
            device: device.clone(),
            version: None,
            cause: Cause::Contradiction,
            halts: false,
        });
        halts.chain(contradictions).chain(self.claims()).collect()
    }

    /// Devices in quarantine: what they claim is settled by a confirmation as well.
    fn claims(&self) -> impl Iterator<Item = Suspicion> {
        self.quarantined.iter().map(|((organization, device), since)| Suspicion {
            organization: *organization,
            since: *since,
            device: device.clone(),
            version: None,
            cause: Cause::Claim,
            halts: false,
        })
    }

    /// What confirming the organization now would settle; `None` if there is nothing to confirm.
    pub(super) fn confirmation(
        &self,
        organization: OrganizationId,
        up_to: TokenVersion,
        at: Timestamp,
    ) -> Option<Confirmation> {
        let halt = self.halts.get(&organization);
        let of_it = self.standing().filter(|(_, found)| found.organization == organization);
        let noted: Vec<(DeviceId, Contradiction)> =
            of_it.map(|(device, found)| (device.clone(), Contradiction { noted: true, ..*found })).collect();
        let claims = self.quarantined.keys().any(|(of, _)| *of == organization);
        // Two tokens of one version, too, are somebody else's work: others may have got the other one and not know.
        let suspected = halt.is_some() || claims || !noted.is_empty();
        let settled = halt.map_or(up_to, |halt| halt.version.max(up_to));
        suspected.then_some(Confirmation { organization, at, settled, noted })
    }

    /// Its devices in quarantine.
    pub(super) fn quarantined(&self, organization: OrganizationId) -> impl Iterator<Item = &DeviceId> {
        let of = self.quarantined.keys().filter(move |(of, _)| *of == organization);
        of.map(|(_, device)| device)
    }

    /// Signs for the organization again, and holds what was settled no longer against anyone.
    pub(super) fn confirmed(&mut self, confirmation: Confirmation) {
        let Confirmation { organization, settled, noted, .. } = confirmation;
        self.halts.remove(&organization);
        self.settled.insert(organization, settled);
        for (device, found) in noted {
            let known = self.contradictions.entry((organization, device)).or_insert(found);
            // What was reported meanwhile stands.
            if known.count == found.count {
                *known = found;
            }
        }
    }

    /// What is over because the epoch is `epoch` now: halts for tokens of one that was left. To raise it is an operator's
    /// own answer, and no device takes such a token any more.
    pub(super) fn outdated(&self, epoch: u64, at: Timestamp) -> Vec<Confirmation> {
        let outdated = self.halts.iter().filter(|(_, halt)| halt.version.epoch < epoch);
        outdated
            .map(|(organization, halt)| Confirmation {
                organization: *organization,
                at,
                settled: halt.version,
                noted: Vec::new(),
            })
            .collect()
    }

    /// The contradictions nobody took note of.
    fn standing(&self) -> impl Iterator<Item = (&DeviceId, &Contradiction)> {
        self.contradictions
            .iter()
            .filter(|(_, found)| !found.noted)
            .map(|((_, device), found)| (device, found))
    }

    /// The codes of [`Suspicions::conditions`].
    pub(super) const CODES: &'static [AlarmCode] =
        &[AlarmCode::SigningHalted, AlarmCode::DeviceQuarantined, AlarmCode::TokensContradict];

    /// What operators have to know, one alarm of a kind for each organization: a tenant full of liars hides nobody else.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let mut conditions: Vec<Condition> = self
            .halts
            .iter()
            .map(|(organization, Halt { device, version, cause, .. })| {
                let sentence = match cause {
                    Cause::ForeignToken => format!(
                        "{device} shows token {version}, which is signed with our key and was not issued here"
                    ),
                    // A claim alone halts nothing.
                    Cause::Contradiction | Cause::Claim => format!(
                        "{device} shows another token {version} than the one issued here, signed with our key too"
                    ),
                };
                Condition::new(AlarmCode::SigningHalted, organization.to_string(), sentence)
            })
            .collect();
        let quarantined = by_organization(self.quarantined.keys().map(|(of, device)| (*of, device)));
        let contradicted =
            by_organization(self.standing().map(|(device, found)| (found.organization, device)));
        for (code, found, what) in [
            (AlarmCode::DeviceQuarantined, quarantined, "device(s) claim tokens that were not issued here"),
            (
                AlarmCode::TokensContradict,
                contradicted,
                "device(s) refused a token that contradicts one of the same version",
            ),
        ] {
            conditions.extend(found.into_iter().map(|(organization, devices)| {
                let named: Vec<&str> = devices.iter().take(NAMED).map(|device| device.as_str()).collect();
                let rest = if devices.len() > NAMED { ", ..." } else { "" };
                let sentence = format!("{} {what}: {}{rest}", devices.len(), named.join(", "));
                Condition::new(code, organization.to_string(), sentence)
            }));
        }
        conditions
    }
}

fn by_organization<'a>(
    all: impl Iterator<Item = (OrganizationId, &'a DeviceId)>,
) -> BTreeMap<OrganizationId, Vec<&'a DeviceId>> {
    let mut found: BTreeMap<OrganizationId, Vec<&DeviceId>> = BTreeMap::new();
    for (organization, device) in all {
        found.entry(organization).or_default().push(device);
    }
    found
}

/// The count of refusals, if the last was for a contradiction (token §4 step 9, and the same of keyrings).
pub(super) fn contradiction(report: &Report) -> Option<u64> {
    let last = report.last_refusal.as_ref()?;
    let codes = [TokenRefusal::Equivocation.code(), TrustRefusal::Equivocation.code()];
    codes.contains(&last.code.as_str()).then_some(last.count)
}
