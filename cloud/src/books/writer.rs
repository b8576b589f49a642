//! The writer's thread: groups, commits, answers.

use super::Shared;
use super::feed::{Touch, Touches, merge};
use super::group::{Answer, Group, carry_out};
use super::issue::{self, Sign, Signed, ToIssue};
use super::ledger::{Frozen, Tail};
use super::request::{BooksError, Change, Request};
use super::snapshots::{Snapshots, Subject};
use super::timers::Timers;
use crate::clock::TimeDoubt;
use crate::store::{DeviceStatus, EventStore, Reads, StoreError, StreamId, Transaction};
use coterm_shared::licensing::Command;
use coterm_shared::time::{Seconds, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most requests of one commit.
const GROUP: usize = 256;
/// Most organizations whose timers are answered in one commit.
const TIMERS: usize = 64;
/// How often the clock is looked at when nothing is asked.
const TICK: Duration = Duration::from_secs(1);
/// Longest wait for a group to fill.
const MAX_PATIENCE: Duration = Duration::from_millis(2);
/// When a timer that could not be answered is tried again.
const RETRY: Seconds = Seconds(60);
/// How long responses are kept for repetitions: a week.
const RESPONSES_KEPT: Seconds = Seconds::days(7);
/// How often old responses are forgotten, and how many at a time.
const FORGET_EVERY: Seconds = Seconds(600);
const FORGET_LIMIT: u32 = 1000;
/// The actor of what time alone does.
const CLOCK_ACTOR: &str = "system:clock";

/// What the writer is asked.
pub(super) enum Message {
    /// Carry out a request.
    Execute(Box<Request>, oneshot::Sender<Answer>),
    /// Issue one chunk of tokens; the signer is handed back.
    Issue {
        /// Index of the chunk's first token in its batch.
        first: usize,
        /// The tokens.
        chunk: Vec<ToIssue>,
        /// The signer.
        sign: Sign,
        /// Where the outcome goes.
        reply: oneshot::Sender<(Sign, Result<Vec<Signed>, BooksError>)>,
    },
    /// Record what devices said.
    Statuses(Vec<DeviceStatus>, oneshot::Sender<Result<(), BooksError>>),
    /// Answer the timers that are due.
    Tick(oneshot::Sender<()>),
    /// Tell why nothing is issued.
    TimeDoubt(oneshot::Sender<Option<TimeDoubt>>),
    /// The time is right.
    ConfirmTime(oneshot::Sender<()>),
    /// Stop after what was asked before.
    Close(oneshot::Sender<()>),
}

/// A request of a group, and who waits for it; nobody waits for a timer.
struct Job {
    request: Request,
    reply: Option<oneshot::Sender<Answer>>,
}

/// The single writer.
pub(super) struct Writer<S> {
    store: S,
    shared: Arc<Shared>,
    timers: Timers,
    snapshots: Snapshots,
    /// What was last said about the clock.
    doubt: Option<TimeDoubt>,
    forgot_at: Timestamp,
    tidied: Instant,
    /// Requests of the last group, and how long its commit took.
    last_group: usize,
    last_took: Duration,
}

impl<S: EventStore> Writer<S> {
    pub(super) fn new(store: S, shared: Arc<Shared>, frozen: HashMap<StreamId, Frozen>) -> Writer<S> {
        let mut timers = Timers::default();
        shared.read(|ledger| {
            ledger.organizations.values().for_each(|state| timers.set(state.id(), state.next_due()));
        });
        let snapshots = Snapshots::new(frozen);
        Writer {
            store,
            shared,
            timers,
            snapshots,
            doubt: None,
            forgot_at: Timestamp::EPOCH,
            tidied: Instant::now(),
            last_group: 0,
            last_took: Duration::ZERO,
        }
    }

    /// Works until closed, or until nobody is left who could ask.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let mut closing = None;
        while closing.is_none() {
            let first = match inbox.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.look_at_the_clock();
            let mut jobs = Vec::new();
            let mut others = Vec::new();
            let gather_until = Instant::now() + self.patience();
            let mut next = first;
            while let Some(message) = next.take() {
                match message {
                    Message::Execute(request, reply) => {
                        jobs.push(Job { request: *request, reply: Some(reply) })
                    }
                    Message::Close(reply) => {
                        closing = Some(reply);
                        break;
                    }
                    Message::Issue { .. }
                    | Message::Statuses(..)
                    | Message::Tick(_)
                    | Message::TimeDoubt(_)
                    | Message::ConfirmTime(_) => others.push(message),
                }
                if jobs.len().saturating_add(others.len()) >= GROUP {
                    break;
                }
                next = inbox.try_recv().ok();
                if next.is_none() && others.is_empty() && jobs.len() < self.last_group {
                    let patience = gather_until.saturating_duration_since(Instant::now());
                    next = inbox.recv_timeout(patience).ok();
                }
            }
            let (asked, started) = (jobs.len(), Instant::now());
            let _more = self.tick(jobs);
            if asked > 0 {
                (self.last_group, self.last_took) = (asked, started.elapsed());
            }
            others.into_iter().for_each(|message| self.serve(message));
            // Also under constant load: the log replayed at a start must stay short.
            if self.tidied.elapsed() >= TICK {
                self.tidied = Instant::now();
                self.tidy();
            }
        }
        let Writer { store, .. } = self;
        drop(store);
        if let Some(closed) = closing {
            let _nobody_waits = closed.send(());
        }
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
    }

    /// How long to wait for a group to become as large as the last one.
    ///
    /// Those answered together ask again together, but not at the same instant: without a little patience the first
    /// of them would get a disk write of its own, and all others wait for it. A lone writer never waits.
    fn patience(&self) -> Duration {
        if self.last_group > 1 { (self.last_took / 4).min(MAX_PATIENCE) } else { Duration::ZERO }
    }

    fn serve(&mut self, message: Message) {
        // Whoever asked may have stopped waiting: then the answer goes nowhere, and that is all.
        match message {
            Message::Execute(request, reply) => {
                let _more = self.tick(vec![Job { request: *request, reply: Some(reply) }]);
            }
            Message::Issue { first, chunk, mut sign, reply } => {
                let outcome = self.issue(first, chunk, &mut sign);
                let _unheard = reply.send((sign, outcome));
            }
            Message::Statuses(statuses, reply) => {
                let _unheard = reply.send(self.record(&statuses).map_err(BooksError::from));
            }
            Message::Tick(reply) => {
                while self.tick(Vec::new()) {}
                let _unheard = reply.send(());
            }
            Message::TimeDoubt(reply) => {
                let _unheard = reply.send(self.shared.now_millis().1);
            }
            Message::ConfirmTime(reply) => {
                self.shared.watch().confirm();
                let _unheard = reply.send(());
            }
            Message::Close(reply) => drop(reply),
        }
    }

    /// Commits the jobs together with what is due by the clock; tells whether more is due.
    fn tick(&mut self, jobs: Vec<Job>) -> bool {
        let (now_millis, doubt) = self.shared.now_millis();
        let now = Timestamp::from_secs_clamped(now_millis / 1000);
        let mut jobs = refuse_undatable(jobs, doubt);
        let due = self.timers.due(now, TIMERS);
        let retry_at = now.saturating_add(RETRY);
        for id in &due {
            // Until it is answered: a timer that cannot be must not spin.
            self.timers.set(*id, Some(retry_at));
            let change = Change::Organization { id: *id, command: Command::Materialize };
            let request = Request::new(CLOCK_ACTOR, format!("clock-{}", now.as_secs()), change);
            jobs.push(Job { request, reply: None });
        }
        if !jobs.is_empty() {
            self.commit(jobs, now);
        }
        due.len() == TIMERS
    }

    /// One transaction for all jobs: each is answered when it is on disk, or with why it is not.
    fn commit(&mut self, jobs: Vec<Job>, now: Timestamp) {
        let (requests, replies): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.request, job.reply)).unzip();
        match self.group(requests, now) {
            Ok(group) => {
                let Group { now, tail, touches, answers, .. } = group;
                self.swap(tail, now);
                // Before the answers: whoever has one finds its change in the feed.
                self.shared.feeds.publish(&touches);
                for (reply, answer) in replies.into_iter().zip(answers) {
                    match reply {
                        Some(reply) => drop(reply.send(answer)),
                        None => report(&answer),
                    }
                }
            }
            Err(error) => {
                tracing::error!(%error, requests = replies.len(), "a commit failed");
                let error = BooksError::from(error);
                self.recover();
                for reply in replies.into_iter().flatten() {
                    drop(reply.send(Err(error.clone())));
                }
            }
        }
    }

    /// Decides and applies every request, and commits. An error means that nothing may be acknowledged.
    fn group(&mut self, requests: Vec<Request>, now: Timestamp) -> Result<Group, StoreError> {
        let ledger = self.shared.ledger.read().unwrap_or_else(PoisonError::into_inner);
        let mut tx = self.store.begin()?;
        let mut group = Group::at(now, self.shared.mode);
        // Another writer may have committed; under the write lock nobody can any more.
        if let Some(tail) = ledger.beyond(tx.reads())? {
            merge(&mut group.touches, &everything(&tail));
            group.tail = tail;
            group.now = tx.reads().last_event_at()?.map_or(now, |recorded| recorded.max(now));
        }
        for request in requests {
            let answer = carry_out(&mut tx, &ledger, &mut group, request)?;
            group.answers.push(answer);
        }
        if group.wrote {
            group.tail.position = Some(tx.reads().position()?);
            tx.commit()?;
        }
        Ok(group)
    }

    /// Makes committed changes visible to readers, and to timers and snapshots.
    fn swap(&mut self, tail: Tail, now: Timestamp) {
        for (id, organization) in &tail.organizations {
            let due = organization.next_due();
            let stuck = due.is_some_and(|at| at <= now);
            let retry_at = now.saturating_add(RETRY);
            self.timers.set(*id, if stuck { Some(retry_at) } else { due });
            self.snapshots.consider(Subject::Organization(organization.clone()));
        }
        if let Some(platform) = &tail.platform {
            self.snapshots.consider(Subject::Platform(platform.clone()));
        }
        self.shared.floor_secs.fetch_max(now.as_secs(), Ordering::AcqRel);
        self.shared.ledger.write().unwrap_or_else(PoisonError::into_inner).take(tail);
    }

    /// Takes over what the store has beyond the state in memory.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        if let Some(tail) = self.shared.read(|ledger| ledger.beyond(self.store.reads()))? {
            let touches = everything(&tail);
            let recorded = self.store.reads().last_event_at()?.unwrap_or(Timestamp::EPOCH);
            self.swap(tail, self.shared.now().max(recorded));
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
        tx.commit()?;
        Ok(signed)
    }

    fn record(&mut self, statuses: &[DeviceStatus]) -> Result<(), StoreError> {
        let mut tx = self.store.begin()?;
        for status in statuses {
            tx.record_status(status)?;
        }
        tx.commit()
    }

    /// What nobody waits for.
    fn tidy(&mut self) {
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
            if forgot > 0 {
                tx.commit()?;
            }
            self.forgot_at = now;
        }
        Ok(())
    }
}

/// After a long outage nothing can be dated: by the clock a change may end terms that run, by the last event it would
/// cost whoever makes it the time since. A step while running leaves a time to go on by.
fn refuse_undatable(jobs: Vec<Job>, doubt: Option<TimeDoubt>) -> Vec<Job> {
    let doubt = match doubt {
        Some(doubt @ TimeDoubt::LongOutage { .. }) => doubt,
        Some(TimeDoubt::Stepped { .. }) | None => return jobs,
    };
    for reply in jobs.into_iter().filter_map(|job| job.reply) {
        drop(reply.send(Err(doubt.into())));
    }
    Vec::new()
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
