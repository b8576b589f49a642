//! The outbox's clauses (domain N2).

use super::at;
use crate::store::outbox::{
    Audience, Delivery, DeliveryState, DueDelivery, ENDPOINTS_MAX, Endpoint, EndpointKind, NewNotice,
    NoticeQuery, OutboxChange, OutboxFigures, OutboxReads, OutboxWrites, Recipients, StoredNotice, VENDOR,
};
use crate::store::{EventStore, Transaction};
use coterm_shared::id::{EndpointId, NoticeId, OrganizationId};

const ACME: OrganizationId = OrganizationId::from_bytes([1; 16]);
const OTHER: OrganizationId = OrganizationId::from_bytes([2; 16]);

fn notice_id(n: u8) -> NoticeId {
    NoticeId::from_bytes([n; 16])
}

fn endpoint_id(n: u8) -> EndpointId {
    EndpointId::from_bytes([n; 16])
}

fn webhook(n: u8, organization: OrganizationId) -> Endpoint {
    Endpoint {
        id: endpoint_id(n),
        organization,
        kind: EndpointKind::Webhook,
        address: format!("https://example.com/{n}"),
        secret: Some(vec![n; 24]),
        old_secret: None,
        created_at: at(5),
        created_by: "ada".to_owned(),
    }
}

fn new(n: u8, secs: u64) -> NewNotice {
    let notice = StoredNotice {
        id: notice_id(n),
        organization: ACME,
        kind: "term-ends".to_owned(),
        made_at: at(secs),
        head: vec![n],
        body: vec![n, n],
    };
    NewNotice { notice, marks: vec![("grp/term".to_owned(), vec![n])], to: Recipients::Organization }
}

fn change(store: &mut impl EventStore, changes: &[OutboxChange]) -> Vec<usize> {
    let mut tx = store.begin().unwrap();
    let found = changes.iter().map(|change| tx.change_outbox(change).unwrap()).collect();
    tx.commit().unwrap();
    found
}

fn states(store: &impl EventStore, n: u8) -> Vec<(DeliveryState, u32)> {
    let of = store.reads().deliveries(notice_id(n)).unwrap();
    of.iter().map(|delivery| (delivery.state, delivery.attempts)).collect()
}

pub(super) fn keeps_endpoints_apart_and_bounded(store: &mut impl EventStore) {
    let add = |n, of| OutboxChange::Add(webhook(n, of));
    assert_eq!(change(store, &[add(1, ACME), add(2, OTHER)]), [1, 1]);
    let same = Endpoint { id: endpoint_id(9), ..webhook(1, ACME) };
    assert_eq!(change(store, &[OutboxChange::Add(same)]), [0], "one of an address");
    assert_eq!(store.reads().endpoints(ACME).unwrap(), [webhook(1, ACME)]);
    let (id, secret) = (endpoint_id(1), vec![7; 24]);
    let rotate =
        |organization| OutboxChange::Rotate { organization, id, secret: secret.clone(), until: at(99) };
    assert_eq!(change(store, &[rotate(OTHER), rotate(ACME)]), [0, 1], "no other organization's");
    let rotated =
        Endpoint { secret: Some(secret), old_secret: Some((vec![1; 24], at(99))), ..webhook(1, ACME) };
    assert_eq!(store.reads().endpoints(ACME).unwrap(), [rotated]);
    let many: Vec<OutboxChange> =
        (10..=10 + u8::try_from(ENDPOINTS_MAX).unwrap()).map(|n| add(n, ACME)).collect();
    assert_eq!(change(store, &many).iter().sum::<usize>(), usize::try_from(ENDPOINTS_MAX).unwrap() - 1);
    let remove = |organization| OutboxChange::Remove { organization, id, at: at(6) };
    assert_eq!(change(store, &[remove(OTHER), remove(ACME), remove(ACME)]), [0, 1, 0]);
}

