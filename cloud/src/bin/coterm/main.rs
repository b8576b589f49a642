//! `coterm`: the operator's command. Nouns and verbs over the HTTP interface of `coterm-cloud`.
//!
//! **Method.** Every command is one or two requests and one rendering; the server decides everything, so that this
//! program and any other client are refused alike. Licensing changes are previewed by the server and shown before they
//! are confirmed. **Deliberately absent:** rules. The only exception is `coterm calc`, which needs no server.

mod change;
mod client;
mod commands;
mod context;
mod failure;
mod output;

use clap::{CommandFactory, Parser, Subcommand};
use commands::{calc, device, group, key, log, org, platform, site, time, token};
use context::Context;
use failure::Failure;
use std::process::ExitCode;

/// License groups, co-termination and enforcement: the operator's command
#[derive(Parser, Debug)]
#[command(name = "coterm", version, after_long_help = failure::EXIT_STATUS_HELP)]
struct Cli {
    #[command(flatten)]
    server: client::ServerArgs,
    #[command(flatten)]
    org: context::OrgArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Organizations
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// License groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Sites
    #[command(subcommand)]
    Site(site::SiteCommand),
    /// Devices
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// License keys
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// The price book
    #[command(subcommand)]
    Price(platform::PriceCommand),
    /// The catalog of device models
    #[command(subcommand)]
    Model(platform::ModelCommand),
    /// The vendor's bounds
    #[command(subcommand)]
    Limits(platform::LimitsCommand),
    /// The installation as a whole
    #[command(subcommand)]
    Platform(platform::PlatformCommand),
    /// The transaction log
    #[command(subcommand)]
    Log(log::LogCommand),
    /// API tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The daemon's time
    #[command(subcommand)]
    Time(time::TimeCommand),
    Calc(calc::CalcArgs),
    /// Print the completions of a shell
    Completions {
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.text);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let (server, org) = (cli.server, cli.org);
    let context = || Context::open(&server, org);
    match cli.command {
        Command::Calc(args) => calc::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "coterm", &mut script);
            output::print(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Org(command) => org::run(&context()?, command),
        Command::Group(command) => group::run(&context()?, command),
        Command::Site(command) => site::run(&context()?, command),
        Command::Device(command) => device::run(&context()?, command),
        Command::Key(command) => key::run(&context()?, command),
        Command::Price(command) => platform::price(&context()?, command),
        Command::Model(command) => platform::model(&context()?, command),
        Command::Limits(command) => platform::limits(&context()?, command),
        Command::Platform(command) => platform::platform(&context()?, command),
        Command::Time(command) => time::run(&context()?, command),
        Command::Log(command) => log::run(&context()?, command),
        Command::Token(command) => token::run(&context()?, command),
    }
}

#[cfg(test)]
mod tests;
