//! The writer's thread: groups, commits, answers.

use super::Shared;
use super::feed::{Touch, Touches, merge};
use super::group::{Answer, Group, carry_out};
use super::intake::{Intake, Job, Message, Pace};
use super::issue::{self, Sign, Signed, ToIssue};
use super::ledger::Tail;
use super::request::{BooksError, Change, Request};
use super::rules::View;
use super::snapshots::{Snapshots, Subject};
use super::tell;
use super::ticks;
use super::watches::{Looked, Watches};
use crate::clock::{Tick, TimeDoubt};
use crate::store::outbox::{OutboxChange, OutboxReads, OutboxWrites};
use crate::store::{DeviceStatus, EventStore, NoteChange, Reads, StoreError, Transaction};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Changed, Command, Organization};
use coterm_shared::platform::Platform;
use coterm_shared::time::{Seconds, Timestamp};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most organizations whose timers are answered in one commit.
const TIMERS: usize = 64;
/// How often the clock is looked at when nothing is asked.
const TICK: Duration = Duration::from_secs(1);
/// When a tick that could not be written is tried again.
const TICK_RETRY: Duration = Duration::from_secs(60);
/// When a timer that could not be answered is tried again.
const RETRY: Seconds = Seconds(60);
/// How long responses are kept for repetitions: a week.
const RESPONSES_KEPT: Seconds = Seconds::days(7);
/// How long notices are kept when all their deliveries have ended.
const NOTICES_KEPT: Seconds = Seconds::days(90);
/// How often old responses and notices are forgotten, and how many at a time.
const FORGET_EVERY: Seconds = Seconds(600);
const FORGET_LIMIT: u32 = 1000;
/// How often the marks of what was told are gone through for those of no use; each has to be asked about.
const MARKS_EVERY: Seconds = Seconds::days(1);
/// The actor of what time alone does.
const CLOCK_ACTOR: &str = "system:clock";

/// What readers see since the last commit.
struct Shown {
    /// The organizations that changed, and whether each was not there before.
    organizations: Vec<(Organization, bool)>,
    /// What spans them, and whether it changed, and whether a freeze of everything did.
    platform: Platform,
    platform_changed: bool,
    freeze_changed: bool,
}

/// The single writer.
pub(super) struct Writer<S> {
    store: S,
    shared: Arc<Shared>,
    watches: Watches,
    snapshots: Snapshots,
    /// What was last said about the clock.
    doubt: Option<TimeDoubt>,
    /// The clocks as they are on disk.
    tick: Option<Tick>,
    /// When a tick could not be written.
    untold: Option<Duration>,
    forgot_at: Timestamp,
    /// When the last sweep of marks began.
    swept_at: Timestamp,
    /// Up to which mark of what was told the sweep is that looks for those of no use; `None` between two sweeps.
    swept: Option<(OrganizationId, String)>,
    /// Whether more is due than the last tick answered.
    more: bool,
    pace: Pace,
}

impl<S: EventStore> Writer<S> {
    pub(super) fn new(store: S, shared: Arc<Shared>, snapshots: Snapshots, tick: Option<Tick>) -> Writer<S> {
        let mut watches = Watches::default();
        shared.read(|ledger| watches.look_at_all(ledger.organizations.keys(), Timestamp::EPOCH));
        Writer {
            store,
            shared,
            watches,
            snapshots,
            doubt: None,
            tick,
            untold: None,
            forgot_at: Timestamp::EPOCH,
            swept_at: Timestamp::EPOCH,
            swept: None,
            more: false,
            pace: Pace::default(),
        }
    }

