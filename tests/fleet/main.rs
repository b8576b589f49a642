//! `coterm-fleet`: thousands of light agents over real TLS from one process, against a running cloud.
//!
//! **Problem.** What a cloud does to ten thousand devices cannot be seen with ten. **Method.** It founds an organization of its
//! own, claims and provisions its devices through the HTTP interface as an operator would, and runs the real driver of
//! each over a connection of its own ([`agent`]). Scenarios ([`scenario`]) then do what happens in a life: a verdict changes,
//! everything reconnects at once, devices come and go, nothing happens. What it measured is printed while it runs, and
//! a JSON document at the end. **Deliberately absent:** verdicts about the numbers; they depend on the machine.

// A tool of measurement may fail loudly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a tool that measures: what it cannot go on with ends it, and says where"
)]

mod agent;
mod api;
mod interface;
mod scenario;
mod tally;

use api::{Api, Failure};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// The fleet is to take as little of the machine as it can from the cloud that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a running cloud with a fleet of light agents: it makes an organization of its own there, and leaves it.
#[derive(Debug, Parser)]
#[command(name = "coterm-fleet")]
struct Options {
    /// What happens to the fleet.
    #[arg(value_enum)]
    scenario: Scenario,
    /// The cloud's HTTP interface.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    server: String,
    /// A vendor's API token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Devices.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    agents: u32,
    /// How long churn and steady take, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Time between two reports of an agent, in seconds.
    #[arg(long, default_value_t = 60)]
    heartbeat: u64,
    /// Of a hundred devices, how many hang up in a second of churn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    churn_percent: u32,
    /// Rounds of converge: locked, then restored.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// The longest pause of a device between two attempts to connect, in seconds.
    #[arg(long, default_value_t = 5)]
    max_backoff: u64,
    /// Where the JSON report goes; standard output without it.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What happens to a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// A group becomes noncompliant and compliant again: how long until the last device is driven there.
    Converge,
    /// Every connection ends at once: how long until they are back, and what the interface does meanwhile.
    Storm,
    /// Devices come and go.
    Churn,
    /// Nothing happens.
    Steady,
}

impl Scenario {
    const fn name(self) -> &'static str {
        match self {
            Scenario::Converge => "converge",
            Scenario::Storm => "storm",
            Scenario::Churn => "churn",
            Scenario::Steady => "steady",
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match measure(&options) {
        Ok(report) => {
            let text = serde_json::to_string_pretty(&report).expect("JSON");
            match &options.json {
                None => println!("{text}"),
                Some(path) => {
                    if let Err(error) = std::fs::write(path, text + "\n") {
                        eprintln!("coterm-fleet: {}: {error}", path.display());
                        return ExitCode::FAILURE;
                    }
                }
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("coterm-fleet: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<serde_json::Value, Failure> {
    let token = std::fs::read_to_string(&options.token_file)
        .map_err(|error| format!("{}: {error}", options.token_file.display()))?;
    let api = Api::new(&options.server, &token);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Scenario::Storm = options.scenario {
        // How long an operator waits is asked of the cloud. The handshakes of the devices are done elsewhere in truth: on the
        // same machine they get what it leaves.
        runtime.on_thread_start(yield_to_others);
    }
    let runtime = runtime.enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(scenario::run(options, api))
}

/// Gives the thread this is called on the lowest priority there is.
fn yield_to_others() {
    if let Err(error) = rustix::process::nice(19) {
        eprintln!("coterm-fleet: the agents are as urgent as the cloud: {error}");
    }
}
