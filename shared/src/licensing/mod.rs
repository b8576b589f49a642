//! The books of one organization.
//!
//! **Problem.** Who may use what until when must be exact, explainable years later, and the same in a preview as in
//! the deed. **Method.** An event-sourced aggregate: [`decide`] turns a command into events or refusals,
//! [`Organization::apply`] turns events into state, both pure. The log of events is the transaction log.
//! **Deliberately absent:** storage, time, randomness, and everything that spans organizations
//! ([`crate::platform`]).

mod apply;
pub mod calc;
mod clock;
mod command;
mod compliance;
pub mod coterm;
mod decide;
mod draft;
mod event;
pub mod license_key;
mod name;
mod organization;
mod preview;
mod refusal;
mod settings;
#[cfg(test)]
mod tests;
pub mod view;
mod wanted;

pub use apply::ReplayError;
pub use clock::{CauseClock, Left, Run};
pub use command::{Command, FoundOrganization, SettingsChange};
pub use compliance::{Assessment, Figures, Occasion, Term, Units, assess, findings};
pub use decide::{Context, decide, found};
pub use draft::{Decision, Touched};
pub use event::{Dated, Event, Reservation, Reserved, ReservedKind};
pub use license_key::{IssuedKey, KeyLine, KeyState, LicenseKey, OrderLine};
pub use name::{ModelName, Name, OrderNumber, Zone};
pub use organization::{Device, DeviceState, Group, Organization, Place, Site};
pub use preview::{GroupChange, GroupState, Preview, compare, preview};
pub(crate) use refusal::Findings;
pub use refusal::{Refusal, RefusalCode, RefusalKind, Refusals};
pub use settings::{Limits, Overrides, Settings};
pub use wanted::Wanted;
