//! The HTTP interface of the cloud, as the fleet's operator uses it.

use crate::agent::Kit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coterm_shared::time::Seconds;
use coterm_shared::token::Expected;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The cloud, by its HTTP interface.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    url: String,
    token: String,
    agent: ureq::Agent,
}

/// What went wrong, in a sentence.
pub(crate) type Failure = String;

impl Api {
    /// The cloud at `url`, with a vendor's token.
    pub(crate) fn new(url: &str, token: &str) -> Api {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Api { url: url.trim_end_matches('/').to_owned(), token: token.trim().to_owned(), agent }
    }

    /// One request; anything but a success is a failure that says what the cloud said.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.call_with(method, path, body, None)
    }

    fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        header: Option<(&str, &str)>,
    ) -> Result<Value, Failure> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/v1{path}", self.url))
            .header("authorization", format!("Bearer {}", self.token));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(|error| error.to_string())?)
            }
            None => self.agent.run(request.body(()).map_err(|error| error.to_string())?),
        };
        let mut answer = sent.map_err(|error| format!("{method} {path}: {error}"))?;
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        if !answer.status().is_success() {
            return Err(format!("{method} {path}: {} {text}", answer.status()));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| format!("{method} {path}: {error}"))
    }

    /// The same cloud with another token.
    pub(crate) fn with_token(&self, token: &str) -> Api {
        Api { token: token.trim().to_owned(), ..self.clone() }
    }

    /// A POST that may lock many devices: if it is held for a second person of the vendor, `vendor` approves it.
    pub(crate) fn change(
        &self,
        path: &str,
        body: Option<&Value>,
        vendor: &Api,
        root: &str,
    ) -> Result<(), Failure> {
        let answer = self.call("POST", path, body)?;
        match answer["held"]["id"].as_str() {
            Some(held) => {
                let held = format!("{root}/held/{held}");
                let shown = vendor.call("GET", &held, None)?;
                let digest = shown["preview"]["digest"].as_str().ok_or_else(|| shown.to_string())?;
                let seen = Some(("preview-digest", digest));
                vendor.call_with("POST", &format!("{held}/approve"), None, seen).map(drop)
            }
            None => Ok(()),
        }
    }

    /// A POST.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call("POST", path, Some(body))
    }

    /// What a claimed device needs to connect.
    pub(crate) fn kit(
        &self,
        organization: &str,
        device: &str,
        heartbeat: Seconds,
        max_backoff: Duration,
    ) -> Result<Kit, Failure> {
        let path = format!("/organizations/{organization}/devices/{device}/provision");
        let answer = self.call("POST", &path, None)?;
        let file = |name: &str| {
            let files = answer["files"].as_array().into_iter().flatten();
            files.into_iter().find(|file| file["name"] == name).ok_or(format!("no {name} came with {device}"))
        };
        let text = |name: &str| file(name).map(|file| file["text"].as_str().unwrap_or_default().to_owned());
        let bytes = |name: &str| {
            file(name).and_then(|file| {
                STANDARD
                    .decode(file["base64"].as_str().unwrap_or_default())
                    .map_err(|error| error.to_string())
            })
        };
        let config = text("agent.toml")?;
        let value = |key: &str| {
            let line = config.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
            line.map(|value| value.trim().trim_matches('"').to_owned())
                .ok_or(format!("no {key} in agent.toml"))
        };
        let bad = |what: &str| format!("the {what} of {device} is of no use");
        let expected = Expected {
            trust_domain: value("trust_domain")?.parse().map_err(|_| bad("trust domain"))?,
            device: device.parse().map_err(|_| bad("id"))?,
            organization: organization.parse().map_err(|_| bad("organization"))?,
        };
        let tls = tls(&text("broker-ca.crt")?, &text("device.crt")?, &text("device.key")?)?;
        Ok(Kit {
            expected,
            host: value("host")?,
            port: value("port")?.parse().map_err(|_| bad("port"))?,
            tls: Arc::new(tls),
            root: bytes("root.cose")?,
            keyring: bytes("keyring.cose")?,
            heartbeat,
            max_backoff,
        })
    }
}

/// TLS 1.3 with the device's certificate, as devices do it; without resumption, so that every connection costs what it costs.
fn tls(authority: &str, certificate: &str, key: &str) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for found in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(found.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain.map_err(|error| error.to_string())?, key)
        .map_err(|error| error.to_string())?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
