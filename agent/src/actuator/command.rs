//! The integrator's own hook: `PROGRAM ARGS… observe` and `PROGRAM ARGS… set MODE`.
//!
//! **Problem.** Every firmware has its own way to be locked, and hooks hang, fork and print nonsense. **Method.** The
//! hook runs in its own process group with a timeout; when that passes, the whole group is killed. `observe` prints
//! one word; `set` says all with its exit code. Mode, state, reason and instants are in the environment.
//! **Deliberately absent:** a shell. Nothing is quoted, split or expanded.

use super::process::{self, Waited};
use super::{Actuator, ActuatorError, Environment, Observation, Order};
use crate::config::HookConfig;
use coterm_shared::enforcement::OperatingMode;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// The longest answer of `observe` that is looked at, in bytes.
const MAX_ANSWER_BYTES: u64 = 256;

/// A hook program.
#[derive(Debug)]
pub(crate) struct Hook {
    config: HookConfig,
    /// The last order, so that `observe` sees the same environment as `set`.
    environment: Environment,
}

impl Hook {
    pub(crate) fn new(config: HookConfig) -> Hook {
        Hook { config, environment: Environment::default() }
    }

    fn run(&self, verb: &'static str, mode: Option<OperatingMode>) -> Result<String, ActuatorError> {
        let program = &self.config.program;
        let mut command = Command::new(program);
        command
            .args(&self.config.args)
            .arg(verb)
            .args(mode.map(OperatingMode::name))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0);
        process::clean_environment(&mut command, &self.environment);
        let mut child =
            command.spawn().map_err(|source| ActuatorError::Spawn { program: program.clone(), source })?;
        let stdout = child.stdout.take();
        let io = |source| ActuatorError::Io { what: format!("waiting for {}", program.display()), source };
        match process::wait_or_kill_group(&mut child, self.config.timeout).map_err(io)? {
            Waited::TimedOut => {
                Err(ActuatorError::Timeout { program: program.clone(), secs: self.config.timeout.as_secs() })
            }
            Waited::Exited(status) if status.success() => {
                let mut answer = String::new();
                if let (Some(stdout), OBSERVE) = (stdout, verb) {
                    // The writers may live on in the background: take what is there, never wait for the end.
                    rustix::io::ioctl_fionbio(&stdout, true).map_err(|errno| io(errno.into()))?;
                    // Nonsense in the answer is judged by the caller; an error here is an empty answer.
                    let _ = stdout.take(MAX_ANSWER_BYTES).read_to_string(&mut answer);
                }
                Ok(answer)
            }
            Waited::Exited(status) => {
                Err(ActuatorError::Failed { program: program.clone(), verb, status: status.to_string() })
            }
        }
    }
}

const OBSERVE: &str = "observe";
const SET: &str = "set";

impl Actuator for Hook {
    fn name(&self) -> &str {
        "command"
    }

    fn observe(&mut self) -> Result<Observation, ActuatorError> {
        let answer = self.run(OBSERVE, None)?;
        match answer.trim() {
            "unknown" => Ok(Observation::Unknown),
            word => match OperatingMode::ALL.into_iter().find(|mode| mode.name() == word) {
                Some(mode) => Ok(Observation::At(mode)),
                None => Err(ActuatorError::Answer {
                    program: self.config.program.clone(),
                    answer: word.chars().take(40).filter(|c| !c.is_control()).collect(),
                }),
            },
        }
    }

    fn set(&mut self, order: &Order) -> Result<(), ActuatorError> {
        self.environment = Environment::clone(&order.environment);
        self.run(SET, Some(order.mode)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::Duration;

    fn hook(dir: &Path, body: &str, timeout_millis: u64) -> Hook {
        let program = dir.join("hook");
        // Written elsewhere and renamed: executing a file another thread still has open for writing is "text busy".
        std::fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let shell = HookConfig {
            program: "/bin/sh".into(),
            args: vec![program.to_string_lossy().into_owned()],
            timeout: Duration::from_millis(timeout_millis),
        };
        Hook::new(shell)
    }

    fn order(mode: OperatingMode) -> Order {
        Order { mode, environment: [("COTERM_MODE", mode.name().to_owned())].into() }
    }

    #[test]
    fn a_hook_is_observed_and_driven() {
        let dir = tempfile::tempdir().unwrap();
        let mode_file = dir.path().join("mode");
        let body = format!(
            "f={}\ncase $1 in observe) cat $f 2>/dev/null || echo unknown;; set) [ $2 = $COTERM_MODE ] && echo $2 > $f;; esac",
            mode_file.display()
        );
        let mut hook = hook(dir.path(), &body, 20_000);
        assert_eq!(hook.observe().unwrap(), Observation::Unknown);
        for mode in OperatingMode::ALL {
            hook.set(&order(mode)).unwrap();
            assert_eq!(hook.observe().unwrap(), Observation::At(mode));
        }
    }

    #[test]
    fn a_bad_hook_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for (body, want) in
            [("exit 3", "failed"), ("echo maybe", "answered `maybe`"), ("true", "answered ``")]
        {
            let error = hook(dir.path(), body, 20_000).observe().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        let missing =
            HookConfig { program: dir.path().join("missing"), args: vec![], timeout: Duration::from_secs(1) };
        assert!(matches!(Hook::new(missing).observe(), Err(ActuatorError::Spawn { .. })));
    }

    #[test]
    fn a_hanging_hook_is_killed_with_all_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let body = format!("sleep 1000 & echo $! > {}; wait", pid_file.display());
        let error = hook(dir.path(), &body, 1_000).observe().unwrap_err();
        assert!(matches!(error, ActuatorError::Timeout { .. }), "{error}");
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while process::start_time(pid).is_some() {
            assert!(std::time::Instant::now() < deadline, "the hook's child lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_hook_that_leaves_something_in_the_background_does_not_hold_us_up() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let body = format!("echo full; sleep 60 & echo $! > {}", pid_file.display());
        let mut hook = hook(dir.path(), &body, 30_000);
        assert_eq!(hook.observe().unwrap(), Observation::At(OperatingMode::Full));
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        process::signal(pid, None, rustix::process::Signal::KILL);
    }
}
