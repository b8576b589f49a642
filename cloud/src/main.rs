//! `coterm-cloud`: the daemon and what an operator does to it on its own machine.
//!
//! Exit codes: 0 done, or stopped when asked to; 1 failed while running; 2 the command line is wrong; 3 the
//! configuration is wrong; 4 `check` found something; 5 it cannot start (data directory, keys, database, ports).

use anyhow::{Context, anyhow};
use clap::{Args, CommandFactory, Parser, Subcommand};
use coterm_cloud::app::{App, Outcome, StartError, check, migrate};
use coterm_cloud::backup::{self, BackupError};
use coterm_cloud::clock::{Clock, SystemClock};
use coterm_cloud::config::{Config, ConfigFindings, ENVIRONMENT_FILE, Sources, example, in_force};
use coterm_cloud::conformance::{self, BrokerArgs};
use coterm_cloud::http::Readiness;
use coterm_cloud::keys::{self, KeysCommand, KeysFailure};
use coterm_cloud::manual::{self, ManArgs, Notes};
use coterm_cloud::{demo, telemetry};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Books are trees of small allocations that one thread makes and others let go (decision 0028).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Keeps the books of license groups and signs what devices may do.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = after_help()
)]
struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Options {
    /// The configuration file; `conf.d/*.toml` beside it is read too. Without it the defaults hold.
    #[arg(long, short, global = true, env = ENVIRONMENT_FILE, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where books and keys are kept; overrides `data_dir`.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Overrides any key of the configuration; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Lifts the bounds of durations, for shows only. Never use it where doors depend on it.
    #[arg(long, global = true)]
    demonstration: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon until it is told to stop (SIGTERM, SIGINT).
    Serve {
        /// The clock of this machine was looked at and is right: sign although the books were silent for long.
        #[arg(long)]
        confirm_clock: bool,
    },
    /// Run a whole installation with simulated devices, to look at. Nothing of it is kept.
    Demo(demo::Options),
    /// Print the OpenAPI document of the HTTP interface, as the daemon serves it at /api/v1/openapi.json.
    Openapi,
    /// Look at configuration, data directory, database, keys and ports, and say what to do; changes nothing.
    Check {
        #[command(subcommand)]
        what: Option<CheckCommand>,
    },
    /// Rotate, revoke and recover keys: no device has to be touched, and the daemon may run or not.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Copy everything the daemon keeps into a new directory, consistently, while it runs, and read the copy back.
    Backup {
        /// The directory the backup becomes a directory in, best on another disk.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Leave out private keys and API secrets: for those who keep them elsewhere. Such a backup alone cannot be started.
        #[arg(long)]
        without_keys: bool,
    },
    /// Put a backup in the place of the data directory; the daemon must be stopped. Checks all of it first, deletes nothing.
    Restore {
        /// The directory that `backup` made.
        from: PathBuf,
        /// Move what is in the data directory aside.
        #[arg(long)]
        replace: bool,
    },
    /// Bring the database to the schema of this program.
    Migrate,
    /// A workload for the demonstration's devices.
    #[command(hide = true)]
    DemoWorkload {
        /// Where it leaves its heartbeat.
        dir: PathBuf,
        /// The demonstration's process: without it, it ends.
        stage: u32,
    },
    /// Becomes the agent of a demonstration's device.
    #[command(hide = true)]
    DemoAgent {
        /// The demonstration's process: without it, the agent ends.
        stage: u32,
        /// The agent's program.
        program: PathBuf,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// A hook for the demonstration's door controller.
    #[command(hide = true)]
    DemoHook {
        /// Where it keeps the mode.
        dir: PathBuf,
        /// `observe` or `set`.
        verb: String,
        /// The mode to set.
        mode: Option<String>,
    },
    Man(ManArgs),
    /// Print the configuration in force, or an example of every key.
    Config {
        /// Print a commented file with every key and its default.
        #[arg(long)]
        example: bool,
    },
}

#[derive(Subcommand)]
enum CheckCommand {
    /// Prove on an MQTT broker that it keeps devices apart and does what it must, by trying everything as a device would.
    /// Stop the daemon first; takes about a minute and leaves nothing behind.
    Broker(BrokerArgs),
}

/// What the manual pages say besides the command line.
const NOTES: Notes<'_> = Notes {
    exit_status: &[
        (0, "done, or stopped when asked to"),
        (1, "failed while running"),
        (2, "the command line is wrong"),
        (3, "the configuration is wrong"),
        (4, "check, check broker or keys status found something"),
        (5, "cannot start: data directory, keys, database, ports"),
    ],
    environment: &[
        (ENVIRONMENT_FILE, "the configuration file, as --config"),
        ("COTERM_CLOUD_...", "any key of the configuration, such as COTERM_CLOUD_HTTP__LISTEN"),
        ("NO_COLOR", "when set to anything, the log is not colored"),
    ],
};

