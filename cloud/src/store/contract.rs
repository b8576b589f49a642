//! What every event store must do, as tests over the port alone.
//!
//! `run` is called once per database; a new one is added by calling it there.

mod outbox;

use super::*;
use crate::store::chain::verify_chain;

const ORGANIZATION: StreamId = StreamId::from_bytes([1; 16]);
const OTHER: StreamId = StreamId::from_bytes([2; 16]);

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs).unwrap()
}

fn changes(stream: StreamId, expected_version: u64, events: &[&str]) -> ChangeSet {
    let event =
        |(n, text): (usize, &&str)| NewEvent { at: at(100 + n as u64), event: text.as_bytes().to_vec() };
    ChangeSet {
        recorded_at: at(1000),
        actor: "user:ada".to_owned(),
        request_id: "req-1".to_owned(),
        appends: vec![Append {
            stream,
            expected_version,
            events: events.iter().enumerate().map(event).collect(),
        }],
        reservations: Vec::new(),
        idempotency: None,
    }
}

fn reserve(stream: StreamId, value: &str, act: ReservationAct) -> Reservation {
    Reservation { stream, kind: "device".to_owned(), value: value.to_owned(), act }
}

/// Applies one change set in a transaction of its own.
fn commit(store: &mut impl EventStore, changes: &ChangeSet) -> std::result::Result<(), Conflict> {
    let mut tx = store.begin().unwrap();
    let outcome = tx.apply(changes).unwrap();
    tx.commit().unwrap();
    outcome
}

fn texts(store: &impl EventStore, stream: StreamId) -> Vec<String> {
    let entries = store.reads().entries(stream, 0, 100).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry.event).unwrap()).collect()
}

/// Runs every clause; `open` makes an empty store under a name, with whatever must live as long as it.
pub(crate) fn run<S: EventStore, G>(open: impl Fn(&str) -> (S, G)) {
    type Clause<S> = fn(&mut S);
    let clauses: [(&str, Clause<S>); 17] = [
        ("append", appends_in_order_and_chains),
        ("expected", refuses_what_is_not_at_the_expected_version),
        ("whole", applies_whole_or_not_at_all),
        ("rollback", forgets_what_was_not_committed),
        ("reserve", a_name_has_one_holder),
        ("response", keeps_one_response_per_principal_and_key),
        ("snapshot", keeps_the_newest_snapshot),
        ("issued", keeps_the_newest_token_and_the_highest_sequence),
        ("status", keeps_the_last_status_and_the_last_instant),
        ("note", keeps_one_note_of_a_kind_and_a_subject),
        ("endpoints", outbox::keeps_endpoints_apart_and_bounded),
        ("tell", outbox::tells_every_endpoint_once_and_remembers),
        ("lease", outbox::a_delivery_is_taken_retried_and_ended),
        ("again", outbox::a_dead_delivery_is_listed_and_given_again),
        ("vendor", outbox::the_vendor_is_told_beside_the_organization),
        ("marks", outbox::marks_are_paged_and_forgotten),
        ("buyer", outbox::a_buyer_is_told_without_an_endpoint),
    ];
    for (name, clause) in clauses {
        let (mut store, _guard) = open(name);
        clause(&mut store);
    }
}

fn appends_in_order_and_chains(store: &mut impl EventStore) {
    assert_eq!(store.reads().head(ORGANIZATION).unwrap().version, 0);
    commit(store, &changes(ORGANIZATION, 0, &["a", "b"])).unwrap();
    commit(store, &changes(OTHER, 0, &["x"])).unwrap();
    let before = store.reads().position().unwrap();
    commit(store, &changes(ORGANIZATION, 2, &["c"])).unwrap();

    assert_eq!(texts(store, ORGANIZATION), ["a", "b", "c"]);
    assert_eq!(store.reads().streams().unwrap(), [ORGANIZATION, OTHER]);
    assert_eq!(store.reads().streams_after(before).unwrap(), [ORGANIZATION]);
    assert!(store.reads().streams_after(store.reads().position().unwrap()).unwrap().is_empty());
    let page = store.reads().entries(ORGANIZATION, 1, 1).unwrap();
    assert_eq!(page.len(), 1);
    let entry = &page[0];
    assert_eq!((entry.seq, entry.at, entry.recorded_at), (2, at(101), at(1000)));
    assert_eq!((entry.actor.as_str(), entry.request_id.as_str()), ("user:ada", "req-1"));

    let verified = verify_chain(store.reads(), ORGANIZATION).unwrap().unwrap();
    assert_eq!((verified.entries, verified.hash), (3, store.reads().head(ORGANIZATION).unwrap().hash));
    let reader = store.reader().unwrap();
    assert_eq!(verify_chain(&reader, ORGANIZATION).unwrap(), Ok(verified), "a second reader sees the same");
    assert_ne!(verify_chain(&reader, OTHER).unwrap().unwrap().hash, verified.hash);
    let nobody = StreamId::from_bytes([9; 16]);
    assert_eq!(verify_chain(&reader, nobody).unwrap().unwrap().entries, 0);
}

