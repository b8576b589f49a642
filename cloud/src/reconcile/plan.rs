//! What one device needs, decided from what is wanted, issued and held.
//!
//! **Problem.** Messages get lost, clocks and databases are restored, devices lie; yet a device that holds the right
//! token must cost nothing. **Method.** One pure function over the facts about one device. It is asked whenever
//! something may have changed and at every sweep, so no answer has to be remembered. **Deliberately absent:** hints
//! about what happened. The same facts give the same answer, whoever asks.

use super::digest::WantedDigest;
use coterm_shared::id::DeviceId;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{TokenDigest, TokenVersion};

/// How long a publish is given to show in a report before the same token is sent to the same device again.
pub const RESEND_AFTER: Seconds = Seconds(10);

/// The least time between two tokens issued because a device says it was shown two of one version.
pub const HEAL_INTERVAL: Seconds = Seconds(3_600);

/// The newest token issued to a device, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its version.
    pub version: TokenVersion,
    /// Which token it is.
    pub token: TokenDigest,
    /// What it expresses.
    pub wanted: WantedDigest,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When its lease ends.
    pub lease_ends_at: Timestamp,
}

impl Issued {
    /// When it is renewed: between half and 0.7 of its lease, always the same instant for the same device and token.
    #[must_use]
    pub fn renew_at(&self, device: &DeviceId) -> Timestamp {
        let lease = self.lease_ends_at.since(self.issued_at).0;
        let jitter = fnv1a(device.as_str().as_bytes()) % (lease / 5).saturating_add(1);
        self.issued_at.saturating_add(Seconds(lease / 2 + jitter))
    }
}

/// What a device said it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// It has said nothing yet. Unknown is not missing.
    #[default]
    Unknown,
    /// No token at all.
    Nothing,
    /// The token of this version.
    Version(TokenVersion),
}

/// The last publish to a device since it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What was sent.
    pub version: TokenVersion,
    /// When the broker had taken it.
    pub at: Timestamp,
}

/// Everything that decides about one device.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The device.
    pub device: &'a DeviceId,
    /// What its token should express; `None` if nobody has anything to say to it (any more).
    pub wanted: Option<WantedDigest>,
    /// Whether that is the last word to a retired device, which stays as true as it is (domain G10).
    pub farewell: bool,
    /// The newest token issued to it.
    pub issued: Option<Issued>,
    /// The version issued to it before the newest, if that is known.
    pub previous: Option<TokenVersion>,
    /// What it says it holds, now or before its connection.
    pub held: Held,
    /// Whether it says that what it holds is not what was issued, where the version is the same: somebody else signs, or it
    /// lies. It is asked to show what it holds.
    pub other: bool,
    /// Whether it said so on the connection it has: then it is subscribed, and what is sent arrives.
    pub spoke: bool,
    /// What was last sent to it.
    pub sent: Option<Sent>,
    /// Whether a publish now has somewhere to go: it is connected, or the broker retains.
    pub reachable: bool,
    /// Whether it asked for a fresh token, within its rate.
    pub asked: bool,
    /// When a token was last issued because of a contradiction.
    pub healed_at: Option<Timestamp>,
    /// Whether the newest token is one no device takes any more, its key revoked or cut short since.
    pub outdated: bool,
    /// Whether it showed the token it claims to hold, and that token verifies.
    pub proven: bool,
    /// Whether it showed another token of the newest version, and none of our keys signed it that still counts.
    pub vain: bool,
    /// Up to which version an operator settled what devices of its organization hold.
    pub settled: Option<TokenVersion>,
    /// Whether it refused a token that contradicts the one of the newest version, and was not issued another since.
    pub contradicted: bool,
    /// Whether the newest token answers a request of the device.
    pub answers: bool,
}

/// What holds for all devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The epoch tokens are issued in (token §3).
    pub epoch: u64,
    /// Whether the broker keeps tokens for devices that connect later.
    pub retained: bool,
    /// Cloud time at the start of this daemon, in milliseconds: sequences from then on are issued here or by others.
    pub started_millis: u64,
}

/// What to do for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Send the bytes issued last.
    Publish,
    /// Issue a token and send it.
    Issue(Why),
    /// Believe no report of this device, raise the alarm, and leave everyone else alone (token §3).
    Quarantine,
    /// Somebody else signs with our keys: stop signing for its organization and raise the alarm (token §3).
    Halt,
}

/// Why a token is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The device never had one.
    First,
    /// Something that a token says has changed.
    Changed,
    /// The epoch was raised.
    EpochRaised,
    /// The key of the newest token was revoked or cut short before the device had it.
    KeyGone,
    /// The lease is more than half over.
    Renewal,
    /// The device asked with a nonce.
    Asked,
    /// The device holds a newer token than the books know: they may have been restored from a backup.
    HeldAhead,
    /// The device was shown two tokens of one version, and it is not known which of them it holds.
    Contradicted,
    /// Somebody else signed for its organization until an operator settled it, and may have signed this version as well.
    Settled,
}

impl Why {
    /// A stable word for logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Why::First => "first",
            Why::Changed => "changed",
            Why::EpochRaised => "epoch-raised",
            Why::KeyGone => "key-gone",
            Why::Renewal => "renewal",
            Why::Asked => "asked",
            Why::HeldAhead => "held-ahead",
            Why::Contradicted => "contradicted",
            Why::Settled => "settled",
        }
    }
}

