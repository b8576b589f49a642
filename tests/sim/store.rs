//! The books on a disk in memory: the store's contract, with a power switch at every commit.
//!
//! Everything is a persistent data structure, so a transaction works on a copy that costs a few pointers, a commit swaps
//! it in, and a backup is another copy.

use crate::planted::Planted;
use coterm_cloud::store::chain::{Link, genesis, link};
use coterm_cloud::store::outbox::{
    Delivery, DueDelivery, Endpoint, EndpointKind, NoticeQuery, OutboxChange, OutboxFigures, OutboxReads,
    OutboxWrites, StoredNotice,
};
use coterm_cloud::store::{
    ChangeSet, Conflict, DeviceStatus, Envelope, EventStore, Head, IdempotencyRecord, Issued, Note,
    NoteChange, Reads, ReservationAct, Result, Snapshot, StoreError, StreamId, Transaction,
};
use coterm_shared::id::{DeviceId, NoticeId, OrganizationId};
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;
use rpds::{RedBlackTreeMapSync, VectorSync};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// What is stored.
#[derive(Clone, Debug, Default)]
pub struct Db {
    streams: RedBlackTreeMapSync<StreamId, VectorSync<Envelope>>,
    order: VectorSync<StreamId>,
    holders: RedBlackTreeMapSync<(String, String), StreamId>,
    responses: RedBlackTreeMapSync<(String, String), (Timestamp, IdempotencyRecord)>,
    snapshots: RedBlackTreeMapSync<StreamId, Snapshot>,
    seqs: RedBlackTreeMapSync<OrganizationId, u64>,
    issued: RedBlackTreeMapSync<DeviceId, (Issued, Vec<u8>)>,
    statuses: RedBlackTreeMapSync<DeviceId, DeviceStatus>,
    notes: RedBlackTreeMapSync<(String, String), Note>,
    /// What was told, by organization and topic; nobody is told here, so there are no deliveries.
    told: RedBlackTreeMapSync<(OrganizationId, String), Vec<u8>>,
    last_event_at: Option<Timestamp>,
}

impl Db {
    /// Entries in all streams.
    pub fn position(&self) -> u64 {
        self.order.len() as u64
    }

    /// The entries of a stream.
    pub fn entries(&self, stream: StreamId) -> impl Iterator<Item = &Envelope> + '_ {
        self.streams.get(&stream).into_iter().flat_map(VectorSync::iter)
    }

    /// Those behind the first so many.
    pub fn entries_after(&self, stream: StreamId, read: u64) -> impl Iterator<Item = &Envelope> + '_ {
        let entries = self.streams.get(&stream);
        (read as usize..).map_while(move |nth| entries.and_then(|entries| entries.get(nth)))
    }

    /// The streams.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.keys().copied()
    }

    /// The last sequence of an organization.
    pub fn last_seq(&self, organization: OrganizationId) -> u64 {
        self.seqs.get(&organization).copied().unwrap_or(0)
    }
}

/// What is to happen at the next commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fuse {
    /// The power goes before anything of the commit is on disk, after this many more.
    Before(u64),
    /// It is on disk, and the power goes before anybody hears of it.
    After(u64),
}

/// Commits that a disk with a cache nobody syncs may lose.
const UNSYNCED: usize = 16;

/// The disk, with what is on it.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What is on it.
    pub db: Db,
    /// What is to go wrong.
    pub fuse: Option<Fuse>,
    /// The power is gone: the process that wrote last has died.
    pub dead: bool,
    /// There is no room.
    pub full: bool,
    /// Commits so far.
    pub commits: u64,
    /// Commits that found no room.
    pub refused: u64,
    /// What was on it before the last few commits, if somebody is to find that it is again.
    pub before: VecDeque<Db>,
    /// The bug that was put in.
    pub planted: Option<Planted>,
}

/// A disk, shared with the world that switches its power.
pub type Shared = Arc<Mutex<Disk>>;

/// Looks at a disk.
pub fn locked(disk: &Shared) -> MutexGuard<'_, Disk> {
    disk.lock().expect("nobody panics with it")
}

