//! A whole installation to look at: a real daemon, real agents over real MQTT and TLS, and a ladder that fits in a minute.
//!
//! **Problem.** Nobody can wait ninety days to see what a license group does to a door. **Method.** The daemon of this
//! program is started in process, in demonstration mode, on free ports of loopback with fresh books and a fresh PKI; an
//! organization is built through the HTTP API; `coterm-agent` processes are provisioned and started, each with a workload
//! or a hook of its own; then the script ([`script`]) lets a group's term end and asserts every step on the devices.
//! Everything lives in one temporary directory and is gone afterwards. **Deliberately absent:** any shortcut. What the
//! demonstration does, an operator can do with the same requests.

mod api;
mod cast;
mod fleet;
mod place;
mod props;
mod script;

pub use props::{agent, hook, workload};

use crate::app::App;
use crate::clock::SystemClock;
use crate::config::{Config, ConfigFindings, Sources};
use api::{Api, ApiError, text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cast::{HEADQUARTERS, Pace, ROLES, SHOPS, Stage, WAREHOUSES};
use coterm_shared::time::{Seconds, Timestamp};
use fleet::{Player, Programs};
use place::Place;
use script::{Narrator, Scene, Watch};
use serde_json::Value;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What can be chosen about a demonstration.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What to show.
    #[arg(long, value_enum, default_value_t = Scenario::Ladder)]
    scenario: Scenario,
    /// End when the scenario has been shown; exit 0 only if every step came about.
    #[arg(long)]
    exit: bool,
    /// Where to keep everything while it runs; a temporary directory by default. It must not exist yet.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What a demonstration shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// licensed, grace, management-locked, stopped, a key is claimed, licensed
    Ladder,
    /// Only the installation, everything licensed.
    Still,
}

/// Why a demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The agent's program is not where it should be.
    #[error("{} is missing: build it with `cargo build -p coterm-agent`, or name it in COTERM_AGENT", .0.display())]
    NoAgent(PathBuf),
    /// A file or process of the stage failed.
    #[error("{what}: {source}")]
    Stage {
        /// What failed.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The configuration of the daemon did not load.
    #[error("{0}")]
    Config(ConfigFindings),
    /// A request failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What was seen is not what should be seen.
    #[error("{0}")]
    Differs(String),
    /// Someone pressed Ctrl-C, or nobody watches any more.
    #[error("interrupted before every step was shown")]
    Interrupted,
}

/// Runs the demonstration until it has been shown, or until it is interrupted.
///
/// # Errors
/// The installation cannot be started, or a step did not come about.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let programs = Programs::find()?;
    // Before anything is made that would stay behind.
    let mut interrupts = Interrupts::listen()?;
    let place = Place::make(options.dir.as_deref())?;
    let log = place.dir.join("cloud.log");
    log_to(&log)?;
    let mut running = App::start(configuration(&place.dir)?, Arc::new(SystemClock)).await?;
    let http = running.http_addr;
    let token = fs::read_to_string(running.data_dir.join("admin.token"))?.trim().to_owned();

    let leave = Arc::new(AtomicBool::new(false));
    let show = Show {
        api: Api::new(format!("http://{http}"), token),
        server: format!("http://{http}"),
        token_file: running.data_dir.join("admin.token"),
        dir: place.dir.clone(),
        programs,
        leave: Arc::clone(&leave),
        options: options.clone(),
    };
    let mut stage = tokio::task::spawn_blocking(move || show.run());
    let shown = tokio::select! {
        shown = &mut stage => shown?,
        failure = running.failed() => { leave.store(true, Ordering::Relaxed); let _ = stage.await; anyhow::bail!(failure) }
        () = interrupts.any() => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stdout(), "\nstopping...");
            leave.store(true, Ordering::Relaxed);
            stage.await?
        }
    };
    running.stop().await;
    match shown {
        Ok(()) => Ok(()),
        // Whoever asked for the whole scenario must not take half of it for a success.
        Err(DemoError::Interrupted) if options.exit => Err(DemoError::Interrupted.into()),
        Err(DemoError::Interrupted) => Ok(()),
        Err(error) => {
            eprintln!("the end of the daemon's log:");
            for line in tail(&log, 15) {
                eprintln!("    {line}");
            }
            Err(error.into())
        }
    }
}

/// What ends a demonstration from outside: Ctrl-C, `kill`, a terminal that is closed.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn listen() -> io::Result<Interrupts> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Interrupts([interrupt?, terminate?, hangup?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

