//! Which change a preview was of and what it read, in 32 bytes: what was shown is applied, or nothing at all.
//!
//! **Problem.** The version of an organization moves with every device anybody claims anywhere; a person who looks at
//! a preview for a minute would hardly ever get to apply it. **Method.** The digest covers only what the command itself
//! read: every group it touches, whole, and the keys, sites and devices it names, all as they were before it. Its first half
//! is the print of the change itself ([`super::asked`]), so that the preview of one is no consent to another.
//! **Deliberately absent:** the version, and ids made for this very request; both differ between a preview and its
//! deed although nothing changed.

use super::asked::{Asked, halves};
use super::draft::Decision;
use super::event::Event;
use super::license_key::KeyPlace;
use super::refusal::{Refusal, RefusalCode, Refusals};
use super::site::Place;
use crate::id::{DeviceId, GroupId, KeyId, SiteId};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use core::fmt;
use core::str::FromStr;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The print of a change, and half the SHA-256 of what its preview read. Text is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PreviewDigest {
    asked: Asked,
    read: [u8; 16],
}

impl PreviewDigest {
    /// The digest of what a decision read.
    #[must_use]
    pub fn of(decision: &Decision) -> PreviewDigest {
        let mut sha = Sha256::new();
        let base = &decision.base;
        let mut named = Named::default();
        for dated in decision.own_events() {
            named.add(decision, &dated.event);
            if !matches!(dated.event, Event::GroupAssessed { .. }) {
                part(&mut sha, dated.event.name());
            }
            if let Event::KeySplit { key, parts } = &dated.event {
                // How much of it goes along with what moves is planned, not asked (domain G4).
                part(&mut sha, key);
                parts.iter().for_each(|of| part(&mut sha, &of.key.lines));
            }
        }
        part(&mut sha, &base.groups_enabled());
        if named.settings {
            part(&mut sha, base.settings());
        }
        for group in named.groups.iter().filter_map(|id| base.group(*id)) {
            part(&mut sha, group);
            part(&mut sha, &base.settings_of(group));
        }
        named.keys.iter().filter_map(|id| base.key(*id)).for_each(|key| part(&mut sha, key));
        named.sites.iter().filter_map(|id| base.site(*id)).for_each(|site| part(&mut sha, site));
        named.devices.iter().filter_map(|id| base.device(id)).for_each(|device| part(&mut sha, device));
        let asked = decision.asked.as_ref().map(|command| Asked::of(base.id(), command));
        PreviewDigest { asked: asked.unwrap_or_default(), read: half(sha) }
    }

    /// The digest of what this decision read together with that of another organization (domain K7, K8).
    #[must_use]
    pub fn with(&self, receiver: &PreviewDigest) -> PreviewDigest {
        // What is asked of the receiver follows from what was asked of the giver, and contains ids made anew.
        let both = Sha256::new().chain_update(self.read).chain_update(receiver.read);
        PreviewDigest { asked: self.asked, read: half(both) }
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.asked.0.into_iter().chain(self.read)
    }
}

fn half(sha: Sha256) -> [u8; 16] {
    let [half, _] = halves(sha.finalize().into());
    half
}

/// Adds a part to a hash, its length first, so that two parts cannot pass for one.
fn part(sha: &mut Sha256, value: &(impl Serialize + ?Sized)) {
    // The books' own types always serialize: snapshots are made of them.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    sha.update((bytes.len() as u64).to_be_bytes());
    sha.update(&bytes);
}

/// What the events of a command name.
#[derive(Default)]
struct Named {
    groups: BTreeSet<GroupId>,
    keys: BTreeSet<KeyId>,
    sites: BTreeSet<SiteId>,
    devices: BTreeSet<DeviceId>,
    settings: bool,
}

impl Named {
    fn add(&mut self, decision: &Decision, event: &Event) {
        match event {
            Event::OrganizationFounded { .. } | Event::GroupsEnabled | Event::SettingsChanged { .. } => {
                self.settings = true;
            }
            Event::GroupCreated { group, .. }
            | Event::GroupRenamed { group, .. }
            | Event::GroupSettingsChanged { group, .. }
            | Event::GroupDeleted { group }
            | Event::RenewalsActivated { group, .. }
            | Event::TermEnded { group, .. }
            | Event::GroupAssessed { group, .. } => {
                self.groups.insert(*group);
            }
            Event::SiteCreated { place, .. } => self.place(decision, place),
            Event::SiteMoved { site, place } => {
                self.site(decision, *site);
                self.place(decision, place);
            }
            Event::SiteRenamed { site, .. } | Event::SiteDeleted { site } => self.site(decision, *site),
            Event::DeviceClaimed { device, site, .. } | Event::DeviceMoved { device, site } => {
                self.device(decision, device);
                self.site(decision, *site);
            }
            Event::UnitsCounted { units } => self.devices.extend(units.keys().cloned()),
            Event::DoorsConfigured { device, .. }
            | Event::TrialConverted { device }
            | Event::TrialEnded { device }
            | Event::DeviceRetired { device, .. } => self.device(decision, device),
            // What is claimed by an enrolment has an event of its own.
            Event::Enrolment(_) | Event::Safety(_) => {}
            Event::KeyClaimed { place, .. } => self.key_place(place),
            Event::KeyPlaced { key, place } => self.key(decision, *key, [place]),
            Event::KeySplit { key, parts } => {
                self.key(decision, *key, parts.iter().map(|part| &part.place));
            }
            Event::KeyExpired { key } | Event::KeyTransferred { key, .. } => self.key(decision, *key, []),
        }
    }