/// Decides what one device needs at `now`.
#[must_use]
pub fn plan(facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Action {
    let Some(wanted) = facts.wanted else {
        // Another's by now, or not yet read: what was issued is what it is told.
        let issued = facts.issued.filter(|_| !facts.outdated);
        return issued.map_or(Action::Nothing, |issued| deliver(facts, &issued, policy, now));
    };
    let Some(issued) = facts.issued else { return Action::Issue(Why::First) };
    if issued.wanted != wanted {
        return Action::Issue(Why::Changed);
    }
    if issued.version.epoch < policy.epoch {
        return Action::Issue(Why::EpochRaised);
    }
    if facts.outdated {
        return Action::Issue(Why::KeyGone);
    }
    if issued.renew_at(facts.device) <= now && !facts.farewell {
        return Action::Issue(Why::Renewal);
    }
    if let Held::Version(held) = facts.held
        && held > issued.version
    {
        return ahead(facts, held, policy, now);
    }
    if is_between(facts, &issued, policy) {
        return Action::Quarantine;
    }
    let settled = is_settled_by(facts, issued.version);
    if facts.other && !settled && !facts.vain {
        return if facts.proven { Action::Halt } else { Action::Quarantine };
    }
    let healed_lately = facts.healed_at.is_some_and(|at| now < at.saturating_add(HEAL_INTERVAL));
    if is_settled(facts, &issued, policy, now) {
        return Action::Issue(Why::Settled);
    }
    // Settled, or nobody's of ours: what it was issued is told anew, and that is above what it holds.
    let another = facts.contradicted || facts.other;
    if another && !healed_lately && facts.held == Held::Version(issued.version) {
        return Action::Issue(Why::Contradicted);
    }
    if facts.asked {
        return Action::Issue(Why::Asked);
    }
    deliver(facts, &issued, policy, now)
}

/// A device that claims more than was issued tells of books restored from a backup, of somebody else who signs, or a lie.
///
/// Books that lost their tail heal by issuing once more: the sequence grows with the clock, so the new token is above
/// anything issued before this daemon started. What is from after the start was issued by others, whose tokens are never
/// answered with tokens: two clouds that outdo each other would drag the devices to and fro. If the device shows it, it
/// is somebody else's signature; until then it is a claim.
fn ahead(facts: &Facts<'_>, held: TokenVersion, policy: &Policy, now: Timestamp) -> Action {
    let settled = is_settled_by(facts, held);
    let from_before = held.seq < policy.started_millis || settled;
    // What is issued now is above it for certain: `now` is in whole seconds, and sequences are never below the start, which
    // may have been a moment ago, after a crash, in the second of the token that a device shows.
    let since_start = held.seq < policy.started_millis && policy.started_millis / 1_000 <= now.as_secs();
    let outdone = held.epoch <= policy.epoch && (held.seq / 1_000 < now.as_secs() || since_start);
    if from_before && outdone {
        Action::Issue(Why::HeldAhead)
    } else if facts.proven && !settled {
        Action::Halt
    } else {
        Action::Quarantine
    }
}

/// Whether it claims a version from after this daemon's start that lies between the two issued to it last: another cloud
/// made it. Sending the newer one would drag the device from the one cloud's decisions to the other's.
pub(super) fn is_between(facts: &Facts<'_>, issued: &Issued, policy: &Policy) -> bool {
    let (Some(previous), Held::Version(held)) = (facts.previous, facts.held) else { return false };
    let settled = is_settled_by(facts, held);
    // Of an epoch that was left nothing counts any more, whoever signed it.
    let same_epoch = held.epoch == issued.version.epoch;
    same_epoch && previous < held && held < issued.version && held.seq >= policy.started_millis && !settled
}

/// Whether an operator settled what devices hold up to this version.
fn is_settled_by(facts: &Facts<'_>, version: TokenVersion) -> bool {
    facts.settled.is_some_and(|settled| version <= settled)
}

/// Whether the newest token is from before an operator settled that somebody else signed: what the device holds may have its
/// version and say something else, which shows only where it reports the digest of it. What is issued now is above all of it for certain.
fn is_settled(facts: &Facts<'_>, issued: &Issued, policy: &Policy, now: Timestamp) -> bool {
    facts.settled.is_some_and(|settled| {
        issued.version <= settled && settled.epoch <= policy.epoch && settled.seq / 1_000 < now.as_secs()
    })
}

fn deliver(facts: &Facts<'_>, issued: &Issued, policy: &Policy, now: Timestamp) -> Action {
    // An embedded broker's device speaks first. What goes out between its CONNECT and its SUBSCRIBE is lost, and counted as
    // on its way when the report comes that asks for it.
    let held = if facts.spoke || policy.retained { facts.held } else { Held::Unknown };
    let missing = match held {
        Held::Version(held) => held < issued.version,
        Held::Nothing => true,
        // Spoken to by a request alone, whose answer goes out once as a retained token does.
        Held::Unknown => {
            (policy.retained || facts.answers) && facts.sent.is_none_or(|sent| sent.version != issued.version)
        }
    };
    let on_its_way = facts
        .sent
        .is_some_and(|sent| sent.version == issued.version && now < sent.at.saturating_add(RESEND_AFTER));
    if missing && facts.reachable && !on_its_way { Action::Publish } else { Action::Nothing }
}

/// FNV-1a, only to spread devices over time.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
