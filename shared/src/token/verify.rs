//! The one path from received bytes to a token that is believed (token §4, steps 1 to 10).
//!
//! **Problem.** Bytes come from whoever reaches the broker. **Method.** The steps in their order, cheap ones before
//! the signature; the first that fails names itself. What passes becomes a [`VerifiedToken`], which nothing else can
//! make. **Deliberately absent:** now. A key's window is compared with the token's own instant of issue; what time it
//! is, the device's clock decides afterwards. Steps 11 to 13 (persist, enforce, report) are the agent's.

use super::claims::Claims;
use super::cose::{HeaderError, Sign1, parse_token_header};
use super::key::Kid;
use super::keyring::{KeyUse, Keyring, TokenKey};
use super::{Nonce, TokenRefusal, TokenVersion, TrustDomain};
use crate::id::{DeviceId, OrganizationId};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// The longest token, in bytes (token §2).
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Who this device is: what a token must be for (token §4 step 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The deployment.
    pub trust_domain: TrustDomain,
    /// The device.
    pub device: DeviceId,
    /// Its organization.
    pub organization: OrganizationId,
}

/// The newest token the device has accepted: its high-water mark (token §4 step 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its version.
    pub version: TokenVersion,
    /// The SHA-256 of its bytes.
    pub digest: [u8; 32],
}

/// A token that passed every check. Only the verifier makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedToken {
    claims: Claims,
    /// The key that signed it, as the keyring listed it.
    key: TokenKey,
    bytes: Vec<u8>,
    proves_freshness: bool,
}

impl VerifiedToken {
    /// What it says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The key that signed it.
    #[must_use]
    pub fn kid(&self) -> Kid {
        self.key.key.kid()
    }

    /// The bytes as received, to be stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// The high-water mark it sets.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { version: self.claims.version, digest: self.digest() }
    }

    /// Whether it answers the nonce that was outstanding (token §4 step 10): signed after the device asked.
    #[must_use]
    pub const fn proves_freshness(&self) -> bool {
        self.proves_freshness
    }

    /// Whether steps 1 to 8 surely pass under this keyring too, for it lists the same key with the same bounds.
    ///
    /// `false` does not say that they fail.
    #[must_use]
    pub fn stands_under(&self, keyring: &Keyring, expected: &Expected) -> bool {
        keyring.key(self.kid()) == Some(&self.key)
            && *keyring.trust_domain() == expected.trust_domain
            && self.claims.trust_domain == expected.trust_domain
            && self.claims.device == expected.device
            && self.claims.organization == expected.organization
    }
}

/// How an accepted token relates to the one held (token §4 step 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is newer: persist, then enforce.
    Newer(VerifiedToken),
    /// It is the one held, byte for byte.
    Duplicate(VerifiedToken),
}

impl Accepted {
    /// The token, new or not.
    #[must_use]
    pub const fn token(&self) -> &VerifiedToken {
        match self {
            Accepted::Newer(token) | Accepted::Duplicate(token) => token,
        }
    }
}

/// Verifies received bytes (token §4, steps 1 to 10).
///
/// # Errors
/// The [`TokenRefusal`] of the first step that fails. The caller changes nothing then but a counter and a report.
pub fn verify_token(
    bytes: &[u8],
    keyring: &Keyring,
    expected: &Expected,
    held: Option<&Held>,
    outstanding_nonce: Option<&Nonce>,
) -> Result<Accepted, TokenRefusal> {
    accept(authenticate(bytes, keyring, expected)?, keyring, held, outstanding_nonce)
}

/// What [`verify_token`] says of a token's bytes, for one that was verified before and could not be kept.
///
/// If the keyring lists its key as it did then, steps 1 to 8 have nothing new to say, and its signature is not checked
/// again.
///
/// # Errors
/// The [`TokenRefusal`] of the first step that fails.
pub fn verify_again(
    token: &VerifiedToken,
    keyring: &Keyring,
    expected: &Expected,
    held: Option<&Held>,
    outstanding_nonce: Option<&Nonce>,
) -> Result<Accepted, TokenRefusal> {
    let token = match token.stands_under(keyring, expected) {
        true => token.clone(),
        false => authenticate(&token.bytes, keyring, expected)?,
    };
    accept(token, keyring, held, outstanding_nonce)
}

