//! What a failing store, a full disk, a second daemon or a defect can do: lose nothing that was acknowledged.

use super::keys::{state, transfer};
use super::*;
use crate::store::outbox::{OutboxChange, OutboxWrites};
use crate::store::{
    ChangeSet, Conflict, DeviceStatus, Issued, Result as StoreResult, Snapshot, StoreError, Transaction,
};
use rusqlite::Connection;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// When and how the store fails, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Every call that writes, begins or commits, counted; see [`super::crash_points`].
    pub(super) calls: AtomicUsize,
    /// The process dies at this call, counted from 1: nothing from it on takes place. 0 means that it does not.
    pub(super) dies_at: AtomicUsize,
    /// If that call is a commit, it takes place, and the process dies before anybody hears of it.
    pub(super) dies_after: AtomicBool,
    /// Steps of the store (begin, apply, commit) left before all fail, plus one; 0 means they never do.
    steps_left: AtomicUsize,
    /// The next commit takes place but reports a failure.
    lie: AtomicUsize,
    /// Pages the database may have, 0 for no limit.
    pages: AtomicU32,
    commits: AtomicUsize,
}

impl Faults {
    /// One call of the store, whatever it is; tells whether the process dies right after it.
    fn call(&self, commit: bool) -> StoreResult<bool> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let dies_at = self.dies_at.load(Ordering::SeqCst);
        let after = commit && self.dies_after.load(Ordering::SeqCst) && call == dies_at;
        if dies_at != 0 && call >= dies_at && !after {
            return Err(StoreError::Failed("the process is dead".into()));
        }
        Ok(after)
    }

    fn step(&self) -> StoreResult<()> {
        match self.steps_left.load(Ordering::SeqCst) {
            0 => Ok(()),
            1 => Err(StoreError::Failed("the disk is gone".into())),
            left => {
                self.steps_left.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

/// A store that fails on command.
pub(super) struct Faulty(pub(super) SqliteStore, pub(super) Arc<Faults>);
pub(super) struct FaultyTx<'a>(crate::store::sqlite::SqliteTransaction<'a>, Arc<Faults>);

impl EventStore for Faulty {
    type Reader = Connection;
    type Tx<'a> = FaultyTx<'a>;
    fn reads(&self) -> &Connection {
        self.0.reads()
    }
    fn reader(&self) -> StoreResult<Connection> {
        self.0.reader()
    }
    fn begin(&mut self) -> StoreResult<FaultyTx<'_>> {
        self.1.call(false)?;
        self.1.step()?;
        match self.1.pages.load(Ordering::SeqCst) {
            0 => self.0.limit_pages(u32::MAX - 1)?,
            more => self.0.limit_pages(self.0.pages()? + more - 1)?,
        }
        Ok(FaultyTx(self.0.begin()?, self.1.clone()))
    }
}

impl OutboxWrites for FaultyTx<'_> {
    fn change_outbox(&mut self, change: &OutboxChange) -> StoreResult<usize> {
        self.1.call(false)?;
        self.0.change_outbox(change)
    }
}

