//! What the daemon tells a monitoring system, in the OpenMetrics text format that Prometheus reads.
//!
//! **Problem.** Whoever is on call must see that work is done, how fast, and what is wrong, without a login to the machine;
//! and looking must cost the daemon nothing. **Method.** Counters and histograms are bumped where the work is done;
//! everything else is read when somebody asks, by [collectors](prometheus_client::collector::Collector), and what costs a
//! pass over the fleet is remembered for a while. **Deliberately absent:** anything by organization or device. A tenant's
//! figures are its own, and ten thousand of them would drown the rest; for one of them there is the interface.

mod daemon;
mod http;
mod process;
mod tell;

pub use daemon::{Daemon, Sources};
pub use http::HttpMetrics;

use crate::books::Meters;
use process::Process;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::path::PathBuf;

/// How the answer is declared.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What was asked over HTTP.
    pub http: HttpMetrics,
}

impl Default for Metrics {
    /// Of the interface and the process alone.
    fn default() -> Metrics {
        let mut registry = Registry::default();
        let http = HttpMetrics::default();
        http.register(&mut registry);
        registry.register_collector(Box::new(Process::new(None)));
        Metrics { registry, http }
    }
}

impl Metrics {
    /// Of the whole daemon, whose database is at `database`.
    #[must_use]
    pub fn of(meters: &Meters, daemon: Daemon, database: PathBuf) -> Metrics {
        let mut registry = Registry::default();
        let http = HttpMetrics::default();
        http.register(&mut registry);
        meters.register(&mut registry);
        registry.register_collector(Box::new(daemon));
        registry.register_collector(Box::new(Process::new(Some(database))));
        Metrics { registry, http }
    }

    /// All of it, as it is now.
    ///
    /// # Errors
    /// Something could not be written as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
