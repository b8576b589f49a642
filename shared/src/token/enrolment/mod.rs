//! What a device and the enrolment listener say to each other, in bytes.
//!
//! **Problem.** Before it has a certificate a device knows nothing but a claim code, and whoever answers may be anybody.
//! **Method.** Everything the cloud says is an [`Answer`]: a COSE_Sign1 by an online key of the use
//! [`KeyUse::ENROLMENT`](super::KeyUse::ENROLMENT), chained to the root the code pins, which names the device's nonce and
//! the certificate of the TLS connection it was said on. The messages themselves are small deterministic CBOR maps
//! ([`messages`]), each behind four bytes of length. `docs/PROTOCOL.md` describes the exchange, `docs/enrolment.cddl` the
//! bytes. **Deliberately absent:** sockets, certificates, and what is decided.

mod answer;
mod messages;
#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerRefusal, Binding, ENROLMENT_TYPE, MAX_ANSWER_BYTES, UnsignedAnswer};
pub use messages::{
    Body, BrokerPlace, EnrolRequest, Enrolled, Hello, HelloAnswer, MAX_REQUEST_BYTES, MAX_ROOTS,
    MessageError, Refused, RenewRequest, Request, Wait,
};