fn died() -> StoreError {
    StoreError::Failed("the power is gone".into())
}

/// A way to read: of what is committed, or of what a transaction has written so far.
#[derive(Clone, Debug)]
pub enum Reader {
    /// What is committed.
    Committed(Shared),
    /// The transaction's own view.
    Own(Box<Db>),
}

impl Reader {
    fn read<T>(&self, look: impl FnOnce(&Db) -> T) -> Result<T> {
        match self {
            Reader::Committed(disk) => {
                let disk = locked(disk);
                if disk.dead { Err(died()) } else { Ok(look(&disk.db)) }
            }
            Reader::Own(db) => Ok(look(db)),
        }
    }
}

impl Reads for Reader {
    fn streams(&self) -> Result<Vec<StreamId>> {
        self.read(|db| db.streams().collect())
    }

    fn head(&self, stream: StreamId) -> Result<Head> {
        self.read(|db| head(db, stream))
    }

    fn entries(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<Envelope>> {
        let behind = (after as usize)..(after as usize).saturating_add(limit as usize);
        self.read(|db| {
            let entries = db.streams.get(&stream);
            behind.map_while(|n| entries.and_then(|entries| entries.get(n))).cloned().collect()
        })
    }

    fn snapshot(&self, stream: StreamId) -> Result<Option<Snapshot>> {
        self.read(|db| db.snapshots.get(&stream).cloned())
    }

    fn position(&self) -> Result<u64> {
        self.read(Db::position)
    }

    fn streams_after(&self, position: u64) -> Result<Vec<StreamId>> {
        self.read(|db| {
            let mut after: Vec<StreamId> =
                (position as usize..).map_while(|n| db.order.get(n)).copied().collect();
            after.sort_unstable();
            after.dedup();
            after
        })
    }

    fn last_event_at(&self) -> Result<Option<Timestamp>> {
        self.read(|db| db.last_event_at)
    }

    fn holder(&self, kind: &str, value: &str) -> Result<Option<StreamId>> {
        self.read(|db| db.holders.get(&(kind.to_owned(), value.to_owned())).copied())
    }

    fn idempotency(&self, principal: &str, key: &str) -> Result<Option<IdempotencyRecord>> {
        let place = (principal.to_owned(), key.to_owned());
        self.read(|db| db.responses.get(&place).map(|(_, record)| record.clone()))
    }

    fn last_seq(&self, organization: OrganizationId) -> Result<u64> {
        self.read(|db| db.last_seq(organization))
    }

    fn each_issued(&self, each: &mut dyn FnMut(Issued, TokenDigest)) -> Result<()> {
        self.read(|db| {
            db.issued.values().for_each(|(issued, token)| each(issued.clone(), TokenDigest::of(token)));
        })
    }

    fn token(&self, device: &DeviceId) -> Result<Option<(Issued, Vec<u8>)>> {
        self.read(|db| db.issued.get(device).cloned())
    }

    fn each_status(&self, each: &mut dyn FnMut(DeviceStatus)) -> Result<()> {
        self.read(|db| db.statuses.values().for_each(|status| each(status.clone())))
    }

    fn notes(&self, kind: &str) -> Result<Vec<Note>> {
        self.read(|db| db.notes.values().filter(|note| note.kind == kind).cloned().collect())
    }
}

impl OutboxReads for Reader {
    fn told(&self, organization: OrganizationId, topic: &str) -> Result<Option<Vec<u8>>> {
        self.read(|db| db.told.get(&(organization, topic.to_owned())).cloned())
    }

    fn marks_after(
        &self,
        after: Option<&(OrganizationId, String)>,
        limit: u32,
    ) -> Result<Vec<(OrganizationId, String, Vec<u8>)>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.read(|db| {
            let above = db.told.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
            above.take(limit).map(|((of, topic), mark)| (*of, topic.clone(), mark.clone())).collect()
        })
    }

    fn endpoints(&self, _: OrganizationId) -> Result<Vec<Endpoint>> {
        Ok(Vec::new())
    }

    fn stored_notices(&self, _: &NoticeQuery, _: u32) -> Result<Vec<StoredNotice>> {
        Ok(Vec::new())
    }

