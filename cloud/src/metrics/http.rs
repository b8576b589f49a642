//! What was asked over HTTP, and how long the answers took.

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Seconds, from a millisecond to the longest a request may take.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Asked {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    route: String,
}

/// What was asked over HTTP. Routes are templates, so that there are as many series as routes, whatever is asked.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Asked, Counter>,
    seconds: Family<Answered, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> HttpMetrics {
        HttpMetrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        }
    }
}

/// A request that is being answered; it counts until it is dropped, answered or not.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("coterm_http_requests", "Requests answered", self.requests.clone());
        registry.register("coterm_http_request_seconds", "Time to the answer", self.seconds.clone());
        registry.register("coterm_http_in_flight", "Requests being answered", self.in_flight.clone());
    }

    /// A request begins.
    #[must_use]
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request of a route was answered; `None` if no route has its path.
    pub fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        // The names of other methods are the caller's invention.
        let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
        let method = known.into_iter().find(|name| *name == method.as_str()).unwrap_or("(other)");
        let route = route.unwrap_or("(none)").to_owned();
        self.seconds.get_or_create(&Answered { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Asked { method, route, status: status.as_u16() }).inc();
    }
}
