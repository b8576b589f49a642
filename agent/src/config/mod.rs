//! What the integrator says about this device.
//!
//! **Problem.** A wrong configuration on a device nobody is near must be refused with everything that is wrong with
//! it, where, and what to write instead. **Method.** One table of keys ([`keys`]) is the list of what is known, the
//! source of the defaults and of the commented example. Layers, each overriding the one before: defaults, the file,
//! `conf.d/*.toml` beside it, `COTERM_AGENT_…` variables, flags ([`load`]). Everything is then checked into the types
//! below, and every finding is collected. **Deliberately absent:** reloading. A changed configuration takes a restart,
//! which costs milliseconds and leaves the device in its mode.

mod example;
mod finding;
mod keys;
mod load;
mod read;
mod sections;
#[cfg(test)]
mod tests;

pub(crate) use example::example;
pub(crate) use finding::ConfigErrors;
pub(crate) use load::{Layers, load};

use crate::enrolment::talk::Server;
use coterm_shared::enforcement::{DeviceClass, EgressIndependent, ModeCap};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Seconds;
use coterm_shared::token::TrustDomain;
use std::path::PathBuf;
use std::time::Duration;

/// A whole, checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// The device; also client id, user name and common name at the broker.
    pub device: DeviceId,
    /// The organization whose tokens are believed.
    pub organization: OrganizationId,
    /// The deployment whose tokens are believed.
    pub trust_domain: TrustDomain,
    /// What the device is.
    pub class: DeviceClass,
    /// The attestation for door controllers, if there is one.
    pub egress_independent: Option<EgressIndependent>,
    /// What survives reboots; 0700.
    pub state_dir: PathBuf,
    /// What does not need to: the public state, the workload's lock; 0755.
    pub run_dir: PathBuf,
    /// Where tokens come from.
    pub broker: Broker,
    /// Whose signatures count.
    pub trust: Trust,
    /// Where the certificate is renewed, if it is.
    pub enrolment: Option<Enrolment>,
    /// What makes the device obey, at least one.
    pub actuators: Vec<ActuatorConfig>,
    /// How often things are repeated.
    pub timing: Timing,
    /// The least severe message logged.
    pub log_level: tracing::level_filters::LevelFilter,
    /// What only a demonstration or a test may change; `None` unless it is enabled.
    pub demonstration: Option<Demonstration>,
}

impl Config {
    /// How far enforcement may go on this device.
    pub(crate) fn cap(&self) -> ModeCap {
        ModeCap::of(self.class, self.egress_independent.as_ref())
    }
}

/// The MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker {
    /// Host name or address to connect to.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name its certificate must carry.
    pub server_name: String,
    /// The certificates its certificate must descend from, PEM.
    pub ca_file: PathBuf,
    /// The device's own certificate and chain, PEM.
    pub certificate_file: PathBuf,
    /// The key of that certificate, PEM, 0600.
    pub key_file: PathBuf,
}

/// The root of trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The pinned root document.
    pub root_file: PathBuf,
    /// The keyring to start with; newer ones arrive over MQTT.
    pub keyring_file: PathBuf,
}

/// The enrolment listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Enrolment {
    /// Where it is.
    pub server: Server,
    /// The name its certificate must carry.
    pub server_name: String,
    /// The certificates its certificate must descend from, PEM.
    pub ca_file: PathBuf,
}

/// How often things are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Between two reports when nothing happens; jittered by a tenth.
    pub heartbeat: Duration,
    /// Between two looks at the device.
    pub observe: Duration,
    /// The longest pause before connecting again.
    pub max_backoff: Duration,
    /// For how long connecting, TLS handshake included, may take.
    pub connect_timeout: Duration,
}

/// One actuator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ActuatorConfig {
    /// Logs only.
    DryRun,
    /// Runs the integrator's hook.
    Command(HookConfig),
    /// Runs the device's workload.
    Supervise(WorkloadConfig),
}

/// A hook program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HookConfig {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// After which it is killed with its group.
    pub timeout: Duration,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadConfig {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// From TERM to KILL.
    pub stop_timeout: Duration,
}

/// What makes a demonstration or a test of days fit into seconds. Never on a real device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demonstration {
    /// Read instead of the kernel's boot id: replacing its content is a reboot.
    pub boot_id_file: Option<PathBuf>,
    /// Seconds of device time per real second since the boot, 1 or more.
    pub time_scale: u32,
    /// Instead of 600 s between persisted ticks.
    pub longest_tick: Option<Seconds>,
    /// Instead of 24 h until a steady wall clock is adopted.
    pub steady: Option<Seconds>,
}
