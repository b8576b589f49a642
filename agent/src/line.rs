//! What the line to the broker is made of that needs no socket: what waits to be sent, for how long a
//! report may wait, and when to connect again.

pub use crate::mqtt::backoff::{Backoff, HEALTHY};
pub use crate::mqtt::{Outbox, Slot, report_pause};