pub(super) fn tells_every_endpoint_once_and_remembers(store: &mut impl EventStore) {
    let adds = [1, 2].map(|n| OutboxChange::Add(webhook(n, ACME)));
    change(store, &adds);
    change(store, &[OutboxChange::Add(webhook(3, OTHER))]);
    assert_eq!(store.reads().told(ACME, "grp/term").unwrap(), None);
    // A transaction that is given up told nothing.
    let mut tx = store.begin().unwrap();
    tx.change_outbox(&OutboxChange::Tell(new(1, 10))).unwrap();
    assert_eq!(tx.reads().told(ACME, "grp/term").unwrap(), Some(vec![1]), "it sees its own writes");
    drop(tx);
    assert_eq!(store.reads().told(ACME, "grp/term").unwrap(), None);
    let only = NewNotice { to: Recipients::Only(endpoint_id(2)), ..new(2, 20) };
    change(store, &[OutboxChange::Tell(new(1, 10)), OutboxChange::Tell(only)]);
    assert_eq!(store.reads().told(ACME, "grp/term").unwrap(), Some(vec![2]), "the last is remembered");
    assert_eq!(store.reads().told(OTHER, "grp/term").unwrap(), None);
    let to = |n| -> Vec<EndpointId> {
        store.reads().deliveries(notice_id(n)).unwrap().iter().map(|one| one.endpoint).collect()
    };
    assert_eq!((to(1), to(2)), (vec![endpoint_id(1), endpoint_id(2)], vec![endpoint_id(2)]));
    let listed = |query| -> Vec<NoticeId> {
        store.reads().stored_notices(&query, 9).unwrap().iter().map(|notice| notice.id).collect()
    };
    let of = |organization| NoticeQuery { organization: Some(organization), ..NoticeQuery::default() };
    assert_eq!(listed(of(ACME)), [notice_id(2), notice_id(1)], "the newest first");
    assert_eq!(listed(NoticeQuery { before: Some(notice_id(2)), ..of(ACME) }), [notice_id(1)]);
    assert_eq!(listed(of(OTHER)), []);
    assert_eq!(listed(NoticeQuery::default()).len(), 2);
}

pub(super) fn a_delivery_is_taken_retried_and_ended(store: &mut impl EventStore) {
    change(store, &[1, 2].map(|n| OutboxChange::Add(webhook(n, ACME))));
    change(store, &[OutboxChange::Tell(new(1, 10)), OutboxChange::Tell(new(2, 20))]);
    fn due(store: &impl EventStore, secs: u64) -> Vec<(u8, u8)> {
        let due = store.reads().due_deliveries(at(secs), EndpointKind::Webhook, 9).unwrap();
        let each = due.iter().map(|due| {
            assert_eq!(due.endpoint.as_ref().unwrap().id, due.delivery.endpoint);
            (due.notice.id.as_bytes()[0], due.delivery.endpoint.as_bytes()[0])
        });
        each.collect()
    }
    assert_eq!(due(store, 9), []);
    assert_eq!(due(store, 30), [(1, 1), (1, 2)], "one of each endpoint, the oldest first");
    assert_eq!(store.reads().due_deliveries(at(30), EndpointKind::Webhook, 1).unwrap().len(), 1);
    assert_eq!(store.reads().due_deliveries(at(30), EndpointKind::Email, 9).unwrap(), []);
    let (notice, endpoint) = (notice_id(1), endpoint_id(1));
    change(store, &[OutboxChange::Take { notice, endpoint, until: at(100) }]);
    assert_eq!(due(store, 30), [(1, 2), (2, 1)], "under way until its lease ends");
    assert_eq!(due(store, 100), [(1, 2), (2, 1)]);
    let error = "no answer".to_owned();
    change(store, &[OutboxChange::Retry { notice, endpoint, at: at(200), error }]);
    assert_eq!(due(store, 150), [(1, 2)], "what else waits for the endpoint waits as long");
    assert_eq!(due(store, 200), [(1, 2), (1, 1)]);
    let end = |state| OutboxChange::End { notice, endpoint, state, at: at(201), error: None };
    assert_eq!(change(store, &[end(DeliveryState::Delivered), end(DeliveryState::Dead)]), [1, 0]);
    assert_eq!(states(store, 1), [(DeliveryState::Delivered, 1), (DeliveryState::Waiting, 0)]);
    let remove = OutboxChange::Remove { organization: ACME, id: endpoint_id(2), at: at(210) };
    change(store, &[remove]);
    assert_eq!(states(store, 1)[1], (DeliveryState::Dropped, 0));
    // What still waits is not forgotten, however old it is.
    assert_eq!(change(store, &[OutboxChange::Forget { before: at(500), limit: 9 }]), [1]);
    assert_eq!(store.reads().stored_notices(&NoticeQuery::default(), 9).unwrap().len(), 1);
    assert_eq!(
        store.reads().told(ACME, "grp/term").unwrap(),
        Some(vec![2]),
        "what was told stays remembered"
    );
}

