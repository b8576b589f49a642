//! The daemon under test: `coterm-cloud serve` on an address of its own, with data that survives its restarts.

use crate::operator::Operator;
use crate::place::Place;
use crate::process::{Process, Said, program, run};
use crate::wait::eventually;
use rustix::process::Signal;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where the API listens, on the daemon's own address.
pub const HTTP_PORT: u16 = 8080;
/// Where devices connect.
pub const MQTT_PORT: u16 = 8883;

/// Where devices with a claim code connect.
pub const ENROLMENT_PORT: u16 = 8884;

/// A daemon, running or not, with everything it needs to be started again.
#[derive(Debug)]
pub struct Cloud {
    // Declared first, so that it is gone before the directory it works in.
    process: Option<Process>,
    place: Place,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    dir: TempDir,
}

impl Cloud {
    /// A running daemon in demonstration mode with fresh data.
    #[track_caller]
    #[must_use]
    pub fn start() -> Cloud {
        Cloud::start_with(&[])
    }

    /// The same, with these `KEY=VALUE` settings on top.
    #[track_caller]
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Cloud {
        let mut cloud = Cloud::prepare(settings);
        cloud.restart();
        cloud
    }

    /// A daemon that has not been started yet.
    ///
    /// # Panics
    /// There is no place for it.
    #[must_use]
    pub fn prepare(settings: &[&str]) -> Cloud {
        let place = Place::take();
        let ip = place.address();
        let mut all = vec![
            format!("http.listen={ip}:{HTTP_PORT}"),
            format!("mqtt.embedded.listen={ip}:{MQTT_PORT}"),
            format!("mqtt.embedded.server_names={ip}"),
            format!("mqtt.external.host={ip}"),
            format!("enrolment.listen={ip}:{ENROLMENT_PORT}"),
            format!("enrolment.server_names={ip}"),
            String::from("trust_domain=e2e.coterm.test"),
            // Long enough that no renewal comes between; the tests of leases say otherwise.
            String::from("tokens.lease_secs=600"),
            String::from("tokens.offline_budget_secs=3600"),
            String::from("limits.sweep_secs=1"),
            String::from("limits.nonce_interval_secs=1"),
            String::from("log.filter=info,coterm_cloud=debug"),
        ];
        all.extend(settings.iter().map(|setting| (*setting).to_owned()));
        Cloud {
            process: None,
            place,
            settings: all,
            environment: Vec::new(),
            dir: TempDir::with_prefix("coterm-e2e-").expect("a directory"),
        }
    }

    /// Starts the daemon (again) and waits until it is ready.
    ///
    /// # Panics
    /// It ends instead, or does not become ready.
    #[track_caller]
    pub fn restart(&mut self) {
        self.launch();
        self.becomes_ready();
    }

    /// Starts the daemon (again) and leaves it at that: it may be killed before it is ready.
    ///
    /// # Panics
    /// It runs already.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.process.is_none(), "stop it first");
        self.process = Some(Process::start("coterm-cloud", self.command("serve"), &self.log_file()));
    }

    /// Waits until a daemon that was launched is ready.
    ///
    /// # Panics
    /// It ends instead, or does not become ready.
    #[track_caller]
    pub fn becomes_ready(&mut self) {
        let url = format!("{}/ready", self.url());
        let process = self.process.as_mut().expect("it was launched");
        eventually("the daemon to be ready", || {
            if let Some(status) = process.ended() {
                panic!("coterm-cloud ended with {status}:\n{}", process.log());
            }
            ureq::get(&url).call().map(drop).map_err(|error| error.to_string())
        });
    }

    /// Sets a variable of the environment for the daemon and its commands, from their next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Runs `coterm-cloud keys ...`, whether the daemon runs or not.
    #[track_caller]
    #[must_use]
    pub fn keys(&self, arguments: &[&str]) -> Said {
        run(self.keys_command(arguments))
    }

    /// The same, to be started by whoever wants to kill it.
    #[must_use]
    pub fn keys_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("keys");
        command.args(arguments);
        command
    }

    /// What `keys status` knows.
    ///
    /// # Panics
    /// It cannot be read.
    #[track_caller]
    #[must_use]
    pub fn keys_status(&self) -> serde_json::Value {
        let said = self.keys(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"))
    }

    /// Runs a command of the daemon's program with this daemon's settings to its end.
    #[track_caller]
    #[must_use]
    pub fn run(&self, command: &str) -> Said {
        run(self.command(command))
    }

    /// The same with more arguments.
    #[track_caller]
    #[must_use]
    pub fn run_with(&self, command: &str, arguments: &[&str]) -> Said {
        let mut line = self.command(command);
        line.args(arguments);
        run(line)
    }

    /// A command of the daemon's program with this daemon's settings, to be run as the caller likes.
    #[must_use]
    pub fn command(&self, command: &str) -> Command {
        let mut line = Command::new(program("coterm-cloud"));
        line.arg(command).arg("--data-dir").arg(self.data_dir()).arg("--demonstration");
        for setting in &self.settings {
            line.args(["--set", setting.as_str()]);
        }
        clean(&mut line, self.dir.path());
        line.envs(self.environment.iter().map(|(name, value)| (name, value)));
        line
    }

    /// Asks the daemon to stop and waits for it.
    ///
    /// # Panics
    /// It does not run, does not stop, or calls it a failure.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let status = process.terminate();
        assert!(
            status.success(),
            "a daemon that is asked to stop exits with 0, not {status}:\n{}",
            process.log()
        );
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// It does not run.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Sends a signal and leaves it at that.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(process) = &mut self.process {
            process.signal(signal);
        }
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.place.address()
    }

    /// Where the API is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}:{HTTP_PORT}", self.address())
    }

    /// Where devices with a claim code connect.
    #[must_use]
    pub fn enrolment(&self) -> String {
        format!("{}:{ENROLMENT_PORT}", self.address())
    }

    /// A directory for whatever the test needs besides.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where books and keys are.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the daemon where it is expected to refuse; what it said, or nothing if it became ready and was stopped again.
    ///
    /// # Panics
    /// It runs already.
    #[track_caller]
    #[must_use]
    pub fn refuses_to_start(&mut self) -> Option<Said> {
        assert!(self.process.is_none(), "stop it first");
        let log = self.dir.path().join("refusal.log");
        let _ = std::fs::remove_file(&log);
        let mut process = Process::start("coterm-cloud", self.command("serve"), &log);
        let url = format!("{}/ready", self.url());
        let ended = eventually("the daemon to start or to refuse", || {
            if let Some(status) = process.ended() {
                return Ok(Some(status));
            }
            ureq::get(&url).call().map(|_| None).map_err(|error| error.to_string())
        });
        let Some(status) = ended else {
            let _ = process.terminate();
            return None;
        };
        Some(Said { code: status.code().unwrap_or(-1), stdout: String::new(), stderr: process.log() })
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("cloud.log")
    }

    /// What it logged, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The vendor, by the token of the first start.
    #[must_use]
    pub fn vendor(&self) -> Operator {
        Operator::new(self.url(), self.data_dir().join("admin.token"))
    }
}

/// Takes the surroundings away: a test must not depend on who runs it, nor leave anything in their home.
pub(crate) fn clean(command: &mut Command, home: &Path) {
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("RUST_BACKTRACE", "1");
    command.current_dir(home);
}
