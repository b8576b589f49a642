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
mod preview;
mod progress;
mod table;

use clap::{CommandFactory, Parser, Subcommand};
use commands::{
    access, calc, calendar, device, enrol, export, files, group, held, key, log, notice, org, platform, site,
    time, token,
};
use context::Context;
use coterm_cloud::manual::{self, ManArgs, Notes};
use failure::Failure;
use std::process::ExitCode;

/// License groups, co-termination and enforcement: the operator's command
#[derive(Parser, Debug)]
#[command(name = "coterm", version, after_long_help = failure::after_help())]
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
    /// Organizations: create, settings, license groups
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// License groups: dates, figures, explanations
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Sites and sub-sites: create, move, delete
    #[command(subcommand)]
    Site(site::SiteCommand),
    /// Devices: claim, move, trial, replace, retire, stolen, provision
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Enrolment: claim codes, devices that wait, devices approved beforehand
    #[command(subcommand)]
    Enrol(enrol::EnrolCommand),
    /// Access: who is kept out of what, and why
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// License keys: issue, claim, move, split, unclaim, transfer
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Operations that wait for the vendor: list, show, approve, reject, withdraw
    #[command(subcommand)]
    Held(held::HeldCommand),
    /// Import groups, sites, devices or orders of the past from a CSV file: all of it or nothing
    #[command(subcommand)]
    Import(files::ImportCommand),
    /// Export what an organization owns into a directory or one file, to be imported again
    Export(export::ExportArgs),
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
    /// Mail addresses that are told: add, list, remove
    #[command(subcommand)]
    Contact(notice::ContactCommand),
    /// Webhooks that are told: add, list, remove, rotate
    #[command(subcommand)]
    Webhook(notice::WebhookCommand),
    /// Notices: list, redeliver, test
    #[command(subcommand)]
    Notice(notice::NoticeCommand),
    /// The transaction log: list, export, verify
    #[command(subcommand)]
    Log(log::LogCommand),
    /// API tokens: create, list, revoke
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The daemon's clock: show, confirm
    #[command(subcommand)]
    Time(time::TimeCommand),
    Calendar(calendar::CalendarArgs),
    Calc(calc::CalcArgs),
    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS)]
    Completions {
        shell: clap_complete::Shell,
    },
    Man(ManArgs),
    /// Print what the exit status of a command says
    #[command(after_help = exit_codes())]
    ExitCodes,
}

const COMPLETIONS: &str = "\
To use them:
  bash  coterm completions bash > ~/.local/share/bash-completion/completions/coterm
  zsh   coterm completions zsh > \"${fpath[1]}/_coterm\"
  fish  coterm completions fish > ~/.config/fish/completions/coterm.fish";

/// What the manual pages say besides the command line.
const NOTES: Notes<'_> = Notes { exit_status: failure::EXITS, environment: failure::ENVIRONMENT };

fn exit_codes() -> String {
    format!("Exit status:\n{}", failure::exit_status())
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::note(failure.colored());
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
        Command::Man(args) => manual::run(Cli::command(), NOTES, &args).map_err(Failure::internal),
        Command::ExitCodes => output::print(&exit_codes()),
        Command::Org(command) => org::run(&context()?, command),
        Command::Group(command) => group::run(&context()?, command),
        Command::Site(command) => site::run(&context()?, command),
        Command::Device(command) => device::run(&context()?, command),
        Command::Enrol(command) => enrol::run(&context()?, command),
        Command::Access(command) => access::run(&context()?, command),
        Command::Calendar(args) => calendar::run(&context()?, &args),
        Command::Key(command) => key::run(&context()?, command),
        Command::Held(command) => held::run(&context()?, command),
        Command::Import(command) => files::import(context, command),
        Command::Export(args) => export::export(&context()?, &args),
        Command::Price(command) => platform::price(&context()?, command),
        Command::Model(command) => platform::model(&context()?, command),
        Command::Limits(command) => platform::limits(&context()?, command),
        Command::Platform(command) => platform::platform(&context()?, command),
        Command::Time(command) => time::run(&context()?, command),
        Command::Contact(command) => notice::contact(&context()?, command),
        Command::Webhook(command) => notice::webhook(&context()?, command),
        Command::Notice(command) => notice::notice(&context()?, command),
        Command::Log(command) => log::run(context, command),
        Command::Token(command) => token::run(&context()?, command),
    }
}

#[cfg(test)]
mod tests;
