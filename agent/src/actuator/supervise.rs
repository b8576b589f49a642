//! The device's workload as a child that outlives the agent.
//!
//! **Problem.** Stopping a device may mean stopping a program; but the agent that starts it may crash, be killed or
//! upgraded, and must then neither take the program with it nor start a second one. **Method.** The workload leads
//! its own process group and inherits a locked file: as long as anything of it lives, the lock is held and no agent
//! starts another. Who it is stands in a pid file with its start time; an agent killed between the start and that file
//! finds the holder of the lock in `/proc`. `stopped` = TERM, then KILL after a timeout, until nobody is left; in the
//! other modes it runs, restarted with a doubling pause. **Deliberately absent:** doing anything when the agent ends,
//! in whatever way: the workload goes on in the mode it was in. Also absent: sandboxing, resource limits, users; wrap
//! the program for that.

use super::process::{self, members};
use super::{Actuator, ActuatorError, Observation, Order};
use crate::config::WorkloadConfig;
use crate::files;
use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest pause before a workload that keeps ending is started again.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long a killed process may take to disappear.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// The supervised workload.
#[derive(Debug)]
pub(crate) struct Supervise {
    config: WorkloadConfig,
    lock_path: PathBuf,
    pid_path: PathBuf,
    state_file: PathBuf,
    /// Set if this agent started it; reaped here.
    child: Option<Child>,
    starts: Starts,
}

/// The pause between starts: 0, 1, 2, 4 … 60 s, forgotten after a minute of running.
#[derive(Debug, Default)]
struct Starts {
    last: Option<Instant>,
    failures: u32,
}

impl Starts {
    fn pause_left(&self, now: Instant) -> Duration {
        let Some(last) = self.last else { return Duration::ZERO };
        let pause = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => Duration::from_secs(1_u64 << doublings.min(6)).min(MAX_PAUSE),
        };
        (last + pause).saturating_duration_since(now)
    }

    fn started(&mut self, now: Instant) {
        let ran_well = self.last.is_some_and(|last| now.duration_since(last) > MAX_PAUSE);
        self.failures = if ran_well { 1 } else { self.failures.saturating_add(1) };
        self.last = Some(now);
    }
}

impl Supervise {
    pub(crate) fn new(config: WorkloadConfig, run_dir: &Path, state_file: PathBuf) -> Supervise {
        Supervise {
            config,
            lock_path: run_dir.join("workload.lock"),
            pid_path: run_dir.join("workload.pid"),
            state_file,
            child: None,
            starts: Starts::default(),
        }
    }

    fn io(&self, what: &str) -> impl FnOnce(io::Error) -> ActuatorError + use<> {
        let what = format!("{what} {}", self.lock_path.display());
        move |source| ActuatorError::Io { what, source }
    }