fn refuses_what_is_not_at_the_expected_version(store: &mut impl EventStore) {
    commit(store, &changes(ORGANIZATION, 0, &["a", "b"])).unwrap();
    for expected in [0, 1, 3] {
        let refused = commit(store, &changes(ORGANIZATION, expected, &["late"])).unwrap_err();
        assert_eq!(refused, Conflict::Version { stream: ORGANIZATION, expected, actual: 2 });
    }
    assert_eq!(texts(store, ORGANIZATION), ["a", "b"]);
}

fn applies_whole_or_not_at_all(store: &mut impl EventStore) {
    let mut tx = store.begin().unwrap();
    tx.apply(&changes(ORGANIZATION, 0, &["a"])).unwrap().unwrap();
    // The second stream conflicts, so nothing of the first may remain, nor the name that was taken before.
    let mut poisoned = changes(ORGANIZATION, 1, &["poison"]);
    poisoned.appends.extend(changes(OTHER, 7, &["poison"]).appends);
    assert!(tx.apply(&poisoned).unwrap().is_err());
    let mut taken = changes(ORGANIZATION, 1, &["poison"]);
    taken.idempotency = Some(response("k", 201));
    tx.apply(&changes(OTHER, 0, &["x"])).unwrap().unwrap();
    let mut holds = changes(OTHER, 1, &[]);
    holds.reservations = vec![reserve(OTHER, "cam-1", ReservationAct::Reserve)];
    tx.apply(&holds).unwrap().unwrap();
    taken.reservations = vec![
        reserve(ORGANIZATION, "cam-0", ReservationAct::Reserve),
        reserve(ORGANIZATION, "cam-1", ReservationAct::Reserve),
    ];
    assert!(matches!(tx.apply(&taken).unwrap(), Err(Conflict::Taken { holder: OTHER, .. })));
    assert_eq!(tx.reads().holder("device", "cam-0").unwrap(), None);
    assert_eq!(tx.reads().idempotency("ada", "k").unwrap(), None);
    tx.apply(&changes(ORGANIZATION, 1, &["b"])).unwrap().unwrap();
    tx.commit().unwrap();
    assert_eq!(texts(store, ORGANIZATION), ["a", "b"]);
    assert_eq!(verify_chain(store.reads(), ORGANIZATION).unwrap().unwrap().entries, 2);
}

fn forgets_what_was_not_committed(store: &mut impl EventStore) {
    commit(store, &changes(ORGANIZATION, 0, &["a"])).unwrap();
    let reader = store.reader().unwrap();
    let mut tx = store.begin().unwrap();
    tx.apply(&changes(ORGANIZATION, 1, &["b"])).unwrap().unwrap();
    assert_eq!(tx.reads().entries(ORGANIZATION, 0, 9).unwrap().len(), 2, "it sees its own writes");
    drop(tx);
    assert_eq!(reader.head(ORGANIZATION).unwrap().version, 1);
    commit(store, &changes(ORGANIZATION, 1, &["c"])).unwrap();
    assert_eq!(texts(store, ORGANIZATION), ["a", "c"]);
}

fn a_name_has_one_holder(store: &mut impl EventStore) {
    commit(store, &changes(ORGANIZATION, 0, &["a"])).unwrap();
    commit(store, &changes(OTHER, 0, &["x"])).unwrap();
    let mut act = |stream, version, act| {
        let mut set = changes(stream, version, &[]);
        set.reservations = vec![reserve(stream, "cam-1", act)];
        commit(store, &set)
    };
    act(ORGANIZATION, 1, ReservationAct::Reserve).unwrap();
    act(ORGANIZATION, 1, ReservationAct::Reserve).unwrap();
    assert!(act(OTHER, 1, ReservationAct::Reserve).is_err());
    act(OTHER, 1, ReservationAct::Release).unwrap();
    assert!(act(OTHER, 1, ReservationAct::Reserve).is_err(), "only its holder gives a name back");
    act(ORGANIZATION, 1, ReservationAct::Release).unwrap();
    act(OTHER, 1, ReservationAct::Reserve).unwrap();
    assert_eq!(store.reads().holder("device", "cam-1").unwrap(), Some(OTHER));
    assert_eq!(store.reads().holder("license-key", "cam-1").unwrap(), None);
}

fn response(key: &str, status: u16) -> IdempotencyRecord {
    IdempotencyRecord {
        principal: "ada".to_owned(),
        key: key.to_owned(),
        fingerprint: [3; 32],
        status,
        body: b"{}".to_vec(),
    }
}

fn keeps_one_response_per_principal_and_key(store: &mut impl EventStore) {
    let mut first = changes(ORGANIZATION, 0, &["a"]);
    first.idempotency = Some(response("k", 201));
    commit(store, &first).unwrap();
    let mut second = changes(ORGANIZATION, 1, &["b"]);
    second.idempotency = Some(response("k", 200));
    assert!(matches!(commit(store, &second), Err(Conflict::IdempotencyKey { .. })));
    assert_eq!(store.reads().idempotency("ada", "k").unwrap(), Some(response("k", 201)));
    assert_eq!(store.reads().idempotency("bob", "k").unwrap(), None);
    assert_eq!(texts(store, ORGANIZATION), ["a"]);

    let mut tx = store.begin().unwrap();
    assert_eq!(tx.forget_responses(at(1000), 10).unwrap(), 0);
    assert_eq!(tx.forget_responses(at(1001), 10).unwrap(), 1);
    tx.commit().unwrap();
    assert_eq!(store.reads().idempotency("ada", "k").unwrap(), None);
}

