//! The HTTP interface: `/api/v1/...` for programs and the `coterm` command, `/health` and `/ready` for supervisors.
//!
//! **Problem.** Many clients, most of them programs written elsewhere, must be able to change licenses safely: twice by
//! accident must be once, a preview must be the deed, a refusal must say everything that is wrong, and no tenant may
//! learn about another. **Method.** Handlers are thin: read the request ([`ask`], [`fields`]), check the role
//! ([`crate::auth::access`]), hand a change to the books ([`change`]), show a view of the licensing rules. All faults
//! are problem documents ([`problem`]). **Deliberately absent:** rules, and sessions for browsers.
//!
//! Conventions: lists are `{"items": [...], "next_cursor": ...}` with `?limit=&cursor=`; every answer about an
//! organization has its version as a strong `ETag`, and every change takes `If-Match`; every licensing change takes
//! `?dry_run=true`; every change takes `Idempotency-Key`; `X-Request-Id` goes in and out.

pub mod ask;
mod bundle;
mod change;
mod encoded;
mod fields;
mod forecast;
mod ical;
mod ids;
mod json;
pub mod layers;
mod limiter;
mod once;
mod openapi;
mod page;
mod ports;
pub mod problem;
mod routes;
#[cfg(test)]
mod tests;

pub use bundle::{BrokerAddress, Trust};
pub use openapi::document as openapi;
pub use ports::{Fleet, Obstacle, Provisioned, Provisioner, Readiness, Unknown};

use crate::access::Desk;
use crate::alarms::Alarms;
use crate::auth::TokenStore;
use crate::books::Books;
use crate::imports::Underway;
use crate::metrics::Metrics;
use axum::Router;
use coterm_shared::time::{Seconds, Timestamp};
use forecast::Forecasts;
use limiter::Limiter;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

/// Exports of the log that are sent at the same time; more are told to come back.
const MAX_EXPORTS: usize = 16;

/// Questions that wait for a change at the same time; more are told to come back. Each keeps one of the slots of requests.
const MAX_WAITING: usize = 128;

/// A place among those who wait for a change.
type Waiting = OwnedSemaphorePermit;

/// What the interface works with.
pub struct Deps {
    /// The books.
    pub books: Books,
    /// The API tokens.
    pub tokens: Arc<TokenStore>,
    /// What makes a device ready to connect.
    pub provisioner: Arc<dyn Provisioner>,
    /// What is known of devices in the field.
    pub fleet: Arc<dyn Fleet>,
    /// Whether the daemon does its work.
    pub readiness: Arc<dyn Readiness>,
    /// What operators have to know.
    pub alarms: Arc<Alarms>,
    /// What monitoring systems want to know.
    pub metrics: Arc<Metrics>,
    /// From the issue of a token to the end of its lease: what was announced stands that long (domain E6).
    pub lease: Seconds,
    /// What may be an endpoint of notices.
    pub notify: crate::notify::Rules,
}

struct Inner {
    deps: Deps,
    redeeming: Limiter,
    turns: Mutex<()>,
    exports: Arc<Semaphore>,
    imports: Underway,
    access: Arc<Desk>,
    forecasts: Forecasts,
    waiting: Arc<Semaphore>,
}

/// The state handlers share.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Api")
    }
}

impl Api {
    /// The interface on these parts.
    #[must_use]
    pub fn new(deps: Deps) -> Api {
        Api(Arc::new(Inner {
            deps,
            redeeming: Limiter::default(),
            turns: Mutex::default(),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
            imports: Underway::default(),
            access: Arc::default(),
            forecasts: Forecasts::default(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }))
    }

    fn books(&self) -> &Books {
        &self.0.deps.books
    }

    fn tokens(&self) -> &Arc<TokenStore> {
        &self.0.deps.tokens
    }

    fn provisioner(&self) -> &Arc<dyn Provisioner> {
        &self.0.deps.provisioner
    }

    fn fleet(&self) -> &dyn Fleet {
        &*self.0.deps.fleet
    }

    fn readiness(&self) -> &dyn Readiness {
        &*self.0.deps.readiness
    }

    fn alarms(&self) -> &Alarms {
        &self.0.deps.alarms
    }

    fn metrics(&self) -> &Arc<Metrics> {
        &self.0.deps.metrics
    }

    fn lease(&self) -> Seconds {
        self.0.deps.lease
    }

    fn notify(&self) -> crate::notify::Rules {
        self.0.deps.notify
    }

    fn redeeming(&self) -> &Limiter {
        &self.0.redeeming
    }

    fn turns(&self) -> &Mutex<()> {
        &self.0.turns
    }

    fn exports(&self) -> &Arc<Semaphore> {
        &self.0.exports
    }

    fn imports(&self) -> &Underway {
        &self.0.imports
    }

    fn forecasts(&self) -> &Forecasts {
        &self.0.forecasts
    }

    fn access(&self) -> &Arc<Desk> {
        &self.0.access
    }

    /// A place among those who wait for a change; held until it is dropped.
    fn wait_for_access(&self) -> problem::Result<Waiting> {
        self.0.waiting.clone().try_acquire_owned().map_err(|_| layers::busy())
    }

    fn now(&self) -> Timestamp {
        self.books().now()
    }
}

/// Everything the daemon serves over HTTP.
pub fn router(api: Api) -> Router {
    routes::all(api)
}
