//! Real `coterm-agent` processes, one a device, each with a workload or a hook of its own.

use super::DemoError;
use super::props::{HEARTBEAT_FILE, MODE_FILE, PID_FILE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What makes a demonstration device obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obeys {
    /// The agent runs the workload and stops it.
    Workload,
    /// The agent tells a hook; the device's own process is never touched (door controllers).
    Hook,
}

/// A device on stage: its directory and its agent.
pub(super) struct Player {
    pub(super) device: String,
    pub(super) obeys: Obeys,
    dir: PathBuf,
    agent: Child,
}

/// What can be seen of a device from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Where it says it stands on the ladder.
    pub(super) state: String,
    /// What it says it does.
    pub(super) mode: String,
    /// Whether its own programs may manage it.
    pub(super) manage: bool,
    /// Whether its workload really runs, or which mode its hook was really told.
    pub(super) really: String,
    /// The version of the token it holds.
    pub(super) token: String,
    /// Why, in its own words.
    pub(super) why: String,
}

impl Player {
    /// Starts the agent of a provisioned device.
    pub(super) fn start(
        programs: &Programs,
        device: &str,
        dir: &Path,
        obeys: Obeys,
    ) -> Result<Player, DemoError> {
        let stage = |error| DemoError::Stage { what: format!("the directory of {device}"), source: error };
        let conf = dir.join("conf.d");
        fs::create_dir_all(&conf).map_err(stage)?;
        fs::write(conf.join("demo.toml"), programs.configuration(dir, obeys)).map_err(stage)?;
        let log = File::create(dir.join("agent.log")).map_err(stage)?;
        // Through a prop, so that it ends with this process even if that is killed.
        let agent = Command::new(&programs.own)
            .arg("demo-agent")
            .arg(std::process::id().to_string())
            .arg(&programs.agent)
            .arg("run")
            .arg("--config")
            .arg(dir.join("agent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| DemoError::Stage {
                what: format!("the agent of {device}, by {}", programs.own.display()),
                source: error,
            })?;
        Ok(Player { device: device.to_owned(), obeys, dir: dir.to_owned(), agent })
    }

    /// Looks at the device: its public state, and what its workload or hook really does.
    pub(super) fn look(&self) -> Option<Seen> {
        let state: Value = serde_json::from_slice(&fs::read(self.dir.join("run/state.json")).ok()?).ok()?;
        let text = |key: &str| state.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        let token = state.get("token").filter(|token| !token.is_null());
        let why = state.get("why").and_then(Value::as_array).into_iter().flatten();
        Some(Seen {
            state: text("state"),
            mode: text("mode"),
            manage: state.pointer("/allows/manage").and_then(Value::as_bool).unwrap_or(false),
            really: self.really(),
            token: token.map(Value::to_string).unwrap_or_default(),
            why: why.filter_map(Value::as_str).collect::<Vec<_>>().join("; "),
        })
    }

    fn really(&self) -> String {
        match self.obeys {
            Obeys::Hook => {
                fs::read_to_string(self.dir.join(MODE_FILE)).unwrap_or_else(|_| "never told".to_owned())
            }
            Obeys::Workload => if self.workload().is_some() { "running" } else { "not running" }.to_owned(),
        }
    }

    /// The workload's process, if it lives.
    fn workload(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.dir.join(PID_FILE)).ok()?.parse().ok()?;
        // A process that is gone, or only waits to be reaped, does not run.
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())?;
        let beats = self.dir.join(HEARTBEAT_FILE).exists();
        if beats && state != 'Z' && state != 'X' { Pid::from_raw(pid) } else { None }
    }

    /// How the agent's log ends, for a demonstration that goes wrong.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(12)).map(|line| format!("    {line}\n")).collect()
    }
}

/// Stops the agent as a shutdown would, and then its workload, which outlives an agent by design. Also when the show
/// ends by a defect: a stage that is struck leaves no processes.
impl Drop for Player {
    fn drop(&mut self) {
        let agent = i32::try_from(self.agent.id()).ok().and_then(Pid::from_raw);
        if let Some(agent) = agent {
            let _ = kill_process(agent, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.agent.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        if let Some(workload) = self.workload() {
            let _ = kill_process(workload, Signal::KILL);
        }
    }
}

/// The programs a demonstration runs.
pub(super) struct Programs {
    agent: PathBuf,
    own: PathBuf,
}

impl Programs {
    /// Finds `coterm-agent` beside this program, or where `COTERM_AGENT` says.
    pub(super) fn find() -> Result<Programs, DemoError> {
        let own = std::env::current_exe().map_err(|error| DemoError::Stage {
            what: "this program's own path".to_owned(),
            source: error,
        })?;
        let agent = match std::env::var_os("COTERM_AGENT") {
            Some(path) => PathBuf::from(path),
            None => own.with_file_name("coterm-agent"),
        };
        if agent.exists() { Ok(Programs { agent, own }) } else { Err(DemoError::NoAgent(agent)) }
    }

    /// Where the programs are, for the commands a demonstration suggests.
    pub(super) fn dir(&self) -> &Path {
        self.own.parent().unwrap_or(Path::new("."))
    }

    fn configuration(&self, dir: &Path, obeys: Obeys) -> String {
        // Debug output of a str is a valid TOML basic string for the paths a temporary directory can have.
        let program = format!("{:?}", self.own.display().to_string());
        let dir = format!("{:?}", dir.display().to_string());
        let stage = std::process::id();
        let actuator = match obeys {
            Obeys::Workload => format!(
                "kind = \"supervise\"\nprogram = {program}\n\
                 args = [\"demo-workload\", {dir}, \"{stage}\"]\nstop_timeout_secs = 3\n"
            ),
            Obeys::Hook => {
                format!("kind = \"command\"\nprogram = {program}\nargs = [\"demo-hook\", {dir}]\n")
            }
        };
        format!(
            "# Written by `coterm-cloud demo`: short times, and a stage prop for a device.\n\
             [demonstration]\nenabled = true\n\n\
             [timing]\nobserve_secs = 1\nmax_backoff_secs = 2\n\n\
             [log]\nlevel = \"info\"\n\n[[actuator]]\n{actuator}"
        )
    }
}