    fn key<'a>(&mut self, of: &Decision, key: KeyId, places: impl IntoIterator<Item = &'a KeyPlace>) {
        self.keys.insert(key);
        self.groups.extend(of.base.key(key).and_then(|key| key.state.group()));
        places.into_iter().for_each(|place| self.key_place(place));
    }

    /// What goes to Unassigned reads how long the countdown is.
    fn key_place(&mut self, place: &KeyPlace) {
        match place.group() {
            Some(group) => {
                self.groups.insert(group);
            }
            None => self.settings = true,
        }
    }

    fn site(&mut self, of: &Decision, site: SiteId) {
        self.sites.insert(site);
        self.groups.extend(of.base.group_of_site(site));
    }

    fn place(&mut self, of: &Decision, place: &Place) {
        match place {
            Place::Root { group } => {
                self.groups.insert(*group);
            }
            Place::Unassigned { .. } => self.settings = true,
            Place::Within { parent } => self.site(of, *parent),
        }
    }

    fn device(&mut self, of: &Decision, device: &DeviceId) {
        self.devices.insert(device.clone());
        self.groups.extend(of.base.device(device).and_then(|device| of.base.group_of_site(device.site)));
    }
}

/// Refuses a decision on anything else than what was shown.
///
/// # Errors
/// `PREVIEW_OF_ANOTHER_CHANGE` if `shown` is the digest of the preview of another change; `PREVIEW_OUTDATED` if what the
/// command reads has changed since: changes elsewhere do not count.
pub fn check_digest(decision: &Decision, shown: &PreviewDigest) -> Result<(), Refusals> {
    check_digest_of(decision, None, shown)
}

/// The same for a decision with what it comes to in the organization that gets a key from it (domain K7, K8).
///
/// # Errors
/// As [`check_digest`], of what the command reads in either.
pub fn check_digest_of(
    decision: &Decision,
    receiver: Option<&Decision>,
    shown: &PreviewDigest,
) -> Result<(), Refusals> {
    let own = PreviewDigest::of(decision);
    check_shown(&receiver.map_or(own, |receiver| own.with(&PreviewDigest::of(receiver))), shown)
}

/// Whether a digest that is kept as text is of the same change as another.
pub(super) fn asks_the_same(kept: &str, digest: &PreviewDigest) -> bool {
    kept.parse::<PreviewDigest>().is_ok_and(|kept| kept.asked == digest.asked)
}

/// Refuses a change whose preview would have the digest `now` if another one was `shown`.
///
/// # Errors
/// As [`check_digest`].
pub fn check_shown(now: &PreviewDigest, shown: &PreviewDigest) -> Result<(), Refusals> {
    if now.asked != shown.asked {
        return Err(another_change());
    }
    if now.read == shown.read { Ok(()) } else { Err(outdated()) }
}

/// The refusal of a change with the digest of the preview of another.
#[must_use]
pub fn another_change() -> Refusals {
    Refusal::new(
        RefusalCode::PreviewOfAnotherChange,
        "the digest is that of the preview of another change: at least one field of this one is different",
        "preview this very change, look at it, and apply that",
    )
    .into()
}

/// The refusal of a change on anything else than what its preview showed.
fn outdated() -> Refusals {
    Refusal::new(
        RefusalCode::PreviewOutdated,
        "what this change touches is not what the preview showed any more",
        "preview it again, look at what changed, and apply that",
    )
    .into()
}

impl fmt::Display for PreviewDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is not the digest of a preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the digest of a preview: 64 lower-case hexadecimal digits, as the preview gave them")]
pub struct PreviewDigestError;

impl FromStr for PreviewDigest {
    type Err = PreviewDigestError;

    fn from_str(text: &str) -> Result<Self, PreviewDigestError> {
        let mut bytes = [0; 32];
        let plain = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = index.checked_mul(2).and_then(|at| text.get(at..at.checked_add(2)?));
            let value = pair.filter(|_| plain).and_then(|pair| u8::from_str_radix(pair, 16).ok());
            *byte = value.ok_or(PreviewDigestError)?;
        }
        let [asked, read] = halves(bytes);
        Ok(PreviewDigest { asked: Asked(asked), read })
    }
}

impl Serialize for PreviewDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}
