//! The books of one organization.
//!
//! **Problem.** Who may use what until when must be exact, explainable years later, and the same in a preview as in
//! the deed. **Method.** An event-sourced aggregate: [`decide`] turns a command into events or refusals,
//! [`Organization::apply`] turns events into state, both pure. The log of events is the transaction log.
//! **Deliberately absent:** storage, time, randomness, and everything that spans organizations
//! ([`crate::platform`]).

pub mod access;
mod ahead;
mod apply;
mod asked;
pub mod calc;
mod carry;
mod clock;
mod coming;
mod command;
mod compliance;
pub mod coterm;
mod coverage;
mod decide;
mod device;
mod digest;
mod draft;
mod enrolment;
mod event;
pub mod explain;
mod group;
pub mod import;
mod ladders;
pub mod license_key;
mod name;
mod notice;
mod organization;
mod plain;
mod planner;
mod preview;
mod refusal;
mod safety;
mod settings;
mod site;
#[cfg(test)]
mod tests;
mod unassigned;
pub mod view;
mod wanted;

pub use ahead::Ahead;
pub use apply::ReplayError;
pub use asked::Asked;
pub use clock::{CauseClock, Clocks, Left, Run};
pub use coming::{COMING_MAX, Coming, ComingDate, ComingKind};
pub use command::{
    AlongPart, ClaimMode, ClaimModeError, Command, FoundOrganization, KeyStep, NewDevice, PartRequest,
    PartTarget, SettingsChange, SiteTarget,
};
pub use compliance::{
    Arrival, Assessment, Carried, Figures, Holder, Occasion, Origin, Renewal, Term, Units, assess, findings,
};
pub use coverage::{CoverageView, CoveringKey};
pub use decide::{Context, decide, found};
pub use device::{Device, DeviceState, Trial};
pub use digest::{
    PreviewDigest, PreviewDigestError, another_change, check_digest, check_digest_of, check_shown,
};
pub use draft::{Decision, Touched};
pub use enrolment::{
    ClaimCode, ClaimState, Enrol, Enrolment, EnrolmentCommand, EnrolmentEvent, LIST_MAX, NewClaimCode,
};
pub use event::{Dated, Event, Reservation, Reserved, ReservedKind, Retirement, SplitPart, Subject};
pub use group::{DateMoved, Group};
pub use ladders::{EarlyDevices, EarlyHolder};
pub use license_key::{IssuedKey, KeyLine, KeyPast, KeyPlace, KeyState, LicenseKey, OrderLine};
pub use name::{ModelName, Name, OrderNumber, Zone};
pub use notice::{
    About, Changed, Item, KeyWaiting, LockoutDays, Mark, NAMED_MAX, Notice, NoticeFacts, NoticeHead,
    NoticeKind, Paced, SiteWaiting, Topic, TrialEnding, Wakes, is_mark_over, key_issued, notices, still_true,
    test_notice,
};
pub use organization::Organization;
pub(crate) use organization::above;
pub use plain::{hidden_in, is_hidden, plain};
pub use planner::{LicensePlan, NoPlan, NoPlanCode, PlannedKey, licenses_along};
pub use preview::{
    DeviceMove, GroupChange, GroupState, KeyChange, Preview, Proposal, ProposedStep, ReceiverPreview,
    SiteMove, Warning, WarningCode, compare, group_changes, preview,
};
pub(crate) use refusal::Findings;
pub use refusal::{Refusal, RefusalCode, RefusalKind, Refusals, refusals_of};
pub use safety::{
    Actor, Freeze, FreezeView, HeldCommand, HeldOperation, HeldState, HeldView, Lockout, PutOff,
    SafetyCommand, SafetyEvent, SafetyView, Thaw, Tranches, hold,
};
pub use settings::{DoorUnits, DoorUnitsError, GroupSetting, Limits, Overrides, Scope, ScopeError, Settings};
pub use site::{Home, Place, Site};
pub use unassigned::{UnassignedView, Waiting, WaitingId};
pub use wanted::{Wanted, Wants};
