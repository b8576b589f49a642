//! What is told of operations that wait for the vendor, and of freezes and paces (domain E6, N1, N2).

use super::notices::Teller;
use super::safety::{full, one_more, who};
use super::safety_pace::{licensed, pace};
use super::world::*;
use crate::id::HeldId;
use crate::licensing::*;
use crate::time::{Seconds, Timestamp};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What ends the waiting of an operation; `None` if time does.
type Decide<'a> = Option<&'a dyn Fn(HeldId) -> Command>;

fn kinds(teller: &Teller) -> Vec<&'static str> {
    teller.heard.iter().map(|(_, notice)| notice.head.kind.name()).collect()
}

/// E6: what waits is told with its holding: what, for whom, who may release it, until when, and what happens meanwhile;
/// and once more when it waits no longer, however that came.
#[test]
fn e6_an_operation_that_waits_is_told_and_so_is_its_end() {
    let withdraw = |held| Command::Safety(SafetyCommand::Withdraw { held, by: who("ada") });
    let reject = |held| Command::Safety(SafetyCommand::Reject { held, by: who("bob") });
    let approve =
        |held| Command::Safety(SafetyCommand::Approve { held, by: who("bob"), made_by: Vec::new() });
    let decided: [(&str, Decide<'_>); 4] = [
        ("withdrawn", Some(&withdraw)),
        ("rejected", Some(&reject)),
        ("approved", Some(&approve)),
        ("expired", None),
    ];
    for (state, decide_it) in decided {
        let (mut world, mut teller) = (full(60), Teller::default());
        let (decision, held) = world.hold(one_more(100), "ada");
        teller.after(&world, &decision);
        assert_eq!(kinds(&teller), ["operation-held"]);
        let notice = teller.heard[0].1.clone();
        assert!(notice.head.kind.is_for_the_vendor(), "the vendor decides");
        let operation = world.organization.held_operation(held).unwrap().clone();
        assert_eq!(notice.head.about, operation.expires_at);
        let text = notice.text.join("\n");
        let expires_at = alloc::format!("{}", operation.expires_at);
        for part in [
            "claim-device",
            "ada",
            "60 of 60 devices",
            "every schedule stays as it is",
            "Group 1",
            "anybody of the vendor's staff but who asked",
            operation.digest.as_str(),
            expires_at.as_str(),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let facts = serde_json::to_value(&notice.facts).unwrap();
        assert_eq!(facts["digest"], operation.digest.as_str());
        assert_eq!(facts["state"], "waiting");
        world.wait(Seconds::days(1));
        teller.look(&world, &About::Everything);
        assert_eq!(teller.heard.len(), 1, "once");
        match decide_it {
            Some(command) => {
                let decision = world.ok(command(held));
                teller.after(&world, &decision);
            }
            None => teller.until(&mut world, operation.expires_at),
        }
        assert!(!still_true(&world.organization, &notice.head, world.now), "it waits no longer");
        let closed: Vec<&Notice> = teller
            .heard
            .iter()
            .map(|(_, notice)| notice)
            .filter(|notice| notice.head.kind == NoticeKind::HeldOperationClosed)
            .collect();
        assert_eq!(closed.len(), 1, "{:?}", kinds(&teller));
        assert!(closed[0].title.contains(state), "{}", closed[0].title);
        let released = state == "approved";
        assert_eq!(kinds(&teller).contains(&"noncompliant"), released, "nothing of it happened");
        teller.look(&world, &About::Everything);
    }
}

/// N2: what was held and decided while nobody told is not told afterwards; what still waits is.
#[test]
fn e6_who_was_down_tells_what_still_waits() {
    let (mut world, mut teller) = (full(60), Teller::default());
    let (_, first) = world.hold(one_more(100), "ada");
    world.hold(one_more(101), "ada");
    world.ok(Command::Safety(SafetyCommand::Withdraw { held: first, by: who("ada") }));
    teller.look(&world, &About::Everything);
    let titles: Vec<String> = teller.heard.iter().map(|(_, notice)| notice.title.clone()).collect();
    assert_eq!(kinds(&teller), ["operation-held"], "{titles:?}");
}

/// One camera without a license: in grace since the first of January, locked from the 31st on.
fn unlicensed() -> World {
    let mut world = World::new("2027-01-01T00:00:00Z");
    world.claim_camera(1, site(1));
    world
}

fn everything_frozen(since: Timestamp) -> Freeze {
    Freeze { since, by: who("vera"), past: Vec::new(), thaw: None }
}

fn thawed(freeze: Freeze, at: Timestamp, lease: Seconds) -> Freeze {
    let until = freeze.put_off_until(at, lease, None);
    Freeze { thaw: Some(Thaw { at, by: who("vera"), until }), ..freeze }
}

/// E6, N1: while a freeze of everything holds, nobody is told that devices lock soon, and whoever is told what follows is
/// told of the freeze; when it ends, the new date is told.
#[test]
fn e6_nobody_is_told_of_a_lock_that_a_freeze_holds_and_all_are_when_it_ends() {
    let (mut world, mut teller) = (unlicensed(), Teller::default());
    teller.look(&world, &About::Everything);
    teller.until(&mut world, at("2027-01-24T12:00:00Z"));
    assert_eq!(teller.story(), ["2027-01-01 noncompliant", "2027-01-24 lock-ahead 7"]);
    let freeze = everything_frozen(world.now);
    world.organization = world.organization.under(Some(&freeze));
    assert!(!still_true(&world.organization, &teller.heard[1].1.head, world.now), "not as it was told");
    teller.look(&world, &About::Everything);
    teller.until(&mut world, at("2027-02-20T00:00:00Z"));
    assert_eq!(teller.heard.len(), 2, "{:?}", teller.story());
    // Who becomes noncompliant meanwhile hears of the freeze before any date.
    world.ok(Command::CreateGroup { id: group(2), name: "B".to_string(), settings: Default::default() });
    world.ok(Command::CreateSite { id: site(2), name: "B".into(), parent: None, group: Some(group(2)) });
    let decision = world.claim_camera(2, site(2));
    teller.after(&world, &decision);
    let told = teller.heard.last().unwrap().1.clone();
    assert_eq!(told.head.kind, NoticeKind::Noncompliant);
    let frozen = told.text.iter().position(|said| said.contains("FROZEN")).unwrap();
    let dates = told.text.iter().position(|said| said.contains("management locks at")).unwrap();
    assert!(frozen < dates && told.text[dates].starts_with("When it ends"), "{:?}", told.text);
    let over = thawed(freeze, world.now, Seconds::days(7));
    world.organization = world.organization.under(Some(&over));
    teller.look(&world, &About::Everything);
    let (told_at, anew) = teller.heard.last().unwrap().clone();
    assert_eq!((anew.head.kind, anew.head.days), (NoticeKind::LockAhead, Some(7)));
    assert_eq!(anew.head.about, told_at.saturating_add(Seconds::days(7)));
    teller.until(&mut world, anew.head.about);
    let closer = teller.heard.iter().filter(|(_, told)| told.head.about == anew.head.about);
    assert_eq!(
        closer.map(|(_, told)| told.head.days).collect::<Vec<_>>(),
        [Some(7), Some(1)],
        "woken for it"
    );
}

/// E6, N1: also where a short freeze has moved no date, whoever was told before it is told after it.
#[test]
fn e6_what_was_told_before_a_freeze_is_told_anew_after_it() {
    let (mut world, mut teller) = (unlicensed(), Teller::default());
    teller.look(&world, &About::Everything);
    teller.until(&mut world, at("2027-01-24T12:00:00Z"));
    let freeze = everything_frozen(world.now);
    world.organization = world.organization.under(Some(&freeze));
    teller.look(&world, &About::Everything);
    world.wait(Seconds(3_600));
    let over = thawed(freeze, world.now, Seconds(3_600));
    world.organization = world.organization.under(Some(&over));
    teller.look(&world, &About::Everything);
    teller.until(&mut world, at("2027-02-02T00:00:00Z"));
    let story = teller.story();
    let ahead: Vec<&String> = story.iter().filter(|told| told.contains("lock-ahead")).collect();
    assert_eq!(ahead, ["2027-01-24 lock-ahead 7", "2027-01-24 lock-ahead 7", "2027-01-30 lock-ahead 1"]);
    assert_eq!(teller.heard.iter().filter(|(_, n)| n.head.kind == NoticeKind::Noncompliant).count(), 1);
}

/// E6, N1: with a pace, the first day, the last, and how many devices a day are told; and not every day.
#[test]
fn e6_a_paced_lockout_is_told_with_its_first_day_and_its_last() {
    let (mut world, mut teller) = (licensed(10), Teller::default());
    pace(&mut world, 3);
    teller.until(&mut world, at("2028-06-01T00:00:00Z"));
    let kinds: Vec<String> = teller.story().iter().map(|told| told[11..].to_string()).collect();
    assert_eq!(
        kinds,
        [
            "term-ends 30",
            "term-ends 7",
            "term-ends 1",
            "noncompliant",
            "lock-ahead 7",
            "lock-ahead 1",
            "stop-ahead 7",
            "stop-ahead 1",
        ]
    );
    let days = "from 2028-01-31T00:00:00Z to 2028-02-03T00:00:00Z, at most 3 devices a day";
    for n in [0, 3, 4] {
        let notice = &teller.heard[n].1;
        assert!(notice.text.join(" ").contains(days), "{:?}", notice.text);
        let facts = serde_json::to_value(&notice.facts).unwrap();
        assert_eq!(facts["paced"]["lock"]["last"], "2028-02-03T00:00:00Z");
        assert_eq!(facts["paced"]["lock"]["at_once"], 3);
        assert_eq!(facts["paced"]["stop"]["devices"], 10);
    }
    assert_eq!(teller.heard[4].1.head.about, at("2028-01-31T00:00:00Z"));
}

/// N2: what is remembered of what was told is forgotten when it can keep nothing from being told twice.
#[test]
fn n2_marks_are_forgotten_when_their_dates_are_over() {
    let (mut world, mut teller) = (full(60), Teller::default());
    let (decision, held) = world.hold(one_more(100), "ada");
    teller.after(&world, &decision);
    let decision = world.ok(Command::Safety(SafetyCommand::Reject { held, by: who("bob") }));
    teller.after(&world, &decision);
    let end = world.coterm(1).unwrap();
    teller.until(&mut world, end.saturating_add(Seconds::days(200)));
    teller.look(&world, &About::Everything);
    let left: Vec<&str> = teller.told.keys().map(Topic::as_str).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].ends_with("/compliance"), "that it is noncompliant is still so: {left:?}");
    // The group is gone, and with it what was told of it.
    let mark = *teller.told.values().next().unwrap();
    let gone = alloc::format!("{}/compliance", group(9));
    assert!(is_mark_over(&world.organization, &gone, &mark, world.now));
    assert!(!is_mark_over(&world.organization, "of a newer program", &mark, world.now));
}