    fn deliveries(&self, _: NoticeId) -> Result<Vec<Delivery>> {
        Ok(Vec::new())
    }

    fn due_deliveries(&self, _: Timestamp, _: EndpointKind, _: u32) -> Result<Vec<DueDelivery>> {
        Ok(Vec::new())
    }

    fn outbox_figures(&self) -> Result<OutboxFigures> {
        Ok(OutboxFigures::default())
    }
}

impl OutboxWrites for Tx {
    fn change_outbox(&mut self, change: &OutboxChange) -> Result<usize> {
        let OutboxChange::Tell(new) = change else { return Ok(0) };
        for (topic, mark) in &new.marks {
            self.db().told.insert_mut((new.notice.organization, topic.clone()), mark.clone());
        }
        Ok(1)
    }
}

fn head(db: &Db, stream: StreamId) -> Head {
    match db.streams.get(&stream).and_then(VectorSync::last) {
        Some(last) => Head { version: last.seq, hash: last.hash },
        None => Head { version: 0, hash: genesis(stream) },
    }
}

/// A transaction.
#[derive(Debug)]
pub struct Tx {
    disk: Shared,
    planted: Option<Planted>,
    view: Reader,
}

impl Tx {
    fn db(&mut self) -> &mut Db {
        match &mut self.view {
            Reader::Own(db) => db,
            Reader::Committed(_) => unreachable!("a transaction has its own view"),
        }
    }
}

impl Transaction for Tx {
    type Reader = Reader;

    fn reads(&self) -> &Reader {
        &self.view
    }

    fn apply(&mut self, changes: &ChangeSet) -> Result<std::result::Result<(), Conflict>> {
        let before = self.db().clone();
        let cut = self.planted == Some(Planted::ChainCut);
        let outcome = apply(self.db(), changes, cut);
        if outcome.is_err() {
            *self.db() = before;
        }
        Ok(outcome)
    }

    fn save_snapshot(&mut self, stream: StreamId, snapshot: &Snapshot) -> Result<()> {
        self.db().snapshots.insert_mut(stream, snapshot.clone());
        Ok(())
    }

    fn next_seq(&mut self, organization: OrganizationId, at_least: u64) -> Result<u64> {
        if self.planted == Some(Planted::SeqFromClock) {
            return Ok(at_least);
        }
        let next = (self.db().last_seq(organization) + 1).max(at_least);
        if self.planted == Some(Planted::IssuedLate) {
            return Ok(next);
        }
        self.db().seqs.insert_mut(organization, next);
        Ok(next)
    }

    fn record_issued(&mut self, issued: &Issued, token: &[u8]) -> Result<()> {
        if self.planted == Some(Planted::IssuedLate) {
            return Ok(());
        }
        let last = self.db().last_seq(issued.organization).max(issued.seq);
        self.db().seqs.insert_mut(issued.organization, last);
        self.db().issued.insert_mut(issued.device.clone(), (issued.clone(), token.to_vec()));
        Ok(())
    }

    fn record_status(&mut self, status: &DeviceStatus) -> Result<()> {
        self.db().statuses.insert_mut(status.device.clone(), status.clone());
        Ok(())
    }

    fn change_note(&mut self, change: &NoteChange) -> Result<()> {
        match change {
            NoteChange::Keep(note) => {
                self.db().notes.insert_mut((note.kind.clone(), note.subject.clone()), note.clone());
            }
            NoteChange::Forget { kind, subject } => {
                self.db().notes.remove_mut(&(kind.clone(), subject.clone()));
            }
        }
        Ok(())
    }

    fn forget_responses(&mut self, before: Timestamp, limit: u32) -> Result<usize> {
        let db = self.db();
        let old = db.responses.iter().filter(|(_, (at, _))| *at < before).take(limit as usize);
        let old: Vec<(String, String)> = old.map(|(place, _)| place.clone()).collect();
        old.iter().for_each(|place| {
            db.responses.remove_mut(place);
        });
        Ok(old.len())
    }

