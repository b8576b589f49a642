//! Keys that change hands: a split makes keys of the platform, a transfer is one transaction over two logs.

use super::*;
use coterm_shared::licensing::{KeyState, PartRequest, PartTarget};
use coterm_shared::time::Seconds;

fn key_id(n: u8) -> KeyId {
    KeyId::from_bytes([n; 16])
}

fn part(n: u8, quantity: u64, target: Option<(GroupId, ClaimMode)>) -> NewPart {
    let request = PartRequest {
        id: key_id(n),
        code_tail: code(n).tail(),
        lines: vec![OrderLine { product: ProductType::CAMERA, quantity }],
        target: PartTarget::Own { group: target.map(|(group, _)| group), mode: target.map(|(_, mode)| mode) },
    };
    NewPart { request, code_hash: code(n).hash() }
}

fn split(of: u8, n: u8, parts: [NewPart; 2]) -> Change {
    Change::SplitKey { organization: organization(of), key: key_id(n), parts: Box::new(parts) }
}

pub(super) fn transfer(from: u8, n: u8, to: u8) -> Change {
    Change::TransferKey { organization: organization(from), key: key_id(n), to: organization(to) }
}

/// The state of a key in an organization, by name.
pub(super) fn state(books: &Books, of: u8, n: u8) -> Option<&'static str> {
    Some(books.organization(organization(of))?.key(key_id(n))?.state.name())
}

#[tokio::test]
async fn a_transfer_is_in_both_logs_under_one_request_and_the_key_has_one_holder() {
    let (books, clock, dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), claim_key(1, 1)]).await;
    let mut feed = books.subscribe();
    let preview = books.preview(transfer(1, 1, 2)).await.unwrap().unwrap();
    assert_eq!(preview.events, ["key-transferred"]);
    let done = books.execute(keyed(transfer(1, 1, 2), "t", 1)).await.unwrap();
    assert_eq!(done.organization.unwrap().id(), organization(1));
    let touched = feed.changed().await;
    assert!(touched.contains_key(&organization(1)) && touched.contains_key(&organization(2)), "{touched:?}");
    let last = |story: Vec<(String, Timestamp)>| story.last().cloned().unwrap();
    let (given, taken) = (last(story(&books, 1).await), last(story(&books, 2).await));
    assert_eq!((given.0.as_str(), taken.0.as_str()), ("key-transferred", "key-claimed"));
    assert_eq!(given.1, taken.1);
    assert_eq!((state(&books, 1, 1), state(&books, 2, 1)), (Some("transferred"), Some("unassigned")));

    // Again is the same once more; a second transfer is refused; its first owner cannot take it back by its code.
    assert!(books.execute(keyed(transfer(1, 1, 2), "t", 1)).await.unwrap().replayed.is_some());
    assert_eq!(code_of(&books, ask(transfer(1, 1, 2))).await, "KEY_NOT_IN_USE");
    assert_eq!(code_of(&books, ask(claim_key(1, 1))).await, "KEY_NOT_CLAIMABLE");
    assert_eq!(code_of(&books, ask(transfer(2, 1, 9))).await, "ORGANIZATION_NOT_FOUND");
    assert_eq!(code_of(&books, ask(transfer(2, 1, 2))).await, "ALREADY_THERE");

    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!((state(&books, 1, 1), state(&books, 2, 1)), (Some("transferred"), Some("unassigned")));
    run(&books, [transfer(2, 1, 1)]).await;
    assert_eq!((state(&books, 1, 1), state(&books, 2, 1)), (Some("unassigned"), Some("transferred")));
}

