//! What a fleet does, counted while it does it.

use coterm_shared::enforcement::OperatingMode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is known of one agent.
#[derive(Clone, Copy, Debug)]
struct Seen {
    connected: bool,
    /// When that changed last.
    line_at: Instant,
    mode: Option<OperatingMode>,
    /// When it was driven there.
    mode_at: Instant,
}

/// What a fleet does, counted.
#[derive(Debug)]
pub(crate) struct Tally {
    agents: Mutex<Vec<Seen>>,
    heard: AtomicU64,
    said: AtomicU64,
    ends: Mutex<BTreeMap<String, u64>>,
}

/// Most reasons that are told apart.
const REASONS: usize = 32;

impl Tally {
    /// Of so many agents.
    pub(crate) fn new(agents: usize) -> Tally {
        let now = Instant::now();
        let seen = Seen { connected: false, line_at: now, mode: None, mode_at: now };
        Tally {
            agents: Mutex::new(vec![seen; agents]),
            heard: AtomicU64::new(0),
            said: AtomicU64::new(0),
            ends: Mutex::default(),
        }
    }

    fn agents(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection stands, or ended.
    pub(crate) fn connected(&self, n: usize, connected: bool) {
        let seen = &mut self.agents()[n];
        (seen.connected, seen.line_at) = (connected, Instant::now());
    }

    /// A device was driven to a mode.
    pub(crate) fn applied(&self, n: usize, mode: OperatingMode) {
        let seen = &mut self.agents()[n];
        if seen.mode != Some(mode) {
            (seen.mode, seen.mode_at) = (Some(mode), Instant::now());
        }
    }

    /// A message arrived.
    pub(crate) fn heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// A message left.
    pub(crate) fn said(&self) {
        self.said.fetch_add(1, Ordering::Relaxed);
    }

    /// A session ended, or could not begin.
    pub(crate) fn ended(&self, reason: &str) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let known = ends.contains_key(reason) || ends.len() < REASONS;
        *ends.entry(if known { reason.to_owned() } else { String::from("(others)") }).or_default() += 1;
    }

    /// How many connections stand.
    pub(crate) fn connections(&self) -> usize {
        self.agents().iter().filter(|seen| seen.connected).count()
    }

    /// How many devices are in a mode.
    pub(crate) fn in_mode(&self, mode: OperatingMode) -> usize {
        self.agents().iter().filter(|seen| seen.mode == Some(mode)).count()
    }

    /// How long after `start` each device of `which` was driven to `mode` since `asked`; those that were not are left out, and
    /// who was there before the answer came took no time.
    pub(crate) fn applied_after(
        &self,
        (asked, start): (Instant, Instant),
        mode: OperatingMode,
        which: std::ops::Range<usize>,
    ) -> Vec<Duration> {
        let agents = self.agents();
        let there = agents[which].iter().filter(|seen| seen.mode == Some(mode) && seen.mode_at >= asked);
        there.map(|seen| seen.mode_at.saturating_duration_since(start)).collect()
    }

    /// How long after `start` each connection stood again.
    pub(crate) fn connected_after(&self, start: Instant) -> Vec<Duration> {
        let agents = self.agents();
        let back = agents.iter().filter(|seen| seen.connected && seen.line_at >= start);
        back.map(|seen| seen.line_at.duration_since(start)).collect()
    }

    /// One line of progress.
    pub(crate) fn line(&self) -> String {
        let agents = self.agents();
        let connected = agents.iter().filter(|seen| seen.connected).count();
        let modes = OperatingMode::ALL.map(|mode| {
            let count = agents.iter().filter(|seen| seen.mode == Some(mode)).count();
            format!("{mode} {count}")
        });
        let (heard, said) = (self.heard.load(Ordering::Relaxed), self.said.load(Ordering::Relaxed));
        format!(
            "connected {connected}/{}  {}  messages in {heard} out {said}",
            agents.len(),
            modes.join("  ")
        )
    }

    /// Everything counted.
    pub(crate) fn json(&self) -> Value {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({
            "messages_in": self.heard.load(Ordering::Relaxed),
            "messages_out": self.said.load(Ordering::Relaxed),
            "connections": self.connections(),
            "sessions_ended": ends,
        })
    }
}

/// Percentiles, in milliseconds with their fraction, `null` of nothing; and all hundred of them for whoever draws.
pub(crate) fn percentiles(mut all: Vec<Duration>) -> Value {
    all.sort_unstable();
    let at = |percent: usize| {
        let place = (all.len() * percent).div_ceil(100).saturating_sub(1);
        all.get(place).map(|took| took.as_micros() as f64 / 1000.0)
    };
    let curve: Vec<f64> = (0..=100).filter_map(at).collect();
    json!({
        "count": all.len(), "p50_ms": at(50), "p90_ms": at(90), "p99_ms": at(99), "max_ms": at(100),
        "curve_ms": curve,
    })
}
