//! What the writer is asked, taken as it comes in.
//!
//! **Problem.** Those answered together ask again together, but not at the same instant: a commit that begins with the
//! first of them is a disk write for one, while all others wait for it. **Method.** One turn of the writer is an
//! iterator over requests. Each is decided and written as soon as it is here, while others are on their way; the turn
//! ends, and is committed, when it has as many as the last one, when it is full, or when patience with those expected is
//! used up. A lone writer never waits. **Deliberately absent:** everything that is no request; it is set aside for after
//! the commit.

use super::group::Answer;
use super::issue::{Sign, Signed, ToIssue};
use super::request::{BooksError, Request};
use crate::store::outbox::OutboxChange;
use crate::store::{DeviceStatus, NoteChange, StoreError};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Most requests of one commit.
const GROUP: usize = 256;
/// Longest wait for a group to fill.
const MAX_PATIENCE: Duration = Duration::from_millis(2);

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
    /// Keep or forget notes, all of them or none.
    Notes(Vec<NoteChange>, oneshot::Sender<Result<(), BooksError>>),
    /// Change the outbox, all of it or nothing; answered with how many rows each change found.
    Outbox(Vec<OutboxChange>, oneshot::Sender<Result<Vec<usize>, BooksError>>),
    /// Answer the timers that are due.
    Tick(oneshot::Sender<()>),
    /// The time is right.
    ConfirmTime(oneshot::Sender<Result<(), StoreError>>),
    /// Stop after what was asked before.
    Close(oneshot::Sender<()>),
}

/// A request of a group, and who waits for it; nobody waits for a timer.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) reply: Option<oneshot::Sender<Answer>>,
}

/// How the last turn went: the next is likely to be alike.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Requests it had.
    taken: usize,
    /// How long it took, without waiting for requests.
    took: Duration,
}

/// One turn of the writer.
pub(super) struct Intake<'a> {
    inbox: &'a Receiver<Message>,
    first: Option<Message>,
    last: Pace,
    begun: Instant,
    taken: usize,
    waited: Duration,
    /// What is no request, in order.
    pub(super) others: Vec<Message>,
    /// Who asked to stop.
    pub(super) closing: Option<oneshot::Sender<()>>,
}

impl<'a> Intake<'a> {
    /// A turn that begins with a message.
    pub(super) fn new(inbox: &'a Receiver<Message>, first: Option<Message>, last: Pace) -> Intake<'a> {
        let (begun, waited) = (Instant::now(), Duration::ZERO);
        Intake { inbox, first, last, begun, taken: 0, waited, others: Vec::new(), closing: None }
    }

    /// How this turn went; as the one before if it had no request.
    pub(super) fn pace(&self) -> Pace {
        match self.taken {
            0 => self.last,
            taken => Pace { taken, took: self.begun.elapsed().saturating_sub(self.waited) },
        }
    }

    fn message(&mut self) -> Option<Message> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.closing.is_some() || self.taken.saturating_add(self.others.len()) >= GROUP {
            return None;
        }
        if let Ok(message) = self.inbox.try_recv() {
            return Some(message);
        }
        let expected = self.others.is_empty() && (1..self.last.taken).contains(&self.taken);
        let patience = (self.last.took / 4).min(MAX_PATIENCE).saturating_sub(self.waited);
        if !expected || patience.is_zero() {
            return None;
        }
        let since = Instant::now();
        let message = self.inbox.recv_timeout(patience).ok();
        self.waited = self.waited.saturating_add(since.elapsed());
        message
    }
}

impl Iterator for Intake<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        loop {
            match self.message()? {
                Message::Execute(request, reply) => {
                    self.taken = self.taken.saturating_add(1);
                    return Some(Job { request: *request, reply: Some(reply) });
                }
                Message::Close(reply) => {
                    self.closing = Some(reply);
                    return None;
                }
                other @ (Message::Issue { .. }
                | Message::Statuses(..)
                | Message::Notes(..)
                | Message::Outbox(..)
                | Message::Tick(_)
                | Message::ConfirmTime(_)) => self.others.push(other),
            }
        }
    }
}
