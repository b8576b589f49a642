//! `coterm-agent status`: what, why, since when, what next.

use super::certificate::ends_at;
use super::{print, print_json};
use crate::cli::Output;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::local_state::{self, LinkState};
use crate::mqtt::tls;
use crate::{FAILED, files};
use coterm_shared::enforcement::PublicState;
use coterm_shared::time::Timestamp;
use serde::Serialize;
use std::fmt::Write;

/// What `-o json` prints.
#[derive(Serialize)]
struct Status {
    /// Whether a coterm-agent holds the run directory.
    running: bool,
    /// The line to the broker, if the agent runs.
    link: Option<LinkState>,
    /// The public state, as it was last written.
    state: PublicState,
    /// When the device's certificate ends.
    certificate_ends_at: Option<Timestamp>,
}

pub(crate) fn status(config: &Config, output: Output) -> u8 {
    let Some(state) = local_state::read(&config.run_dir) else {
        eprintln!(
            "no state in {}: coterm-agent has not run yet; start it, or see `coterm-agent check`",
            config.run_dir.display()
        );
        return FAILED;
    };
    let running = matches!(files::is_locked(&config.run_dir.join(local_state::LOCK_NAME)), Ok(true));
    let status = Status {
        running,
        link: local_state::read_link(&config.run_dir).filter(|_| running),
        state,
        certificate_ends_at: certificate_ends_at(config),
    };
    match output {
        Output::Json => print_json(&status),
        Output::Table => print(&table(&status, config)),
    }
}

fn certificate_ends_at(config: &Config) -> Option<Timestamp> {
    let chain = tls::certificates(&config.broker.certificate_file).ok()?;
    ends_at(chain.first()?)
}

fn table(status: &Status, config: &Config) -> String {
    let state = &status.state;
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<13} {value}");
    };
    row("Device", &format!("{} ({})", state.device, state.class));
    row("Mode", &format!("{}: {}", state.mode, state.meaning));
    row("State", state.state.name());
    row("Since", &state.since.to_string());
    for (n, why) in state.why.iter().enumerate() {
        row(if n == 0 { "Why" } else { "" }, why);
    }
    if state.why.is_empty() {
        row("Why", "Licensed; nothing restricts this device.");
    }
    match state.next_change {
        Some(next) => {
            let mut text = format!("{} at {}", next.state, next.at);
            // A class may cap what the state asks for.
            if next.mode.name() != next.state.name() {
                let _ = write!(text, " (mode {})", next.mode);
            }
            if state.license.as_ref().is_some_and(|license| license.offline_lock_at == next.at) {
                text.push_str(", if no newer token comes until then");
            }
            row("Next", &text);
        }
        None => row("Next", "no change is announced"),
    }
    row("Token", &state.token.map_or("none was ever accepted".to_owned(), |version| version.to_string()));
    let now = SystemClock::new(config.demonstration.as_ref()).reading();
    let time = now.map_or(state.time, |now| state.time_at(&now));
    row("Trusted time", &format!("{} or later (from {})", time.floor, time.source));
    if time.is_adopted() {
        row("", &format!("{} by a steady wall clock, which may lock management", time.lock_time));
    }
    if state.wall_skew_secs.unsigned_abs() > 120 {
        row("Wall clock", &format!("{} s against trusted time; set it right", state.wall_skew_secs));
    }
    if let Some(ends_at) = status.certificate_ends_at {
        let renews = if config.enrolment.is_some() { ", renews itself" } else { "" };
        row("Certificate", &format!("ends at {ends_at}{renews}"));
    }
    match (&status.link, status.running) {
        (Some(link), _) if link.connected => row("Broker", &format!("connected to {}", link.broker)),
        (Some(link), _) => row("Broker", &format!("not connected: {}", link.message)),
        (None, true) => row("Broker", "connecting"),
        (None, false) => row("Agent", "does not run; the device is in the mode it was last driven to"),
    }
    for fault in status.link.iter().flat_map(|link| &link.faults) {
        row("Fault", fault);
    }
    text
}
