//! What follows from the state: order, public state, request, report, and when to look again.

use super::{Driver, Effects, Haste, Outstanding};
use crate::actuator::{Environment, Order};
use crate::state_file::StateStore;
use coterm_shared::enforcement::{
    Decision, EnforcementState, Facts, NextChange, OperatingMode, PublicState, Reason, Schedule, TimeSource,
    WallStanding,
};
use coterm_shared::protocol::{Code, FormatV1, LastRefusal, Proof, Report, Request};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Nonce, TokenDigest, TokenVersion};

/// How old an answered nonce may be to prove the time (token §5).
pub(super) const ROUND_TRIP_SECS: u64 = 60;
/// Between two requests for a fresh token.
const NONCE_PAUSE_SECS: u64 = 300;
/// Between two reports that are about actuators alone.
const FAULT_REPORT_SECS: u64 = 60;
/// For how long a report waits for the actuators to obey.
const ACTUATOR_PATIENCE_SECS: u64 = 30;

/// What this program calls itself in reports.
const AGENT_VERSION: &str = concat!("coterm-agent ", env!("CARGO_PKG_VERSION"));

/// All an order is made of that can change while the agent runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grounds {
    reason: Reason,
    state: EnforcementState,
    mode: OperatingMode,
    next_change: Option<NextChange>,
    since: Option<Timestamp>,
    schedule: Option<Schedule>,
}

/// A public state as it was published, with what it puts into words.
#[derive(Clone, Debug)]
pub(super) struct Published {
    state: PublicState,
    reason: Reason,
}

impl<S: StateStore> Driver<S> {
    /// The order, if it is another one than the last.
    pub(super) fn new_order(&mut self, decision: &Decision) -> Option<Order> {
        let grounds = Grounds {
            reason: decision.reason.clone(),
            state: decision.state,
            mode: decision.mode,
            next_change: decision.next_change,
            since: self.saved.record.mode.map(|mode| mode.since),
            schedule: self.license.as_ref().map(|license| license.schedule),
        };
        // In words only when there is something new to say: nearly every round ends here.
        if self.order.is_some() && self.ordered_for.as_ref() == Some(&grounds) {
            return None;
        }
        let order = Order { mode: decision.mode, environment: self.environment(decision) };
        self.ordered_for = Some(grounds);
        if self.order.as_ref() == Some(&order) {
            return None;
        }
        if self.order.as_ref().is_none_or(|before| before.mode != order.mode) {
            tracing::info!(mode = decision.mode.name(), state = decision.state.name(), reasons = ?decision.reason.codes(), "the device is to be in this mode");
        }
        self.order = Some(order.clone());
        self.ordered_boot_secs = self.reading.boot_secs;
        Some(order)
    }

    fn environment(&self, decision: &Decision) -> Environment {
        let at = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        let schedule = self.license.as_ref().map(|license| license.schedule).unwrap_or_default();
        let next = decision.next_change;
        Environment::from([
            ("COTERM_DEVICE", self.identity.expected.device.to_string()),
            ("COTERM_MODE", decision.mode.name().to_owned()),
            ("COTERM_STATE", decision.state.name().to_owned()),
            ("COTERM_REASON", decision.reason.codes().join(",")),
            ("COTERM_SINCE", at(self.saved.record.mode.map(|mode| mode.since))),
            ("COTERM_NEXT_CHANGE_AT", at(next.map(|next| next.at))),
            ("COTERM_NEXT_MODE", next.map(|next| next.mode.name().to_owned()).unwrap_or_default()),
            ("COTERM_GRACE_BEGINS_AT", at(schedule.grace_begins_at)),
            ("COTERM_LOCK_AT", at(schedule.lock_at)),
            ("COTERM_STOP_AT", at(schedule.stop_at)),
        ])
    }