    /// Opens the lock file and tries to lock it; `None` if a workload holds it.
    fn try_lock(&self) -> Result<Option<File>, ActuatorError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.lock_path)
            .map_err(self.io("opening"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(self.io("locking")(errno.into())),
        }
    }

    /// The pid file's process, if that very process still lives.
    fn recorded(&self) -> Option<(i32, u64)> {
        let text = std::fs::read_to_string(&self.pid_path).ok()?;
        let mut words = text.split_ascii_whitespace();
        let (pid, started) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        // Start times count from boot, and devices boot alike: after one, both numbers may be another process's.
        let this_boot = words.next()? == boot_id()?;
        (this_boot && process::start_time(pid) == Some(started)).then_some((pid, started))
    }

    fn reap(&mut self) {
        if let Some(child) = &mut self.child
            && let Ok(Some(status)) = child.try_wait()
        {
            tracing::warn!(%status, "the workload ended");
            self.child = None;
        }
    }

    /// The living leader of the workload, adopted if another agent started it.
    fn leader(&mut self) -> Result<Option<(i32, u64)>, ActuatorError> {
        self.reap();
        if let Some(recorded) = self.recorded() {
            return Ok(Some(recorded));
        }
        if self.try_lock()?.is_some() {
            return Ok(None);
        }
        // Started, but the agent died before it could write down whom: ask who holds the lock.
        match members(None, &self.lock_path).into_iter().min_by_key(|(_, started)| *started) {
            Some((pid, started)) => {
                tracing::info!(pid, "adopted the running workload");
                // Who holds the lock is known with the pid file or without: a full disk must neither make a workload
                // unstoppable nor one that runs a fault.
                if let Err(error) = self.record(pid, started) {
                    tracing::warn!(%error, pid, "the workload is not written down; it is looked for again");
                }
                Ok(Some((pid, started)))
            }
            None if self.try_lock()?.is_some() => Ok(None),
            None => Err(ActuatorError::Unidentified { lock: self.lock_path.clone() }),
        }
    }

    fn record(&self, pid: i32, started: u64) -> Result<(), ActuatorError> {
        let line = format!("{pid} {started} {}\n", boot_id().unwrap_or_default());
        files::replace(&self.pid_path, line.as_bytes(), 0o644).map_err(|error| ActuatorError::Io {
            what: "writing the pid file".to_owned(),
            source: io::Error::other(error.to_string()),
        })
    }

    fn start(&mut self, order: &Order) -> Result<(), ActuatorError> {
        let now = Instant::now();
        let left = self.starts.pause_left(now);
        if !left.is_zero() {
            return Err(ActuatorError::BackingOff { secs: left.as_secs().saturating_add(1) });
        }
        let Some(lock) = self.try_lock()? else {
            return Err(ActuatorError::Unidentified { lock: self.lock_path.clone() });
        };
        self.starts.started(now);
        let program = &self.config.program;
        let mut command = Command::new(program);
        command.args(&self.config.args).stdin(Stdio::null()).process_group(0);
        process::clean_environment(&mut command, &order.environment);
        command.env("COTERM_STATE_FILE", &self.state_file);
        // The child, and it alone (no other thread of the agent starts processes), inherits the lock.
        fcntl_setfd(&lock, FdFlags::empty()).map_err(|errno| self.io("handing over")(errno.into()))?;
        let spawned = command.spawn();
        drop(lock);
        let child = spawned.map_err(|source| ActuatorError::Spawn { program: program.clone(), source })?;
        let pid = i32::try_from(child.id()).unwrap_or_default();
        self.child = Some(child);
        tracing::info!(pid, program = %program.display(), "started the workload");
        // If it ended at once, the next observation says so; if it cannot be written down, the next one finds it.
        if let Some(started) = process::start_time(pid)
            && let Err(error) = self.record(pid, started)
        {
            tracing::warn!(%error, pid, "the workload is not written down; it is looked for when it is needed");
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), ActuatorError> {
        let leader = self.leader()?;
        let group = leader.map(|(pid, _)| pid);
        for (pid, started) in members(group, &self.lock_path) {
            process::signal(pid, Some(started), Signal::TERM);
        }
        if let Some((pid, started)) = leader
            && let Some(pidfd) = process::open(pid, Some(started))
        {
            tracing::info!(pid, "asked the workload to end");
            process::wait_exit(&pidfd, self.config.stop_timeout)
                .map_err(self.io("waiting for the holder of"))?;
        }
        self.kill_the_rest(group)
    }

    fn kill_the_rest(&mut self, group: Option<i32>) -> Result<(), ActuatorError> {
        let deadline = Instant::now() + KILL_PATIENCE;
        loop {
            let rest = members(group, &self.lock_path);
            if rest.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return Err(ActuatorError::Unkillable { secs: KILL_PATIENCE.as_secs() });
            }
            for (pid, started) in rest {
                tracing::warn!(pid, "killed what was left of the workload");
                if let Some(pidfd) = process::open(pid, Some(started)) {
                    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
                    process::wait_exit(&pidfd, Duration::from_millis(200))
                        .map_err(self.io("killing the holder of"))?;
                }
            }
        }
        if let Some(mut child) = self.child.take() {
            child.wait().map_err(self.io("reaping the holder of"))?;
        }
        // A deliberate stop is no failure to be punished with a pause.
        self.starts = Starts::default();
        match std::fs::remove_file(&self.pid_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.io("forgetting the holder of")(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Which boot of the machine this is.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Actuator for Supervise {
    fn name(&self) -> &str {
        "supervise"
    }

    fn observe(&mut self) -> Result<Observation, ActuatorError> {
        let mode = coterm_shared::enforcement::OperatingMode::Stopped;
        Ok(if self.leader()?.is_some() { Observation::Functioning } else { Observation::At(mode) })
    }

    fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
        use coterm_shared::enforcement::OperatingMode;
        match order.mode {
            OperatingMode::Full | OperatingMode::ManagementLocked => match self.leader()? {
                Some(_) => Ok(()),
                None => self.start(order),
            },
            OperatingMode::Stopped => self.stop(),
        }
    }
}

#[cfg(test)]
#[path = "supervise_tests.rs"]
mod tests;
