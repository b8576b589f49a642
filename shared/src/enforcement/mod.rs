//! What a device does: the ladder, the schedule a token carries, and the device's own rules.
//!
//! A token's [`Schedule`] and [`TrustedTime`] from the [`TrustedClock`] go into [`step`], which answers with an
//! [`OperatingMode`] within the [`ModeCap`] of the device's class and says why. [`Record`] is what must survive a
//! reboot, [`PublicState`] what the device's own programs may read.

mod class;
mod clock;
mod mode;
mod public_state;
mod reason;
mod record;
mod schedule;
mod state;
mod step;

pub use class::{ALWAYS_ALLOWED, ClassError, DeviceClass, EgressIndependent, ModeCap};
pub use clock::{
    BootId, BootIdError, ClockPolicy, ClockReading, ClockRecord, TimeSource, TrustedClock, TrustedTime,
    WallStanding,
};
pub use mode::{ModeError, OperatingMode};
pub use public_state::{Allows, Answer, Ask, Basis, Facts, PublicState, answer};
pub use reason::{Cause, Reason};
pub use record::{Actuated, HighWater, MAX_RECORD_BYTES, Record, RecordError, Refused};
pub use schedule::Schedule;
pub use state::EnforcementState;
pub use step::{Decision, Inputs, LicenseState, NextChange, step};
