//! The books: the single writer of everything that must not be lost, and the readers' view of it.
//!
//! **Problem.** Many requests at once, each answered only when it is on disk, each deciding on the outcome of those
//! before it; and none may wait for another's disk write. **Method.** One thread owns the store. It decides
//! each request as it comes in on the uncommitted tail, applies each apart from the others, commits a group of them once,
//! and only then swaps the readers' snapshots, answers, and tells who changed (architecture, decision 3). A failed commit fails
//! the group and the state is read back from the store. **Deliberately absent:** rules (`coterm_shared`), HTTP, and any
//! state that is not in the store.
//!
//! Readers never wait for the writer: organizations are persistent data structures, a snapshot costs a few pointers.

mod beside;
mod feed;
mod group;
mod import;
mod intake;
mod issue;
mod kept;
mod ledger;
mod meters;
mod names;
mod plan;
mod replay;
mod request;
mod rules;
mod snapshots;
mod tell;
#[cfg(test)]
mod tests;
mod ticks;
mod watches;
mod writer;

pub use crate::store::{DeviceStatus, Envelope, Issued, Note, NoteChange};
pub use feed::{Feed, Touch, Touches};
pub use import::{ImportFile, Imported, Prepared};
pub use issue::{Allocated, SignError, Signed, ToIssue};
pub use meters::{Ailment, Meters};
pub use request::{
    BooksError, Change, Committed, Held, Idempotency, NewPart, Request, Respond, StoredResponse,
};
pub use tell::WaitsForVendor;
#[cfg(feature = "daemon")]
pub(crate) use tell::new_notice;

use crate::clock::{Clock, JumpWatch, TimeDoubt};
use crate::store::{EventStore, Reads, Reservation, StoreError, StreamId};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::licensing::{Coming, Command, DeviceState, LicensePlan, Organization, Preview, Refusals};
use coterm_shared::platform::Platform;
use coterm_shared::time::Timestamp;
use feed::Feeds;
use intake::Message;
use ledger::{Frozen, Ledger};
pub use rules::Mode;
use rules::View;
use snapshots::Snapshots;
use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::{Notify, oneshot};
use writer::Writer;

/// How much may wait for the writer; beyond it requests are refused with `BUSY`.
const QUEUE: usize = 1024;

/// Most lines of a log page.
pub const LOG_PAGE_MAX: u32 = 1000;

/// What the writer and the readers share.
struct Shared {
    ledger: RwLock<Ledger>,
    feeds: Feeds,
    clock: Arc<dyn Clock>,
    /// Whether the clock may be believed; everything that asks for the time asks here.
    watch: Mutex<JumpWatch>,
    mode: Mode,
    /// Something was put into the outbox.
    told: Notify,
    /// Cloud time is never before this: the newest recorded instant, in seconds.
    floor_secs: AtomicU64,
    meters: Meters,
}

impl Shared {
    /// Cloud time: the clock, or the last recorded event if that is later (token §3).
    fn now(&self) -> Timestamp {
        Timestamp::from_secs_clamped(self.now_millis().0 / 1000)
    }

    /// Cloud time in milliseconds, and the doubt there is about the clock: in doubt, the time goes on without it.
    fn now_millis(&self) -> (u64, Option<TimeDoubt>) {
        let (believed, doubt) = self.watch().look(&*self.clock);
        (believed.max(self.floor_secs.load(Ordering::Acquire).saturating_mul(1000)), doubt)
    }

    fn watch(&self) -> MutexGuard<'_, JumpWatch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A handle on the books; clones share them. The writer stops when the last one is gone.
#[derive(Clone)]
pub struct Books {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    /// For what is read from the store itself: log pages and token bytes.
    reader: Arc<Mutex<dyn Reads + Send>>,
    /// The writer, if whoever asks does its work.
    by_hand: Option<Arc<Mutex<dyn ByHand>>>,
}

/// A writer without a thread.
trait ByHand: Send {
    /// Takes what is asked, and what is due.
    fn turn(&mut self);
}

impl<S: EventStore> ByHand for (Writer<S>, Receiver<Message>) {
    fn turn(&mut self) {
        let (writer, inbox) = self;
        let _closing = writer.turn(inbox, None);
        writer.tidy();
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Books").finish_non_exhaustive()
    }
}

/// What a preview reads: the committed state, and organizations as of its instant.
struct Present<'a>(Platform, &'a Books, Timestamp);