fn keeps_the_newest_snapshot(store: &mut impl EventStore) {
    commit(store, &changes(ORGANIZATION, 0, &["a", "b"])).unwrap();
    assert_eq!(store.reads().snapshot(ORGANIZATION).unwrap(), None);
    for version in [1, 2] {
        let mut tx = store.begin().unwrap();
        tx.save_snapshot(ORGANIZATION, &Snapshot { schema: 4, version, body: vec![9] }).unwrap();
        tx.commit().unwrap();
    }
    let kept = store.reads().snapshot(ORGANIZATION).unwrap();
    assert_eq!(kept, Some(Snapshot { schema: 4, version: 2, body: vec![9] }));
}

fn keeps_the_newest_token_and_the_highest_sequence(store: &mut impl EventStore) {
    let organization = ORGANIZATION.organization().unwrap();
    let device: DeviceId = "cam-1".parse().unwrap();
    let issued = |seq| Issued {
        device: device.clone(),
        organization,
        epoch: 1,
        seq,
        wanted: [5; 32],
        issued_at: at(50),
        lease_ends_at: at(60),
        answers_nonce: seq == 11,
    };
    assert_eq!(store.reads().last_seq(organization).unwrap(), 0);
    for seq in [10, 11] {
        let mut tx = store.begin().unwrap();
        tx.record_issued(&issued(seq), &[seq as u8]).unwrap();
        tx.commit().unwrap();
    }
    assert_eq!(store.reads().last_seq(organization).unwrap(), 11);
    // Twice in one transaction is two sequences; a transaction that is given up allocated nothing.
    let mut tx = store.begin().unwrap();
    assert_eq!([5, 5, 20].map(|least| tx.next_seq(organization, least).unwrap()), [12, 13, 20]);
    drop(tx);
    assert_eq!(store.begin().unwrap().next_seq(organization, 0).unwrap(), 12);
    assert_eq!(store.reads().token(&device).unwrap(), Some((issued(11), vec![11])));
    assert_eq!(store.reads().token(&"cam-2".parse().unwrap()).unwrap(), None);
    let mut all = Vec::new();
    store.reads().each_issued(&mut |row, digest| all.push((row, digest))).unwrap();
    assert_eq!(all, [(issued(11), TokenDigest::of(&[11]))]);
}

fn keeps_the_last_status_and_the_last_instant(store: &mut impl EventStore) {
    assert_eq!(store.reads().last_event_at().unwrap(), None);
    commit(store, &changes(ORGANIZATION, 0, &["a"])).unwrap();
    let mut earlier = changes(ORGANIZATION, 1, &["b"]);
    earlier.recorded_at = at(7);
    commit(store, &earlier).unwrap();
    assert_eq!(store.reads().last_event_at().unwrap(), Some(at(1000)), "it never goes back");

    let status = |secs: u64| DeviceStatus {
        device: "cam-1".parse().unwrap(),
        organization: OrganizationId::from_bytes([7; 16]),
        heard_at: at(secs),
        body: secs.to_string().into_bytes(),
    };
    for secs in [5, 6] {
        let mut tx = store.begin().unwrap();
        tx.record_status(&status(secs)).unwrap();
        tx.commit().unwrap();
    }
    let mut all = Vec::new();
    store.reads().each_status(&mut |row| all.push(row)).unwrap();
    assert_eq!(all, [status(6)]);
}

fn keeps_one_note_of_a_kind_and_a_subject(store: &mut impl EventStore) {
    let note = |kind: &str, subject: &str, secs: u64| Note {
        kind: kind.to_owned(),
        subject: subject.to_owned(),
        at: at(secs),
        body: secs.to_string().into_bytes(),
    };
    let mut change = |changes: &[NoteChange]| {
        let mut tx = store.begin().unwrap();
        changes.iter().for_each(|change| tx.change_note(change).unwrap());
        tx.commit().unwrap();
        [store.reads().notes("halt").unwrap(), store.reads().notes("clock").unwrap()]
    };
    let keep = |kind, subject, secs| NoteChange::Keep(note(kind, subject, secs));
    assert_eq!(change(&[]), [vec![], vec![]]);
    let all = [keep("halt", "b", 1), keep("halt", "a", 2), keep("clock", "a", 3), keep("halt", "b", 4)];
    assert_eq!(change(&all), [vec![note("halt", "a", 2), note("halt", "b", 4)], vec![note("clock", "a", 3)]]);
    let forget = NoteChange::Forget { kind: "halt".to_owned(), subject: "a".to_owned() };
    assert_eq!(change(&[forget.clone(), forget]), [vec![note("halt", "b", 4)], vec![note("clock", "a", 3)]]);
}
