//! Every call of the store at which the cloud can die, and every commit that took place and was heard of by nobody (R3).
//!
//! **Problem.** Between a request and its answer lie many writes; a crash after any of them must lose nothing that was
//! acknowledged and do nothing twice (invariant 8). **Method.** A script that uses every way to write: changes of one
//! organization and of two, a notice made with its change, an endpoint, a delivery taken and ended, tokens issued, what
//! devices said, a note, a file imported. A run without a crash counts the calls and remembers what is on disk after each
//! step. Then the process dies at each of those calls, and at each commit once more right after it took place. The database
//! is opened again: on it is what was acknowledged, with the step under way or without it, whole. Whoever was not answered
//! asks again, as clients do, and in the end everything is as without a crash. **Deliberately absent:** torn files, which
//! are SQLite's matter (`cloud/tests/crash.rs`), and processes.

use super::faults::{Faults, Faulty};
use super::issuing::{sign, wish};
use super::keys::transfer;
use super::notices::{contact, site_in_group, told};
use super::*;
use crate::imports::{Kind, Underway};
use crate::store::outbox::{DeliveryState, EndpointKind, NoticeQuery, OutboxChange};
use coterm_shared::licensing::import::{ImportLine, ImportRow};
use coterm_shared::time::Seconds;
use std::fmt::Write;
use std::sync::atomic::Ordering;

/// One way to write.
#[derive(Clone, Copy, Debug)]
enum Step {
    Group,
    Contact,
    Site,
    Device,
    Take,
    Delivered,
    ClaimKey,
    Transfer,
    Issue,
    Status,
    Note,
    Import,
    Retire,
}

const SCRIPT: [Step; 13] = [
    Step::Group,
    Step::Contact,
    Step::Site,
    // Noncompliant from here on, which is told with the change.
    Step::Device,
    Step::Take,
    Step::Delivered,
    Step::ClaimKey,
    Step::Transfer,
    Step::Issue,
    Step::Status,
    Step::Note,
    Step::Import,
    Step::Retire,
];

/// The calls of the script that begin, write or commit.
const CALLS: usize = 49;

/// Does a step, as a client does who gives every change a key; returns the highest sequence it got.
async fn take(books: &Books, step: Step) -> Result<u64, BooksError> {
    let change = async |change: Change, key: &str| books.execute(keyed(change, key, 1)).await.map(|_| 0);
    match step {
        Step::Group => change(create_group(1, 2), "group").await,
        Step::Contact => books.change_outbox(vec![contact(1)]).await.map(|_| 0),
        Step::Site => change(site_in_group(1), "site").await,
        Step::Device => change(claim_device(1, 7), "device").await,
        Step::Take => {
            let due = books.due_deliveries(EndpointKind::Email, 10).await?;
            let until = books.now().saturating_add(Seconds(60));
            let take = due.into_iter().map(|due| OutboxChange::Take {
                notice: due.delivery.notice,
                endpoint: due.delivery.endpoint,
                until,
            });
            books.change_outbox(take.collect()).await.map(|_| 0)
        }
        Step::Delivered => {
            let mut ended = Vec::new();
            for (_, deliveries) in books.notices(NoticeQuery::default(), 10).await? {
                ended.extend(deliveries.into_iter().map(|delivery| OutboxChange::End {
                    notice: delivery.notice,
                    endpoint: delivery.endpoint,
                    state: DeliveryState::Delivered,
                    at: books.now(),
                    error: None,
                }));
            }
            books.change_outbox(ended).await.map(|_| 0)
        }
        Step::ClaimKey => change(claim_key(1, 1), "key").await,
        Step::Transfer => change(transfer(1, 1, 2), "transfer").await,
        Step::Issue => {
            let signed = books.issue(vec![wish(1, 7), wish(1, 8), wish(2, 9)], sign).await?;
            Ok(signed.into_iter().map(|signed| signed.unwrap().0.seq).max().unwrap())
        }
        Step::Status => {
            let (device, heard_at, body) = (device(7), books.now(), b"said".to_vec());
            let status = DeviceStatus { device, organization: organization(1), heard_at, body };
            books.record_statuses(vec![status]).await.map(|()| 0)
        }
        Step::Note => {
            let at = books.now();
            let note = Note { kind: "halt".to_owned(), subject: "one".to_owned(), at, body: b"why".to_vec() };
            books.change_notes(vec![NoteChange::Keep(note)]).await.map(|()| 0)
        }
        Step::Import => {
            let (name, path) = ("Imported".to_owned(), "Attic".to_owned());
            let rows = [
                ImportRow::Group { id: group(9), name: name.clone() },
                ImportRow::Site { id: site(9), path, group: Some(name) },
            ];
            let lines = (1..).zip(rows).map(|(line, row)| ImportLine { line, row }).collect();
            let underway = Underway::default();
            let place = underway.begin(organization(1), "req-1".to_owned(), Kind::Sites, false).unwrap();
            let file = ImportFile {
                organization: organization(1),
                print: "print".to_owned(),
                lines: Arc::new(lines),
                orders: Arc::default(),
                run: place.run().clone(),
            };
            let key =
                Idempotency { principal: "ada".to_owned(), key: "import".to_owned(), fingerprint: [1; 32] };
            let respond = |_: u64, _: &[_]| StoredResponse { status: 200, body: Vec::new() };
            let (actor, request) = ("user:ada".to_owned(), "req-1".to_owned());
            books.import(file, actor, request, Some(key), false, respond).await.map(|_| 0)
        }
        Step::Retire => change(retire_device(1, 7), "retire").await,
    }
}

