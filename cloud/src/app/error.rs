//! Why the daemon does not start: one sentence each, and what to do about it.

use crate::auth::TokenError;
use crate::books::BooksError;
#[cfg(feature = "embedded-broker")]
use crate::broker::embedded;
use crate::mqtt::external::ExternalError;
use crate::reconcile::LedgerError;
use crate::signer::TrustError;
use crate::store::StoreError;
use coterm_certs::{FileError, PkiError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory {path} cannot be used: {source}; set data_dir to one this user may write")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory is open to others.
    #[error("the data directory {path} is open to other users (mode {mode:04o}): run `chmod 700 {path}`")]
    DataDirOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Half of a backup is there.
    #[error("a restore of {path} was interrupted: run `coterm-cloud restore` with the same backup again")]
    RestoreUnfinished {
        /// The directory.
        path: PathBuf,
    },
    /// Somebody else listens where the API should.
    #[error(
        "cannot listen for HTTP on {address}: {source}; set http.listen to a free address, or stop what uses it"
    )]
    HttpListen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The enrolment listener does not start.
    #[error(transparent)]
    Enrolment(#[from] crate::enrolment::ListenError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The books do not answer.
    #[error("{0}; {hint}", hint = .0.hint())]
    Books(#[from] BooksError),
    /// Keys and documents do not fit together.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A file of the external broker cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that should hold certificates does not.
    #[error("{path} holds no certificate in PEM: point mqtt.external.ca_file at the broker's authority")]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The embedded broker does not start.
    #[cfg(feature = "embedded-broker")]
    #[error(transparent)]
    Embedded(#[from] embedded::StartError),
    /// The client of the external broker does not start.
    #[error(transparent)]
    External(#[from] ExternalError),
    /// The authorities of webhooks cannot be used.
    #[error("webhooks: {0}")]
    Webhooks(String),
    /// This program was built without the broker.
    #[error("this program was built without the embedded broker: set mqtt.mode = \"external\"")]
    NoEmbeddedBroker,
    /// The API tokens cannot be used.
    #[error("the API tokens cannot be used: {0}")]
    Tokens(#[from] TokenError),
    /// The first API token cannot be made.
    #[error("the first API token cannot be made: {0}")]
    FirstToken(String),
    /// What is remembered about devices cannot be read.
    #[error("what is remembered about devices cannot be read: {0}")]
    Memory(#[from] LedgerError),
}
