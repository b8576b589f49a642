//! The license-state token: what the cloud signs and the agent believes.
//!
//! **Problem.** A device far from the cloud must know what it may do, from bytes that anyone could have sent, for
//! months. **Method.** Existing standards unchanged (CWT, COSE, deterministic CBOR, Ed25519), one complete token per
//! device, one path that verifies, and a chain of trust that can be repaired: root, keyring, token. The formats, the
//! checks and the codes are described in `docs/TOKEN.md`. **Deliberately absent:** private keys, clocks, storage.

mod claims;
mod codec;
mod cose;
mod digest;
mod document;
mod enrolment;
mod error;
mod issue;
mod key;
mod keyring;
mod names;
mod root;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

pub use claims::{Claims, ClaimsError, MAX_FINDINGS};
pub use cose::{KEYRING_TYPE, ROOT_TYPE, TOKEN_TYPE};
pub use digest::{TokenDigest, TokenDigestError};
pub use document::{MAX_DOCUMENT_BYTES, MAX_ROLE_KEYS, Role, UnsignedDocument, signatures};
pub use enrolment::{
    Answer, AnswerRefusal, Binding, Body, BrokerPlace, ENROLMENT_TYPE, EnrolRequest, Enrolled, Hello,
    HelloAnswer, MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, MAX_ROOTS, MessageError, Refused, RenewRequest,
    Request, UnsignedAnswer, Wait,
};
pub use error::{TokenRefusal, TrustRefusal};
pub use issue::Unsigned;
pub use key::{Kid, PublicKey, PublicKeyError};
pub use keyring::{KeyUse, Keyring, KeyringDocument, KeyringStep, MAX_KEYRING_KEYS, TokenKey};
pub use names::{Nonce, NonceError, TokenVersion, TokenVersionError, TrustDomain, TrustDomainError};
pub use root::{Root, RootDocument};
pub use verify::{
    Accepted, Expected, Held, MAX_TOKEN_BYTES, VerifiedToken, reopen_stored, verify_again, verify_token,
};
