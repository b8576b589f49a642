//! Takes what is due from the outbox and has it delivered.
//!
//! An endpoint has one delivery under way at most, a way has few: who hangs holds up itself, for the time of its deadline,
//! and waits longer and longer between attempts. An attempt is written down before it is made, with a lease, so that one
//! that ends with the daemon is repeated after it.

use super::backoff::{Patience, next_try};
use super::message::Body;
use super::{Outcome, Parcel, Way};
use crate::alarms::{AlarmCode, Alarms, Condition};
use crate::books::{Books, BooksError};
use crate::store::outbox::{DeliveryState, DueDelivery, EndpointKind, OutboxChange, VENDOR};
use coterm_shared::id::EndpointId;
use coterm_shared::licensing::{NoticeHead, still_true};
use coterm_shared::time::{Seconds, Timestamp};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};

/// Attempts under way at once.
const WEBHOOKS_AT_ONCE: usize = 32;
const MAILS_AT_ONCE: usize = 4;
/// How long nobody else makes an attempt: longer than any takes.
const LEASE: Seconds = Seconds(120);
/// How often the outbox is looked at when nothing is told.
const LOOK: Duration = Duration::from_secs(1);
/// How often alarms are seen to.
const ALARMS: Duration = Duration::from_secs(15);
/// A mail server that does not work for so long is an alarm.
const UNREACHABLE_FOR: Seconds = Seconds(900);

/// How deliveries are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Before the second attempt; twice as long before each further one.
    pub retry_first: Seconds,
    /// After this a delivery is given up.
    pub give_up: Seconds,
}

/// Delivers what is in the outbox.
pub struct Courier {
    books: Books,
    mail: Option<Arc<dyn Way>>,
    webhooks: Arc<dyn Way>,
    settings: Settings,
    alarms: Arc<Alarms>,
    /// Since when mail does not get out, and what was said last.
    mail_is_down: Mutex<Option<(Timestamp, String)>>,
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").finish_non_exhaustive()
    }
}

impl Courier {
    /// A courier by these ways; without mail, what is addressed to a mailbox waits for a configuration that has it.
    #[must_use]
    pub fn new(
        books: Books,
        mail: Option<Arc<dyn Way>>,
        webhooks: Arc<dyn Way>,
        settings: Settings,
        alarms: Arc<Alarms>,
    ) -> Arc<Courier> {
        Arc::new(Courier { books, mail, webhooks, settings, alarms, mail_is_down: Mutex::new(None) })
    }