pub(super) fn a_dead_delivery_is_listed_and_given_again(store: &mut impl EventStore) {
    change(store, &[1, 2].map(|n| OutboxChange::Add(webhook(n, ACME))));
    change(store, &[OutboxChange::Tell(new(1, 10)), OutboxChange::Tell(new(2, 20))]);
    let end = |n, state| {
        let (notice, endpoint, error) = (notice_id(1), endpoint_id(n), Some("410 Gone".to_owned()));
        OutboxChange::End { notice, endpoint, state, at: at(30), error }
    };
    change(store, &[end(1, DeliveryState::Dead), end(2, DeliveryState::Delivered)]);
    let figures = OutboxFigures { waiting: 2, dead: vec![(ACME, 1)] };
    assert_eq!(store.reads().outbox_figures().unwrap(), figures);
    let dead = NoticeQuery { dead: true, ..NoticeQuery::default() };
    assert_eq!(store.reads().stored_notices(&dead, 9).unwrap(), [new(1, 10).notice]);
    let again = |organization, endpoint| OutboxChange::Redeliver {
        organization: Some(organization),
        notice: notice_id(1),
        endpoint,
        at: at(40),
    };
    assert_eq!(change(store, &[again(OTHER, None), again(ACME, None)]), [0, 1], "what was delivered stays");
    let expect = Delivery {
        notice: notice_id(1),
        endpoint: endpoint_id(1),
        audience: Audience::Organization,
        kind: EndpointKind::Webhook,
        address: "https://example.com/1".to_owned(),
        state: DeliveryState::Waiting,
        attempts: 0,
        since: at(40),
        next_at: at(40),
        forced: true,
        error: None,
        ended_at: None,
    };
    assert_eq!(store.reads().deliveries(notice_id(1)).unwrap()[0], expect);
    assert_eq!(change(store, &[again(ACME, Some(endpoint_id(2)))]), [1], "unless it is asked for");
}

/// E6: what the vendor decides is told to the vendor as well, whom no organization sees or counts.
pub(super) fn the_vendor_is_told_beside_the_organization(store: &mut impl EventStore) {
    change(store, &[OutboxChange::Add(webhook(1, ACME)), OutboxChange::Add(webhook(2, VENDOR))]);
    change(store, &[OutboxChange::Add(webhook(3, OTHER))]);
    let both = NewNotice { to: Recipients::OrganizationAndVendor, ..new(2, 20) };
    change(store, &[OutboxChange::Tell(new(1, 10)), OutboxChange::Tell(both)]);
    let to = |n| -> Vec<(EndpointId, Audience)> {
        let of = store.reads().deliveries(notice_id(n)).unwrap();
        of.iter().map(|one| (one.endpoint, one.audience)).collect()
    };
    assert_eq!(to(1), [(endpoint_id(1), Audience::Organization)]);
    assert_eq!(to(2), [(endpoint_id(1), Audience::Organization), (endpoint_id(2), Audience::Vendor)]);
    let (notice, endpoint, state) = (notice_id(2), endpoint_id(2), DeliveryState::Dead);
    change(store, &[OutboxChange::End { notice, endpoint, state, at: at(30), error: None }]);
    let dead = |organization| NoticeQuery { organization, dead: true, ..NoticeQuery::default() };
    let listed = |query| store.reads().stored_notices(&query, 9).unwrap().len();
    assert_eq!((listed(dead(None)), listed(dead(Some(ACME)))), (1, 0), "nothing of its own was given up");
    let again = OutboxChange::Redeliver { organization: None, notice, endpoint: None, at: at(40) };
    assert_eq!(change(store, &[again]), [1]);
}

