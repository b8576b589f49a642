//! How a command ends when it does not end well: one exit status per kind of fault, and the text for people.

use std::fmt::Display;

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
}

/// The table printed under `coterm --help`.
pub(crate) const EXIT_STATUS_HELP: &str = "\
Exit status:
  0  done
  1  this program or the server failed, or a file could not be read or written
  2  the command line was not understood
  3  refused: what was asked breaks a rule (every finding is printed)
  4  no valid credential, or one that may not do this
  5  no such thing, or not visible to this credential
  6  something stands in the way or changed meanwhile
  7  the server cannot be reached or is busy; try again later
  8  the preview was not confirmed; nothing was changed

Environment:
  COTERM_SERVER      the server's address, as --server
  COTERM_TOKEN       the API token itself; a token file wins over it
  COTERM_TOKEN_FILE  as --token-file
  COTERM_CA_FILE     as --ca-file
  COTERM_ORG         the organization, as --org
  NO_COLOR           when set, no colors are used";

/// Why a command failed: what to print on standard error, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Failure {
        Failure { exit, text: text.into() }
    }

    /// A failure of this program or of its surroundings.
    pub(crate) fn internal(error: impl Display) -> Failure {
        Failure::new(Exit::Internal, error.to_string())
    }
}
