//! Enrolment: where devices come that have a claim code, or a certificate that is about to end.
//!
//! **Problem.** A device that nobody provisioned must be let in over a network where anybody may ask and anybody may
//! answer. **Method.** A TLS 1.3 listener of its own ([`listener`]), off unless configured. Questions and answers are
//! framed CBOR ([`coterm_shared::token::Request`]), not HTTP: TLS has to end here, because every answer names this
//! connection's certificate, so nothing that understands HTTP could stand in between anyway (decision 0014). What is
//! decided, the organization's rules decide ([`desk`]); who asks too often waits ([`rates`]). **Deliberately absent:** key
//! generation for devices; `coterm device provision` is for those that cannot make one.

mod desk;
mod listener;
mod rates;
mod tls;

pub use desk::{Desk, Policy};
pub use listener::{EnrolmentListener, ListenError, Settings};
