//! What makes a real device obey, behind two verbs: observe and set.
//!
//! **Problem.** A verdict is worth nothing until the device behaves accordingly, and devices, hooks and processes
//! fail, hang and are tampered with. **Method.** Level-triggered: each actuator is asked what mode the device is in
//! and driven to the ordered one, again and again; nothing is ever sent once and trusted. They live on a thread of
//! their own ([`worker`]), so that a slow hook never delays a keep-alive or a token. **Deliberately absent:** any verb
//! that could command an output. An actuator is told one of three operating modes; a relay, a lock or a siren cannot
//! be expressed in that interface (enforcement §2), and a dying agent says nothing at all, which leaves the device in
//! the mode it was in.

#[cfg(feature = "daemon")]
pub(crate) mod command;
#[cfg(feature = "daemon")]
pub(crate) mod dry_run;
#[cfg(feature = "daemon")]
mod process;
#[cfg(feature = "daemon")]
pub(crate) mod supervise;
pub mod worker;

#[cfg(feature = "daemon")]
use crate::config::ActuatorConfig;
use coterm_shared::enforcement::OperatingMode;
use std::io;
#[cfg(feature = "daemon")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables for hooks and workload; an order is handed on and compared more often than it is made.
pub type Environment = Arc<[(&'static str, String)]>;

/// What the device is to be, with what its own programs may want to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The mode to drive the device to.
    pub mode: OperatingMode,
    /// `COTERM_…` variables for hooks and workload: state, reason, instants. Never secrets.
    pub environment: Environment,
}

/// What an actuator sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The device is in this mode.
    At(OperatingMode),
    /// The device functions; this actuator cannot tell `full` from `management-locked`, and need not.
    Functioning,
    /// Nothing can be said.
    Unknown,
}

impl Observation {
    /// Whether there is nothing left to do for an order of `mode`.
    pub fn satisfies(self, mode: OperatingMode) -> bool {
        match self {
            Observation::At(at) => at == mode,
            Observation::Functioning => match mode {
                OperatingMode::Full | OperatingMode::ManagementLocked => true,
                OperatingMode::Stopped => false,
            },
            Observation::Unknown => false,
        }
    }
}

/// Why an actuator could not observe or set; every sentence says where to look.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is its sentence")]
pub enum ActuatorError {
    #[error("{program} could not be run: {source}; check that it exists and is executable")]
    Spawn { program: PathBuf, source: io::Error },
    #[error(
        "{program} did not finish within {secs} s and was killed; make the hook faster or raise timeout_secs"
    )]
    Timeout { program: PathBuf, secs: u64 },
    #[error("{program} {verb} failed ({status}); see its messages above")]
    Failed { program: PathBuf, verb: &'static str, status: String },
    #[error(
        "{program} observe answered `{answer}`; it must print full, management-locked, stopped or unknown"
    )]
    Answer { program: PathBuf, answer: String },
    #[error(
        "the workload holds its lock but no process of it can be found; look for a process that has {lock} open"
    )]
    Unidentified { lock: PathBuf },
    #[error("the workload could not be stopped within {secs} s of being killed; it may hang in the kernel")]
    Unkillable { secs: u64 },
    // The pause left is not in the text: a fault that changes every second is reported every second.
    #[error("the workload ended and is started again after a pause; see its own log for why it ends")]
    BackingOff { secs: u64 },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

/// A way to make the device obey (a port).
pub trait Actuator: Send {
    /// Its name in logs and reports.
    fn name(&self) -> &str;
    /// The mode the device is really in.
    fn observe(&mut self) -> Result<Observation, ActuatorError>;
    /// Drives the device to the ordered mode; called again as long as `observe` disagrees, so it must be idempotent.
    fn set(&mut self, order: &Order) -> Result<(), ActuatorError>;
}

/// The actuators of a configuration, in its order.
#[cfg(feature = "daemon")]
pub(crate) fn build(configs: &[ActuatorConfig], run_dir: &Path) -> Vec<Box<dyn Actuator>> {
    let state_file = run_dir.join(crate::local_state::FILE_NAME);
    let one = |config: &ActuatorConfig| -> Box<dyn Actuator> {
        match config {
            ActuatorConfig::DryRun => Box::new(dry_run::DryRun::default()),
            ActuatorConfig::Command(hook) => Box::new(command::Hook::new(hook.clone())),
            ActuatorConfig::Supervise(workload) => {
                Box::new(supervise::Supervise::new(workload.clone(), run_dir, state_file.clone()))
            }
        }
    };
    configs.iter().map(one).collect()
}

/// Observes and, where needed, drives every actuator once; one that fails does not keep the others from their turn.
pub fn drive(actuators: &mut [Box<dyn Actuator>], order: &Order) -> Vec<Fault> {
    let mut faults = Vec::new();
    for actuator in actuators {
        let outcome = drive_one(actuator.as_mut(), order);
        if let Err(message) = outcome {
            faults.push(Fault { actuator: actuator.name().to_owned(), message });
        }
    }
    faults
}

/// An actuator that is not where it was ordered to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub actuator: String,
    /// Why, and what to do.
    pub message: String,
}

fn drive_one(actuator: &mut dyn Actuator, order: &Order) -> Result<(), String> {
    match actuator.observe() {
        Ok(observation) if observation.satisfies(order.mode) => return Ok(()),
        Ok(observation) => {
            tracing::info!(actuator = actuator.name(), ?observation, wanted = order.mode.name(), "driving");
        }
        // A blind actuator is driven all the same: `set` is idempotent.
        Err(error) => tracing::warn!(actuator = actuator.name(), %error, "observing failed"),
    }
    actuator.set(order).map_err(|error| error.to_string())?;
    match actuator.observe() {
        Ok(observation) if observation.satisfies(order.mode) => Ok(()),
        Ok(observation) => Err(format!("was set to {} and says {observation:?}", order.mode.name())),
        Err(error) => Err(error.to_string()),
    }
}