    /// The public state, if it says something new or its tick is old.
    pub(super) fn new_public_state(&mut self, decision: &Decision) -> Option<PublicState> {
        let time = self.clock.time();
        let since = self.saved.record.mode.map_or(time.floor, |mode| mode.since);
        let ticked = self.saved.record.clock.boot_secs;
        // All but the clocks: readers move those on by themselves. They are renewed with the ticks on disk.
        let says_it_all = |Published { state, reason }: &Published| {
            state.boot_secs >= ticked
                && state.time.source == time.source
                && *reason == decision.reason
                && (state.mode, state.state, state.next_change)
                    == (decision.mode, decision.state, decision.next_change)
                && (state.since, state.token) == (since, self.held_version())
                && state.license == self.license
        };
        if self.published.as_ref().is_some_and(says_it_all) {
            return None;
        }
        let claims = self.token.as_ref().map(|token| token.claims());
        let fresh = PublicState::new(
            decision,
            &Facts {
                device: &self.identity.expected.device,
                class: self.identity.class,
                inputs: self.inputs(),
                token: self.held_version(),
                lease_ends_at: claims.map(|claims| claims.lease_ends_at),
                since,
                reading: self.reading,
                wall_skew_secs: self.clock.wall_skew_secs(),
            },
        );
        self.published = Some(Published { state: fresh.clone(), reason: decision.reason.clone() });
        Some(fresh)
    }

    fn held_version(&self) -> Option<TokenVersion> {
        self.token.as_ref().map(|token| token.claims().version)
    }

    /// Whether the cloud should say what time it is: while it is only bounded, and again whenever a wall clock that
    /// runs ahead is about to be believed or was. Nobody else can tell a clock set wrong from one that is right.
    fn wants_time(&self) -> bool {
        let runs_ahead = match self.clock.wall() {
            WallStanding::Ahead { .. } => true,
            WallStanding::Agrees | WallStanding::Behind { .. } | WallStanding::Contradicted { .. } => false,
        };
        !self.time_proven || runs_ahead || self.clock.time().is_adopted()
    }

    /// A request for a fresh token, if the time is wanted.
    pub(super) fn new_request(&mut self) -> Option<Vec<u8>> {
        let due = self.connected && self.wants_time() && self.reading.boot_secs >= self.next_nonce_boot_secs;
        if !due {
            return None;
        }
        self.next_nonce_boot_secs = self.reading.boot_secs.saturating_add(NONCE_PAUSE_SECS);
        let words = [(self.random)(), (self.random)(), (self.random)(), (self.random)()];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let nonce = Nonce::new(&bytes).ok()?;
        let request = Request { v: FormatV1, nonce: nonce.clone() };
        self.outstanding = Some(Outstanding { nonce, sent_boot_secs: self.reading.boot_secs });
        request.to_payload().ok()
    }

    /// Wants a report, no later than one that is wanted already.
    pub(super) fn want_report(&mut self, haste: Haste) {
        self.report_wanted = self.report_wanted.max(Some(haste));
    }

    /// Wants a report about the actuators: at once, or within a minute of the last one if they come and go.
    pub(super) fn report_faults(&mut self) {
        if self.reading.boot_secs >= self.next_fault_report_boot_secs {
            self.next_fault_report_boot_secs = self.reading.boot_secs.saturating_add(FAULT_REPORT_SECS);
            self.want_report(Haste::AtOnce);
        } else {
            self.next_report_boot_secs = self.next_report_boot_secs.min(self.next_fault_report_boot_secs);
        }
    }

    /// A report, if one is wanted now and the device has had its chance to obey.
    pub(super) fn new_report(&mut self, decision: &Decision) -> Option<Vec<u8>> {
        let now = self.reading.boot_secs;
        if now >= self.next_report_boot_secs {
            self.want_report(Haste::AtOnce);
        }
        let due = self.connected && self.report_wanted == Some(Haste::AtOnce);
        if !due || (self.is_driving() && !self.driving_is_overdue()) {
            return None;
        }
        let report = self.report(decision).to_payload();
        self.report_wanted = None;
        self.proof_wanted = false;
        self.next_report_boot_secs = now.saturating_add(self.heartbeat());
        report.inspect_err(|error| tracing::error!(%error, "the report cannot be sent")).ok()
    }