/// N2: what was told of topics is paged through, across organizations, and forgotten one by one.
pub(super) fn marks_are_paged_and_forgotten(store: &mut impl EventStore) {
    let told = |n: u8, organization, topics: [&str; 2]| {
        let notice = StoredNotice { organization, ..new(n, 10).notice };
        let marks = topics.iter().map(|topic| ((*topic).to_owned(), vec![n])).collect();
        OutboxChange::Tell(NewNotice { notice, marks, to: Recipients::Organization })
    };
    change(store, &[told(2, OTHER, ["a", "c"]), told(1, ACME, ["b", "d"])]);
    let page = |after: Option<(OrganizationId, &str)>, limit| -> Vec<(OrganizationId, String)> {
        let after = after.map(|(of, topic)| (of, topic.to_owned()));
        let page = store.reads().marks_after(after.as_ref(), limit).unwrap();
        page.into_iter().map(|(of, topic, _)| (of, topic)).collect()
    };
    let all =
        [(ACME, "b"), (ACME, "d"), (OTHER, "a"), (OTHER, "c")].map(|(of, topic)| (of, topic.to_owned()));
    assert_eq!(page(None, 9), all);
    assert_eq!(page(Some((ACME, "b")), 2), all[1..3], "across organizations");
    let forget = |organization, topic: &str| OutboxChange::Unmark { organization, topic: topic.to_owned() };
    assert_eq!(change(store, &[forget(OTHER, "d"), forget(ACME, "d")]), [0, 1], "no other organization's");
    assert_eq!(store.reads().told(ACME, "d").unwrap(), None);
    assert_eq!(store.reads().told(ACME, "b").unwrap(), Some(vec![1]));
}

/// K1: a buyer is no endpoint, is told once by mail, and again if it is asked for.
pub(super) fn a_buyer_is_told_without_an_endpoint(store: &mut impl EventStore) {
    change(store, &[OutboxChange::Add(webhook(1, VENDOR))]);
    let notice = StoredNotice { organization: VENDOR, ..new(1, 10).notice };
    let to = Recipients::Buyer { id: endpoint_id(9), address: "bea@example.com".to_owned() };
    change(store, &[OutboxChange::Tell(NewNotice { notice, marks: Vec::new(), to })]);
    fn due(store: &impl EventStore, secs: u64) -> Vec<DueDelivery> {
        store.reads().due_deliveries(at(secs), EndpointKind::Email, 9).unwrap()
    }
    let [found] = due(store, 10).try_into().unwrap();
    let to = found.endpoint.unwrap();
    assert_eq!((to.address.as_str(), to.kind), ("bea@example.com", EndpointKind::Email));
    assert_eq!(found.delivery.audience, Audience::Buyer);
    assert_eq!(store.reads().endpoints(VENDOR).unwrap().len(), 1, "nothing is told there again");
    let (notice, endpoint, state) = (notice_id(1), endpoint_id(9), DeliveryState::Dead);
    change(store, &[OutboxChange::End { notice, endpoint, state, at: at(30), error: None }]);
    assert!(due(store, 40).is_empty());
    let again = OutboxChange::Redeliver { organization: None, notice, endpoint: None, at: at(40) };
    assert_eq!(change(store, &[again]), [1]);
    assert_eq!(due(store, 40).len(), 1);
    let end =
        OutboxChange::End { notice, endpoint, state: DeliveryState::Delivered, at: at(41), error: None };
    change(store, &[end, OutboxChange::Forget { before: at(500), limit: 9 }]);
    assert!(store.reads().deliveries(notice).unwrap().is_empty(), "forgotten with the notice");
}
