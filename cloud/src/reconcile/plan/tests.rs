//! What one device needs, case by case.

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
        token: TokenDigest::of(b"ours"),
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
        other: false,
        spoke: true,
        sent: None,
        reachable: true,
        asked: false,
        healed_at: None,
        outdated: false,
        proven: false,
        vain: false,
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
    for held in [Held::Nothing, Held::Version(version(9)), Held::Version(TokenVersion { epoch: 0, seq: 99 })]
    {
        check(|f, _, _| f.held = held, Action::Publish);
        check(|f, _, _| (f.held, f.reachable) = (held, false), Action::Nothing);
    }
}

/// Whoever says that it holds another token of the version is asked to show it, before anything hides that one.
#[test]
fn another_token_of_the_version_is_looked_into_before_anything_else_is_told() {
    check(|f, _, _| f.other = true, Action::Quarantine);
    check(|f, _, _| (f.other, f.asked) = (true, true), Action::Quarantine);
    check(|f, _, _| (f.other, f.contradicted) = (true, true), Action::Quarantine);
    check(|f, _, _| (f.other, f.farewell) = (true, true), Action::Quarantine);
    check(|f, _, _| (f.other, f.reachable) = (true, false), Action::Quarantine);
    // What it lacks by the books, it gets.
    check(|f, _, _| (f.other, f.wanted) = (true, Some(B)), Action::Issue(Why::Changed));
    check(|f, _, _| (f.other, f.outdated) = (true, true), Action::Issue(Why::KeyGone));
    check(|f, p, _| (f.other, p.epoch) = (true, 2), Action::Issue(Why::EpochRaised));
    // An operator settled it.
    check(
        |f, _, now| {
            (f.other, f.settled) = (true, Some(version(10)));
            *now = at(NOW);
        },
        Action::Issue(Why::Settled),
    );
    // It showed it: somebody else's, or nobody's.
    check(|f, _, _| (f.other, f.proven) = (true, true), Action::Halt);
    check(|f, _, _| (f.other, f.vain) = (true, true), Action::Issue(Why::Contradicted));
    check(|f, _, _| (f.other, f.vain, f.healed_at) = (true, true, Some(at(NOW))), Action::Nothing);
    // Settled up to a version that lies ahead.
    check(|f, _, _| (f.other, f.settled) = (true, Some(version(u64::MAX))), Action::Issue(Why::Contradicted));
    // Nobody has anything to say to it.
    check(|f, _, _| (f.other, f.wanted) = (true, None), Action::Nothing);
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

/// Two clouds that issue in the same millisecond give one version twice; which of them a device has, only newer agents say.
#[test]
fn what_was_issued_while_another_cloud_signed_is_issued_anew_once_that_is_settled() {
    let settled = |seq| Some(version(seq));
    let of = |f: &mut Facts<'_>, seq| (f.issued, f.held) = (Some(issued(seq)), Held::Version(version(seq)));
    let anew = Action::Issue(Why::Settled);
    check(
        |f, _, _| {
            of(f, AFTER);
            f.settled = settled(AFTER)
        },
        anew,
    );
    check(
        |f, _, _| {
            of(f, AFTER);
            f.settled = settled(AFTER + 9)
        },
        anew,
    );
    // Once, and not before what is issued is above all that was settled.
    check(
        |f, _, _| {
            of(f, AFTER + 10);
            f.settled = settled(AFTER + 9)
        },
        Action::Nothing,
    );
    check(
        |f, _, _| {
            of(f, AFTER);
            f.settled = settled((NOW + 9) * 1_000)
        },
        Action::Nothing,
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
        check(|f, _, _| (f.held, f.wanted) = (Held::Version(claim), Some(B)), Action::Issue(Why::Changed));
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
    let mut instants: Vec<u64> =
        (0..1_000).map(|n| token.renew_at(&format!("cam-{n}").parse().unwrap()).as_secs() - NOW).collect();
    instants.sort_unstable();
    assert!(instants[0] >= lease / 2 && instants[999] <= lease * 7 / 10);
    assert!(instants[100] < lease * 55 / 100 && instants[900] > lease * 65 / 100, "{instants:?}");
}