fn configuration(dir: &Path) -> Result<Config, DemoError> {
    let set = |key: &str, value: String| (key.to_owned(), value);
    let flags = vec![
        set("data_dir", dir.join("cloud").display().to_string()),
        set("trust_domain", "demo.coterm".to_owned()),
        set("http.listen", "127.0.0.1:0".to_owned()),
        set("mqtt.embedded.listen", "127.0.0.1:0".to_owned()),
        set("enrolment.listen", "127.0.0.1:0".to_owned()),
    ];
    let sources = Sources { flags, demonstration: true, ..Sources::default() };
    Config::load(&sources).map_err(DemoError::Config)
}

/// The daemon logs to a file: the screen is the narrator's.
fn log_to(path: &Path) -> anyhow::Result<()> {
    let file = fs::File::create(path)?;
    let filter = tracing_subscriber::EnvFilter::try_from_env("COTERM_DEMO_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,mqtt5=error"));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Arc::new(file));
    // A subscriber that is there already is as good.
    let _ = subscriber.try_init();
    Ok(())
}

fn tail(path: &Path, lines: usize) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let all: Vec<String> = text.lines().map(str::to_owned).collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().to_vec()
}

/// Everything a demonstration needs, on a thread of its own: it waits a lot.
struct Show {
    api: Api,
    server: String,
    token_file: PathBuf,
    dir: PathBuf,
    programs: Programs,
    leave: Arc<AtomicBool>,
    options: Options,
}

impl Show {
    fn run(&self) -> Result<(), DemoError> {
        // Dropping the players stops them.
        self.play(&mut Vec::new())
    }

    fn pace(&self) -> Pace {
        // Agents have to be up before the term ends, also on a busy machine.
        let (term_left, step) = if self.options.exit { (12, 5) } else { (20, 15) };
        Pace { term_left: Seconds(term_left), grace: Seconds(step), stop_after_lock: Seconds(step) }
    }