impl View for Present<'_> {
    fn platform(&self) -> &Platform {
        &self.0
    }

    fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.1.present(id, self.2)
    }
}

impl Books {
    /// Loads the books from a store and starts their writer.
    ///
    /// # Errors
    /// If the store cannot be read, or its log cannot be replayed.
    pub fn start<S: EventStore>(store: S, clock: Arc<dyn Clock>, mode: Mode) -> Result<Books, StoreError> {
        let (books, writer, receiver) = Books::open(store, clock, mode, Snapshots::new)?;
        std::thread::Builder::new()
            .name("books".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|error| StoreError::Failed(Box::new(error)))?;
        Ok(books)
    }

    /// The same without any thread: who asks does the writer's work, and [`Books::turn`] stands for its look at the clock
    /// every second. The same questions at the same times then have the same effects, to the byte; for simulations.
    ///
    /// # Errors
    /// As [`Books::start`].
    pub fn by_hand<S: EventStore>(store: S, clock: Arc<dyn Clock>, mode: Mode) -> Result<Books, StoreError> {
        let (books, writer, receiver) = Books::open(store, clock, mode, Snapshots::at_once)?;
        Ok(Books { by_hand: Some(Arc::new(Mutex::new((writer, receiver)))), ..books })
    }

    /// Lets books kept by hand answer the timers that are due; others do so by themselves.
    pub fn turn(&self) {
        if let Some(writer) = &self.by_hand {
            writer.lock().unwrap_or_else(PoisonError::into_inner).turn();
        }
    }

    fn open<S: EventStore>(
        store: S,
        clock: Arc<dyn Clock>,
        mode: Mode,
        snapshots: impl FnOnce(HashMap<StreamId, Frozen>) -> Snapshots,
    ) -> Result<(Books, Writer<S>, Receiver<Message>), StoreError> {
        let reader = store.reader()?;
        let (ledger, frozen) = Ledger::load(store.reads())?;
        let floor = store.reads().last_event_at()?;
        let tick = ticks::read(store.reads())?;
        let shared = Arc::new(Shared {
            ledger: RwLock::new(ledger),
            feeds: Feeds::default(),
            floor_secs: AtomicU64::new(floor.map_or(0, Timestamp::as_secs)),
            watch: Mutex::new(JumpWatch::start(&*clock, floor, tick.as_ref())),
            clock,
            mode,
            told: Notify::new(),
            meters: Meters::default(),
        });
        let (sender, receiver) = std::sync::mpsc::sync_channel(QUEUE);
        let writer = Writer::new(store, shared.clone(), snapshots(frozen), tick);
        Ok((Books { sender, shared, reader: Arc::new(Mutex::new(reader)), by_hand: None }, writer, receiver))
    }

    /// Carries out a request; returns when it is on disk.
    ///
    /// # Errors
    /// [`BooksError`]; unless it is a failure of the store, nothing was changed. After a failure of the store, repeat
    /// the request with the same idempotency key to learn what happened.
    pub async fn execute(&self, request: Request) -> Result<Committed, BooksError> {
        self.ask(|reply| Message::Execute(Box::new(request), reply)).await?
    }