    /// Works until told to stop; what is under way then is tried again after the next start.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut under_way = UnderWay::default();
        let mut looks = tokio::time::interval(LOOK);
        let mut alarms = tokio::time::interval(ALARMS);
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                Some(done) = under_way.tasks.join_next_with_id() => under_way.ended(done.map(|(id, ())| id)),
                () = self.books.told() => {}
                _ = looks.tick() => {}
                _ = alarms.tick() => self.see_to_alarms().await,
            }
            if let Err(error) = self.dispatch(&mut under_way).await {
                tracing::warn!(%error, "the outbox was not looked at; tried again");
            }
        }
    }

    /// Delivers all that is due, and returns when it is tried.
    #[cfg(test)]
    pub(super) async fn drain(self: &Arc<Self>) {
        let mut under_way = UnderWay::default();
        while self.dispatch(&mut under_way).await.unwrap() > 0 || !under_way.tasks.is_empty() {
            if let Some(done) = under_way.tasks.join_next_with_id().await {
                under_way.ended(done.map(|(id, ())| id));
            }
        }
        self.see_to_alarms().await;
    }

    /// Begins attempts for what is due, as many as may be under way at once; returns how many.
    async fn dispatch(self: &Arc<Self>, under_way: &mut UnderWay) -> Result<usize, BooksError> {
        let mut begun = 0_usize;
        for kind in [EndpointKind::Email, EndpointKind::Webhook] {
            if under_way.of(kind) >= most(kind) {
                continue;
            }
            // Those under way may still be listed: their attempt may not be written down yet.
            let limit = under_way.of(kind).saturating_add(most(kind));
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            for due in self.books.due_deliveries(kind, limit).await? {
                let id = due.delivery.endpoint;
                if under_way.may_begin(id, kind) {
                    let courier = Arc::clone(self);
                    let task = under_way.tasks.spawn(async move { courier.attempt(due).await });
                    under_way.busy.insert(task.id(), (id, kind));
                    begun = begun.saturating_add(1);
                }
            }
        }
        Ok(begun)
    }

    /// One attempt of one delivery, written down before and after.
    async fn attempt(&self, due: DueDelivery) {
        let (notice, endpoint) = (due.delivery.notice, due.delivery.endpoint);
        if let Err(error) = self.try_attempt(due).await {
            tracing::error!(%error, %notice, %endpoint, "a delivery was not written down; it is repeated after its lease");
        }
    }

    async fn try_attempt(&self, due: DueDelivery) -> Result<(), BooksError> {
        let DueDelivery { delivery, endpoint, notice } = due;
        let (id, to) = (delivery.notice, delivery.endpoint);
        let now = self.books.now();
        let end = |state, at, error| OutboxChange::End { notice: id, endpoint: to, state, at, error };
        let drop_it = |why: &str| end(DeliveryState::Dropped, now, Some(why.to_owned()));
        let Some(endpoint) = endpoint else {
            return self.write(drop_it("the endpoint was removed")).await;
        };
        let head = serde_json::from_slice::<NoticeHead>(&notice.head);
        let body = serde_json::from_slice::<Body>(&notice.body);
        let (Ok(head), Ok(body)) = (head, body) else {
            return self
                .write(end(DeliveryState::Dead, now, Some(String::from("written by another version"))))
                .await;
        };
        let organization = self.books.present(notice.organization, now);
        // What is about no organization stays as it is.
        let is_true = notice.organization == VENDOR
            || organization.is_some_and(|organization| still_true(&organization, &head, now));
        if !is_true && !delivery.forced {
            return self.write(drop_it("it is not so any more, or was told at a closer date")).await;
        }
        self.write(OutboxChange::Take { notice: id, endpoint: to, until: now.saturating_add(LEASE) }).await?;
        let attempts = delivery.attempts.saturating_add(1);
        let way = match endpoint.kind {
            EndpointKind::Email => self.mail.as_ref(),
            EndpointKind::Webhook => Some(&self.webhooks),
        };
        let kind = endpoint.kind;
        let outcome = match way {
            Some(way) => way.deliver(Parcel { endpoint, notice, body, now }).await,
            None => {
                Outcome::Unreachable { error: String::from("no mail server is configured: set smtp.host") }
            }
        };
        let at = self.books.now();
        if kind == EndpointKind::Email {
            self.note_mail(&outcome, at);
        }
        let (error, retry_after) = match outcome {
            Outcome::Delivered => {
                tracing::info!(notice = %id, endpoint = %to, attempts, "a notice was delivered");
                return self.write(end(DeliveryState::Delivered, at, None)).await;
            }
            Outcome::Refused { error } => {
                tracing::warn!(notice = %id, endpoint = %to, attempts, "a notice was refused for good");
                return self.write(end(DeliveryState::Dead, at, Some(error))).await;
            }
            Outcome::Failed { error, retry_after } => (error, retry_after),
            Outcome::Unreachable { error } => (error, None),
        };
        let Settings { retry_first: first, give_up } = self.settings;
        let mut jitter = [128_u8];
        // Without randomness they come back together, which is no reason not to come back.
        let _unspread = getrandom::fill(&mut jitter);
        let [jitter] = jitter;
        match next_try(Patience { first, give_up }, attempts, delivery.since, at, retry_after, jitter) {
            Some(again) => {
                tracing::debug!(notice = %id, endpoint = %to, attempts, %again, "a notice was not delivered yet");
                self.write(OutboxChange::Retry { notice: id, endpoint: to, at: again, error }).await
            }
            None => {
                tracing::warn!(notice = %id, endpoint = %to, attempts, "a notice was given up");
                self.write(end(DeliveryState::Dead, at, Some(error))).await
            }
        }
    }

    async fn write(&self, change: OutboxChange) -> Result<(), BooksError> {
        self.books.change_outbox(vec![change]).await.map(|_| ())
    }

    fn note_mail(&self, outcome: &Outcome, now: Timestamp) {
        let mut down = self.mail_is_down.lock().unwrap_or_else(PoisonError::into_inner);
        *down = match outcome {
            Outcome::Unreachable { error } => {
                let since = down.take().map_or(now, |(since, _)| since);
                Some((since, error.clone()))
            }
            Outcome::Delivered | Outcome::Failed { .. } | Outcome::Refused { .. } => None,
        };
    }

    /// Raises and clears what operators have to know of deliveries.
    pub async fn see_to_alarms(&self) {
        let now = self.books.now();
        let Ok(figures) = self.books.outbox_figures().await else { return };
        let mut conditions: Vec<Condition> = figures
            .dead
            .iter()
            .map(|(organization, count)| {
                let whose = match *organization {
                    VENDOR => String::from("vendor"),
                    organization => organization.to_string(),
                };
                let told = format!("{count} deliveries of notices of {whose} were given up");
                Condition::new(AlarmCode::NoticesUndelivered, whose, told)
            })
            .collect();
        let down = self.mail_is_down.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((since, error)) = down.filter(|(since, _)| now.since(*since) >= UNREACHABLE_FOR) {
            let told = format!("no mail gets out since {since}: {error}");
            conditions.push(Condition::new(AlarmCode::MailUnreachable, "smtp", told));
        }
        let codes = [AlarmCode::NoticesUndelivered, AlarmCode::MailUnreachable];
        self.alarms.settle(&codes, conditions, now);
    }
}

/// How many attempts of a way are under way at once.
const fn most(kind: EndpointKind) -> usize {
    match kind {
        EndpointKind::Email => MAILS_AT_ONCE,
        EndpointKind::Webhook => WEBHOOKS_AT_ONCE,
    }
}

/// The attempts under way.
#[derive(Default)]
struct UnderWay {
    tasks: JoinSet<()>,
    busy: HashMap<Id, (EndpointId, EndpointKind)>,
}

impl UnderWay {
    fn of(&self, kind: EndpointKind) -> usize {
        self.busy.values().filter(|(_, other)| *other == kind).count()
    }

    fn may_begin(&self, endpoint: EndpointId, kind: EndpointKind) -> bool {
        self.of(kind) < most(kind) && !self.busy.values().any(|(other, _)| *other == endpoint)
    }

    fn ended(&mut self, done: Result<Id, tokio::task::JoinError>) {
        let id = match done {
            Ok(id) => id,
            Err(error) => {
                tracing::error!(%error, "an attempt crashed; it is repeated after its lease");
                error.id()
            }
        };
        self.busy.remove(&id);
    }
}
