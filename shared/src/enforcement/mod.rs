//! What a device does: the ladder, the schedule a token carries, and (in their own files) the device's rules.

mod schedule;
mod state;

pub use schedule::Schedule;
pub use state::EnforcementState;
