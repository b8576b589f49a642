//! `coterm-agent check`: everything that can be wrong on a device, one line each, with what to do.

use super::certificate::ends_at;
use super::{print, print_json};
use crate::cli::Output;
use crate::clock::{Clock, SystemClock, built_at};
use crate::config::{ActuatorConfig, Config, ConfigErrors};
use crate::driver::StoredState;
use crate::mqtt::tls::{self, TrustedNow};
use crate::state_file::{FileMedium, StateStore, TwoSlots};
use crate::{DONE, FAILED, actuator, files, local_state};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Keyring, Root};
use serde::Serialize;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

/// For how long one connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// From when on an ending certificate or key is worth a word.
const SOON: Seconds = Seconds::days(14);

/// What helps where the files a device was given are of no use.
const ANEW: &str = "enrol the device again with `coterm-agent enroll`, or provision it again";

/// How a line turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Good,
    /// Works, and wants attention.
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Line {
    subject: &'static str,
    verdict: Verdict,
    message: String,
}

fn good(message: impl Into<String>) -> (Verdict, String) {
    (Verdict::Good, message.into())
}

fn warning(message: impl Into<String>) -> (Verdict, String) {
    (Verdict::Warning, message.into())
}

fn bad(message: impl Into<String>) -> (Verdict, String) {
    (Verdict::Bad, message.into())
}

pub(crate) fn check(config: &Result<Config, ConfigErrors>, output: Output) -> u8 {
    let lines = match config {
        Ok(config) => all(config),
        Err(errors) => errors
            .0
            .iter()
            .map(|finding| Line { subject: "config", verdict: Verdict::Bad, message: finding.to_string() })
            .collect(),
    };
    let printed = match output {
        Output::Json => print_json(&lines),
        Output::Table => print(&table(&lines)),
    };
    let failed = lines.iter().any(|line| line.verdict == Verdict::Bad);
    if failed || printed != DONE { FAILED } else { DONE }
}

fn table(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| {
            let mark = match line.verdict {
                Verdict::Good => "ok  ",
                Verdict::Warning => "warn",
                Verdict::Bad => "BAD ",
            };
            format!("{mark} {:<12} {}\n", line.subject, line.message)
        })
        .collect()
}

fn all(config: &Config) -> Vec<Line> {
    let now = trusted_floor(config);
    let addresses = addresses(config);
    let mut lines = Vec::new();
    let mut line =
        |subject, (verdict, message): (Verdict, String)| lines.push(Line { subject, verdict, message });
    line(
        "config",
        good(format!(
            "device {}, class {}, at most {}",
            config.device,
            config.class,
            config.cap().strictest()
        )),
    );
    line("clock", clock(config, now));
    line(
        "dns",
        match &addresses {
            Ok(found) => good(format!("{} is {found:?}", config.broker.host)),
            Err(message) => bad(message),
        },
    );
    line(
        "broker",
        match addresses {
            Ok(addresses) => broker(config, &addresses, now),
            Err(_) => bad("not tried without an address"),
        },
    );
    line("certificate", certificate(config, now));
    let root = root(config);
    line(
        "root",
        match &root {
            Ok(root) => good(format!("version {}, trust domain {}", root.version(), root.trust_domain())),
            Err(message) => bad(message),
        },
    );
    line(
        "keyring",
        match &root {
            Ok(root) => keyring(config, root, now),
            Err(_) => bad("not tried without a root"),
        },
    );
    line("state", state(config));
    line("run", run_dir(config));
    for config in &config.actuators {
        line("actuator", actuator_line(config));
    }
    lines
}

/// What the agent last knew of the time, or when this program was built.
fn trusted_floor(config: &Config) -> Timestamp {
    let reading = SystemClock::new(config.demonstration.as_ref()).reading().ok();
    let public = local_state::read(&config.run_dir);
    match (public, reading) {
        (Some(public), Some(reading)) => public.time_at(&reading).floor,
        (Some(public), None) => public.time.floor,
        (None, _) => built_at(),
    }
}

/// Seconds a wall clock may be behind trusted time without a warning: tokens and clocks are rounded to seconds.
const CLOCK_TOLERANCE_SECS: u64 = 5;

fn clock(config: &Config, now: Timestamp) -> (Verdict, String) {
    match SystemClock::new(config.demonstration.as_ref()).reading() {
        Err(error) => bad(error.to_string()),
        Ok(reading) if now.since(reading.wall).0 > CLOCK_TOLERANCE_SECS => warning(format!(
            "the wall clock shows {}, but it is {now} or later; set it, or let NTP do so (it is not needed for licensing)",
            reading.wall
        )),
        Ok(reading) => good(format!("{}, up for {} s", reading.wall, reading.boot_secs)),
    }
}

fn addresses(config: &Config) -> Result<Vec<SocketAddr>, String> {
    let host = (config.broker.host.as_str(), config.broker.port);
    match host.to_socket_addrs() {
        Ok(found) => {
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                Err(format!("{} has no address; check broker.host", host.0))
            } else {
                Ok(found)
            }
        }
        Err(error) => Err(format!("{}: {error}; check broker.host and the device's DNS", host.0)),
    }
}

fn broker(config: &Config, addresses: &[SocketAddr], now: Timestamp) -> (Verdict, String) {
    let trusted = Arc::new(TrustedNow::default());
    trusted.set(now);
    let tls = match tls::client_config(&config.broker, trusted) {
        Ok(tls) => Arc::new(tls),
        Err(error) => return bad(error.to_string()),
    };
    let mut failure = String::new();
    for address in addresses {
        match handshake(config, *address, Arc::clone(&tls)) {
            Ok(()) => return good(format!("{address} answers over TLS as {}", config.broker.server_name)),
            Err(error) => failure = format!("{address}: {error}"),
        }
    }
    bad(format!("{failure}; check that the broker runs, the firewall, broker.ca_file and broker.server_name"))
}

