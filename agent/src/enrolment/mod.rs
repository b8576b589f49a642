//! How the device gets its certificate, and a new one before it ends.
//!
//! **Problem.** A device with a claim code must not show it to a stranger, and a device in the field must not fall silent
//! because a certificate ended while nobody looked. **Method.** One exchange over TLS 1.3 ([`talk`]); with a code the cloud
//! proves first that it is the one the code names, on this very connection ([`join`]); everything that is received is on
//! disk before one rename makes it count ([`place`]); renewal runs by itself beside the daemon ([`renew`]). The exchange
//! blocks, on a thread of its own: it happens once a year, and costs no library (decision 0014). **Deliberately absent:**
//! HTTP, and sending the private key anywhere.

pub(crate) mod join;
pub(crate) mod place;
pub(crate) mod renew;
pub(crate) mod talk;

use coterm_shared::token::{AnswerRefusal, MessageError, Refused, TrustRefusal};

/// Why the exchange failed; every sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("{server}: {error}; check the address, the network and the firewall")]
    Network { server: String, error: std::io::Error },
    #[error(
        "{server}: {error}; the other side is no enrolment listener of this cloud, or somebody stands in between"
    )]
    Tls { server: String, error: rustls::Error },
    #[error("`{0}` is no address; write HOST:PORT, such as cloud.example.com:8884")]
    Address(String),
    #[error(
        "ROOT_MISMATCH: the cloud at {0} is not the one this claim code is for; check address and code. The code was not shown to it"
    )]
    OtherCloud(String),
    #[error("{0}; the cloud's documents are not those of the root the claim code names")]
    Trust(#[from] TrustRefusal),
    #[error("{0}")]
    Answer(#[from] AnswerRefusal),
    #[error("{0}")]
    Message(#[from] MessageError),
    #[error("{}: {}; {}", .0.code, .0.message, .0.hint)]
    Refused(Refused),
    #[error(transparent)]
    Certificates(#[from] crate::mqtt::tls::TlsError),
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    #[error("the device's key cannot be used: {0}; enrol the device anew")]
    Key(String),
    #[error("the system has no random numbers: {0}")]
    Randomness(String),
}

impl ExchangeError {
    /// Whether asking again may help, and after how many seconds.
    pub(crate) fn retry_secs(&self) -> Option<u64> {
        match self {
            ExchangeError::Network { .. } => Some(10),
            ExchangeError::Refused(refused) => refused.retry_secs.map(u64::from),
            ExchangeError::Tls { .. }
            | ExchangeError::Address(_)
            | ExchangeError::OtherCloud(_)
            | ExchangeError::Trust(_)
            | ExchangeError::Answer(_)
            | ExchangeError::Message(_)
            | ExchangeError::Certificates(_)
            | ExchangeError::File(_)
            | ExchangeError::Key(_)
            | ExchangeError::Randomness(_) => None,
        }
    }
}

fn nonce() -> Result<[u8; 32], ExchangeError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| ExchangeError::Randomness(error.to_string()))?;
    Ok(nonce)
}