    /// Works until closed, or until nobody is left who could ask.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let (mut closing, mut tidied) = (None, Instant::now());
        while closing.is_none() {
            // As long as more is due than one commit answers, only what is asked meanwhile comes between.
            let rest = if self.more { Duration::ZERO } else { TICK };
            let first = match inbox.recv_timeout(rest) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.shared.meters.seen();
            closing = self.turn(inbox, first);
            // Also under constant load: the log replayed at a start must stay short.
            if tidied.elapsed() >= TICK {
                tidied = Instant::now();
                self.tidy();
            }
        }
        let Writer { store, .. } = self;
        drop(store);
        if let Some(closed) = closing {
            let _nobody_waits = closed.send(());
        }
    }

    /// One turn: what is asked now, and what is due. Returns who asked to close the books.
    pub(super) fn turn(
        &mut self,
        inbox: &Receiver<Message>,
        first: Option<Message>,
    ) -> Option<oneshot::Sender<()>> {
        self.look_at_the_clock();
        let mut intake = Intake::new(inbox, first, self.pace);
        self.more = self.tick(&mut intake);
        self.pace = intake.pace();
        let Intake { others, closing, .. } = intake;
        others.into_iter().for_each(|message| self.serve(message));
        closing
    }

    /// Says once that the time is in doubt.
    fn look_at_the_clock(&mut self) {
        let (_, doubt) = self.shared.now_millis();
        if doubt != self.doubt {
            match doubt {
                Some(doubt) => {
                    tracing::error!(%doubt, "nothing is issued, and time goes on without this clock, until an operator confirms the time")
                }
                None => tracing::info!("the time is confirmed; tokens are issued again"),
            }
            self.doubt = doubt;
        }
        let tick = self.shared.watch().tick();
        let up = self.shared.clock.monotonic();
        let failed_lately = self.untold.is_some_and(|at| up.saturating_sub(at) < TICK_RETRY);
        if !failed_lately && self.tick.as_ref().is_none_or(|kept| tick.is_due(kept)) {
            self.untold = self
                .keep_tick(tick)
                .inspect_err(|error| {
                    tracing::warn!(%error, "the clocks were not noted; a restart knows less about the time");
                })
                .err()
                .map(|_| up);
        }
    }

    /// Puts the clocks as they were seen on disk.
    fn keep_tick(&mut self, tick: Tick) -> Result<(), StoreError> {
        self.change_notes(&ticks::keep(&tick).into_iter().collect::<Vec<_>>())?;
        self.tick = Some(tick);
        Ok(())
    }

    fn serve(&mut self, message: Message) {
        // Whoever asked may have stopped waiting: then the answer goes nowhere, and that is all.
        match message {
            Message::Execute(request, reply) => {
                let _more = self.tick(std::iter::once(Job { request: *request, reply: Some(reply) }));
            }
            Message::Issue { first, chunk, mut sign, reply } => {
                let outcome = self.issue(first, chunk, &mut sign);
                let _unheard = reply.send((sign, outcome));
            }
            Message::Statuses(statuses, reply) => {
                let _unheard = reply.send(self.record(&statuses).map_err(BooksError::from));
            }
            Message::Notes(changes, reply) => {
                let _unheard = reply.send(self.change_notes(&changes).map_err(BooksError::from));
            }
            Message::Outbox(changes, reply) => {
                let _unheard = reply.send(self.change_outbox(&changes).map_err(BooksError::from));
            }
            Message::Tick(reply) => {
                while self.tick(std::iter::empty()) {}
                let _unheard = reply.send(());
            }
            Message::ConfirmTime(reply) => {
                let _unheard = reply.send(self.confirm_time());
            }
            Message::Close(reply) => drop(reply),
        }
    }

    /// Commits the jobs together with what is due by the clock; tells whether more is due.
    fn tick(&mut self, jobs: impl Iterator<Item = Job>) -> bool {
        let (now_millis, doubt) = self.shared.now_millis();
        let now = Timestamp::from_secs_clamped(now_millis / 1000);
        let due = self.watches.due(now, TIMERS);
        let retry_at = now.saturating_add(RETRY);
        // Until it is answered: a timer that cannot be must not spin.
        due.iter().for_each(|id| self.watches.put_off(*id, retry_at));
        let timer = |id: &OrganizationId| {
            let change = Change::Organization { id: *id, command: Command::Materialize };
            Job {
                request: Request::new(CLOCK_ACTOR, format!("clock-{}", now.as_secs()), change),
                reply: None,
            }
        };
        let mut jobs = jobs.filter_map(|job| datable(job, doubt)).chain(due.iter().map(timer)).peekable();
        if jobs.peek().is_some() {
            self.commit(&mut jobs, &due, now);
        }
        due.len() == TIMERS
    }

    /// One transaction for all jobs: each is answered when it is on disk, or with why it is not.
    fn commit(&mut self, jobs: &mut impl Iterator<Item = Job>, woken: &[OrganizationId], now: Timestamp) {
        let mut replies = Vec::new();
        let started = Instant::now();
        match self.group(jobs, woken, &mut replies, now) {
            Ok((group, tell::Told { count, looked })) => {
                let Group { now, tail, touches, answers, .. } = group;
                let refused = answers.iter().filter(|answer| answer.is_err()).count() as u64;
                let changes = (answers.len() as u64).saturating_sub(refused);
                self.shared.meters.committed(changes, refused, started.elapsed());
                let shown = self.show(tail, now);
                if count > 0 {
                    self.shared.told.notify_one();
                }
                // Before the answers: whoever has one finds its change in the feed.
                self.shared.feeds.publish(&touches);
                for (reply, answer) in replies.into_iter().zip(answers) {
                    match reply {
                        Some(reply) => drop(reply.send(answer)),
                        None => report(&answer),
                    }
                }
                self.note(shown, &looked, now);
                self.rest(woken, now);
            }
            Err(error) => {
                // Who came in meanwhile would have been in this group.
                replies.extend(jobs.map(|job| job.reply));
                self.shared.meters.failed();
                tracing::error!(%error, requests = replies.len(), "a commit failed");
                let error = BooksError::from(error);
                self.recover();
                for reply in replies.into_iter().flatten() {
                    drop(reply.send(Err(error.clone())));
                }
            }
        }
    }

    /// Decides and applies every request as it comes, and commits. An error means that nothing may be acknowledged.
    fn group(
        &mut self,
        jobs: &mut impl Iterator<Item = Job>,
        woken: &[OrganizationId],
        replies: &mut Vec<Option<oneshot::Sender<Answer>>>,
        now: Timestamp,
    ) -> Result<(Group, tell::Told), StoreError> {
        let ledger = self.shared.ledger.read().unwrap_or_else(PoisonError::into_inner);
        let mut tx = self.store.begin()?;
        let mut group = Group::at(now, self.shared.mode);
        // Another writer may have committed; under the write lock nobody can any more.
        if let Some(tail) = ledger.beyond(tx.reads())? {
            merge(&mut group.touches, everything(&tail));
            // What they did is not known, so all of it is looked at.
            let changed = Changed { everything: true, ..Changed::default() };
            group.changed = tail.organizations.keys().map(|id| (*id, changed.clone())).collect();
            group.tail = tail;
            group.now = tx.reads().last_event_at()?.map_or(now, |recorded| recorded.max(now));
        }
        for Job { request, reply } in jobs {
            replies.push(reply);
            // Each at its own second: who previewed in this turn's later second is not judged by an earlier one.
            group.now = self.shared.now().max(group.now);
            let answer = carry_out(&mut tx, &ledger, &mut group, request)?;
            group.answers.push(answer);
        }
        let mut told = tell::tell_all(&mut tx, &ledger, &group, &self.watches, woken)?;
        told.count = told.count.saturating_add(group.told);
        if group.wrote || told.count > 0 {
            group.tail.position = Some(tx.reads().position()?);
            tx.commit()?;
        }
        Ok((group, told))
    }

    /// Makes committed changes visible to readers.
    fn show(&self, tail: Tail, now: Timestamp) -> Shown {
        self.shared.floor_secs.fetch_max(now.as_secs(), Ordering::AcqRel);
        let mut ledger = self.shared.ledger.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |id| !ledger.organizations.contains_key(id);
        let organizations =
            tail.organizations.iter().map(|(id, after)| (after.clone(), is_new(id))).collect();
        let platform_changed = tail.platform.is_some();
        let freeze_changed =
            tail.platform.as_ref().is_some_and(|after| after.freeze() != ledger.platform.freeze());
        ledger.take(tail);
        Shown { organizations, platform: ledger.platform.clone(), platform_changed, freeze_changed }
    }

    /// Tells watches and snapshots of what readers see now; nobody waits for that.
    fn note(&mut self, shown: Shown, looked: &[Looked], now: Timestamp) {
        looked.iter().for_each(|looked| self.watches.told(looked, now));
        let Shown { organizations, platform, platform_changed, freeze_changed } = shown;
        let retry_at = now.saturating_add(RETRY);
        for (organization, is_new) in organizations {
            let under = organization.clone().under(platform.freeze());
            if is_new {
                self.watches.add(&under, now);
            }
            self.watches.changed(&under, now, retry_at);
            self.snapshots.consider(Subject::Organization(organization));
        }
        if freeze_changed {
            // Every date has moved: each is looked at once more, some with every tick (domain E6).
            self.shared.read(|ledger| self.watches.look_at_all(ledger.organizations.keys(), now));
        }
        if platform_changed {
            self.snapshots.consider(Subject::Platform(platform));
        }
    }

    /// Whoever was woken and had nothing to do rests until its next date.
    fn rest(&mut self, woken: &[OrganizationId], now: Timestamp) {
        for id in woken {
            let (state, platform) =
                self.shared.read(|ledger| (ledger.organization(*id), ledger.platform.clone()));
            match state {
                Some(organization) => self.watches.rests(&organization.under(platform.freeze()), now),
                None => self.watches.forget(*id),
            }
        }
    }

    /// Takes over what the store has beyond the state in memory.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        if let Some(tail) = self.shared.read(|ledger| ledger.beyond(self.store.reads()))? {
            let touches = everything(&tail);
            let recorded = self.store.reads().last_event_at()?.unwrap_or(Timestamp::EPOCH);
            let now = self.shared.now().max(recorded);
            let changed: Vec<OrganizationId> = tail.organizations.keys().copied().collect();
            let shown = self.show(tail, now);
            self.note(shown, &[], now);
            // What they did is not known, so all of it is looked at.
            self.watches.look_at_all(changed.iter(), now);
            self.shared.feeds.publish(&touches);
        }
        Ok(())
    }

    /// After a failed commit it is unknown what the store has: read it back.
    fn recover(&mut self) {
        if let Err(error) = self.catch_up() {
            tracing::error!(%error, "the store cannot be read back; the next request tries again");
        }
    }

    fn issue(
        &mut self,
        first: usize,
        chunk: Vec<ToIssue>,
        sign: &mut Sign,
    ) -> Result<Vec<Signed>, BooksError> {
        let (now_millis, doubt) = self.shared.now_millis();
        if let Some(doubt) = doubt {
            return Err(doubt.into());
        }
        let now = Timestamp::from_secs_clamped(now_millis / 1000);
        let mut tx = self.store.begin()?;
        let signed = issue::issue(&mut tx, first, chunk, sign, now, now_millis)?;
        if signed.iter().any(Result::is_ok) {
            tx.commit()?;
        }
        Ok(signed)
    }

    fn record(&mut self, statuses: &[DeviceStatus]) -> Result<(), StoreError> {
        let mut tx = self.store.begin()?;
        for status in statuses {
            tx.record_status(status)?;
        }
        tx.commit()
    }

    fn change_notes(&mut self, changes: &[NoteChange]) -> Result<(), StoreError> {
        let mut tx = self.store.begin()?;
        for change in changes {
            tx.change_note(change)?;
        }
        tx.commit()
    }

    fn change_outbox(&mut self, changes: &[OutboxChange]) -> Result<Vec<usize>, StoreError> {
        let mut tx = self.store.begin()?;
        let found = changes.iter().map(|change| tx.change_outbox(change)).collect::<Result<_, _>>()?;
        tx.commit()?;
        if changes
            .iter()
            .any(|change| matches!(change, OutboxChange::Tell(_) | OutboxChange::Redeliver { .. }))
        {
            self.shared.told.notify_one();
        }
        Ok(found)
    }

    /// On disk first: a doubt that came back with the next start would hold everything up a second time.
    fn confirm_time(&mut self) -> Result<(), StoreError> {
        // The clock as it is now: it may have been set a moment ago.
        let _believed = self.shared.now_millis();
        let mut confirmed = self.shared.watch().clone();
        confirmed.confirm();
        self.keep_tick(confirmed.tick())?;
        self.shared.watch().confirm();
        Ok(())
    }

    /// What nobody waits for.
    pub(super) fn tidy(&mut self) {
        if let Err(error) = self.try_tidy() {
            tracing::warn!(%error, "housekeeping of the store failed; it is tried again");
        }
    }

    fn try_tidy(&mut self) -> Result<(), StoreError> {
        while let Some((stream, snapshot)) = self.snapshots.made() {
            let mut tx = self.store.begin()?;
            tx.save_snapshot(stream, &snapshot)?;
            tx.commit()?;
        }
        let now = self.shared.now();
        if now.since(self.forgot_at) >= FORGET_EVERY {
            let mut tx = self.store.begin()?;
            let forgot = tx.forget_responses(now.saturating_sub(RESPONSES_KEPT), FORGET_LIMIT)?;
            let before = now.saturating_sub(NOTICES_KEPT);
            let forgot = forgot
                .saturating_add(tx.change_outbox(&OutboxChange::Forget { before, limit: FORGET_LIMIT })?);
            if forgot > 0 {
                tx.commit()?;
            } else {
                drop(tx);
            }
            self.forgot_at = now;
        }
        if let Some(place) = self.swept.take() {
            self.swept = self.forget_marks(Some(place), now)?;
        } else if now.since(self.swept_at) >= MARKS_EVERY {
            self.swept_at = now;
            self.swept = self.forget_marks(None, now)?;
        }
        Ok(())
    }

    /// Forgets of one page of marks those of no use any more; returns where the next page begins, if there is one.
    fn forget_marks(
        &mut self,
        after: Option<(OrganizationId, String)>,
        now: Timestamp,
    ) -> Result<Option<(OrganizationId, String)>, StoreError> {
        let page = self.store.reads().marks_after(after.as_ref(), FORGET_LIMIT)?;
        let last = page.last().map(|(id, topic, _)| (*id, topic.clone()));
        let full = u32::try_from(page.len()) == Ok(FORGET_LIMIT);
        let over = self.shared.read(|ledger| tell::over(ledger, page, now));
        if !over.is_empty() {
            let mut tx = self.store.begin()?;
            for (organization, topic) in over {
                tx.change_outbox(&OutboxChange::Unmark { organization, topic })?;
            }
            tx.commit()?;
        }
        Ok(last.filter(|_| full))
    }
}

/// After a start in doubt nothing can be dated: by the clock a change may end terms that run, by the last event it would
/// cost whoever makes it the time since. A step while running leaves a time to go on by.
fn datable(job: Job, doubt: Option<TimeDoubt>) -> Option<Job> {
    let doubt = match doubt {
        Some(
            doubt @ (TimeDoubt::LongOutage { .. } | TimeDoubt::Behind { .. } | TimeDoubt::Unsettled { .. }),
        ) => doubt,
        Some(TimeDoubt::Stepped { .. }) | None => return Some(job),
    };
    if let Some(reply) = job.reply {
        drop(reply.send(Err(doubt.into())));
    }
    None
}

/// Nobody waits for the answer to a timer, so what goes wrong is logged.
fn report(answer: &Answer) {
    if let Err(error) = answer {
        tracing::error!(%error, code = error.code(), "a transition that is due was refused");
    }
}

/// Everything in the organizations of a tail.
fn everything(tail: &Tail) -> Touches {
    tail.organizations.keys().map(|id| (*id, Touch::Everything)).collect()
}
