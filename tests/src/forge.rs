//! Tokens the cloud never issued: by another key, for somebody else, from another time.

use crate::cloud::Cloud;
use crate::operator::{Tenant, now};
use coterm_shared::enforcement::{EnforcementState, Schedule};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Claims, Kid, PublicKey, TokenVersion, Unsigned};
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};

/// Somebody who signs tokens.
#[derive(Debug)]
pub struct Forger {
    key: SigningKey,
    kid: Kid,
}

impl Forger {
    /// A thief with the cloud's own token key.
    ///
    /// # Panics
    /// The daemon has made none.
    #[must_use]
    pub fn with_the_real_key(cloud: &Cloud) -> Forger {
        let mut files: Vec<_> = std::fs::read_dir(cloud.data_dir().join("keys"))
            .expect("the daemon keeps its keys there")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("token-"))
            .collect();
        files.sort_by_key(std::fs::DirEntry::path);
        let file = files.first().expect("the daemon has a token key").path();
        let pem = std::fs::read_to_string(file).expect("readable");
        Forger::of(SigningKey::from_pkcs8_pem(&pem).expect("a key"))
    }

    /// Somebody with a key of their own.
    #[must_use]
    pub fn with_another_key() -> Forger {
        Forger::of(SigningKey::from_bytes(&[7; 32]))
    }

    /// Somebody with a key of their own who claims that it is `other`'s.
    #[must_use]
    pub fn posing_as(other: &Forger) -> Forger {
        Forger { kid: other.kid, ..Forger::with_another_key() }
    }

    fn of(key: SigningKey) -> Forger {
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).expect("not a weak key");
        Forger { kid: public.kid(), key }
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// No token can say that.
    #[must_use]
    pub fn token(&self, claims: &Claims) -> Vec<u8> {
        let unsigned = Unsigned::token(claims, self.kid).expect("claims a token can carry");
        unsigned.attach(self.key.sign(unsigned.to_be_signed()).to_bytes())
    }
}

/// The best a device could be told: licensed for ever, newer than anything it holds.
///
/// # Panics
/// The tenant has no site.
#[must_use]
pub fn licensed_for_ever(tenant: &Tenant, device: &str, epoch: u64) -> Claims {
    let sites = tenant.json(&["site", "list"]);
    let site = sites["items"][0]["id"].as_str().expect("a site").parse().expect("an id");
    let issued_at = Timestamp::from_secs_clamped(now());
    Claims {
        trust_domain: "e2e.coterm.test".parse().expect("a trust domain"),
        device: device.parse().expect("a device"),
        lease_ends_at: issued_at.saturating_add(Seconds::days(30)),
        issued_at,
        nonce: None,
        organization: tenant.id.parse().expect("an id"),
        site,
        group: None,
        state: EnforcementState::Licensed,
        findings: Vec::new(),
        schedule: Schedule::NEVER,
        offline_lock_at: issued_at.saturating_add(Seconds::days(300)),
        version: TokenVersion { epoch, seq: (issued_at.as_secs() + 3_600) * 1_000 },
        coterm_at: None,
    }
}