fn after_help() -> String {
    let lines = NOTES.exit_status.iter().map(|(status, meaning)| format!("  {status}  {meaning}"));
    format!("Exit status:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Prints text. A reader that has seen enough (`| head`) is no failure.
fn say(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("standard output").map_err(Failure::Running),
    }
}

/// How the program ends when it does not end well.
enum Failure {
    /// While running.
    Running(anyhow::Error),
    /// The configuration is wrong.
    Config(ConfigFindings),
    /// `check` found something.
    Found,
    /// It cannot start.
    Start(StartError),
}

impl From<ConfigFindings> for Failure {
    fn from(findings: ConfigFindings) -> Failure {
        Failure::Config(findings)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Failure {
        Failure::Running(error.into())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        Failure::Start(error)
    }
}

impl Failure {
    fn report(&self) -> ExitCode {
        match self {
            Failure::Running(error) => {
                eprintln!("coterm-cloud: {error:#}");
                ExitCode::from(1)
            }
            Failure::Config(findings) => {
                eprintln!("{findings}");
                ExitCode::from(3)
            }
            Failure::Found => ExitCode::from(4),
            Failure::Start(error) => {
                eprintln!("coterm-cloud: {error}");
                ExitCode::from(5)
            }
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as http.listen=127.0.0.1:9000")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Options {
    /// The demonstration makes its own configuration; what would be ignored is refused instead.
    fn refuse_for_demo(&self) {
        // The variable is there for the daemon and says nothing about a demonstration.
        let named = self.config.is_some() && std::env::var_os(ENVIRONMENT_FILE).is_none();
        let given = [
            ("--config", named),
            ("--data-dir", self.data_dir.is_some()),
            ("--set", !self.set.is_empty()),
            ("--demonstration", self.demonstration),
        ];
        if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
            let text = format!(
                "`demo` takes no {flag}: it makes a configuration of its own in a temporary directory (--dir names another)"
            );
            Cli::command().error(clap::error::ErrorKind::ArgumentConflict, text).exit();
        }
    }

    fn sources(&self) -> Sources {
        let mut flags = self.set.clone();
        if let Some(dir) = &self.data_dir {
            flags.push((String::from("data_dir"), dir.display().to_string()));
        }
        Sources {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags,
            demonstration: self.demonstration,
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let load = || Config::load(&cli.options.sources());
    match &cli.command {
        Command::Serve { confirm_clock } => serve(load()?, *confirm_clock),
        Command::Demo(options) => {
            cli.options.refuse_for_demo();
            runtime()?.block_on(demo::run(options)).map_err(Failure::Running)
        }
        Command::DemoWorkload { dir, stage } => {
            demo::workload(dir, *stage).map_err(|error| Failure::Running(error.into()))
        }
        Command::DemoAgent { stage, program, arguments } => {
            Err(Failure::Running(demo::agent(*stage, program, arguments).into()))
        }
        Command::DemoHook { dir, verb, mode } => {
            demo::hook(dir, verb, mode.as_deref()).map_err(|error| Failure::Running(error.into()))
        }
        Command::Check { what: Some(CheckCommand::Broker(args)) } => {
            if conformance::run(args, &load()?).map_err(Failure::Running)? {
                Ok(())
            } else {
                Err(Failure::Found)
            }
        }
        Command::Check { what: None } => {
            let mut clean = true;
            for Outcome { subject, finding } in check(&load()?, SystemClock.now()) {
                match finding {
                    Ok(found) => say(&format!("ok    {subject}: {found}\n"))?,
                    Err(problem) => {
                        clean = false;
                        say(&format!("WRONG {subject}: {problem}\n"))?;
                    }
                }
            }
            if clean { Ok(()) } else { Err(Failure::Found) }
        }
        Command::Keys(command) => keys::run(command, load).map_err(|failure| match failure {
            KeysFailure::Config(findings) => Failure::Config(findings),
            KeysFailure::Failed(error) => Failure::Running(error),
            KeysFailure::Found => Failure::Found,
        }),
        Command::Backup { to, without_keys } => {
            say(&backup::take_and_tell(&load()?, to, !without_keys, SystemClock.now())?)
        }
        Command::Restore { from, replace } => {
            say(&backup::restore_and_tell(&load()?, from, *replace, SystemClock.now())?)
        }
        Command::Migrate => say(&format!("{}\n", migrate(&load()?)?)),
        Command::Man(args) => manual::run(Cli::command(), NOTES, args)
            .context("the manual cannot be written")
            .map_err(Failure::Running),
        Command::Openapi => say(coterm_cloud::http::openapi()),
        Command::Config { example: true } => say(&example()),
        Command::Config { example: false } => say(&in_force(&cli.options.sources())?),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Runtime::new().context("no threads can be started").map_err(Failure::Running)
}

/// Runs the daemon until a signal, or until something is badly wrong.
fn serve(config: Config, confirm_clock: bool) -> Result<(), Failure> {
    telemetry::start(&config.log);
    runtime()?.block_on(async {
        // Before anything is opened: a signal during the start must end in an orderly stop as well.
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            return Err(Failure::Running(anyhow!("signals cannot be received")));
        };
        let demonstration = config.demonstration;
        let mut running = App::start(config, Arc::new(SystemClock)).await?;
        if confirm_clock {
            running.confirm_time().await?;
        }
        if demonstration {
            tracing::warn!("demonstration mode: the bounds that keep doors open are lifted");
        }
        tracing::info!(http = %running.http_addr, mqtt = ?running.mqtt_addr, enrolment = ?running.enrolment_addr, data_dir = %running.data_dir.display(),
            "ready");
        // Without systemd there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let watched = tokio::spawn(watchdog(Arc::clone(&running.readiness)));
        let failed = tokio::select! {
            _ = terminate.recv() => None,
            _ = interrupt.recv() => None,
            reason = running.failed() => Some(reason),
        };
        watched.abort();
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("stopping");
        running.stop().await;
        match failed {
            None => Ok(()),
            Some(reason) => Err(Failure::Running(anyhow!(reason))),
        }
    })
}

/// Tells systemd that the process lives, if it asked to be told (`WatchdogSec=`): one whose parts are gone is started anew.
async fn watchdog(readiness: Arc<dyn Readiness>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut looks = tokio::time::interval(within / 3);
    loop {
        looks.tick().await;
        if !readiness.obstacles().iter().any(|obstacle| obstacle.dead) {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}