    fn commit(self) -> Result<()> {
        let mut disk = locked(&self.disk);
        if disk.dead {
            return Err(died());
        }
        if disk.full {
            disk.refused += 1;
            return Err(StoreError::Full);
        }
        let Reader::Own(db) = self.view else { return Err(died()) };
        let (kept, survives) = match disk.fuse {
            Some(Fuse::Before(0)) => (false, false),
            Some(Fuse::After(0)) => (true, false),
            Some(Fuse::Before(n)) => {
                disk.fuse = Some(Fuse::Before(n - 1));
                (true, true)
            }
            Some(Fuse::After(n)) => {
                disk.fuse = Some(Fuse::After(n - 1));
                (true, true)
            }
            None => (true, true),
        };
        if kept {
            let db = *db;
            let before = std::mem::replace(&mut disk.db, db);
            if disk.planted == Some(Planted::AckEarly) {
                disk.before.truncate(UNSYNCED - 1);
                disk.before.push_front(before);
            }
            disk.commits += 1;
        }
        if survives {
            return Ok(());
        }
        disk.fuse = None;
        disk.dead = true;
        Err(died())
    }
}

fn apply(db: &mut Db, changes: &ChangeSet, cut: bool) -> std::result::Result<(), Conflict> {
    for append in &changes.appends {
        let (stream, expected) = (append.stream, append.expected_version);
        let mut last = head(db, stream);
        if last.version != expected {
            return Err(Conflict::Version { stream, expected, actual: last.version });
        }
        let mut entries = db.streams.get(&stream).cloned().unwrap_or_default();
        for new in &append.events {
            let seq = last.version + 1;
            let of = Link {
                seq,
                at: new.at,
                recorded_at: changes.recorded_at,
                actor: &changes.actor,
                request_id: &changes.request_id,
                event: &new.event,
            };
            let hash = if cut && seq > 9 { link(&genesis(stream), of) } else { link(&last.hash, of) };
            entries.push_back_mut(Envelope {
                seq,
                at: new.at,
                recorded_at: changes.recorded_at,
                actor: changes.actor.clone(),
                request_id: changes.request_id.clone(),
                event: new.event.clone(),
                hash,
            });
            db.order.push_back_mut(stream);
            db.last_event_at = db.last_event_at.max(Some(new.at)).max(Some(changes.recorded_at));
            last = Head { version: seq, hash };
        }
        db.streams.insert_mut(stream, entries);
    }
    for name in &changes.reservations {
        let place = (name.kind.clone(), name.value.clone());
        let holder = db.holders.get(&place).copied();
        match (name.act, holder) {
            (ReservationAct::Reserve, Some(holder)) if holder != name.stream => {
                return Err(Conflict::Taken { kind: place.0, value: place.1, holder });
            }
            (ReservationAct::Reserve, _) => db.holders.insert_mut(place, name.stream),
            (ReservationAct::Release, Some(holder)) if holder == name.stream => {
                db.holders.remove_mut(&place);
            }
            (ReservationAct::Release, _) => {}
        }
    }
    if let Some(record) = &changes.idempotency {
        let place = (record.principal.clone(), record.key.clone());
        if db.responses.contains_key(&place) {
            return Err(Conflict::IdempotencyKey { key: record.key.clone() });
        }
        db.responses.insert_mut(place, (changes.recorded_at, record.clone()));
    }
    Ok(())
}

/// The store of one process.
#[derive(Debug)]
pub struct Store(Shared, Reader);

impl Store {
    /// On this disk, whose power is on again.
    pub fn on(disk: &Shared) -> Store {
        locked(disk).dead = false;
        Store(Arc::clone(disk), Reader::Committed(Arc::clone(disk)))
    }
}

impl EventStore for Store {
    type Reader = Reader;
    type Tx<'a> = Tx;

    fn reads(&self) -> &Reader {
        &self.1
    }

    fn reader(&self) -> Result<Reader> {
        Ok(self.1.clone())
    }

    fn begin(&mut self) -> Result<Tx> {
        let disk = locked(&self.0);
        if disk.dead {
            return Err(died());
        }
        let view = Reader::Own(Box::new(disk.db.clone()));
        Ok(Tx { planted: disk.planted, disk: Arc::clone(&self.0), view })
    }
}