fn handshake(config: &Config, address: SocketAddr, tls: Arc<rustls::ClientConfig>) -> std::io::Result<()> {
    let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    let name = rustls::pki_types::ServerName::try_from(config.broker.server_name.clone())
        .map_err(std::io::Error::other)?;
    let mut connection = rustls::ClientConnection::new(tls, name).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    connection.send_close_notify();
    match connection.complete_io(&mut tcp) {
        // In TLS 1.3 a broker that refuses our certificate says so only now.
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn certificate(config: &Config, now: Timestamp) -> (Verdict, String) {
    let first = match tls::certificates(&config.broker.certificate_file) {
        Ok(certificates) => certificates.into_iter().next(),
        Err(error) => return bad(error.to_string()),
    };
    if let Err(error) = files::read_secret(&config.broker.key_file) {
        return bad(error.to_string());
    }
    match first.and_then(|certificate| ends_at(&certificate)) {
        None => bad(format!("{} holds no certificate; {ANEW}", config.broker.certificate_file.display())),
        Some(end) if end <= now => bad(format!("ended at {end}; {ANEW}")),
        Some(end) if end <= now.saturating_add(SOON) => {
            // It should have renewed itself long before: at two thirds of its life.
            warning(match config.enrolment {
                Some(_) => format!(
                    "ends soon, at {end}; it renews itself while `coterm-agent run` reaches enrolment.server: see its log; or {ANEW}"
                ),
                None => format!("ends soon, at {end}; {ANEW}"),
            })
        }
        Some(end) => good(format!("ends at {end}")),
    }
}

fn root(config: &Config) -> Result<Root, String> {
    let bytes = files::read(&config.trust.root_file).map_err(|error| error.to_string())?;
    let root = Root::pinned(&bytes).map_err(|refusal| format!("{}: {refusal}; {ANEW}", refusal.code()))?;
    if *root.trust_domain() == config.trust_domain {
        Ok(root)
    } else {
        Err(format!(
            "is of {}, but trust_domain is {}; one of the two is wrong",
            root.trust_domain(),
            config.trust_domain
        ))
    }
}

fn keyring(config: &Config, root: &Root, now: Timestamp) -> (Verdict, String) {
    let bytes = match files::read(&config.trust.keyring_file) {
        Ok(bytes) => bytes,
        Err(error) => return bad(error.to_string()),
    };
    match Keyring::verify(&bytes, root, None) {
        Err(refusal) => bad(format!("{}: {refusal}; {ANEW}", refusal.code())),
        Ok(keyring) => {
            let last = keyring.keys().iter().map(|key| key.not_after_at).max();
            let text = format!("version {}, {} key(s)", keyring.version(), keyring.keys().len());
            match last {
                Some(last) if last > now => good(format!("{text}, the last signs until {last}")),
                Some(last) => warning(format!("{text}, all past {last}; newer ones arrive from the broker")),
                None => warning(format!("{text}; no token can be accepted with it")),
            }
        }
    }
}

fn state(config: &Config) -> (Verdict, String) {
    if !config.state_dir.exists() {
        return warning(format!(
            "{} does not exist yet; `coterm-agent run` makes it",
            config.state_dir.display()
        ));
    }
    if let Err(error) = std::fs::read_dir(&config.state_dir) {
        return bad(format!("{}: {error}; run this check as the agent's user", config.state_dir.display()));
    }
    let mut store = TwoSlots::new(FileMedium::new(config.state_dir.clone()));
    let loaded = match store.load() {
        Ok(loaded) => loaded,
        Err(error) => return bad(error.to_string()),
    };
    match loaded.as_deref().map(StoredState::read) {
        None if store.found_damage() => {
            bad("both slots are damaged; the device is locked until it gets a token: connect it")
        }
        None => warning("nothing is stored yet; start the agent and connect the device"),
        Some(Err(error)) => bad(error),
        Some(Ok(stored)) if store.found_damage() => {
            warning(format!("{stored}; one slot is damaged, check the disk"))
        }
        Some(Ok(stored)) => good(stored.to_string()),
    }
}

fn run_dir(config: &Config) -> (Verdict, String) {
    match files::is_locked(&config.run_dir.join(local_state::LOCK_NAME)) {
        Ok(true) => good("coterm-agent runs"),
        Ok(false) | Err(_) => warning("coterm-agent does not run; start it"),
    }
}

fn actuator_line(config: &ActuatorConfig) -> (Verdict, String) {
    match config {
        ActuatorConfig::DryRun => warning("dry-run: nothing is enforced, only logged"),
        ActuatorConfig::Supervise(workload) => match std::fs::metadata(&workload.program) {
            Ok(file) if file.permissions().mode() & 0o111 != 0 => {
                good(format!("supervises {}", workload.program.display()))
            }
            Ok(_) => bad(format!("{} is not executable; run chmod +x on it", workload.program.display())),
            Err(error) => bad(format!("{}: {error}", workload.program.display())),
        },
        ActuatorConfig::Command(hook) => {
            use actuator::Actuator;
            match actuator::command::Hook::new(hook.clone()).observe() {
                Ok(observation) => good(format!("{} observes {observation:?}", hook.program.display())),
                Err(error) => bad(error.to_string()),
            }
        }
    }
}
