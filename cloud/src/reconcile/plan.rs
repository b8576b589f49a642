//! What one device needs, decided from what is wanted, issued and held.
//!
//! **Problem.** Messages get lost, clocks and databases are restored, devices lie; yet a device that holds the right
//! token must cost nothing. **Method.** One pure function over the facts about one device. It is asked whenever
//! something may have changed and at every sweep, so no answer has to be remembered. **Deliberately absent:** hints
//! about what happened. The same facts give the same answer, whoever asks.

use super::digest::WantedDigest;
use coterm_shared::id::DeviceId;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::TokenVersion;

/// How long a publish is given to show in a report before the same token is sent to the same device again.
pub const RESEND_AFTER: Seconds = Seconds(10);

/// The least time between two tokens issued because a device says it was shown two of one version.
pub const HEAL_INTERVAL: Seconds = Seconds(3_600);

/// The newest token issued to a device, without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its version.
    pub version: TokenVersion,
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
    let healed_lately = facts.healed_at.is_some_and(|at| now < at.saturating_add(HEAL_INTERVAL));
    if facts.contradicted && !healed_lately && facts.held == Held::Version(issued.version) {
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
    let settled = facts.settled.is_some_and(|settled| held <= settled);
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
    let settled = facts.settled.is_some_and(|settled| held <= settled);
    // Of an epoch that was left nothing counts any more, whoever signed it.
    let same_epoch = held.epoch == issued.version.epoch;
    same_epoch && previous < held && held < issued.version && held.seq >= policy.started_millis && !settled
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
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const A: WantedDigest = WantedDigest([1; 32]);
    const B: WantedDigest = WantedDigest([2; 32]);

    fn version(seq: u64) -> TokenVersion {
        TokenVersion { epoch: 1, seq }
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs).unwrap()
    }

    fn issued(seq: u64) -> Issued {
        Issued {
            version: version(seq),
            wanted: A,
            issued_at: at(NOW),
            lease_ends_at: at(NOW).saturating_add(Seconds::days(7)),
        }
    }

    /// The daemon started a minute ago.
    const POLICY: Policy = Policy { epoch: 1, retained: false, started_millis: (NOW - 60) * 1_000 };

    /// Decides one second after the token was issued, for a connected device.
    fn check(change: impl FnOnce(&mut Facts<'_>, &mut Policy, &mut Timestamp), expect: Action) {
        let device: DeviceId = "cam-1".parse().unwrap();
        let mut facts = Facts {
            device: &device,
            wanted: Some(A),
            farewell: false,
            issued: Some(issued(10)),
            previous: None,
            held: Held::Version(version(10)),
            spoke: true,
            sent: None,
            reachable: true,
            asked: false,
            healed_at: None,
            outdated: false,
            proven: false,
            settled: None,
            contradicted: false,
            answers: false,
        };
        let (mut policy, mut now) = (POLICY, at(NOW + 1));
        change(&mut facts, &mut policy, &mut now);
        assert_eq!(plan(&facts, &policy, now), expect, "{facts:?} {policy:?} {now}");
    }

    #[test]
    fn a_device_that_holds_what_was_issued_costs_nothing() {
        check(|_, _, _| {}, Action::Nothing);
        check(|f, _, _| f.reachable = false, Action::Nothing);
        check(|_, p, _| p.retained = true, Action::Nothing);
    }

    #[test]
    fn what_a_device_lacks_is_sent_if_there_is_a_way() {
        for held in
            [Held::Nothing, Held::Version(version(9)), Held::Version(TokenVersion { epoch: 0, seq: 99 })]
        {
            check(|f, _, _| f.held = held, Action::Publish);
            check(|f, _, _| (f.held, f.reachable) = (held, false), Action::Nothing);
        }
    }

    #[test]
    fn nothing_is_sent_into_a_connection_before_the_device_listens() {
        for held in [Held::Nothing, Held::Version(version(9))] {
            check(|f, _, _| (f.held, f.spoke) = (held, false), Action::Nothing);
            // A broker that retains keeps it until it does.
            check(|f, p, _| (f.held, f.spoke, p.retained) = (held, false, true), Action::Publish);
            // It listens, for it asked; whatever it held once.
            check(|f, _, _| (f.held, f.spoke, f.answers) = (held, false, true), Action::Publish);
        }
    }

    #[test]
    fn unknown_is_not_missing() {
        check(|f, _, _| f.held = Held::Unknown, Action::Nothing);
        // A broker that retains gets every token once.
        check(|f, p, _| (f.held, p.retained) = (Held::Unknown, true), Action::Publish);
        let sent = |seq| Some(Sent { version: version(seq), at: at(NOW) });
        check(
            |f, p, n| (f.held, p.retained, f.sent, *n) = (Held::Unknown, true, sent(10), at(NOW + 90)),
            Action::Nothing,
        );
        check(|f, p, _| (f.held, p.retained, f.sent) = (Held::Unknown, true, sent(9)), Action::Publish);
    }

    #[test]
    fn a_token_on_its_way_is_not_sent_twice_but_a_lost_one_is() {
        let sent = |seq| Some(Sent { version: version(seq), at: at(NOW) });
        check(|f, _, _| (f.held, f.sent) = (Held::Nothing, sent(10)), Action::Nothing);
        check(|f, _, _| (f.held, f.sent) = (Held::Nothing, sent(9)), Action::Publish);
        check(|f, _, n| (f.held, f.sent, *n) = (Held::Nothing, sent(10), at(NOW + 10)), Action::Publish);
    }

    #[test]
    fn a_token_is_issued_for_a_reason_only() {
        check(|f, _, _| f.issued = None, Action::Issue(Why::First));
        check(|f, _, _| f.wanted = Some(B), Action::Issue(Why::Changed));
        check(|_, p, _| p.epoch = 2, Action::Issue(Why::EpochRaised));
        check(|f, _, _| f.asked = true, Action::Issue(Why::Asked));
        check(|_, _, n| *n = at(NOW + 5 * 86_400), Action::Issue(Why::Renewal));
        check(|_, _, n| *n = at(NOW + 3 * 86_400), Action::Nothing);
        // Offline or not: what is issued must be ready when the device comes back.
        check(|f, _, _| (f.wanted, f.reachable) = (Some(B), false), Action::Issue(Why::Changed));
    }

    #[test]
    fn a_retired_device_follows_its_last_token_and_is_told_on_reconnecting() {
        check(|f, _, _| f.wanted = None, Action::Nothing);
        check(|f, _, _| (f.wanted, f.held) = (None, Held::Version(version(9))), Action::Publish);
        check(|f, _, n| (f.wanted, *n) = (None, at(NOW + 30 * 86_400)), Action::Nothing);
        check(|f, _, _| (f.wanted, f.asked) = (None, true), Action::Nothing);
        check(|f, _, _| (f.wanted, f.issued) = (None, None), Action::Nothing);
    }

    #[test]
    fn an_answer_goes_out_to_a_device_that_never_reports() {
        check(|f, _, _| (f.held, f.answers) = (Held::Unknown, true), Action::Publish);
        check(|f, _, _| (f.held, f.answers, f.reachable) = (Held::Unknown, true, false), Action::Nothing);
        let sent = Some(Sent { version: version(10), at: at(NOW) });
        check(
            |f, _, n| (f.held, f.answers, f.sent, *n) = (Held::Unknown, true, sent, at(NOW + 90)),
            Action::Nothing,
        );
    }

    /// Just before the daemon started, and a moment after.
    const BEFORE: u64 = (NOW - 60) * 1_000 - 1;
    const AFTER: u64 = (NOW - 60) * 1_000;

    #[test]
    fn books_restored_from_a_backup_heal_with_one_token() {
        let lost = Held::Version(version(BEFORE));
        check(|f, _, _| f.held = lost, Action::Issue(Why::HeldAhead));
        // Shown or not: it was issued here, before the books lost it.
        check(|f, _, _| (f.held, f.proven) = (lost, true), Action::Issue(Why::HeldAhead));
        // Killed and started again within a second: what a device shows is from that second, and not from another signer.
        check(
            |f, p, n| {
                (f.held, f.proven, *n) = (Held::Version(version(NOW * 1_000 + 300)), true, at(NOW));
                p.started_millis = NOW * 1_000 + 500;
            },
            Action::Issue(Why::HeldAhead),
        );
        // Restored onto a machine whose clock is behind: nothing issued now would be newer.
        check(|f, _, n| (f.held, *n) = (lost, at(NOW - 90)), Action::Quarantine);
    }

    #[test]
    fn two_clouds_never_outdo_each_other() {
        // Signed while this daemon ran, and not by it.
        let foreign = Held::Version(version(AFTER));
        check(|f, _, _| f.held = foreign, Action::Quarantine);
        check(|f, _, _| (f.held, f.asked) = (foreign, true), Action::Quarantine);
        check(|f, _, _| (f.held, f.proven) = (foreign, true), Action::Halt);
        // An operator looked into it: what is settled is outdone, what comes afterwards halts again.
        let settled = |seq| Some(version(seq));
        for proven in [false, true] {
            check(
                |f, _, _| (f.held, f.proven, f.settled) = (foreign, proven, settled(AFTER)),
                Action::Issue(Why::HeldAhead),
            );
        }
        check(|f, _, _| (f.held, f.proven, f.settled) = (foreign, true, settled(BEFORE)), Action::Halt);
        // Settled, and yet from the future: until then nothing newer can be issued, but nothing is halted either.
        let ahead = Held::Version(version((NOW + 9) * 1_000));
        check(
            |f, _, _| (f.held, f.proven, f.settled) = (ahead, true, settled((NOW + 9) * 1_000)),
            Action::Quarantine,
        );
    }

    #[test]
    fn a_token_of_another_cloud_between_two_of_ours_is_not_overwritten() {
        let newest = |f: &mut Facts<'_>| f.issued = Some(issued(AFTER + 9));
        let claim = |f: &mut Facts<'_>, seq| f.held = Held::Version(version(seq));
        let between = |f: &mut Facts<'_>, previous, held| {
            newest(f);
            claim(f, held);
            f.previous = Some(version(previous));
        };
        check(|f, _, _| between(f, AFTER, AFTER + 5), Action::Quarantine);
        // One of ours, or from before the start, or settled, or not known to be foreign: the newest is sent.
        check(|f, _, _| between(f, AFTER + 5, AFTER + 5), Action::Publish);
        check(|f, _, _| between(f, AFTER + 5, AFTER + 4), Action::Publish);
        check(|f, _, _| between(f, BEFORE - 9, BEFORE), Action::Publish);
        check(
            |f, _, _| {
                between(f, AFTER, AFTER + 5);
                f.settled = Some(version(AFTER + 5));
            },
            Action::Publish,
        );
        check(
            |f, _, _| {
                newest(f);
                claim(f, AFTER + 5);
            },
            Action::Publish,
        );
        check(
            |f, _, _| {
                between(f, AFTER, AFTER + 5);
                let epoch = TokenVersion { epoch: 2, seq: AFTER + 9 };
                f.issued = Some(Issued { version: epoch, ..issued(0) });
            },
            Action::Publish,
        );
    }

    #[test]
    fn a_claim_nobody_could_have_issued_quarantines_the_device() {
        for claim in [version((NOW + 2) * 1_000), version(u64::MAX), TokenVersion { epoch: 2, seq: 1 }] {
            check(|f, _, _| f.held = Held::Version(claim), Action::Quarantine);
            check(|f, _, _| (f.held, f.asked) = (Held::Version(claim), true), Action::Quarantine);
            // Its group's changes still reach it.
            check(
                |f, _, _| (f.held, f.wanted) = (Held::Version(claim), Some(B)),
                Action::Issue(Why::Changed),
            );
        }
    }

    #[test]
    fn a_proven_token_nobody_here_issued_stops_signing_for_the_organization() {
        for claim in [version((NOW + 2) * 1_000), TokenVersion { epoch: 2, seq: 1 }] {
            check(|f, _, _| (f.held, f.proven) = (Held::Version(claim), true), Action::Halt);
        }
    }

    #[test]
    fn a_device_that_was_shown_two_tokens_of_one_version_gets_a_third() {
        check(|f, _, _| f.contradicted = true, Action::Issue(Why::Contradicted));
        check(|f, _, _| (f.contradicted, f.healed_at) = (true, Some(at(NOW))), Action::Nothing);
        check(|f, _, _| (f.contradicted, f.held) = (true, Held::Version(version(9))), Action::Publish);
    }

    #[test]
    fn renewals_spread_over_a_fifth_of_the_lease() {
        let token = issued(1);
        let lease = 7 * 86_400;
        let mut instants: Vec<u64> = (0..1_000)
            .map(|n| token.renew_at(&format!("cam-{n}").parse().unwrap()).as_secs() - NOW)
            .collect();
        instants.sort_unstable();
        assert!(instants[0] >= lease / 2 && instants[999] <= lease * 7 / 10);
        assert!(instants[100] < lease * 55 / 100 && instants[900] > lease * 65 / 100, "{instants:?}");
    }
}
