//! Notices are made with the change they tell of, once, whatever happens in between (domain N1, N2).

use super::*;
use crate::store::outbox::{Endpoint, EndpointKind, NoticeQuery, OutboxChange};
use coterm_shared::id::EndpointId;
use coterm_shared::time::Seconds;

fn contact(of: u8) -> OutboxChange {
    OutboxChange::Add(Endpoint {
        id: EndpointId::from_bytes([of; 16]),
        organization: organization(of),
        kind: EndpointKind::Email,
        address: format!("ada-{of}@example.com"),
        secret: None,
        old_secret: None,
        created_at: NOW.parse().unwrap(),
        created_by: "ada".to_owned(),
    })
}

/// A site in the first group of an organization.
pub(super) fn site_in_group(of: u8) -> Change {
    let (name, group) = ("Lobby".to_owned(), Some(group(1)));
    to(of, Command::CreateSite { id: site(of), name, parent: None, group })
}

fn claim_into_group(of: u8, n: u8) -> Change {
    let (organization, group) = (organization(of), Some(group(1)));
    Change::ClaimKey { organization, code: code(n), group, mode: ClaimMode::Increase }
}

/// Kinds of the notices of an organization, the oldest first, each with how many deliveries it has.
async fn told(books: &Books, of: u8) -> Vec<(String, usize)> {
    let query = NoticeQuery { organization: Some(organization(of)), ..NoticeQuery::default() };
    let mut found = books.notices(query, 100).await.unwrap();
    found.sort_by_key(|(notice, _)| (notice.made_at, notice.id));
    found.into_iter().map(|(notice, deliveries)| (notice.kind, deliveries.len())).collect()
}

fn kinds(expect: &[&str]) -> Vec<(String, usize)> {
    expect.iter().map(|kind| ((*kind).to_owned(), 1)).collect()
}

#[tokio::test]
async fn n2_a_transition_is_told_with_its_change_and_a_date_when_it_comes_near() {
    let (books, clock, dir) = fresh().await;
    books.change_outbox(vec![contact(1), contact(2)]).await.unwrap();
    run(&books, [set_price(), issue_key(1, 365), site_in_group(1), claim_device(1, 7)]).await;
    assert_eq!(told(&books, 1).await, kinds(&["noncompliant"]), "a device and no key, told with the change");
    run(&books, [claim_into_group(1, 1)]).await;
    assert_eq!(told(&books, 1).await, kinds(&["noncompliant", "compliant"]));
    clock.advance(Seconds::days(336));
    books.tick().await.unwrap();
    let far = kinds(&["noncompliant", "compliant", "term-ends"]);
    assert_eq!(told(&books, 1).await, far);
    books.close().await;
    // Down over a threshold: it is told at the start, and not again at the next.
    clock.advance(Seconds::days(23));
    for _ in 0..2 {
        let books = open(&dir.path().join("books.db"), &clock);
        books.confirm_time().await.unwrap();
        books.tick().await.unwrap();
        assert_eq!(told(&books, 1).await, [far.clone(), kinds(&["term-ends"])].concat());
        assert_eq!(told(&books, 2).await, [], "others are told nothing");
        books.close().await;
    }
}

#[tokio::test]
async fn n2_the_writer_comes_by_when_a_threshold_passes_and_writes_nothing_else() {
    let (books, clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 30), site_in_group(1), claim_into_group(1, 1)]).await;
    assert_eq!(told(&books, 1).await.len(), 1, "thirty days are left from the start");
    let version = books.version(organization(1));
    for (days, count) in [(22, 1), (1, 2), (5, 2), (1, 3)] {
        clock.advance(Seconds::days(days));
        books.tick().await.unwrap();
        assert_eq!(told(&books, 1).await.len(), count);
    }
    assert_eq!(books.version(organization(1)), version, "a notice is no event");
}
