//! The configuration of the daemon: layered, typed, judged as a whole.
//!
//! **Problem.** A daemon that starts half configured fails at night. **Method.** Layers (defaults, file, `conf.d`,
//! environment, flags) are merged with `config`; every key is named once, in [`fields`]; reading collects everything
//! that is wrong, with file, line and what to do, before anything is opened. **Deliberately absent:** demonstration
//! mode as a key. It lifts the bounds that keep a customer's doors open, so only a command line can ask for it.

pub mod fields;

mod example;
mod finding;
mod layers;
mod notify;
mod read;
#[cfg(test)]
mod tests;

pub use example::{example, in_force};
pub use finding::{ConfigFinding, ConfigFindings};
pub use layers::{ENVIRONMENT_FILE, ENVIRONMENT_PREFIX, Sources};

use crate::notify::mail::MailSettings;
use crate::signer::KeyRole;
use coterm_shared::time::{DAY_SECS, Seconds};
use coterm_shared::token::TrustDomain;
use layers::Layers;
use read::Reader;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Everything the daemon is told, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where books, keys and certificates are kept.
    pub data_dir: PathBuf,
    /// The name of this deployment inside every token (token §1, `iss`).
    pub trust_domain: TrustDomain,
    /// The API and the console.
    pub http: Http,
    /// How devices are reached.
    pub mqtt: Mqtt,
    /// How devices without a certificate are let in, if they are.
    pub enrolment: Option<Enrolment>,
    /// What is signed, and for how long it holds.
    pub tokens: Tokens,
    /// Where signing keys are, if not in files.
    pub signer: Option<Pkcs11>,
    /// How notices are delivered.
    pub notify: Notify,
    /// The mail server, if there is one.
    pub mail: Option<MailSettings>,
    /// Bounds of the work.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// Whether bounds of durations are lifted, for shows only; never set by a file.
    pub demonstration: bool,
}

/// The API and the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where to listen; loopback unless plain HTTP was allowed.
    pub listen: SocketAddr,
    /// Whether plain HTTP on a reachable address was asked for.
    pub allow_plain_http: bool,
}

/// How devices are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mqtt {
    /// By the broker inside this daemon.
    Embedded(EmbeddedMqtt),
    /// By a broker of the operator's.
    External(ExternalMqtt),
}

/// The broker inside this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedMqtt {
    /// Where devices connect.
    pub listen: SocketAddr,
    /// Names in the server certificate.
    pub server_names: Vec<String>,
    /// Most connections at once.
    pub max_connections: u32,
    /// Most connections at once from one address.
    pub max_connections_per_address: u32,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Seconds,
    /// Whether TLS 1.2 is accepted besides 1.3.
    pub allow_tls12: bool,
}

/// A broker of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalMqtt {
    /// Its host name.
    pub host: String,
    /// Its TLS port.
    pub port: u16,
    /// The authority of its certificate.
    pub ca_file: PathBuf,
    /// Our client certificate.
    pub certificate_file: PathBuf,
    /// Our client key.
    pub key_file: PathBuf,
}

/// The enrolment listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Where devices with a claim code connect.
    pub listen: SocketAddr,
    /// Names in its certificate.
    pub server_names: Vec<String>,
    /// How long a device's certificate is good for.
    pub certificate: Seconds,
    /// How long after its end it may still be renewed.
    pub renewal_grace: Seconds,
    /// Most connections at once.
    pub max_connections: u32,
}

/// What is signed, and for how long it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// From a token's issue to the end of its lease.
    pub lease: Seconds,
    /// From a token's issue to the management lock of a device that hears nothing newer (domain E7).
    pub offline_budget: Seconds,
    /// How long a token key may sign.
    pub key_lifetime: Seconds,
}

/// Signing keys in hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11 {
    /// The vendor's module.
    pub module: PathBuf,
    /// The label of the token.
    pub token_label: String,
    /// The file with the PIN, if it is no systemd credential.
    pub pin_file: Option<PathBuf>,
    /// The roles whose new keys are made in it.
    pub keys: Vec<KeyRole>,
}