#[tokio::test]
async fn e2_k3_what_a_key_has_been_through_goes_with_it_and_its_parts_and_comes_back() {
    let (books, clock, dir) = fresh().await;
    let past = |books: &Books, of, n| {
        let past = books.organization(organization(of)).unwrap().key(key_id(n)).unwrap().past();
        (past.was_in_group, past.has_waited)
    };
    let claim = |of, n, mode| Change::ClaimKey {
        organization: organization(of),
        code: code(n),
        group: Some(group(1)),
        mode,
    };
    let place = |of, n, mode| to(of, Command::MoveKey { id: key_id(n), group: group(1), mode: Some(mode) });
    let unclaim = |of, n| to(of, Command::UnclaimKey { id: key_id(n) });
    run(&books, [set_price(), issue_key(1, 900), issue_key(2, 365), issue_key(3, 900)]).await;
    run(&books, [claim(1, 1, ClaimMode::Increase), claim(1, 2, ClaimMode::Renewal)]).await;
    run(&books, [claim(2, 3, ClaimMode::Increase), create_group(1, 5)]).await;
    clock.advance(Seconds::days(10));
    let id = key_id(2);
    run(&books, [to(1, Command::MoveKey { id, group: group(5), mode: Some(ClaimMode::Increase) })]).await;
    // K7: one part goes to another organization, where it was never claimed.
    let mut leaves = part(4, 3, None);
    leaves.request.target = PartTarget::Other(organization(2));
    run(&books, [split(1, 2, [leaves, part(5, 7, None)])]).await;
    // K8: and the other follows it.
    run(&books, [transfer(1, 5, 2)]).await;
    for n in [4, 5] {
        assert_eq!(past(&books, 2, n), (true, true));
        assert_eq!(code_of(&books, ask(place(2, n, ClaimMode::Renewal))).await, "KEY_WAITED_ALREADY");
    }
    // There and back again: used there only.
    run(&books, [issue_key(6, 365), claim_key(1, 6), transfer(1, 6, 2)]).await;
    assert_eq!(past(&books, 2, 6), (false, false));
    run(&books, [place(2, 6, ClaimMode::Increase), unclaim(2, 6), transfer(2, 6, 1)]).await;
    assert_eq!(past(&books, 1, 6), (true, false));

    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!((past(&books, 2, 4), past(&books, 1, 6)), ((true, true), (true, false)));
}

#[tokio::test]
async fn the_parts_of_a_split_are_keys_of_the_platform_and_taken_from_the_first_instant() {
    let (books, clock, dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 365), claim_key(1, 1)]).await;
    let north = group(1);
    let parts = || [part(2, 3, Some((north, ClaimMode::Increase))), part(3, 7, None)];
    let before = books.platform().version();
    assert!(books.preview(split(1, 1, parts())).await.unwrap().is_some());
    assert_eq!(books.platform().version(), before);
    run(&books, [split(1, 1, parts())]).await;
    let check = async |books: &Books| {
        let platform = books.platform();
        let of = books.organization(organization(1)).unwrap();
        assert_eq!(of.key(key_id(1)).unwrap().state, KeyState::Split { children: [key_id(2), key_id(3)] });
        for n in [2, 3] {
            let issued = platform.key_by_code_hash(&code(n).hash()).unwrap();
            assert_eq!(issued, &of.key(key_id(n)).unwrap().issued);
        }
        for n in [1, 2, 3] {
            assert_eq!(code_of(books, ask(claim_key(2, n))).await, "KEY_NOT_CLAIMABLE");
            assert_eq!(code_of(books, ask(claim_key(1, n))).await, "KEY_ALREADY_CLAIMED");
        }
    };
    check(&books).await;
    // Ids and codes are never used twice.
    assert_eq!(code_of(&books, ask(issue_key(2, 365))).await, "KEY_CODE_TAKEN");
    run(&books, [issue_key(5, 365), claim_key(1, 5)]).await;
    let again = split(1, 5, [part(2, 5, None), part(6, 5, None)]);
    assert_eq!(code_of(&books, ask(again)).await, "ID_TAKEN");
    let again = NewPart { code_hash: code(2).hash(), ..part(7, 5, None) };
    assert_eq!(code_of(&books, ask(split(1, 5, [again, part(6, 5, None)]))).await, "KEY_CODE_TAKEN");
    assert_eq!(state(&books, 1, 5), Some("unassigned"));

    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    check(&books).await;
}

#[tokio::test]
async fn why_a_claim_fails_never_tells_that_another_organization_holds_the_key() {
    let (books, clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 1), claim_key(1, 1)]).await;
    let to = |n: u16| Change::ClaimKey {
        organization: organization(2),
        code: code(1),
        group: Some(group(n)),
        mode: ClaimMode::Renewal,
    };
    // A group that is not there, and later a key that has run out.
    for _ in 0..2 {
        for change in [to(1), to(9), claim_key(2, 1)] {
            assert_eq!(books.preview(change.clone()).await.unwrap_err().code(), "KEY_NOT_CLAIMABLE");
            assert_eq!(code_of(&books, ask(change)).await, "KEY_NOT_CLAIMABLE");
        }
        clock.advance(Seconds::days(2));
    }
}