    /// Carries out requests that came in together, each answered for itself: one commit, unless they are many.
    pub async fn execute_together(&self, requests: Vec<Request>) -> Vec<Result<Committed, BooksError>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.put(|reply| Message::Execute(Box::new(request), reply)));
        }
        self.turn();
        let mut answered = Vec::with_capacity(answers.len());
        for answer in answers {
            answered.push(match answer {
                Ok(answer) => answer.await.unwrap_or(Err(BooksError::Closed)),
                Err(error) => Err(error),
            });
        }
        answered
    }

    /// What a change would do, by the code that would do it, on the present state (domain K9). `None` if it would be
    /// accepted and founds an organization or changes the platform alone.
    ///
    /// # Errors
    /// The refusals the change itself would meet.
    pub async fn preview(&self, change: Change) -> Result<Option<Preview>, BooksError> {
        let books = self.clone();
        self.beside(move || {
            let now = books.now();
            let present = Present(books.platform(), &books, now);
            let holder = |name: &Reservation| books.look(|reader| reader.holder(&name.kind, &name.value));
            if let Some(name) = names::asked_for(&present, &change) {
                names::check_holder(&name, holder(&name)?)?;
            }
            let plan = rules::plan(&present, &change, now, books.shared.mode)?;
            names::check_names(&plan.reservations(), holder)?;
            Ok(plan.preview(now))
        })
        .await
    }

    /// The licenses that have to go along with a move so that both groups are compliant (domain G4), on the present state.
    ///
    /// # Errors
    /// The refusals the move itself would meet, or why no licenses can go along.
    pub async fn licenses_along(&self, id: OrganizationId, of: Command) -> Result<LicensePlan, BooksError> {
        let books = self.clone();
        blocking(move || {
            let now = books.now();
            let present = Present(books.platform(), &books, now);
            beside::licenses_along(&present, id, &of, now, books.shared.mode)
        })
        .await
    }

    /// An organization as of an instant, which is what people see: a term that ended a second ago has ended, though the
    /// timer has not come by yet. Nothing is written.
    #[must_use]
    pub fn present(&self, id: OrganizationId, now: Timestamp) -> Option<Organization> {
        let organization = self.organization(id)?;
        Some(rules::present(organization, &self.platform(), now, self.shared.mode))
    }

    /// The dates that lie ahead of an organization as of `now`, up to and with `until`. May take long for a large one.
    ///
    /// # Errors
    /// A defect of the rules.
    pub fn coming(&self, of: &Organization, now: Timestamp, until: Timestamp) -> Result<Coming, Refusals> {
        Coming::of(of, &self.shared.mode.limits(&self.platform()), now, until)
    }

    /// A committed snapshot of an organization.
    #[must_use]
    pub fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.shared.read(|ledger| ledger.organization(id))
    }

    /// The version of an organization's committed snapshot.
    #[must_use]
    pub fn version(&self, id: OrganizationId) -> Option<u64> {
        self.shared.read(|ledger| ledger.organizations.get(&id).map(Organization::version))
    }

    /// The ids of all organizations, sorted.
    #[must_use]
    pub fn organizations(&self) -> Vec<OrganizationId> {
        self.shared.read(|ledger| ledger.organizations.keys().copied().collect())
    }

    /// At most `limit` ids of organizations above `after`, sorted.
    #[must_use]
    pub fn organizations_after(&self, after: Option<OrganizationId>, limit: usize) -> Vec<OrganizationId> {
        let above = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.shared.read(|ledger| ledger.organizations.range(above).take(limit).map(|(id, _)| *id).collect())
    }

    /// A committed snapshot of what spans organizations.
    #[must_use]
    pub fn platform(&self) -> Platform {
        self.shared.read(|ledger| ledger.platform.clone())
    }

    /// The version of what spans organizations.
    #[must_use]
    pub fn platform_version(&self) -> u64 {
        self.shared.read(|ledger| ledger.platform.version())
    }

    /// Cloud time: the clock, or the last recorded event if that is later (token §3).
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// What time it is by the clock, and the doubt there is about it: in doubt, the time goes on without the clock. Unlike
    /// cloud time it goes back when an operator confirms a clock that was ahead and is put right.
    #[must_use]
    pub fn believed(&self) -> (Timestamp, Option<TimeDoubt>) {
        let (millis, doubt) = self.shared.watch().look(&*self.shared.clock);
        (Timestamp::from_secs_clamped(millis / 1000), doubt)
    }

    /// What the clock of this machine says, believed or not.
    #[must_use]
    pub fn machine_clock(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Cloud time in milliseconds since 1970: no sequence issued from now on is below it.
    #[must_use]
    pub fn now_millis(&self) -> u64 {
        self.shared.now_millis().0
    }

    /// Whether the organization claims the device now or, if nobody does, was the last to.
    #[must_use]
    pub fn is_owner(&self, organization: OrganizationId, device: &DeviceId) -> bool {
        self.shared.read(|ledger| {
            let claim = |books: &Organization| Some(books.device(device)?.state.clone());
            let retired_at = match ledger.organizations.get(&organization).and_then(claim) {
                None => return false,
                Some(DeviceState::Active | DeviceState::Trial(_)) => return true,
                Some(DeviceState::Retired { at, .. }) => at,
            };
            // Nobody's device is still its last owner's, so that it can be told of its retirement. When two let it go in
            // the same second it is neither's: no token of the one may reach the other.
            let others = ledger.organizations.iter().filter(|(other, _)| **other != organization);
            others.filter_map(|(_, books)| claim(books)).all(|state| match state {
                DeviceState::Active | DeviceState::Trial(_) => false,
                DeviceState::Retired { at, .. } => at < retired_at,
            })
        })
    }

    /// How the books are doing.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        &self.shared.meters
    }

    /// What changes from now on; look at everything once after subscribing.
    #[must_use]
    pub fn subscribe(&self) -> Feed {
        self.shared.feeds.subscribe()
    }

    /// The clock or cloud time, whichever is later: by this, what ends has ended even while the time is in doubt.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.now().max(self.machine_clock())
    }

    /// Why nothing is issued at present, if so (token §3).
    #[must_use]
    pub fn time_doubt(&self) -> Option<TimeDoubt> {
        self.believed().1
    }

    /// An operator says that the time is right: issuing goes on, also after a restart.
    ///
    /// # Errors
    /// If the store fails; the doubt then stays.
    pub async fn confirm_time(&self) -> Result<(), BooksError> {
        Ok(self.ask(Message::ConfirmTime).await??)
    }

    /// Lets every transition happen that is due; the writer does so by itself every second.
    ///
    /// # Errors
    /// If the books are closed or busy.
    pub async fn tick(&self) -> Result<(), BooksError> {
        self.ask(Message::Tick).await
    }

    /// Finishes what waits, closes the store and returns; later requests are refused with `CLOSED`.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        let sender = self.sender.clone();
        // The queue may be full: unlike a request, closing waits for its turn.
        let sent = tokio::task::spawn_blocking(move || sender.send(Message::Close(reply))).await;
        if matches!(sent, Ok(Ok(()))) {
            // An error means that the writer is gone already, which is what was asked.
            let _gone = closed.await;
        }
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, BooksError> {
        let answer = self.put(message)?;
        self.turn();
        answer.await.map_err(|_| BooksError::Closed)
    }

    fn put<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<oneshot::Receiver<T>, BooksError> {
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(message(reply)).map_err(|error| match error {
            TrySendError::Full(_) => BooksError::Busy,
            TrySendError::Disconnected(_) => BooksError::Closed,
        })?;
        Ok(answer)
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&(dyn Reads + Send)) -> Result<T, StoreError>,
    ) -> Result<T, BooksError> {
        Ok(look(&*self.reader.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&(dyn Reads + Send)) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, BooksError> {
        let books = self.clone();
        self.beside(move || books.look(look)).await
    }

    /// Reads where it holds up nobody.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BooksError> + Send + 'static,
    ) -> Result<T, BooksError> {
        if self.by_hand.is_some() { work() } else { blocking(work).await }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BooksError> + Send + 'static,
) -> Result<T, BooksError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| BooksError::Internal)?
}
