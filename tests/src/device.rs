//! A device: the directory an installer brings to it, the agent that runs on it, and what it does for a living.

use crate::cloud::{Cloud, clean};
use crate::operator::{CAMERA, Tenant};
use crate::process::{Process, Said, program, run};
use crate::wait::{eventually, holds};
use crate::workload::Workload;
use coterm_shared::enforcement::{OperatingMode, PublicState, Record};
use coterm_shared::token::TokenVersion;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// How the device is made to obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeys {
    /// Its workload is supervised: started and stopped.
    BySupervision,
    /// Nothing is moved; the agent only says what it would do. For door controllers, which supervision refuses.
    InWordsOnly,
}

/// A provisioned device, its agent running or not.
#[derive(Debug)]
pub struct Device {
    // Declared first, so that it is gone before the workload and the directory.
    agent: Option<Process>,
    /// What it does for a living.
    pub workload: Workload,
    id: String,
    dir: PathBuf,
    environment: Vec<(String, String)>,
}

impl Device {
    /// Provisions a claimed device with `coterm device provision` and configures its agent for tests.
    #[track_caller]
    #[must_use]
    pub fn provision(cloud: &Cloud, tenant: &Tenant, id: &str, obeys: Obeys) -> Device {
        let dir = cloud.dir().join("devices").join(id);
        let path = dir.to_str().expect("plain ASCII");
        let said = tenant.coterm(&["device", "provision", id, "-o", path]);
        assert_eq!(said.code, 0, "{said:?}");
        Device::of_directory(cloud, id, obeys)
    }

    /// The same for a device that was provisioned already, into the directory its cloud has for it.
    #[must_use]
    pub fn of_directory(cloud: &Cloud, id: &str, obeys: Obeys) -> Device {
        let dir = cloud.dir().join("devices").join(id);
        let workload = Workload::new(&dir.join("workload"));
        let device = Device { agent: None, workload, id: id.to_owned(), dir, environment: Vec::new() };
        device.configure(obeys);
        device
    }

    /// The camera `cam-1`, licensed for a year in a group of its own, of a tenant with these times of grace and until it stops,
    /// in seconds; provisioned, and not started.
    #[track_caller]
    #[must_use]
    pub fn only_camera(cloud: &Cloud, grace: u64, stop: u64) -> (Tenant, Device) {
        let tenant = cloud.vendor().organization("Acme", grace, stop);
        let group = tenant.group("North");
        tenant.license(&group, "camera", 1, 365 * 86_400);
        tenant.device("cam-1", "North", CAMERA);
        let device = Device::provision(cloud, &tenant, "cam-1", Obeys::BySupervision);
        (tenant, device)
    }

    /// A device whose directory was filled by hand, with the beginning of an `agent.toml`.
    #[must_use]
    pub fn by_hand(dir: PathBuf, id: &str, head: &str, obeys: Obeys) -> Device {
        let workload = Workload::new(&dir.join("workload"));
        let device = Device { agent: None, workload, id: id.to_owned(), dir, environment: Vec::new() };
        device.set_config(head);
        device.configure(obeys);
        device
    }

    /// Replaces the actuator of the provisioned configuration and adds short times.
    fn configure(&self, obeys: Obeys) {
        let provisioned = self.config();
        let (head, _) = provisioned.split_once("[[actuator]]").unwrap_or((provisioned.as_str(), ""));
        let actuator = match obeys {
            Obeys::BySupervision => format!(
                "kind = \"supervise\"\nprogram = {:?}\nargs = [{:?}]\nstop_timeout_secs = 2\n",
                program("coterm-workload"),
                self.workload.dir()
            ),
            Obeys::InWordsOnly => String::from("kind = \"dry-run\"\n"),
        };
        let text = format!(
            "{head}[[actuator]]\n{actuator}\n[timing]\nobserve_secs = 1\nmax_backoff_secs = 1\nconnect_timeout_secs = 5\n\
             heartbeat_secs = 60\n\n[log]\nlevel = \"debug\"\n\n[demonstration]\nenabled = true\n"
        );
        self.set_config(&text);
    }

