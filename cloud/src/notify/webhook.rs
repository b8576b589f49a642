//! Webhooks: one POST, signed, within seconds, to public addresses only.
//!
//! `ureq` rather than a second HTTP stack: it is in the tree already, and its resolver can be replaced ([`super::guard`]). It
//! blocks, so each request has a thread of the runtime's blocking pool; how many at once is the courier's business. No
//! redirects, no proxy of the environment, and the body of an answer is not read: only its status counts.

use super::guard::Guarded;
use super::sign::signature;
use super::{Outcome, Parcel, Way};
use crate::ports::BoxFuture;
use coterm_shared::time::Seconds;
use std::path::Path;
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

/// The longest that a request takes, from the look-up of the name to the status.
const WITHIN: Duration = Duration::from_secs(15);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Bytes of the headers of an answer.
const MAX_HEADERS: usize = 16 * 1024;

/// The way to webhooks.
#[derive(Debug)]
pub struct Webhooks {
    agent: Agent,
}

impl Webhooks {
    /// The way, to public addresses or to all, trusting these authorities instead of the public ones if any are given.
    #[must_use]
    pub fn new(allow_private: bool, authorities: Option<Vec<Certificate<'static>>>) -> Webhooks {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .https_only(!allow_private)
            .user_agent(concat!("coterm-cloud/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(MAX_HEADERS)
            .max_idle_connections(0)
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_resolve(Some(CONNECT_WITHIN))
            .timeout_global(Some(WITHIN));
        if let Some(authorities) = authorities {
            let roots = RootCerts::from(authorities);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let resolver = Guarded { allow_private };
        Webhooks { agent: Agent::with_parts(config.build(), DefaultConnector::default(), resolver) }
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// If it cannot be read or holds none.
pub fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = parse_pem(&pem).filter_map(Result::ok).filter_map(|item| match item {
        PemItem::Certificate(found) => Some(found),
        PemItem::PrivateKey(_) | _ => None,
    });
    let found: Vec<Certificate<'static>> = found.collect();
    if found.is_empty() {
        return Err(format!(
            "{} holds no certificate in PEM: point notify.ca_file at the authority",
            path.display()
        ));
    }
    Ok(found)
}

impl Way for Webhooks {
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Outcome> {
        let agent = self.agent.clone();
        Box::pin(async move {
            let sent = tokio::task::spawn_blocking(move || send(&agent, &parcel)).await;
            sent.unwrap_or_else(|_| Outcome::failed("the request crashed"))
        })
    }
}

fn send(agent: &Agent, parcel: &Parcel) -> Outcome {
    let Parcel { endpoint, notice, body, now } = parcel;
    let payload = body.json(notice).to_string().into_bytes();
    let (id, timestamp) = (notice.id.to_string(), now.as_secs());
    let old = endpoint.old_secret.as_ref().filter(|(_, until)| until > now).map(|(secret, _)| secret);
    let secrets = endpoint.secret.iter().chain(old).map(Vec::as_slice);
    let request = agent
        .post(&endpoint.address)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature(secrets, &id, timestamp, &payload));
    match request.send(payload.as_slice()) {
        Ok(answer) => judge(&answer),
        Err(error) => Outcome::failed(in_words(&error)),
    }
}

/// What a status says; its reason and its body are the receiver's, and are not repeated anywhere.
fn judge(answer: &Response<Body>) -> Outcome {
    let status = answer.status();
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Refused { error: String::from("410: the receiver is gone for good") };
    }
    let error = if status.is_redirection() {
        format!("{}: redirects are not followed; set the final URL", status.as_u16())
    } else {
        format!("the receiver answered {}", status.as_u16())
    };
    let asked =
        answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let asked =
        asked.filter(|_| matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE));
    Outcome::Failed { error, retry_after: asked.map(Seconds) }
}

/// What went wrong, without the URL, which may hold a secret.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not named here is told in words that cannot hold the URL"
)]
fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(what) => format!("no answer in time ({what})"),
        ureq::Error::HostNotFound => String::from("its name cannot be resolved"),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::ConnectionFailed => String::from("no connection"),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        // Nothing else is told in words of its own, and some of it names the URL.
        _ => String::from("the request failed"),
    }
}
