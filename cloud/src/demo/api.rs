//! The demonstration as a client: everything it does, an operator could do with the same requests.

use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A client of the daemon's HTTP API.
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
    token: String,
    sent: AtomicU64,
}

/// Why a request did not work out.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The daemon refused.
    #[error("{method} {path}: {status} {code}: {detail}")]
    Refused {
        /// The request's method.
        method: &'static str,
        /// The request's path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The sentence that came with it.
        detail: String,
    },
    /// The request did not get through.
    #[error("{method} {path}: {source}")]
    Transport {
        /// The request's method.
        method: &'static str,
        /// The request's path.
        path: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
}

impl Api {
    pub(super) fn new(base: String, token: String) -> Api {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Api { agent: config.into(), base, token, sent: AtomicU64::new(0) }
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ApiError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("authorization", format!("Bearer {}", self.token)).call();
        Self::read("GET", path, answer)
    }

    pub(super) fn send(&self, method: &'static str, path: &str, body: &Value) -> Result<Value, ApiError> {
        let url = format!("{}{path}", self.base);
        let request = match method {
            "PUT" => self.agent.put(url),
            "PATCH" => self.agent.patch(url),
            _ => self.agent.post(url),
        };
        // The books are fresh, so a number is a fresh key.
        let key = format!("demo-{}", self.sent.fetch_add(1, Ordering::Relaxed));
        let request =
            request.header("authorization", format!("Bearer {}", self.token)).header("idempotency-key", key);
        let answer = if body.is_null() { request.send_empty() } else { request.send_json(body) };
        Self::read(method, path, answer)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        self.send("POST", path, body)
    }

    fn read(
        method: &'static str,
        path: &str,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, ApiError> {
        let transport =
            |source| ApiError::Transport { method, path: path.to_owned(), source: Box::new(source) };
        let mut response = answer.map_err(transport)?;
        let status = response.status();
        let body: Value = response.body_mut().read_json().map_err(transport)?;
        if status.is_success() {
            return Ok(body);
        }
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
        Err(ApiError::Refused {
            method,
            path: path.to_owned(),
            status: status.as_u16(),
            code: text("code"),
            detail: text("detail"),
        })
    }
}

/// A text field of an answer.
pub(super) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
