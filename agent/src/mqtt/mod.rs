//! The line to the broker: MQTT 5 over mutual TLS.
//!
//! **Problem.** Networks drop, brokers restart and forget, and a client library that is not polled is dead.
//! **Method.** One task owns the connection and does nothing but poll; it talks to the driver over bounded channels.
//! Every session is a clean one, with a fresh client and event loop: nothing of an old session can linger, and every
//! ConnAck subscribes anew. Nothing is sent before its PUBACK: [`Outbox`] keeps the newest report until the broker
//! has it, a token is acknowledged only when the driver says it is on disk, and a PUBACK that does not come for a
//! minute ends the session. **Deliberately absent:** a last will (it slips past the access rules of several brokers)
//! and a session at the broker: what was missed is healed by the report sent after every connect.

pub(crate) mod backoff;
#[cfg(feature = "daemon")]
mod link;
mod outbox;
mod pause;
#[cfg(feature = "daemon")]
pub(crate) mod tls;

#[cfg(feature = "daemon")]
pub(crate) use link::{Link, LinkEvent, Message, Session, start};
pub use outbox::{Outbox, Slot};
pub use pause::report_pause;