impl Transaction for FaultyTx<'_> {
    type Reader = Connection;
    fn reads(&self) -> &Connection {
        self.0.reads()
    }
    fn apply(&mut self, changes: &ChangeSet) -> StoreResult<Result<(), Conflict>> {
        self.1.call(false)?;
        self.1.step()?;
        self.0.apply(changes)
    }
    fn save_snapshot(&mut self, stream: StreamId, snapshot: &Snapshot) -> StoreResult<()> {
        self.1.call(false)?;
        self.0.save_snapshot(stream, snapshot)
    }
    fn next_seq(&mut self, organization: OrganizationId, at_least: u64) -> StoreResult<u64> {
        self.1.call(false)?;
        self.0.next_seq(organization, at_least)
    }
    fn record_issued(&mut self, issued: &Issued, token: &[u8]) -> StoreResult<()> {
        self.1.call(false)?;
        self.0.record_issued(issued, token)
    }
    fn record_status(&mut self, status: &DeviceStatus) -> StoreResult<()> {
        self.1.call(false)?;
        self.0.record_status(status)
    }
    fn change_note(&mut self, change: &NoteChange) -> StoreResult<()> {
        self.1.call(false)?;
        self.0.change_note(change)
    }
    fn forget_responses(&mut self, before: Timestamp, limit: u32) -> StoreResult<usize> {
        self.1.call(false)?;
        self.0.forget_responses(before, limit)
    }
    fn commit(self) -> StoreResult<()> {
        let dies = self.1.call(true)?;
        self.1.step()?;
        self.0.commit()?;
        self.1.commits.fetch_add(1, Ordering::SeqCst);
        if dies {
            return Err(StoreError::Failed("the process is dead".into()));
        }
        match self.1.lie.swap(0, Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(StoreError::Failed("the disk did not answer".into())),
        }
    }
}

async fn faulty() -> (Books, Arc<Faults>, ManualClock, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let faults = Arc::new(Faults::default());
    let store = SqliteStore::open(&dir.path().join("books.db")).unwrap();
    let books =
        Books::start(Faulty(store, faults.clone()), Arc::new(clock.clone()), Mode::Production).unwrap();
    run(&books, [found(1), found(2)]).await;
    (books, faults, clock, dir)
}

#[tokio::test]
async fn a_group_is_one_commit_and_a_poisoned_request_harms_only_itself() {
    let (books, faults, _clock, _dir) = faulty().await;
    run(&books, [create_site(1), create_site(2), claim_device(1, 7)]).await;
    let panics = |_: &Committed| -> StoredResponse { panic!("a defect") };
    let poisoned = Request { respond: Some(Box::new(panics)), ..ask(create_group(1, 3)) };

    let seen = books.organization(organization(1)).unwrap().version();
    let held = hold_writer(&books).await;
    let before = faults.commits.load(Ordering::SeqCst);
    let answers = [
        queue(&books, ask(create_group(1, 2))),
        queue(&books, poisoned),
        // Decided on what is not committed yet.
        queue(&books, Request { expected_version: Some(seen + 1), ..ask(create_group(1, 4)) }),
        queue(&books, ask(create_group(1, 2))),
        // Refused by the store, after the events were decided.
        queue(&books, ask(claim_device(2, 7))),
        queue(&books, ask(create_group(2, 2))),
        queue(&books, ask(create_group(1, 3))),
    ];
    held.release().await;
    let mut codes = Vec::new();
    for answer in answers {
        codes.push(answer.await.unwrap().map_or_else(|error| error.code(), |_| "done"));
    }
    assert_eq!(codes, ["done", "INTERNAL", "done", "NAME_TAKEN", "DEVICE_ALREADY_CLAIMED", "done", "done"]);
    assert_eq!(faults.commits.load(Ordering::SeqCst), before + 1);
    assert!([2, 3, 4].into_iter().all(|n| has_group(&books, 1, n)));
    for n in [1, 2] {
        let verified = books.verify_log(Some(organization(n))).await.unwrap().unwrap();
        assert_eq!(verified.entries, books.organization(organization(n)).unwrap().version());
    }
}

#[tokio::test]
async fn a_failed_commit_fails_the_group_and_leaves_the_books_as_they_were() {
    let (books, faults, _clock, _dir) = faulty().await;
    let before = books.organization(organization(1));
    let held = hold_writer(&books).await;
    let answers = [2, 3].map(|n| queue(&books, keyed(create_group(1, n), &n.to_string(), 1)));
    // Begin and two appends succeed, the commit does not.
    faults.steps_left.store(4, Ordering::SeqCst);
    held.release().await;
    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap_err().code(), "STORAGE_FAILED");
    }
    assert_eq!(books.organization(organization(1)), before);
    assert_eq!(code_of(&books, ask(create_group(1, 2))).await, "STORAGE_FAILED");
    faults.steps_left.store(0, Ordering::SeqCst);
    let done = books.execute(keyed(create_group(1, 2), "2", 1)).await.unwrap();
    assert_eq!((done.version, done.replayed), (2, None));
}

