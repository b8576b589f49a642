//! The access question: may people do this with that device, site or organization now (domain E8)?
//!
//! **Problem.** A management platform must keep its users out where devices are locked or stopped, on every page it
//! shows, by the same dates as the devices themselves. **Method.** Every subject has one [`Gate`]: the instant it closes
//! at, computed from the very schedules that tokens carry ([`super::Wants`]). Whether it is closed is then a comparison
//! with now, and when an answer changes next is known. **Deliberately absent:** who asks. What a user's role
//! allows is the platform's own matter; what licenses allow is the same for all.
//!
//! The answer is what the books say now. A device that has not heard of it yet acts on the token it holds.

mod action;
mod answer;
mod book;
mod denied;
mod gate;

pub use action::{AccessAction, AccessActionError};
pub use answer::{AccessAnswer, AccessCode};
pub use book::AccessBook;
pub use denied::{AccessChange, Denied, DeniedDigest, DeniedDigestError, DeniedView};
pub use gate::{AccessSubject, AccessSubjectError, Gate};