    /// Its configuration file as it is.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.config_file()).expect("agent.toml was provisioned")
    }

    /// Replaces its configuration file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn set_config(&self, text: &str) {
        std::fs::write(self.config_file(), text).expect("agent.toml can be written");
    }

    /// Where its configuration is.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts the agent.
    ///
    /// # Panics
    /// It runs already.
    #[track_caller]
    pub fn start(&mut self) {
        assert!(self.agent.is_none(), "stop it first");
        let command = self.command(&["run"]);
        self.agent = Some(Process::start(&format!("agent of {}", self.id), command, &self.log_file()));
    }

    /// A command of the agent's program, to be run as the caller likes.
    ///
    /// # Panics
    /// It was not built.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("coterm-agent"));
        command.args(arguments).arg("--config").arg(self.config_file());
        clean(&mut command, &self.dir);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sets variables of the environment for the agent, from its next start on.
    pub fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Runs a command of the agent's program to its end.
    #[track_caller]
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments))
    }

    /// `kill -9` of the agent; its workload is left as it is.
    ///
    /// # Panics
    /// It does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        self.agent.take().expect("the agent runs").kill();
    }

    /// Asks the agent to end; its workload is left as it is.
    ///
    /// # Panics
    /// It does not run, or does not end.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.agent.take().expect("the agent runs").terminate()
    }

    /// Waits for the agent to end by itself.
    ///
    /// # Panics
    /// It does not run, or does not end.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> ExitStatus {
        self.agent.take().expect("the agent runs").wait(crate::wait::PATIENCE)
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("agent.log")
    }

    /// What the agent logged, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What the device's own programs can know.
    ///
    /// # Errors
    /// There is no state file (yet).
    pub fn state(&self) -> Result<PublicState, String> {
        let text =
            std::fs::read_to_string(self.dir.join("run/state.json")).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }

    /// Waits until the device is in `mode`, in its state file and in what it does.
    #[track_caller]
    pub fn reaches(&self, mode: OperatingMode) -> PublicState {
        eventually(&format!("{} to be {}", self.id, mode.name()), || {
            let state = self.state()?;
            holds(state.mode == mode, &state)?;
            Ok(state)
        })
    }

    /// Waits until the workload runs, or does not.
    #[track_caller]
    pub fn workload_runs(&self, runs: bool) {
        let what = format!("the workload of {} to {}", self.id, if runs { "run" } else { "stand still" });
        eventually(&what, || holds(self.workload.running().is_some() == runs, self.state()));
    }

    /// Waits until the device holds a token, and returns its version.
    #[track_caller]
    pub fn holds_token(&self) -> TokenVersion {
        eventually(&format!("{} to hold a token", self.id), || {
            let state = self.state()?;
            state.token.ok_or_else(|| format!("{state:?}"))
        })
    }

    /// What `coterm-agent allows ...` says: `Some(true)` for yes (exit code 0), `Some(false)` for no (1).
    #[track_caller]
    #[must_use]
    pub fn allows(&self, what: &str) -> Option<bool> {
        match self.run(&["allows", what]).code {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        }
    }

    /// Every file of its state directory with its bytes, sorted by name.
    ///
    /// # Panics
    /// The directory cannot be read.
    #[must_use]
    pub fn state_bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(self.dir.join("state"))
            .expect("the state directory is there")
            .flatten()
            .filter(|entry| entry.path().is_file())
            .map(|entry| (entry.path(), std::fs::read(entry.path()).expect("readable")))
            .collect();
        files.sort();
        files
    }

    /// The record on disk: of the two slots the whole one with the higher generation.
    ///
    /// # Panics
    /// A slot that looks whole holds no record.
    #[must_use]
    pub fn stored(&self) -> Option<Record> {
        // Magic and format, generation, length, checksum; then the record behind its own length.
        let field = |bytes: &[u8], at: usize, size: usize| {
            bytes
                .get(at..at + size)?
                .iter()
                .rev()
                .try_fold(0_u64, |sum, byte| Some(sum << 8 | u64::from(*byte)))
        };
        let slots = self.state_bytes().into_iter().filter_map(|(_, bytes)| {
            let generation = field(&bytes, 12, 8).filter(|_| bytes.starts_with(b"COTERMST"))?;
            let length = u32::from_be_bytes(bytes.get(56..60)?.try_into().ok()?) as usize;
            Some((generation, bytes.get(60..60 + length)?.to_vec()))
        });
        let (_, record) = slots.max_by_key(|(generation, _)| *generation)?;
        Some(Record::decode(&record).expect("a record"))
    }
}
