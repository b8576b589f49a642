//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{TokenVersion, TrustDomain};
use std::path::PathBuf;

/// The device daemon of Coterm: receives license-state tokens, verifies them, and enforces them.
#[derive(Debug, Parser)]
#[command(name = "coterm-agent", version, about, after_help = after_help())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub source: ConfigSource,
}

/// The exit statuses and what each means.
pub(crate) const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "done; for `allows`: yes; for `check`: nothing is wrong; for `verify-token`: accepted"),
    (1, "for `allows`: no; for `check`: something is wrong; for `verify-token`: refused; else: failed"),
    (2, "wrong usage, or a file named on the command line cannot be read"),
    (3, "the configuration is refused; all findings are on standard error"),
];

/// The environment variables that are heard.
#[cfg(feature = "man")]
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("COTERM_AGENT_...", "any key of the configuration, such as COTERM_AGENT_BROKER__HOST"),
    ("NO_COLOR", "when set to anything, the log is not colored"),
];

fn after_help() -> String {
    let lines = EXIT_STATUS.iter().map(|(status, meaning)| format!("  {status}  {meaning}"));
    format!("Exit codes:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct ConfigSource {
    /// The configuration file; files in conf.d/ beside it and COTERM_AGENT_… variables override it.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/coterm/agent.toml")]
    pub config: PathBuf,
    /// Overrides one key, such as `--set broker.host=10.0.0.1`; can be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, such as broker.host=10.0.0.1")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the daemon until TERM or INT; the device then stays in its mode.
    Run,
    /// Shows what mode the device is in, why, since when, and what comes next.
    Status {
        /// How to print.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Looks at clock, DNS, broker, certificate, keyring, state and actuators, and says what to do.
    Check {
        /// How to print.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Answers by exit code (0 yes, 1 no) whether the device's programs may do this; works with the agent dead.
    Allows {
        /// What they want to do.
        #[arg(value_enum)]
        what: What,
        /// How to print.
        #[arg(short, long, value_enum)]
        output: Option<Output>,
        /// The run directory, instead of reading it from the configuration.
        #[arg(long, value_name = "DIR")]
        run_dir: Option<PathBuf>,
    },
    /// Verifies a token, keyring or root as a device would, without a device, and prints JSON.
    VerifyToken(VerifyToken),
    /// Prints the manual page, or writes one for every command into a directory.
    #[cfg(feature = "man")]
    Man {
        /// The directory, made if it is not there.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Enrols the device with a claim code: makes its key here, and gets its certificate, the root and the broker's address.
    Enroll(Enroll),
    /// Prints configuration: the commented example, or says that the file is good.
    Config {
        /// Prints an example with every key explained.
        #[arg(long)]
        example: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// The enrolment listener of the cloud.
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// The claim code; in the environment it is not seen in the list of processes.
    #[arg(long, value_name = "CODE", env = "COTERM_CLAIM_CODE", hide_env_values = true)]
    pub code: String,
    /// The device's id; without one, that of the code, or one the cloud makes.
    #[arg(long, value_name = "ID")]
    pub device_id: Option<DeviceId>,
    /// The device's class, if there is no configuration file yet; otherwise guessed from its model.
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// Replaces the identity the device has.
    #[arg(long)]
    pub replace: bool,
    /// For how many seconds to wait for an administrator's approval.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub wait_secs: u64,
}

/// What a program on the device wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Change configuration, accounts, firmware.
    Manage,
    /// Do what the device is there for.
    Operate,
}

/// What a signed document is verified as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// A license state, under root and keyring.
    Token,
    /// A keyring, under the root; newer than the one held, if one is given.
    Keyring,
    /// The root that follows the one given.
    Root,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyToken {
    /// What the file is to be verified as.
    #[arg(long = "as", value_enum, default_value = "token")]
    pub document: Document,
    /// The root document.
    #[arg(long, value_name = "FILE")]
    pub root: PathBuf,
    /// The keyring; to verify a keyring, the one held before it, if any.
    #[arg(long, value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    /// The device the token must be for.
    #[arg(long, value_name = "ID")]
    pub device: Option<DeviceId>,
    /// The organization it must be of.
    #[arg(long, value_name = "ID")]
    pub organization: Option<OrganizationId>,
    /// The deployment it must come from; the root's, if not given.
    #[arg(long, value_name = "NAME")]
    pub trust_domain: Option<TrustDomain>,
    /// The instant to judge it at (RFC 3339); the instant of issue, if not given.
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<Timestamp>,
    /// The version a device already holds, as EPOCH:SEQ; a token of that very version is taken for the one held.
    #[arg(long, value_name = "EPOCH:SEQ", conflicts_with = "held_token")]
    pub held: Option<TokenVersion>,
    /// The token a device already holds: another one of its version is then told from it.
    #[arg(long, value_name = "FILE")]
    pub held_token: Option<PathBuf>,
    /// The token, or what `--as` says.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}
