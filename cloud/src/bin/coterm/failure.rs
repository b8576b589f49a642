//! How a command ends when it does not end well: one exit status per kind of fault, and the text for people.

use crate::output::paint;
use std::fmt::Display;

const RED: u8 = 31;

/// The exit statuses, documented in `coterm --help`. 0 is success and 2 is clap's (a command line nobody understands).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// This program or the server failed, or a file could not be read or written.
    Internal = 1,
    /// What was asked breaks a rule; change it (HTTP 400, 413, 415, 422).
    Invalid = 3,
    /// No credential, or one that may not do this (HTTP 401, 403).
    Denied = 4,
    /// It does not exist, or not for this caller (HTTP 404).
    NotFound = 5,
    /// Something else changed meanwhile, or stands in the way (HTTP 409, 412).
    Conflict = 6,
    /// The server cannot be reached or is busy; try again later (HTTP 429, 503, 504).
    Unavailable = 7,
    /// The preview was shown and not confirmed; nothing was changed.
    Declined = 8,
    /// What was asked about is closed to people by its licenses (domain E8).
    KeptOut = 9,
    /// The change waits for the vendor; nothing was changed (HTTP 202).
    Held = 10,
}

/// Every exit status and what it says to a person.
pub(crate) const EXITS: &[(u8, &str)] = &[
    (0, "done"),
    (Exit::Internal as u8, "this program or the server failed, or a file could not be read or written"),
    (2, "the command line was not understood"),
    (Exit::Invalid as u8, "refused: what was asked breaks a rule (every finding is printed)"),
    (Exit::Denied as u8, "no valid credential, or one that may not do this"),
    (Exit::NotFound as u8, "no such thing, or not visible to this credential"),
    (Exit::Conflict as u8, "something stands in the way or changed meanwhile"),
    (Exit::Unavailable as u8, "the server cannot be reached or is busy; try again later"),
    (Exit::Declined as u8, "the preview was not confirmed; nothing was changed"),
    (Exit::KeptOut as u8, "people are kept out, by the licenses (`coterm access check`)"),
    (Exit::Held as u8, "held: it waits until the vendor approves it; nothing was changed"),
];

/// The environment variables that are heard.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[
    ("COTERM_SERVER", "the server's address, as --server"),
    ("COTERM_TOKEN", "the API token itself; a token file wins over it"),
    ("COTERM_TOKEN_FILE", "as --token-file"),
    ("COTERM_CA_FILE", "as --ca-file"),
    ("COTERM_ORG", "the organization, as --org"),
    ("NO_COLOR", "when set to anything, no colors are used"),
];

/// The exit statuses, a line each.
pub(crate) fn exit_status() -> String {
    EXITS.iter().map(|(status, sentence)| format!("  {status}  {sentence}")).collect::<Vec<_>>().join("\n")
}

/// What is printed under `coterm --help`.
pub(crate) fn after_help() -> String {
    let environment = ENVIRONMENT.iter().map(|(name, sentence)| format!("  {name:17}  {sentence}"));
    let environment = environment.collect::<Vec<_>>().join("\n");
    format!("Exit status:\n{}\n\nEnvironment:\n{environment}", exit_status())
}

/// Why a command failed: what to print on standard error, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
    /// What the server said, for those who want all of it.
    pub(crate) problem: Option<serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Failure {
        Failure { exit, text: text.into(), problem: None }
    }

    /// A failure of this program or of its surroundings.
    pub(crate) fn internal(error: impl Display) -> Failure {
        Failure::new(Exit::Internal, error.to_string())
    }

    /// The text with its codes in red where colors may be.
    pub(crate) fn colored(&self) -> String {
        let line = |line: &str| {
            let end = line.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            match end.and_then(|end| line.split_at_checked(end)) {
                Some((code, rest)) if !code.is_empty() && rest.starts_with([':', ' ']) => {
                    format!("{}{rest}", paint(RED, code))
                }
                Some(_) | None => line.to_owned(),
            }
        };
        self.text.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}