/// Everything on disk that anybody can see, but for sequences and how often a delivery was tried.
async fn seen(books: &Books) -> String {
    let mut text = String::new();
    for n in [1, 2] {
        for line in books.log(organization(n), 0, LOG_PAGE_MAX).await.unwrap() {
            let event = String::from_utf8_lossy(&line.event).into_owned();
            writeln!(text, "{n}: {} {} {} {event}", line.seq, line.at, line.request_id).unwrap();
        }
        writeln!(text, "{n} is told {:?}", told(books, n).await).unwrap();
        writeln!(text, "{n} has endpoints {:?}", books.endpoints(organization(n)).await.unwrap()).unwrap();
        let verified = books.verify_log(Some(organization(n))).await.unwrap().unwrap();
        assert_eq!(verified.entries, books.organization(organization(n)).unwrap().version());
    }
    for line in books.platform_log(0, LOG_PAGE_MAX).await.unwrap() {
        writeln!(text, "platform: {} {}", line.seq, String::from_utf8_lossy(&line.event)).unwrap();
    }
    for (notice, deliveries) in books.notices(NoticeQuery::default(), 100).await.unwrap() {
        let states: Vec<_> = deliveries.iter().map(|delivery| delivery.state).collect();
        let taken = deliveries.iter().any(|delivery| delivery.attempts > 0);
        writeln!(text, "{}: {states:?}, taken: {taken}", notice.kind).unwrap();
    }
    let mut issued: Vec<_> = books.issued().await.unwrap().into_iter().map(|(i, _)| i.device).collect();
    issued.sort();
    let (statuses, notes) = (books.statuses().await.unwrap(), books.notes("halt").await.unwrap());
    write!(text, "{issued:?} {statuses:?} {notes:?}").unwrap();
    text
}

struct Place {
    clock: ManualClock,
    dir: tempfile::TempDir,
}

impl Place {
    /// Two organizations, and a key that was sold.
    async fn fresh() -> Place {
        let place = Place { clock: ManualClock::at(NOW), dir: tempfile::tempdir().unwrap() };
        let books = place.open();
        run(&books, [found(1), found(2), set_price(), issue_key(1, 365)]).await;
        place
    }

    /// The same as another one, which nobody has open.
    fn like(other: &Place) -> Place {
        let place = Place { clock: ManualClock::at(NOW), dir: tempfile::tempdir().unwrap() };
        for file in std::fs::read_dir(other.dir.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), place.dir.path().join(file.file_name())).unwrap();
        }
        place
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.dir.path().join("books.db")).unwrap()
    }

    fn open(&self) -> Books {
        Books::by_hand(self.store(), Arc::new(self.clock.clone()), Mode::Production).unwrap()
    }

    fn open_mortal(&self, faults: &Arc<Faults>) -> Books {
        let store = Faulty(self.store(), Arc::clone(faults));
        Books::by_hand(store, Arc::new(self.clock.clone()), Mode::Production).unwrap()
    }
}

#[tokio::test]
async fn r3_wherever_the_cloud_dies_nothing_acknowledged_is_lost_and_nothing_is_done_twice() {
    let beginning = Place::fresh().await;
    let place = Place::like(&beginning);
    let faults = Arc::new(Faults::default());
    let books = place.open_mortal(&faults);
    let mut whole = vec![seen(&books).await];
    for step in SCRIPT {
        take(&books, step).await.unwrap();
        whole.push(seen(&books).await);
    }
    drop(books);
    assert!(whole.windows(2).all(|pair| pair[0] != pair[1]), "every step is seen");
    assert_eq!(seen(&place.open()).await, whole[SCRIPT.len()], "nothing is in memory alone");
    let calls = faults.calls.load(Ordering::SeqCst);
    assert_eq!(calls, CALLS, "nothing the script does is left out");

    let (mut without, mut with) = (0, 0);
    for dies_at in 1..=calls {
        for dies_after in [false, true] {
            let place = Place::like(&beginning);
            let faults = Arc::new(Faults::default());
            faults.dies_at.store(dies_at, Ordering::SeqCst);
            faults.dies_after.store(dies_after, Ordering::SeqCst);
            let books = place.open_mortal(&faults);
            let (mut acknowledged, mut highest) = (0, 0);
            for step in SCRIPT {
                let Ok(seq) = take(&books, step).await else { break };
                acknowledged += 1;
                highest = highest.max(seq);
            }
            drop(books);

            let what = format!("call {dies_at}, after it: {dies_after}, {acknowledged} acknowledged");
            let books = place.open();
            let found = seen(&books).await;
            let next = whole.get(acknowledged + 1).unwrap_or(&whole[acknowledged]);
            assert!(found == whole[acknowledged] || found == *next, "{what}: {found}");
            without += usize::from(found == whole[acknowledged]);
            with += usize::from(found == *next && found != whole[acknowledged]);
            for step in &SCRIPT[acknowledged..] {
                take(&books, *step).await.unwrap_or_else(|error| panic!("{what}, {step:?}: {error}"));
            }
            assert_eq!(seen(&books).await, whole[SCRIPT.len()], "{what}");
            assert!(take(&books, Step::Issue).await.unwrap() > highest, "{what}: no sequence twice");
        }
    }
    // Each step has one commit: heard of by nobody, it is found after the start.
    assert_eq!(with, SCRIPT.len());
    assert_eq!(with + without, calls * 2);
}