/// How notices are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Before the second attempt; twice as long before each further one.
    pub retry_first: Seconds,
    /// After this a delivery is given up.
    pub give_up: Seconds,
    /// Whether webhooks may go to addresses that are not public.
    pub allow_private_addresses: bool,
    /// Authorities trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
}

/// Bounds of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time between two full sweeps.
    pub sweep: Seconds,
    /// Most messages waiting for the broker.
    pub publishes_in_flight: u32,
    /// How long one message may wait.
    pub publish_deadline: Seconds,
    /// Least time between two answers to a device's own requests.
    pub nonce_interval: Seconds,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors, one JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing.
    pub fn load(sources: &Sources) -> Result<Config, ConfigFindings> {
        let mut findings = Vec::new();
        let layers = Layers::read(sources, &mut findings);
        let mut reader = Reader::new(layers, findings);
        let config = read(&mut reader, sources.demonstration);
        match (config, reader.finish()) {
            (Some(config), findings) if findings.is_empty() => Ok(config),
            (_, findings) => Err(ConfigFindings(findings)),
        }
    }
}

/// Reads every key; `None` only together with a finding.
fn read(from: &mut Reader, demonstration: bool) -> Option<Config> {
    let data_dir = from.path("data_dir", "books and keys");
    let trust_domain = from.parsed::<TrustDomain>(
        "trust_domain",
        "Use 1 to 64 of a-z, 0-9, `.` and `-`, such as coterm.example.com",
    );
    let config = Config {
        data_dir,
        http: read_http(from),
        mqtt: read_mqtt(from)?,
        enrolment: read_enrolment(from, demonstration),
        tokens: read_tokens(from, demonstration),
        signer: read_signer(from),
        notify: notify::read_notify(from, demonstration),
        mail: notify::read_mail(from),
        limits: read_limits(from),
        log: read_log(from)?,
        demonstration,
        trust_domain: trust_domain?,
    };
    Some(config)
}

fn read_http(from: &mut Reader) -> Http {
    let http =
        Http { listen: from.socket("http.listen"), allow_plain_http: from.flag("http.allow_plain_http") };
    if !http.listen.ip().is_loopback() && !http.allow_plain_http {
        from.report(
            "http.listen",
            format!("{} is reachable by other machines and HTTP here is not encrypted", http.listen),
            "Keep 127.0.0.1 and put a TLS proxy in front, or set http.allow_plain_http = true if one already is",
        );
    }
    http
}

#[derive(Clone, Copy)]
enum MqttMode {
    Embedded,
    External,
}

fn read_mqtt(from: &mut Reader) -> Option<Mqtt> {
    // Both sections are read whatever the mode, so that a typing error in the other one does not lie in wait.
    let embedded = EmbeddedMqtt {
        listen: from.socket("mqtt.embedded.listen"),
        server_names: from.list("mqtt.embedded.server_names"),
        max_connections: to_u32(from.number("mqtt.embedded.max_connections", 1..=100_000)),
        max_connections_per_address: to_u32(
            from.number("mqtt.embedded.max_connections_per_address", 1..=100_000),
        ),
        handshake_timeout: from.seconds("mqtt.embedded.handshake_timeout_secs", 1..=120),
        allow_tls12: from.flag("mqtt.embedded.allow_tls12"),
    };
    let port = u16::try_from(from.number("mqtt.external.port", 1..=65_535)).unwrap_or(u16::MAX);
    match from.choice("mqtt.mode", &[("embedded", MqttMode::Embedded), ("external", MqttMode::External)])? {
        MqttMode::Embedded => Some(Mqtt::Embedded(embedded)),
        MqttMode::External => {
            let needed = "mqtt.mode = \"external\"";
            let host = from.text("mqtt.external.host", needed);
            Some(Mqtt::External(ExternalMqtt {
                host,
                port,
                ca_file: from.path("mqtt.external.ca_file", needed),
                certificate_file: from.path("mqtt.external.certificate_file", needed),
                key_file: from.path("mqtt.external.key_file", needed),
            }))
        }
    }
}

