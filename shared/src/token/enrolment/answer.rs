//! What the cloud says to a device that is being enrolled: signed, for this question, on this connection.

use super::super::codec::{check, decode, encode};
use super::super::cose::{Sign1, header1, parse_header1, sign1, signature1};
use super::super::key::Kid;
use super::super::keyring::{KeyUse, Keyring};
use super::super::names::TrustDomain;
use super::super::wire::{Blob, Fixed, int_map};
use crate::time::Timestamp;
use alloc::vec::Vec;

/// The type of an answer (RFC 9596 `typ`).
pub const ENROLMENT_TYPE: &str = "application/vnd.coterm.enrolment+cose";
/// The longest answer, in bytes.
pub const MAX_ANSWER_BYTES: usize = 49_152;
const PROFILE: u64 = 1;

/// What an answer belongs to: one question on one TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The device's own random bytes.
    pub nonce: [u8; 32],
    /// The SHA-256 of the end-entity certificate (DER) of the TLS server.
    pub server: [u8; 32],
}

/// Why an answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerRefusal {
    /// Not an answer at all, or too long.
    #[error("ANSWER_MALFORMED: this is no answer of an enrolment listener; check host and port")]
    Malformed,
    /// The keyring does not list its key for this use.
    #[error(
        "ANSWER_KEY: the answer is signed by a key that may not sign enrolments; ask the operator of the cloud"
    )]
    Key,
    /// The signature does not verify.
    #[error("ANSWER_SIGNATURE: the signature is wrong; somebody may stand between device and cloud")]
    Signature,
    /// It is of another deployment.
    #[error("ANSWER_TRUST_DOMAIN: the answer is of another deployment; check the claim code and the address")]
    TrustDomain,
    /// It answers another question.
    #[error("ANSWER_NONCE: the answer is to another question; somebody may repeat old answers")]
    Nonce,
    /// It was said on another connection.
    #[error(
        "ANSWER_CHANNEL: the cloud did not say this on this connection; somebody stands between device and cloud, or a proxy ends TLS"
    )]
    Channel,
    /// It was signed outside the window of its key.
    #[error("ANSWER_TIME: the answer was signed outside the window of its key; the cloud's clock is wrong")]
    Time,
}

int_map! {
    /// `enrolment-answer` of the CDDL.
    WireAnswer {
        req 1 => profile: u64,
        req 2 => trust_domain: TrustDomain,
        req 3 => nonce: Fixed<32>,
        req 4 => server: Fixed<32>,
        req 5 => issued: Timestamp,
        req 6 => body: Blob,
    }
}

/// The table of this file, for the test that compares it with the CDDL.
#[cfg(test)]
pub(super) const TABLE: (&str, &[super::super::wire::Row]) = ("enrolment-answer", WireAnswer::ROWS);

/// An answer that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it was signed, by the cloud's clock.
    pub issued_at: Timestamp,
    /// What is said: one of the messages.
    pub body: Vec<u8>,
}

impl Answer {
    /// Verifies an answer to the question that was asked.
    ///
    /// # Errors
    /// [`AnswerRefusal`] unless a key of the keyring with the use of enrolment signed it for this question, on this
    /// connection, at an instant in that key's window.
    pub fn verify(bytes: &[u8], keyring: &Keyring, binding: &Binding) -> Result<Answer, AnswerRefusal> {
        if bytes.len() > MAX_ANSWER_BYTES {
            return Err(AnswerRefusal::Malformed);
        }
        let signed = Sign1::parse(bytes).ok_or(AnswerRefusal::Malformed)?;
        let kid = parse_header1(signed.protected, ENROLMENT_TYPE).ok().ok_or(AnswerRefusal::Malformed)?;
        let key =
            keyring.key(kid).filter(|key| key.key_use == KeyUse::ENROLMENT).ok_or(AnswerRefusal::Key)?;
        if !key.key.verifies(&signed.to_be_signed(), signed.signature) {
            return Err(AnswerRefusal::Signature);
        }
        check(signed.payload).ok().ok_or(AnswerRefusal::Malformed)?;
        let wire: WireAnswer = decode(signed.payload).ok().ok_or(AnswerRefusal::Malformed)?;
        if wire.profile != PROFILE {
            Err(AnswerRefusal::Malformed)
        } else if wire.trust_domain != *keyring.trust_domain() {
            Err(AnswerRefusal::TrustDomain)
        } else if wire.server.0 != binding.server {
            Err(AnswerRefusal::Channel)
        } else if wire.nonce.0 != binding.nonce {
            Err(AnswerRefusal::Nonce)
        } else if !(key.not_before_at..=key.not_after_at).contains(&wire.issued) {
            Err(AnswerRefusal::Time)
        } else {
            Ok(Answer { issued_at: wire.issued, body: wire.body.0 })
        }
    }
}

/// An answer that lacks nothing but its signature.
#[derive(Clone, Debug)]
pub struct UnsignedAnswer {
    protected: Vec<u8>,
    payload: Vec<u8>,
}

impl UnsignedAnswer {
    /// An answer with this body, to be signed by the key with this id.
    #[must_use]
    pub fn new(
        trust_domain: &TrustDomain,
        binding: &Binding,
        at: Timestamp,
        body: Vec<u8>,
        kid: Kid,
    ) -> Self {
        let wire = WireAnswer {
            profile: PROFILE,
            trust_domain: trust_domain.clone(),
            nonce: Fixed(binding.nonce),
            server: Fixed(binding.server),
            issued: at,
            body: Blob(body),
        };
        UnsignedAnswer { protected: header1(kid, ENROLMENT_TYPE), payload: encode(&wire).unwrap_or_default() }
    }

    /// The bytes to sign with plain Ed25519 (RFC 9052 §4.4 `Sig_structure`).
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        signature1(&self.protected, &self.payload)
    }

    /// The answer.
    #[must_use]
    pub fn attach(&self, signature: [u8; 64]) -> Vec<u8> {
        sign1(&self.protected, &self.payload, &signature)
    }
}