    /// The heartbeat, up to a tenth longer or shorter, so that a fleet does not beat as one.
    fn heartbeat(&self) -> u64 {
        let beat = self.identity.heartbeat.0;
        let spread = (beat / 5).saturating_mul(u64::from((self.random)())) >> 32;
        beat.saturating_sub(beat / 10).saturating_add(spread).max(1)
    }

    /// Whether the actuators have not yet answered to the last order.
    fn is_driving(&self) -> bool {
        self.outcome.as_ref().map(|outcome| &outcome.order) != self.order.as_ref()
    }

    fn driving_is_overdue(&self) -> bool {
        self.reading.boot_secs >= self.ordered_boot_secs.saturating_add(ACTUATOR_PATIENCE_SECS)
    }

    fn report(&self, decision: &Decision) -> Report {
        let time = self.clock.time();
        let disobeys = self.outcome.as_ref().is_some_and(|outcome| !outcome.faults.is_empty());
        let own = [
            (self.health.failures > 0).then_some("STATE_NOT_SAVED"),
            disobeys.then_some("ACTUATOR_FAULT"),
            (self.is_driving()).then_some("ACTUATOR_PENDING"),
        ];
        // What the agent itself has to complain about first: the list is cut at its end.
        let codes = own.into_iter().flatten().chain(decision.reason.codes());
        Report {
            v: FormatV1,
            class: self.identity.class,
            mode: decision.mode,
            state: decision.state,
            held: self.held_version(),
            held_digest: self.token.as_ref().map(|token| TokenDigest::of(token.bytes())),
            keyring_version: self.keyring.as_ref().map_or(0, |keyring| keyring.version()),
            root_version: self.root.version(),
            reasons: codes.filter_map(|code| code.parse::<Code>().ok()).collect(),
            trusted_time: time.floor,
            time_source: if self.time_proven { TimeSource::Nonce } else { time.source },
            adopted_time: time.is_adopted().then_some(time.lock_time),
            wall_skew_secs: self.clock.wall_skew_secs(),
            boot_id: self.reading.boot_id,
            uptime_secs: self.reading.boot_secs,
            last_refusal: self
                .refused
                .last_code
                .clone()
                .map(|code| LastRefusal { code, count: self.refused.count }),
            agent_version: AGENT_VERSION.to_owned(),
            nonce: None,
            proof: self.token.as_ref().filter(|_| self.proof_wanted).and_then(|token| {
                // Every token fits a proof.
                Proof::new(token.bytes().to_vec()).ok()
            }),
        }
    }

    /// When to come back: the soonest of everything that is due by itself, at the next tick at the latest.
    pub(super) fn wake_in(&self, decision: &Decision) -> Seconds {
        // While saving fails nothing can be ticked before the next attempt.
        let tick = match self.health.failures {
            0 => self.clock.next_tick_boot_secs(),
            _ => self.health.retry_boot_secs,
        };
        let mut due = vec![tick];
        if self.connected {
            due.push(self.next_report_boot_secs);
            if self.wants_time() {
                due.push(self.next_nonce_boot_secs);
            }
            if self.report_wanted.is_some() && self.is_driving() {
                due.push(self.ordered_boot_secs.saturating_add(ACTUATOR_PATIENCE_SECS));
            }
        }
        let soonest = due.into_iter().fold(u64::MAX, u64::min);
        let wait = Seconds(soonest.saturating_sub(self.reading.boot_secs));
        // Clocks are read in whole seconds: an early look would find nothing and spin.
        decision.wake_in.map_or(wait, |step| step.min(wait)).max(Seconds(1))
    }
}

impl Effects {
    /// Whether there is nothing to do but wait.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.order.is_none() && self.report.is_none() && self.request.is_none() && self.acknowledge.is_empty()
    }
}
