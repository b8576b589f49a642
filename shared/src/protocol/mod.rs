//! What cloud and agent say to each other over MQTT: topics, who may use them, and the messages of devices.
//!
//! Downwards go signed bytes alone (a token, the keyring), which `token` reads; upwards go [`Report`] and [`Request`],
//! JSON that a person can read on the wire. `docs/PROTOCOL.md` describes the exchange.

mod code;
mod messages;
mod topics;

pub use code::{Code, CodeError, FormatV1};
pub use messages::{
    LastRefusal, MAX_REPORT_BYTES, MAX_REQUEST_BYTES, MessageError, Proof, ProofError, Report, Request,
};
pub use topics::{
    Access, CLOUD_SHARE, DEVICE_REPORTS, DEVICE_REQUESTS, Topic, TopicError, cloud_filters, cloud_may,
    device_may,
};
