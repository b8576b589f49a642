//! Books, fleet, alarms and broker, read when somebody asks.

use super::tell::Tell;
use crate::alarms::{Alarms, Severity};
use crate::books::Books;
use crate::reconcile::{Counter, Counters, FleetCensus, Reconciler};
use coterm_shared::enforcement::EnforcementState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what costs a pass over everything is remembered.
const REMEMBERED: Duration = Duration::from_secs(15);

/// What is asked.
pub struct Sources {
    /// The books.
    pub books: Books,
    /// What keeps devices up to date.
    pub reconciler: Arc<Reconciler>,
    /// What operators have to know.
    pub alarms: Arc<Alarms>,
    /// Counters of the broker in this process by name, and the connections that stand.
    pub broker: Box<dyn Fn() -> Vec<(&'static str, u64)> + Send + Sync>,
    /// What keeps the daemon from its work.
    pub obstacles: Box<dyn Fn() -> usize + Send + Sync>,
}

/// What the books hold, counted.
#[derive(Clone, Debug, Default)]
struct BooksCensus {
    organizations: u64,
    devices: u64,
    /// License groups by the state of their ladder.
    groups: BTreeMap<&'static str, u64>,
    noncompliant: u64,
}

/// Books, fleet, alarms and broker.
pub struct Daemon {
    sources: Sources,
    remembered: Mutex<Option<(Instant, BooksCensus, FleetCensus)>>,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon").finish_non_exhaustive()
    }
}

impl Daemon {
    /// Of these parts.
    #[must_use]
    pub fn new(sources: Sources) -> Daemon {
        Daemon { sources, remembered: Mutex::new(None) }
    }

    fn census(&self) -> (BooksCensus, FleetCensus) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, books, fleet)) = &*remembered
            && at.elapsed() < REMEMBERED
        {
            return (books.clone(), fleet.clone());
        }
        let books = count(&self.sources.books);
        let fleet = self.sources.reconciler.census(self.sources.books.now());
        *remembered = Some((Instant::now(), books.clone(), fleet.clone()));
        (books, fleet)
    }
}

fn count(books: &Books) -> BooksCensus {
    let now = books.now();
    let states = EnforcementState::ALL.map(|state| (state.name(), 0));
    let mut census = BooksCensus { groups: states.into(), ..BooksCensus::default() };
    for organization in books.organizations().into_iter().filter_map(|id| books.organization(id)) {
        census.organizations = census.organizations.saturating_add(1);
        for group in organization.groups() {
            let state = group.assessment.ahead.both().state_at(now);
            let of_state = census.groups.entry(state.name()).or_default();
            *of_state = of_state.saturating_add(1);
            let bad = u64::from(!group.assessment.findings.is_empty());
            census.noncompliant = census.noncompliant.saturating_add(bad);
            census.devices = census.devices.saturating_add(group.figures.active_devices);
        }
    }
    census
}

/// A counter of the reconciler: its name, what it counts, and where it is.
type Counted = (&'static str, &'static str, fn(&Counters) -> &Counter);

const RECONCILER: [Counted; 16] = [
    ("coterm_tokens_signed", "Tokens signed", |c| &c.signatures),
    ("coterm_token_rows", "Rows written about issued tokens", |c| &c.rows),
    ("coterm_publishes", "Tokens handed to the broker", |c| &c.publishes),
    ("coterm_publish_failures", "Of those, not known to have been taken", |c| &c.publish_failures),
    ("coterm_root_publishes", "Roots handed to the broker", |c| &c.root_publishes),
    ("coterm_keyring_publishes", "Keyrings handed to the broker", |c| &c.keyring_publishes),
    ("coterm_stored_reads", "Tokens read back to be sent again", |c| &c.stored_reads),
    ("coterm_heard", "Reports and requests of devices", |c| &c.heard),
    ("coterm_inbox_dropped", "Messages of devices dropped: too many unread", |c| &c.inbox_dropped),
    ("coterm_strangers_dropped", "Messages of devices nobody claims, dropped", |c| &c.strangers_dropped),
    ("coterm_requests_refused", "Requests for a fresh token that came too soon", |c| &c.requests_refused),
    ("coterm_quarantines", "Devices put in quarantine", |c| &c.quarantines),
    ("coterm_proofs_asked", "Times a device was asked to show its token", |c| &c.proofs_asked),
    ("coterm_plans", "Devices looked at", |c| &c.plans),
    ("coterm_sweeps", "Sweeps over all devices that came to their end", |c| &c.sweeps),
    ("coterm_status_rows", "Rows written about what devices said", |c| &c.status_rows),
];

impl Collector for Daemon {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut tell = Tell(encoder);
        let Sources { books, reconciler, alarms, broker, obstacles } = &self.sources;
        let (counted, fleet) = self.census();
        tell.gauge("coterm_organizations", "Organizations", counted.organizations)?;
        tell.gauge("coterm_active_devices", "Devices that consume units, by the books", counted.devices)?;
        let help = "License groups by the state of their ladder, by the books";
        tell.gauges("coterm_groups", help, "state", counted.groups)?;
        tell.gauge("coterm_groups_noncompliant", "License groups with findings", counted.noncompliant)?;

        tell.gauge("coterm_fleet_devices", "Devices with a token or a report", fleet.devices)?;
        tell.gauge("coterm_fleet_connected", "Devices with a connection that stands", fleet.connected)?;
        tell.gauges(
            "coterm_fleet_reported",
            "Devices by the state they reported last",
            "state",
            fleet.states,
        )?;
        tell.gauge("coterm_fleet_overdue", "Devices whose newest lease ended", fleet.overdue)?;
        tell.gauge("coterm_fleet_quarantined", "Devices whose reports are not believed", fleet.quarantined)?;
        for (name, help, counter) in RECONCILER {
            tell.counter(name, help, counter(reconciler.counters()).get())?;
        }

        let mut standing: BTreeMap<&str, u64> =
            [Severity::Critical, Severity::Warning].map(|severity| (severity.name(), 0)).into();
        let alarms = alarms.list();
        for alarm in &alarms {
            let of_severity = standing.entry(alarm.code.severity().name()).or_default();
            *of_severity = of_severity.saturating_add(1);
        }
        tell.gauges("coterm_alarms", "Alarms that stand now", "severity", standing)?;
        let codes = alarms.into_iter().map(|alarm| alarm.code.name());
        let codes: BTreeMap<&str, u64> = codes.map(|code| (code, 1)).collect();
        tell.gauges("coterm_alarm", "1 for each alarm code that stands now", "code", codes)?;
        tell.gauge(
            "coterm_time_in_doubt",
            "1 while nothing is signed",
            u64::from(books.time_doubt().is_some()),
        )?;
        tell.gauge("coterm_ready", "1 while the daemon does its work", u64::from(obstacles() == 0))?;
        for (name, value) in broker() {
            if name == "coterm_broker_connections" {
                tell.gauge(name, "Connections of devices that stand", value)?;
            } else {
                tell.counter(name, "Of the broker in this process", value)?;
            }
        }
        Ok(())
    }
}