/// Every key is read whether or not there is an address, so that a typing error does not lie in wait.
fn read_enrolment(from: &mut Reader, demonstration: bool) -> Option<Enrolment> {
    let shortest = if demonstration { 5 } else { DAY_SECS };
    let hint = "Write an address and a port, such as 0.0.0.0:8884";
    let listen = from.parsed::<SocketAddr>("enrolment.listen", hint);
    let server_names = from.list("enrolment.server_names");
    let certificate = from.seconds("enrolment.certificate_secs", shortest..=1825 * DAY_SECS);
    let renewal_grace = from.seconds("enrolment.renewal_grace_secs", 0..=400 * DAY_SECS);
    let max_connections = to_u32(from.number("enrolment.max_connections", 1..=10_000));
    Some(Enrolment { listen: listen?, server_names, certificate, renewal_grace, max_connections })
}

fn read_tokens(from: &mut Reader, demonstration: bool) -> Tokens {
    let shortest_lease = if demonstration { 2 } else { 3_600 };
    let shortest_budget = if demonstration { 2 } else { DAY_SECS };
    let tokens = Tokens {
        lease: from.seconds("tokens.lease_secs", shortest_lease..=30 * DAY_SECS),
        offline_budget: from.seconds("tokens.offline_budget_secs", shortest_budget..=400 * DAY_SECS),
        key_lifetime: from.seconds("tokens.key_lifetime_secs", 4..=35 * DAY_SECS),
    };
    if tokens.offline_budget <= tokens.lease {
        from.report(
            "tokens.offline_budget_secs",
            format!(
                "{} is not more than the lease ({}), so devices would lock between two renewals",
                tokens.offline_budget.0, tokens.lease.0
            ),
            "Choose several leases, or shorten tokens.lease_secs",
        );
    }
    if tokens.key_lifetime.0 < tokens.lease.0.saturating_mul(4) {
        from.report(
            "tokens.key_lifetime_secs",
            format!("{} is less than four leases, so keys could not overlap", tokens.key_lifetime.0),
            "Choose at least four times tokens.lease_secs, or shorten the lease",
        );
    }
    tokens
}

fn read_signer(from: &mut Reader) -> Option<Pkcs11> {
    let known = [KeyRole::Token, KeyRole::Keyring];
    let mut keys = Vec::new();
    for name in from.list("signer.pkcs11.keys") {
        match known.into_iter().find(|role| role.name() == name) {
            Some(role) => keys.push(role),
            None => from.report(
                "signer.pkcs11.keys",
                format!("`{name}` is not a key that can be made there"),
                "Use `token`, `keyring` or both; root keys are kept offline",
            ),
        }
    }
    let module = from.optional_path("signer.pkcs11.module")?;
    if !cfg!(feature = "pkcs11") {
        from.report(
            "signer.pkcs11.module",
            String::from("this program was built without PKCS#11"),
            "Take the key out, or a build with the feature `pkcs11`",
        );
    }
    Some(Pkcs11 {
        module,
        token_label: from.text("signer.pkcs11.token_label", "signer.pkcs11.module"),
        pin_file: from.optional_path("signer.pkcs11.pin_file"),
        keys,
    })
}

fn read_limits(from: &mut Reader) -> Limits {
    Limits {
        sweep: from.seconds("limits.sweep_secs", 1..=3_600),
        publishes_in_flight: to_u32(from.number("limits.publishes_in_flight", 1..=4_096)),
        publish_deadline: from.seconds("limits.publish_deadline_secs", 1..=120),
        nonce_interval: from.seconds("limits.nonce_interval_secs", 1..=3_600),
    }
}

fn read_log(from: &mut Reader) -> Option<Log> {
    let filter = from.text("log.filter", "knowing what to log");
    if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
        from.report(
            "log.filter",
            format!("`{filter}` is not a filter: {error}"),
            "Write error, warn, info, debug or trace",
        );
    }
    let format = from.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
    Some(Log { filter, format })
}

/// Saturating; the bounds of every key that uses it fit.
fn to_u32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
