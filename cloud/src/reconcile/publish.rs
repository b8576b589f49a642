//! Sends tokens: so many at once, each with a deadline, so that one slow device holds up nobody.
//!
//! A broker in this process takes a message without waiting for anybody. So each publish is begun where it is asked for, and
//! becomes a task only if it has to wait: a whole fleet's tokens would cost as many tasks, and each its way back.

use super::counters::Counters;
use super::ports::{Ledger, Stored};
use crate::ports::{Broker, Outgoing};
use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;
use coterm_shared::token::TokenVersion;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// A token to send.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) device: DeviceId,
    pub(super) version: TokenVersion,
    /// Its bytes; read from the books if they are not at hand.
    pub(super) bytes: Option<Arc<[u8]>>,
    /// Whether a broker that retains is to keep it. Not what a device is only to refuse.
    pub(super) keep: bool,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) device: DeviceId,
    pub(super) version: TokenVersion,
    pub(super) end: End,
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The broker took it.
    Taken,
    /// It did not, or not in time.
    Failed,
    /// No device would take it any more: another has to be issued.
    Outdated,
}

/// Why a token was not sent.
enum NotSent {
    Failed(String),
    Outdated,
}

/// Sends tokens.
pub(super) struct Publisher {
    broker: Arc<dyn Broker>,
    ledger: Arc<dyn Ledger>,
    counters: Arc<Counters>,
    retain: bool,
    limit: usize,
    deadline: Duration,
    waiting: VecDeque<Job>,
    running: JoinSet<Done>,
    /// Ended and not told yet.
    ended: Vec<Done>,
}

impl Publisher {
    pub(super) fn new(
        broker: Arc<dyn Broker>,
        ledger: Arc<dyn Ledger>,
        counters: Arc<Counters>,
        retain: bool,
        limit: usize,
        deadline: Duration,
    ) -> Publisher {
        let (waiting, running, ended) = (VecDeque::new(), JoinSet::new(), Vec::new());
        Publisher { broker, ledger, counters, retain, limit, deadline, waiting, running, ended }
    }

    /// Whether there are so many waiting that no more should be issued for now.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= self.limit
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.ended.is_empty()
    }

    /// Sends now or as soon as others are done.
    pub(super) fn send(&mut self, job: Job) {
        self.waiting.push_back(job);
        self.fill();
    }

    /// Waits until some have ended, one at least; never returns while nothing is under way. Dropping the future loses none.
    pub(super) async fn done(&mut self) -> Vec<Done> {
        while self.ended.is_empty() {
            match self.running.join_next().await {
                Some(Ok(done)) => {
                    self.ended.push(done);
                    self.fill();
                }
                // A publish that panicked says nothing; the sweep finds the device again.
                Some(Err(_)) => self.fill(),
                None => std::future::pending().await,
            }
        }
        std::mem::take(&mut self.ended)
    }

    fn fill(&mut self) {
        while self.running.len() < self.limit {
            let Some(job) = self.waiting.pop_front() else { return };
            let (broker, ledger) = (Arc::clone(&self.broker), Arc::clone(&self.ledger));
            let (counters, deadline) = (Arc::clone(&self.counters), self.deadline);
            let retain = self.retain && job.keep;
            // Whether it has to wait is for the broker to say, not for the runtime, which wants others to have a turn.
            let mut attempt = Box::pin(unconstrained(async move {
                let sending = timeout(deadline, send(&*broker, &*ledger, &counters, retain, &job));
                let end = ended(&job, sending.await);
                if end == End::Failed {
                    counters.publish_failures.add(1);
                }
                Done { device: job.device, version: job.version, end }
            }));
            let mut nobody = Context::from_waker(Waker::noop());
            match catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(&mut nobody))) {
                Ok(Poll::Ready(done)) => self.ended.push(done),
                // As a task it is asked again, and waited for.
                Ok(Poll::Pending) => drop(self.running.spawn(attempt)),
                // As if the task had panicked.
                Err(_) => {}
            }
        }
    }
}

/// What became of a token, and why in the log.
fn ended(job: &Job, sent: Result<Result<(), NotSent>, Elapsed>) -> End {
    match sent {
        Ok(Ok(())) => End::Taken,
        Ok(Err(NotSent::Outdated)) => {
            tracing::debug!(device = %job.device, "the token's key is gone; another is issued");
            End::Outdated
        }
        Ok(Err(NotSent::Failed(reason))) => {
            tracing::debug!(device = %job.device, reason, "token not delivered; tried again later");
            End::Failed
        }
        Err(_) => {
            tracing::debug!(device = %job.device, "token not taken in time; tried again later");
            End::Failed
        }
    }
}

async fn send(
    broker: &dyn Broker,
    ledger: &dyn Ledger,
    counters: &Counters,
    retain: bool,
    job: &Job,
) -> Result<(), NotSent> {
    let failed = |reason: &dyn std::fmt::Display| NotSent::Failed(reason.to_string());
    let payload = match &job.bytes {
        Some(bytes) => Arc::clone(bytes),
        None => {
            counters.stored_reads.add(1);
            match ledger.token(job.device.clone()).await.map_err(|error| failed(&error))? {
                Stored::Token(version, bytes) if version == job.version => bytes,
                Stored::Outdated(version) if version == job.version => return Err(NotSent::Outdated),
                Stored::Token(..) | Stored::Outdated(_) | Stored::Nothing => {
                    return Err(failed(&"a newer token was issued meanwhile"));
                }
            }
        }
    };
    counters.publishes.add(1);
    let message = Outgoing { topic: Topic::Token(job.device.clone()), payload, retain };
    broker.publish(message).await.map_err(|error| failed(&error))
}
