//! Reads as of an instant ahead: the books as they will be if nothing else happens (`?at=`).
//!
//! **Method.** The same pure function that says what is now, with another now: what falls due until then happens on a copy,
//! and the views are those of any read. A forecast says that it is one, and has no tag: it is of no state that
//! a change could be made on. How much work an instant takes is bounded by what there is, not by how far it lies ahead
//! (the rules' tests hold it to that); a few are worked on at a time, and the last ones are kept for the next page.
//! **Deliberately absent:** the past. What was is in the log, with who did it.

use super::Api;
use super::ask::Ask;
use super::fields::Fields;
use super::layers::busy;
use super::page;
use super::problem::{Problem, Result};
use crate::auth::Action;
use axum::response::Response;
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::Organization;
use coterm_shared::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Forecasts worked on at the same time; more are told to come back.
const AT_A_TIME: usize = 2;
/// Forecasts kept: the pages of a list are asked for one by one.
const KEPT: usize = 8;

/// What a forecast was made of: the organization, its version, the platform's version, and the instant.
type Of = (OrganizationId, u64, u64, Timestamp);

/// Forecasts in the making, and those made last.
#[derive(Debug)]
pub(super) struct Forecasts {
    working: Semaphore,
    made: Mutex<VecDeque<(Of, Organization)>>,
}

impl Default for Forecasts {
    fn default() -> Forecasts {
        Forecasts { working: Semaphore::new(AT_A_TIME), made: Mutex::default() }
    }
}

impl Forecasts {
    /// A place among those that are worked on; held until it is dropped.
    ///
    /// # Errors
    /// 429 if there is none.
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>> {
        self.working.try_acquire().map_err(|_| busy())
    }

    fn known(&self, of: &Of) -> Option<Organization> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.iter().find(|(one, _)| one == of).map(|(_, organization)| organization.clone())
    }

    fn keep(&self, of: Of, organization: Organization) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.push_back((of, organization));
        if made.len() > KEPT {
            made.pop_front();
        }
    }
}

/// The parameter `at`: an instant ahead, `Some(None)` for now.
#[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
pub(super) fn at_of(ask: &Ask, query: &mut Fields) -> Option<Option<Timestamp>> {
    ahead_of(ask, query, "at")
}

/// The parameter `until`: the last instant of a list of dates ahead.
#[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
pub(super) fn until_of(ask: &Ask, query: &mut Fields) -> Option<Option<Timestamp>> {
    ahead_of(ask, query, "until")
}

#[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
fn ahead_of(ask: &Ask, query: &mut Fields, name: &str) -> Option<Option<Timestamp>> {
    let at = query.optional::<Timestamp>(name)?;
    if at.is_some_and(|at| at < ask.now) {
        let message = format!("`{name}` is before {}, which is now: a forecast looks ahead", ask.now);
        query.fault_with_hint(
            "AT_IS_PAST",
            name,
            message,
            "What was is in the log: GET .../transactions with `since` and `until`.",
        );
        return None;
    }
    Some(at)
}

/// An organization as it is seen: now, or at an instant ahead.
pub(super) struct Seen {
    /// The organization.
    pub(super) organization: Organization,
    /// The instant it is seen at.
    pub(super) at: Timestamp,
    /// How many events fall due until then; `None` if it is seen now.
    due: Option<u64>,
}

impl Seen {
    /// The organization named in the path, for reading, at `at` or now.
    pub(super) async fn read(api: &Api, ask: &Ask, id: &str, at: Option<Timestamp>) -> Result<Seen> {
        let id = ask.organization(id, Action::Read)?;
        let present = |now| api.books().present(id, now).ok_or_else(|| Problem::not_found("organization"));
        let now = present(ask.now)?;
        let Some(at) = at else { return Ok(Seen { organization: now, at: ask.now, due: None }) };
        let of = (id, now.version(), api.books().platform().version(), at);
        let seen = |then: Organization| Seen {
            due: Some(then.version().saturating_sub(now.version())),
            organization: then,
            at,
        };
        if let Some(known) = api.forecasts().known(&of) {
            return Ok(seen(known));
        }
        let _place = api.forecasts().place()?;
        let books = api.books().clone();
        let then = tokio::task::spawn_blocking(move || books.present(id, at));
        let then = then.await.map_err(|error| Problem::failed(&error))?;
        let then = then.ok_or_else(|| Problem::not_found("organization"))?;
        api.forecasts().keep(of, then.clone());
        Ok(seen(then))
    }

    /// Whether it is seen at an instant ahead.
    pub(super) const fn is_forecast(&self) -> bool {
        self.due.is_some()
    }

    /// An answer about it: tagged with its version, or said to be a forecast.
    pub(super) fn answer(&self, ask: &Ask, body: &impl Serialize) -> Result<Response> {
        match self.due {
            None => page::tagged(self.organization.version(), ask.headers(), body),
            Some(due) => self.foretold(due, body),
        }
    }

    /// The same of something that shows how long something still takes.
    pub(super) fn answer_now(&self, ask: &Ask, body: &impl Serialize) -> Result<Response> {
        match self.due {
            None => page::tagged_now(self.organization.version(), ask.now, ask.headers(), body),
            Some(due) => self.foretold(due, body),
        }
    }

    /// The same of something that has no tag.
    pub(super) fn answer_untagged(&self, body: &impl Serialize) -> Result<Response> {
        match self.due {
            None => Ok(page::plain(body)),
            Some(due) => self.foretold(due, body),
        }
    }

    fn foretold(&self, due: u64, body: &impl Serialize) -> Result<Response> {
        let mut body = serde_json::to_value(body).map_err(|error| Problem::failed(&error))?;
        if let Some(fields) = body.as_object_mut() {
            let at = self.at;
            let sentence = format!(
                "As of {at}, if nothing else happens: no key claimed, nothing moved, claimed or retired, no setting \
                 changed."
            );
            let told: Value = json!({ "as_of": at, "sentence": sentence, "due_events": due });
            fields.insert(String::from("forecast"), told);
        }
        Ok(page::plain(&body))
    }
}
