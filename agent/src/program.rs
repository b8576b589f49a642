//! The program around the library's parts: command line, configuration, log, runtime.

use crate::cli::{Cli, Command, ConfigSource};
use crate::config::{self, Config, ConfigErrors, Layers};
use crate::{commands, run};
use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

/// What a command comes to; the numbers are in `--help`.
pub(crate) const DONE: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const CONFIG: u8 = 3;

/// The program: reads the command line, does what it says, and returns the exit code that is in `--help`.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { command, source } = Cli::parse();
    ExitCode::from(match command {
        Command::Run => with_config(&source, daemon),
        Command::Status { output } => with_config(&source, |config| commands::status(config, output)),
        Command::Check { output } => commands::check(&load(&source), output),
        Command::Allows { what, output, run_dir } => commands::allows(&source, what, output, run_dir),
        Command::Enroll(arguments) => commands::enroll(&source, &arguments),
        Command::VerifyToken(arguments) => commands::verify_token(&arguments),
        #[cfg(feature = "man")]
        Command::Man { out } => commands::man(out.as_deref()),
        Command::Config { example: true } => commands::print(&config::example()),
        Command::Config { example: false } => {
            with_config(&source, |_| commands::print("the configuration is good\n"))
        }
    })
}

/// Loads the configuration of this process.
pub(crate) fn load(source: &ConfigSource) -> Result<Config, ConfigErrors> {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    config::load(&Layers { file: source.config.clone(), environment, overrides: source.set.clone() })
}

fn with_config(source: &ConfigSource, then: impl FnOnce(&Config) -> u8) -> u8 {
    match load(source) {
        Ok(config) => then(&config),
        Err(errors) => {
            eprintln!("{errors}");
            CONFIG
        }
    }
}

fn daemon(config: &Config) -> u8 {
    log_to_stderr(config.log_level);
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a defect: {panic}; the agent ends, the device stays in its mode");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // DNS is all that blocks.
        .max_blocking_threads(1)
        .thread_stack_size(256 * 1024)
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run::run(config));
            // A DNS lookup that hangs must not hold up the end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => DONE,
        Err(error) => {
            tracing::error!("{error:#}");
            FAILED
        }
    }
}

fn log_to_stderr(level: LevelFilter) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_ansi(colors);
    // A full disk or a dead terminal behind standard error costs lines, never the agent: complaining about a line that
    // could not be written, on the same stream, would panic.
    let builder = builder.with_target(false).log_internal_errors(false);
    if journal {
        // The journal knows the time.
        builder.without_time().init();
    } else {
        builder.init();
    }
}
