//! What is known about one device, and the facts that decide about it.

use crate::reconcile::digest::Goal;
use crate::reconcile::plan::{Facts, Held, Issued, Policy, Sent};
use crate::reconcile::status::{Link, Quarantine};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Nonce, TokenDigest, TokenVersion};
use std::sync::Arc;

/// How long the answer to a request waits for the report that says what the device holds; one that never reports is
/// answered after that.
pub(super) const ANSWER_AFTER: Seconds = Seconds(5);

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) organization: Option<OrganizationId>,
    pub(super) issued: Option<Issued>,
    /// The version issued before that one.
    pub(super) previous: Option<TokenVersion>,
    pub(super) held: Held,
    /// Which token of that version it says it holds.
    pub(super) held_digest: Option<TokenDigest>,
    pub(super) sent: Option<Sent>,
    pub(super) in_flight: Option<TokenVersion>,
    /// The newest token is one no device takes any more.
    pub(super) outdated: bool,
    pub(super) link: Link,
    pub(super) heard_at: Option<Timestamp>,
    pub(super) report: Option<Arc<Report>>,
    pub(super) asked: Option<Nonce>,
    pub(super) asked_at: Option<Timestamp>,
    /// It reported since it connected, or since the start if the broker does not tell.
    pub(super) reported: bool,
    pub(super) answered_at: Option<Timestamp>,
    pub(super) healed_at: Option<Timestamp>,
    pub(super) quarantine: Option<Quarantine>,
    /// When it may be asked again to show the token it claims.
    pub(super) ask_at: Option<Timestamp>,
    /// How often it was asked to, since it was issued a token.
    pub(super) asks: u32,
    pub(super) proven: Option<TokenVersion>,
    /// It showed another token of the newest version, and none of our keys signed it that still counts.
    pub(super) vain: bool,
    /// It refused a token for contradiction, and was not issued another since.
    pub(super) contradicted: bool,
    /// The version that answers its request.
    pub(super) answer: Option<TokenVersion>,
    /// It was retired when it was last looked at.
    pub(super) farewell: bool,
}

impl Entry {
    /// Everything that decides about a device.
    pub(super) fn facts<'a>(
        &self,
        device: &'a DeviceId,
        goal: Option<Goal>,
        settled: Option<TokenVersion>,
        policy: &Policy,
        now: Timestamp,
    ) -> Facts<'a> {
        let reachable = policy.retained
            || match self.link {
                Link::Connected => true,
                Link::Unknown | Link::Disconnected => false,
            };
        Facts {
            device,
            wanted: goal.map(|goal| goal.digest),
            farewell: goal.is_some_and(|goal| goal.farewell),
            issued: self.issued,
            previous: self.previous,
            held: self.held,
            other: self.issued.is_some_and(|issued| {
                let same_version = self.held == Held::Version(issued.version);
                same_version && self.held_digest.is_some_and(|held| held != issued.token)
            }),
            spoke: self.reported,
            sent: self.sent,
            reachable,
            // What it holds comes with the same breath, and may be what another cloud issued: then it gets no token.
            asked: self.asked.is_some()
                && (self.reported || self.asked_at.is_none_or(|at| now >= at.saturating_add(ANSWER_AFTER))),
            healed_at: self.healed_at,
            outdated: self.outdated,
            proven: self.proven.is_some() && self.held == self.proven.map_or(Held::Unknown, Held::Version),
            vain: self.vain,
            settled,
            contradicted: self.contradicted,
            answers: self.answer.is_some() && self.answer == issued_version(self),
        }
    }
}

pub(super) fn issued_version(entry: &Entry) -> Option<TokenVersion> {
    entry.issued.map(|issued| issued.version)
}

pub(super) fn held(report: &Report) -> Held {
    report.held.map_or(Held::Nothing, Held::Version)
}
