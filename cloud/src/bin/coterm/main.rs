//! `coterm`: the operator's command. Nouns and verbs over the HTTP interface of `coterm-cloud`.
//!
//! **Method.** Every command is one or two requests and one rendering; the server decides everything, so that this
//! program and any other client are refused alike. Licensing changes are previewed by the server and shown before they
//! are confirmed. **Deliberately absent:** rules. The only exception is `coterm calc`, which needs no server.

mod commands;
mod failure;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;

/// License groups, co-termination and enforcement: the operator's command
#[derive(Parser, Debug)]
#[command(name = "coterm", version, after_long_help = failure::EXIT_STATUS_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Calc(commands::calc::CalcArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done: Result<(), Failure> = match cli.command {
        Command::Calc(args) => commands::calc::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.text);
            ExitCode::from(failure.exit as u8)
        }
    }
}
