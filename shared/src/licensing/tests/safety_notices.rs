//! What is told of operations that wait for the vendor, and of freezes and paces (domain E6, N1, N2).

use super::notices::Teller;
use super::safety::{full, one_more, who};
use super::world::*;
use crate::id::HeldId;
use crate::licensing::*;
use crate::time::Seconds;
use alloc::string::String;
use alloc::vec::Vec;

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
    let decided: [(&str, Option<&dyn Fn(HeldId) -> Command>); 4] = [
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
