//! Safety, decided before a schedule is issued (domain E6).
//!
//! **Problem.** One slip, or one stolen credential, must not stop a city's cameras. **Method.** What every finished draft
//! would do to the devices in use is measured ([`lockout`]); what newly puts too many of them on the way to lock is not
//! done but written down ([`held`], [`hold`]) until somebody of the vendor, and not who asked, approves it; and the vendor
//! can freeze what is ahead ([`freeze`]). A lockout can be given a pace ([`pace`]). **Deliberately absent:** who is who. The shells say which principal acts;
//! here principals are compared and nothing else.

mod freeze;
mod held;
mod hold;
mod lockout;
mod pace;
mod view;

pub use freeze::{Freeze, PutOff, Thaw};
pub(super) use freeze::{held_back, put_off};
pub(super) use held::Safety;
pub use held::{Actor, HeldCommand, HeldOperation, HeldState, SafetyCommand, SafetyEvent};
pub use hold::hold;
pub use lockout::Lockout;
pub(super) use lockout::lockout;
pub use pace::Tranches;
pub use view::{FreezeView, HeldView, SafetyView};
