//! What spans organizations: the price book, the catalog, issued keys, the vendor's bounds, and who exists.
//!
//! **Problem.** A key is issued before anybody claims it and must be claimable once, anywhere; a price must weigh the
//! same for everybody. **Method.** One small aggregate of the same kind as the organization: commands, events, pure.
//! Claiming does not pass through here: what an issued key contains never changes, and that it is claimed once is a
//! unique reservation of the store ([`crate::licensing::Event::reservations`]), so claims of different organizations
//! never wait for each other. **Deliberately absent:** plain key codes. Only their hash is ever stored.

pub mod code;

mod aggregate;
mod decide;
mod orders;

pub use aggregate::{
    DatedPlatformEvent, IssuedPart, Model, Platform, PlatformEvent, PlatformReplayError, Price,
};
pub use decide::{IssueKey, PlatformCommand, PlatformDecision, decide};
pub use orders::{HistoricLine, HistoricOrder, enter_orders};
