//! `coterm-cloud`: the daemon and what an operator does to it on its own machine.
//!
//! Exit codes: 0 done, or stopped when asked to; 1 failed while running; 2 the command line is wrong; 3 the
//! configuration is wrong; 4 `check` found something; 5 it cannot start (data directory, keys, database, ports).

use clap::{Args, Parser, Subcommand};
use coterm_cloud::config::{Config, ConfigFindings, ENVIRONMENT_FILE, Sources, example};
use std::path::PathBuf;
use std::process::ExitCode;

/// Keeps the books of license groups and signs what devices may do.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Exit codes: 0 done, 1 failed while running, 2 wrong command line, \
    3 wrong configuration, 4 check found something, 5 cannot start."
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
    /// Print the configuration in force, or an example of every key.
    Config {
        /// Print a commented file with every key and its default.
        #[arg(long)]
        example: bool,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as http.listen=127.0.0.1:9000")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Options {
    fn load(&self) -> Result<Config, ConfigFindings> {
        let mut flags = self.set.clone();
        if let Some(dir) = &self.data_dir {
            flags.push((String::from("data_dir"), dir.display().to_string()));
        }
        Config::load(&Sources {
            file: self.config.clone(),
            environment: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags,
            demonstration: self.demonstration,
        })
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Config { example: true } => {
            print!("{}", example());
            ExitCode::SUCCESS
        }
        Command::Config { example: false } => match cli.options.load() {
            Ok(config) => {
                println!("{config:#?}");
                ExitCode::SUCCESS
            }
            Err(findings) => {
                eprintln!("{findings}");
                ExitCode::from(3)
            }
        },
    }
}
