//! What a notice can be about, and how long before.

use crate::enforcement::EnforcementState;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Days before the end of a term at which it is told (domain N1).
pub(super) const TERM: &[u32] = &[30, 7, 1];
/// Days before a lock, a stop, or the end of a countdown or a trial (domain N1, G3).
pub(super) const SOON: &[u32] = &[7, 1];

/// What a notice is about: a closed list of stable names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeKind {
    /// The term of a group ends in 30, 7 or 1 days.
    TermEnds,
    /// The renewals that wait in a group will license less than is in use (domain K3).
    RenewalTooSmall,
    /// A group became noncompliant.
    Noncompliant,
    /// A group is compliant again.
    Compliant,
    /// Management of devices of a group locks in 7 days or 1.
    LockAhead,
    /// Devices of a group stop in 7 days or 1.
    StopAhead,
    /// The countdown of unassigned keys or sites ends in 7 days or 1 (domain G3).
    CountdownEnds,
    /// The trial of devices ends in 7 days or 1 (domain G8).
    TrialEnds,
    /// An operation was not carried out and waits for the vendor (domain E6).
    OperationHeld,
    /// An operation that waited was approved, rejected, withdrawn, or dropped because nobody decided (domain E6).
    HeldOperationClosed,
    /// The vendor issued a license key; told to its buyer (domain K1).
    KeyIssued,
    /// An operator tries whether notices arrive.
    Test,
}

impl NoticeKind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [NoticeKind; 12] = [
        NoticeKind::TermEnds,
        NoticeKind::RenewalTooSmall,
        NoticeKind::Noncompliant,
        NoticeKind::Compliant,
        NoticeKind::LockAhead,
        NoticeKind::StopAhead,
        NoticeKind::CountdownEnds,
        NoticeKind::TrialEnds,
        NoticeKind::OperationHeld,
        NoticeKind::HeldOperationClosed,
        NoticeKind::KeyIssued,
        NoticeKind::Test,
    ];

    /// Its stable name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NoticeKind::TermEnds => "term-ends",
            NoticeKind::RenewalTooSmall => "renewal-too-small",
            NoticeKind::Noncompliant => "noncompliant",
            NoticeKind::Compliant => "compliant",
            NoticeKind::LockAhead => "lock-ahead",
            NoticeKind::StopAhead => "stop-ahead",
            NoticeKind::CountdownEnds => "countdown-ends",
            NoticeKind::TrialEnds => "trial-ends",
            NoticeKind::OperationHeld => "operation-held",
            NoticeKind::HeldOperationClosed => "held-operation-closed",
            NoticeKind::KeyIssued => "key-issued",
            NoticeKind::Test => "test",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<NoticeKind> {
        NoticeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The days before its date at which it is told; none if it has no date ahead.
    pub(super) const fn thresholds(self) -> &'static [u32] {
        match self {
            NoticeKind::TermEnds => TERM,
            NoticeKind::LockAhead
            | NoticeKind::StopAhead
            | NoticeKind::CountdownEnds
            | NoticeKind::TrialEnds => SOON,
            NoticeKind::RenewalTooSmall
            | NoticeKind::Noncompliant
            | NoticeKind::Compliant
            | NoticeKind::OperationHeld
            | NoticeKind::HeldOperationClosed
            | NoticeKind::KeyIssued
            | NoticeKind::Test => &[],
        }
    }

    /// The state that begins at its date; `None` if it is about no step of the ladder.
    pub(super) const fn step(self) -> Option<EnforcementState> {
        match self {
            NoticeKind::LockAhead => Some(EnforcementState::ManagementLocked),
            NoticeKind::StopAhead => Some(EnforcementState::Stopped),
            NoticeKind::TermEnds
            | NoticeKind::RenewalTooSmall
            | NoticeKind::Noncompliant
            | NoticeKind::Compliant
            | NoticeKind::CountdownEnds
            | NoticeKind::TrialEnds
            | NoticeKind::OperationHeld
            | NoticeKind::HeldOperationClosed
            | NoticeKind::KeyIssued
            | NoticeKind::Test => None,
        }
    }

    /// Whether the vendor is told as well: it is the vendor who decides (domain E6).
    #[must_use]
    pub const fn is_for_the_vendor(self) -> bool {
        match self {
            NoticeKind::OperationHeld | NoticeKind::HeldOperationClosed => true,
            NoticeKind::TermEnds
            | NoticeKind::RenewalTooSmall
            | NoticeKind::Noncompliant
            | NoticeKind::Compliant
            | NoticeKind::LockAhead
            | NoticeKind::StopAhead
            | NoticeKind::CountdownEnds
            | NoticeKind::TrialEnds
            | NoticeKind::KeyIssued
            | NoticeKind::Test => false,
        }
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
