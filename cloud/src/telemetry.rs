//! Where log lines go: standard error, as text or JSON; systemd and containers take it from there.

use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process; a second call changes nothing.
pub fn start(log: &Log) {
    // The filter was checked with the configuration; the fallback is for callers that made their own.
    let filter = EnvFilter::try_new(&log.filter).unwrap_or_else(|_| EnvFilter::new("info,mqtt5=error"));
    let colors =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    // A full disk or a dead pipe behind standard error costs lines, never the daemon: complaining about a line that could
    // not be written, on the same stream, would panic.
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => subscriber.with_ansi(colors).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    // Somebody else's subscriber is as good.
    drop(started);
}