#[tokio::test]
async fn a_commit_that_took_place_but_reported_failure_is_found_again() {
    let (books, faults, _clock, _dir) = faulty().await;
    let mut feed = books.subscribe();
    faults.lie.store(1, Ordering::SeqCst);
    assert_eq!(code_of(&books, keyed(create_group(1, 2), "k", 1)).await, "STORAGE_FAILED");
    assert!(has_group(&books, 1, 2));
    assert_eq!(feed.changed().await.get(&organization(1)), Some(&Touch::Everything));
    let again = books.execute(keyed(create_group(1, 2), "k", 1)).await.unwrap();
    assert!(again.replayed.is_some());
    assert_eq!(books.log(organization(1), 0, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_full_disk_is_said_plainly_loses_nothing_and_is_over_when_there_is_room() {
    let (books, faults, clock, dir) = faulty().await;
    faults.pages.store(2, Ordering::SeqCst);
    let mut acknowledged = Vec::new();
    let mut refused = None;
    for n in 2..2000 {
        match books.execute(ask(create_group(1, n))).await {
            Ok(_) => acknowledged.push(n),
            Err(error) => {
                refused = Some((n, error));
                break;
            }
        }
        // No more room from here on.
        faults.pages.store(1, Ordering::SeqCst);
    }
    let (n, error) = refused.unwrap();
    assert_eq!(error.code(), "STORAGE_FULL");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(!has_group(&books, 1, n));
    assert!(acknowledged.iter().all(|n| has_group(&books, 1, *n)));

    faults.pages.store(0, Ordering::SeqCst);
    run(&books, [create_group(1, n)]).await;
    acknowledged.push(n);
    books.close().await;
    let books = open(&dir.path().join("books.db"), &clock);
    assert!(acknowledged.iter().all(|n| has_group(&books, 1, *n)));
    let entries = u64::try_from(acknowledged.len()).unwrap() + 1;
    assert_eq!(books.verify_log(Some(organization(1))).await.unwrap().unwrap().entries, entries);
}

#[tokio::test]
async fn wherever_the_commit_path_dies_what_was_acknowledged_is_there_exactly_once() {
    let mut died = 0;
    for steps in 1..=9 {
        for lie in [0, 1] {
            let (books, faults, clock, dir) = faulty().await;
            let held = hold_writer(&books).await;
            let answers = [2, 3, 4].map(|n| (n, queue(&books, ask(create_group(1, n)))));
            faults.lie.store(lie, Ordering::SeqCst);
            faults.steps_left.store(steps, Ordering::SeqCst);
            held.release().await;
            let mut acknowledged = Vec::new();
            for (n, answer) in answers {
                acknowledged.extend(answer.await.unwrap().is_ok().then_some(n));
            }
            // The process dies here: nothing of it is asked any more.
            books.close().await;
            died += usize::from(acknowledged.is_empty());
            let books = open(&dir.path().join("books.db"), &clock);
            let verified = books.verify_log(Some(organization(1))).await.unwrap().unwrap();
            assert_eq!(verified.entries, books.organization(organization(1)).unwrap().version());
            assert!(acknowledged.iter().all(|n| has_group(&books, 1, *n)), "step {steps}, lie {lie}");
            assert!(verified.entries == 1 || verified.entries == 4, "a group is whole");
        }
    }
    assert!(died >= 8, "{died}");
}

#[tokio::test]
async fn wherever_a_transfer_dies_the_key_is_with_one_organization() {
    let mut outcomes = Vec::new();
    for steps in 1..=4 {
        for lie in [0, 1] {
            let (books, faults, clock, dir) = faulty().await;
            run(&books, [set_price(), issue_key(1, 365), claim_key(1, 1)]).await;
            faults.lie.store(lie, Ordering::SeqCst);
            faults.steps_left.store(steps, Ordering::SeqCst);
            let acknowledged = books.execute(ask(transfer(1, 1, 2))).await.is_ok();
            books.close().await;
            let books = open(&dir.path().join("books.db"), &clock);
            let found = (state(&books, 1, 1), state(&books, 2, 1));
            let moved = found == (Some("transferred"), Some("unassigned"));
            assert!(moved || found == (Some("unassigned"), None), "step {steps}, lie {lie}: {found:?}");
            assert!(moved || !acknowledged);
            for n in [1, 2] {
                let verified = books.verify_log(Some(organization(n))).await.unwrap().unwrap();
                assert_eq!(verified.entries, books.organization(organization(n)).unwrap().version());
            }
            // Whoever has it, and nobody else, can give it away.
            let (holder, other) = if moved { (2, 1) } else { (1, 2) };
            assert!(books.execute(ask(transfer(other, 1, holder))).await.is_err());
            run(&books, [transfer(holder, 1, other)]).await;
            outcomes.push(moved);
        }
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_on_one_database_lose_nothing_and_number_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("books.db");
    let clock = ManualClock::at(NOW);
    let start = || {
        Books::start(SqliteStore::open_unowned(&path).unwrap(), Arc::new(clock.clone()), Mode::Production)
            .unwrap()
    };
    let (left, right) = (start(), start());
    run(&left, [found(1)]).await;
    // The right one has not seen the organization yet, and is told of it by the store.
    run(&right, [create_group(1, 2)]).await;
    let stale = Request { expected_version: Some(1), ..ask(create_group(1, 3)) };
    assert_eq!(code_of(&left, stale).await, "VERSION_CONFLICT");

    let work = |books: Books, from: u16| async move {
        let mut versions = Vec::new();
        for n in from..from + 50 {
            versions.push(books.execute(ask(create_group(1, n))).await.unwrap().version);
        }
        versions
    };
    let tasks = [tokio::spawn(work(left.clone(), 100)), tokio::spawn(work(right.clone(), 200))];
    let mut versions = Vec::new();
    for task in tasks {
        versions.extend(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (3..=102).collect::<Vec<u64>>());
    assert_eq!(left.verify_log(Some(organization(1))).await.unwrap().unwrap().entries, 102);
    run(&left, [to(1, Command::Materialize)]).await;
    run(&right, [to(1, Command::Materialize)]).await;
    assert_eq!(left.organization(organization(1)), right.organization(organization(1)));
}

/// N2: a notice is on disk with its change or not at all.
#[tokio::test]
async fn n2_a_commit_that_fails_tells_nothing_and_the_next_tells_once() {
    use crate::store::outbox::NoticeQuery;
    let (books, faults, _clock, _dir) = faulty().await;
    run(&books, [notices::site_in_group(1)]).await;
    let told = async || books.notices(NoticeQuery::default(), 9).await.unwrap().len();
    // Begin and apply go well, the commit does not.
    faults.steps_left.store(3, Ordering::SeqCst);
    assert!(books.execute(ask(claim_device(1, 7))).await.is_err());
    faults.steps_left.store(0, Ordering::SeqCst);
    assert_eq!(told().await, 0);
    run(&books, [claim_device(1, 7)]).await;
    assert_eq!(told().await, 1);
    // It took place though it reported a failure: what was told is told.
    faults.lie.store(1, Ordering::SeqCst);
    assert!(books.execute(ask(retire_device(1, 7))).await.is_err());
    assert_eq!(told().await, 2, "compliant again");
    run(&books, [create_group(1, 2)]).await;
    assert_eq!(told().await, 2);
}