    fn play(&self, players: &mut Vec<Player>) -> Result<(), DemoError> {
        let narrator = Narrator::new(&self.leave);
        let pace = self.pace();
        let stage = cast::build(&self.api, &pace)?;
        narrator.say("An organization, Northwind Logistics, with three license groups:");
        self.tell_groups(&narrator, &stage)?;
        for group in [HEADQUARTERS, WAREHOUSES] {
            self.open(&stage, group, players)?;
        }
        // Only when the others are up: the term of this group is about to end.
        match self.options.scenario {
            Scenario::Still => {
                cast::claim(&self.api, &stage.organization, &stage.cure, Some(stage.group(SHOPS)))?;
            }
            Scenario::Ladder => {
                Watch::new(players, &self.leave, &narrator).wait_for(
                    Scene::Licensed,
                    None,
                    Duration::ZERO,
                )?;
                self.start_the_clock(&narrator, &stage, &pace)?;
            }
        }
        self.open(&stage, SHOPS, players)?;
        narrator.say("Six agents run, each with a certificate of its own over MQTT and TLS 1.3.");
        let mut watch = Watch::new(players, &self.leave, &narrator);
        watch.wait_for(Scene::Licensed, Some(SHOPS), Duration::ZERO)?;
        if self.options.scenario == Scenario::Ladder {
            self.ladder(&mut watch, &stage, &pace)?;
        }
        if self.options.exit {
            narrator.say("Every step came about as announced.");
            return Ok(());
        }
        self.invite(&narrator, &stage);
        while !self.leave.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Claims, provisions and starts the devices of a group.
    fn open(&self, stage: &Stage, group: &str, players: &mut Vec<Player>) -> Result<(), DemoError> {
        for role in ROLES.iter().filter(|role| role.group == group) {
            cast::claim_device(&self.api, stage, role)?;
            let dir = self.provision(stage, role.id)?;
            players.push(Player::start(&self.programs, role.id, &dir, role.obeys)?);
        }
        Ok(())
    }

    /// Gives *Shops* a key that was bought almost a year ago.
    fn start_the_clock(&self, narrator: &Narrator, stage: &Stage, pace: &Pace) -> Result<(), DemoError> {
        cast::license_shops(&self.api, stage, now()?, pace)?;
        narrator.say(&format!(
            "Shops got a key bought almost a year ago: {} s of its term are left; then {} s of grace, {} s of lock.",
            pace.term_left.0, pace.grace.0, pace.stop_after_lock.0
        ));
        Ok(())
    }

    fn ladder(&self, watch: &mut Watch<'_>, stage: &Stage, pace: &Pace) -> Result<(), DemoError> {
        watch.remember_bystanders();
        for (scene, within) in [
            (Scene::Grace, pace.term_left),
            (Scene::ManagementLocked, pace.grace),
            (Scene::Stopped, pace.stop_after_lock),
        ] {
            watch.wait_for(scene, Some(SHOPS), Duration::from_secs(within.0))?;
            watch.bystanders_are_untouched()?;
            self.tell_why(watch.narrator, stage)?;
        }
        watch
            .narrator
            .say("Nothing was sent for any of this: the devices knew the schedule from their last token.");
        watch.narrator.say("Now the key that was bought in time after all is claimed into Shops.");
        cast::claim(&self.api, &stage.organization, &stage.cure, Some(stage.group(SHOPS)))?;
        watch.wait_for(Scene::Licensed, Some(SHOPS), Duration::ZERO)?;
        watch.bystanders_are_untouched()?;
        self.tell_why(watch.narrator, stage)?;
        watch.narrator.say("Headquarters and Warehouses were not touched: same mode, same tokens.");
        Ok(())
    }

    fn tell_groups(&self, narrator: &Narrator, stage: &Stage) -> Result<(), DemoError> {
        for (name, what) in [
            (HEADQUARTERS, "1 year of a camera at $199, 3 years of an air sensor at $249: 771 days"),
            (WAREHOUSES, "1 year and 3 years of a camera: 730 days"),
            (SHOPS, "a camera, and a door controller that counts as 4 doors"),
        ] {
            let group = self.group(stage, name)?;
            let date = group.get("coterm_at").and_then(Value::as_str).unwrap_or("no date yet");
            narrator.say(&format!("    {name:<13} ends {date:<21} {what}"));
        }
        Ok(())
    }

    fn tell_why(&self, narrator: &Narrator, stage: &Stage) -> Result<(), DemoError> {
        let group = self.group(stage, SHOPS)?;
        let findings = group.get("why").and_then(Value::as_array).into_iter().flatten();
        let why: Vec<String> = findings
            .map(|finding| format!("{}: {}", text(finding, "code"), text(finding, "sentence")))
            .collect();
        let why = if why.is_empty() { "compliant".to_owned() } else { why.join("; ") };
        let next = group.get("next").and_then(Value::as_str).unwrap_or("nothing else is announced");
        narrator.say(&format!("    why: {why}"));
        narrator.say(&format!("    next: {next}"));
        Ok(())
    }

    fn group(&self, stage: &Stage, name: &str) -> Result<Value, ApiError> {
        self.api.get(&format!("/api/v1/organizations/{}/groups/{}", stage.organization, stage.group(name)))
    }

    /// Writes a device's directory, as `coterm device provision` does.
    fn provision(&self, stage: &Stage, device: &str) -> Result<PathBuf, DemoError> {
        let path = format!("/api/v1/organizations/{}/devices/{device}/provision", stage.organization);
        let bundle = self.api.post(&path, &Value::Null)?;
        let dir = self.dir.join(device);
        let failed = |source| DemoError::Stage { what: format!("the directory of {device}"), source };
        fs::DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        for file in bundle.get("files").and_then(Value::as_array).into_iter().flatten() {
            let bytes = match file.get("base64").and_then(Value::as_str) {
                Some(encoded) => STANDARD.decode(encoded).map_err(|e| failed(io::Error::other(e)))?,
                None => text(file, "text").into_bytes(),
            };
            let mut options = fs::OpenOptions::new();
            let opened = options.write(true).create_new(true).mode(0o600).open(dir.join(text(file, "name")));
            opened.and_then(|mut file| file.write_all(&bytes)).map_err(failed)?;
        }
        Ok(dir)
    }

    /// Tells the audience what to try next, in commands that work as they stand.
    fn invite(&self, narrator: &Narrator, stage: &Stage) {
        let (bin, dir, token) =
            (self.programs.dir().display(), self.dir.display(), self.token_file.display());
        let (server, spare) = (&self.server, &stage.spare);
        narrator.print(&format!(
            "
Everything goes on running; Ctrl-C ends it and leaves nothing behind. In another terminal:

  export PATH=\"{bin}:$PATH\" COTERM_SERVER={server} COTERM_TOKEN_FILE={token}

  coterm group list
  coterm log list
  coterm-agent status --config {dir}/cam-shop/agent.toml
  coterm-agent allows manage --config {dir}/door-shop/agent.toml; echo $?

Put a third camera into a group licensed for two, see who is affected, and cure it with a spare key:

  coterm device claim cam-dock-3 --model CB52 --site \"Warehouse North\"
  coterm group show {WAREHOUSES}
  coterm key claim --group {WAREHOUSES} {spare}"
        ));
    }
}

fn now() -> Result<Timestamp, DemoError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let secs =
        since.map_err(|e| DemoError::Stage { what: "the clock".to_owned(), source: io::Error::other(e) })?;
    Ok(Timestamp::from_secs_clamped(secs.as_secs()))
}
