//! What the next keyring says, and which key signs: pure, from the last keyring, the policy and the time.

use super::super::TrustError;
use super::TrustPolicy;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{KeyUse, Keyring, KeyringDocument, Kid, PublicKey, TokenKey};

/// How long before its announcement a token key is valid, so that clocks a little apart do not refuse its first token.
const CLOCK_SLACK: Seconds = Seconds(300);

/// What is to be different in the next keyring.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyringChange {
    /// The other token keys end now, so that the new one signs at once.
    pub replace: bool,
    /// Token keys left out: what they sign counts no more.
    pub revoke: Vec<Kid>,
    /// Whether the minimum epoch is raised, which undoes a sequence a thief pushed ahead.
    pub raise_epoch: bool,
}

/// The public halves of keys that the next keyring announces.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NewKeys<'a> {
    /// Signs license states.
    pub license_state: Option<&'a PublicKey>,
    /// Signs answers to devices that enrol.
    pub enrolment: Option<&'a PublicKey>,
}

/// The keyring before the first.
pub(super) fn nothing(policy: &TrustPolicy, now: Timestamp) -> KeyringDocument {
    KeyringDocument {
        trust_domain: policy.trust_domain.clone(),
        version: 0,
        issued_at: now,
        min_epoch: 1,
        keys: Vec::new(),
    }
}

/// The keyring after `last`: without keys nobody can need any more, with new ones if there are any, changed as asked.
pub(super) fn next_document(
    policy: &TrustPolicy,
    last: &KeyringDocument,
    new: NewKeys<'_>,
    change: &KeyringChange,
    now: Timestamp,
) -> Result<KeyringDocument, TrustError> {
    if let Some(unknown) = change.revoke.iter().find(|kid| last.keys.iter().all(|key| key.key.kid() != **kid))
    {
        return Err(TrustError::NotAnnounced { kid: *unknown, keyring: last.version });
    }
    // Never a lease ahead, or a key that ends would go on being the one that signs.
    let slack = CLOCK_SLACK.min(policy.lease);
    let mut keys: Vec<TokenKey> = last
        .keys
        .iter()
        .filter(|key| now <= key.not_after_at.saturating_add(policy.keep))
        .filter(|key| !change.revoke.contains(&key.key.kid()))
        .cloned()
        .collect();
    if change.replace {
        for key in keys.iter_mut().filter(|key| is_ours(key)) {
            let end = now.saturating_add(slack).max(key.not_before_at);
            key.not_after_at = key.not_after_at.min(end);
        }
    }
    let announced =
        [(KeyUse::LICENSE_STATE, new.license_state, slack), (KeyUse::ENROLMENT, new.enrolment, CLOCK_SLACK)];
    keys.extend(announced.into_iter().filter_map(|(key_use, key, slack)| {
        Some(TokenKey {
            key: key?.clone(),
            not_before_at: now.saturating_sub(slack),
            not_after_at: now.saturating_add(policy.key_lifetime),
            key_use,
            organization: None,
        })
    }));
    Ok(KeyringDocument {
        trust_domain: last.trust_domain.clone(),
        // Follows the clock, so that an installation restored from a backup makes versions devices have not seen.
        version: last.version.saturating_add(1).max(now.as_secs()),
        issued_at: now.max(last.issued_at),
        min_epoch: last.min_epoch.saturating_add(u64::from(change.raise_epoch)),
        keys,
    })
}

/// Whether a key of the keyring is one made here: any organization, license states.
pub(super) fn is_ours(key: &TokenKey) -> bool {
    key.organization.is_none() && key.key_use == KeyUse::LICENSE_STATE
}

/// The keys of the keyring that are made here.
pub(super) fn ours(keyring: &KeyringDocument) -> impl Iterator<Item = &TokenKey> {
    keyring.keys.iter().filter(|key| is_ours(key))
}

/// When the last of our keys ends.
pub(super) fn newest_end(keyring: &KeyringDocument) -> Timestamp {
    ours(keyring).map(|key| key.not_after_at).max().unwrap_or(Timestamp::EPOCH)
}

/// Whether the next key has to be announced: two leases before the end of the last one.
pub(super) fn is_due(policy: &TrustPolicy, keyring: &KeyringDocument, now: Timestamp) -> bool {
    now.saturating_add(Seconds(policy.lease.0.saturating_mul(2))) >= newest_end(keyring)
}

/// The keys for answers to devices that enrol which serve for a lease at least.
pub(super) fn for_enrolment(
    keyring: &KeyringDocument,
    lease: Seconds,
    now: Timestamp,
) -> impl Iterator<Item = &TokenKey> {
    keyring.keys.iter().filter(move |key| {
        key.key_use == KeyUse::ENROLMENT
            && key.organization.is_none()
            && key.not_before_at <= now
            && key.not_after_at > now.saturating_add(lease)
    })
}

/// Whether a keyring that is signed elsewhere should bring a key for answers to devices that enrol: whoever signs it
/// comes together two leases before it ends, as for the other.
pub(super) fn is_enrolment_due(policy: &TrustPolicy, keyring: &KeyringDocument, now: Timestamp) -> bool {
    for_enrolment(keyring, Seconds(policy.lease.0.saturating_mul(2)), now).next().is_none()
}

/// Of the keys with more than a lease to go the one that ends first, else the one that ends last.
pub(super) fn choose(keyring: &Keyring, lease: Seconds, now: Timestamp) -> Option<&TokenKey> {
    let usable = || ours(keyring.document()).filter(|key| key.not_before_at <= now);
    usable()
        .filter(|key| key.not_after_at > now.saturating_add(lease))
        .min_by_key(|key| key.not_after_at)
        .or_else(|| usable().max_by_key(|key| key.not_after_at))
        .or_else(|| ours(keyring.document()).next())
}

/// Of two keyrings, keys of the first whose private halves are of no use under the second: left out, or ended for a
/// lease and more.
pub(super) fn useless<'a>(
    before: &'a KeyringDocument,
    after: &'a KeyringDocument,
    lease: Seconds,
    now: Timestamp,
) -> impl Iterator<Item = &'a TokenKey> {
    ours(before).filter(move |key| match after.keys.iter().find(|other| other.key == key.key) {
        None => true,
        Some(after) => after.not_after_at.saturating_add(lease) < now,
    })
}
