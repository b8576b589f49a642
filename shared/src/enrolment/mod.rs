//! Enrolment: how a device that nobody provisioned becomes one of an organization's.
//!
//! **Problem.** A device with a key of its own must learn whom to trust and be given a certificate, over a network where
//! anybody may answer. **Method.** A claim code, used once, names the root by its hash and proves that the organization
//! wants a device ([`code`]); who may use it when is decided by the organization's own rules
//! ([`crate::licensing::ClaimCode`]); what the cloud says to a device before it has a certificate is signed under that root
//! and names the TLS connection it was said on ([`crate::token::Answer`]). **Deliberately absent:** randomness,
//! certificates, sockets.

pub mod code;