/// Steps 9 and 10.
fn accept(
    mut token: VerifiedToken,
    keyring: &Keyring,
    held: Option<&Held>,
    outstanding_nonce: Option<&Nonce>,
) -> Result<Accepted, TokenRefusal> {
    let is_duplicate = check_version(&token, keyring, held)?;
    token.proves_freshness = token.claims.nonce.is_some() && token.claims.nonce.as_ref() == outstanding_nonce;
    Ok(if is_duplicate { Accepted::Duplicate(token) } else { Accepted::Newer(token) })
}

/// Opens the token a device has stored, after a reboot: steps 1 to 8 of the same path.
///
/// Versions are not compared, so a raised minimum epoch does not kill a stored token either; it goes on until a newer
/// one arrives. The keyring is the one the token was accepted under, stored beside it.
///
/// # Errors
/// The [`TokenRefusal`] of the first step that fails.
pub fn reopen_stored(
    bytes: &[u8],
    keyring: &Keyring,
    expected: &Expected,
) -> Result<VerifiedToken, TokenRefusal> {
    authenticate(bytes, keyring, expected)
}

/// Steps 1 to 8.
fn authenticate(bytes: &[u8], keyring: &Keyring, expected: &Expected) -> Result<VerifiedToken, TokenRefusal> {
    // 1. Length. (The topic is the caller's: it subscribes to one.)
    if bytes.is_empty() || bytes.len() > MAX_TOKEN_BYTES {
        return Err(TokenRefusal::Length);
    }
    // 2. Outer shape.
    let signed = Sign1::parse(bytes).ok_or(TokenRefusal::Shape)?;
    // 3. Header.
    let kid = parse_token_header(signed.protected).map_err(|error| match error {
        HeaderError::Labels => TokenRefusal::Header,
        HeaderError::Algorithm => TokenRefusal::Algorithm,
        HeaderError::Type => TokenRefusal::ContentType,
    })?;
    // 4. The key, its use and its organization.
    let key = keyring.key(kid).ok_or(TokenRefusal::UnknownKey)?;
    if key.key_use != KeyUse::LICENSE_STATE {
        return Err(TokenRefusal::KeyUse);
    }
    if key.organization.is_some_and(|bound| bound != expected.organization) {
        return Err(TokenRefusal::KeyOrganization);
    }
    // 5. The signature, over the bytes received.
    if !key.key.verifies(&signed.to_be_signed(), signed.signature) {
        return Err(TokenRefusal::Signature);
    }
    // 6. The claims.
    let claims = Claims::decode(signed.payload)?;
    // 7. Are they ours? A keyring of another deployment speaks for nobody here.
    if claims.trust_domain != expected.trust_domain || claims.trust_domain != *keyring.trust_domain() {
        return Err(TokenRefusal::WrongIssuer);
    }
    if claims.device != expected.device {
        return Err(TokenRefusal::WrongDevice);
    }
    if claims.organization != expected.organization {
        return Err(TokenRefusal::WrongOrganization);
    }
    // 8. The key's window and the sequence, both against the instant of issue.
    if !(key.not_before_at..=key.not_after_at).contains(&claims.issued_at) {
        return Err(TokenRefusal::OutsideKeyWindow);
    }
    if !claims.is_sequence_near_issue() {
        return Err(TokenRefusal::SequenceOffTime);
    }
    Ok(VerifiedToken { claims, key: key.clone(), bytes: bytes.to_vec(), proves_freshness: false })
}

/// Step 9: whether the token is the one held; an error if it is older or contradicts it.
///
/// The epoch must be the keyring's exactly. Were a higher one taken, a stolen key could push the epoch itself to the
/// moon, where no keyring could follow.
fn check_version(
    token: &VerifiedToken,
    keyring: &Keyring,
    held: Option<&Held>,
) -> Result<bool, TokenRefusal> {
    let version = token.claims.version;
    if version.epoch < keyring.min_epoch() {
        return Err(TokenRefusal::EpochRevoked);
    }
    if version.epoch > keyring.min_epoch() {
        return Err(TokenRefusal::EpochUnknown);
    }
    match held {
        Some(held) if version < held.version => Err(TokenRefusal::Rollback),
        Some(held) if version == held.version => {
            if token.digest() == held.digest {
                Ok(true)
            } else {
                Err(TokenRefusal::Equivocation)
            }
        }
        Some(_) | None => Ok(false),
    }
}
