//! One HTTP request and its answer: JSON, or a failure that says what the server said.

use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use clap::Args;
use coterm_certs::read_secret_file;
use coterm_cloud::auth::Secret;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body};

/// Bytes of one answer.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// The longest that a request takes.
const TIME: Duration = Duration::from_secs(60);

/// The longest that an export of a log takes; the server gives up sooner.
const EXPORT_TIME: Duration = Duration::from_secs(20 * 60);

/// The heading of what every command takes, which would otherwise lie between a command's own options.
pub(crate) const CONNECTION: &str = "Connection";

/// Where the server is and who asks.
#[derive(Args, Debug)]
#[command(next_help_heading = CONNECTION)]
pub(crate) struct ServerArgs {
    /// Address of coterm-cloud
    #[arg(
        long,
        global = true,
        env = "COTERM_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    server: String,
    /// File that holds the API token, readable by its owner alone; the daemon's first start writes admin.token
    #[arg(long, global = true, env = "COTERM_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<OsString>,
    /// PEM file of the authority that signed the server's certificate (https only; default: the public ones)
    #[arg(long, global = true, env = "COTERM_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Send the token over plain http to another machine (say, through a tunnel)
    #[arg(long, global = true)]
    plain_http: bool,
}

/// A connection to the server as one principal.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Secret,
}

/// An answer that is no failure.
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl Client {
    pub(crate) fn open(args: &ServerArgs) -> Result<Client, Failure> {
        let base = args.server.trim_end_matches('/').to_owned();
        if let Some(rest) = base.strip_prefix("http://") {
            if !args.plain_http && !is_loopback(rest) {
                let text = format!(
                    "PLAIN_HTTP: {base} is on another machine and not encrypted; the token would travel in the clear.\n  \
                     Use https://, or --plain-http if something else encrypts the way."
                );
                return Err(Failure::new(Exit::Invalid, text));
            }
        } else if !base.starts_with("https://") {
            return Err(Failure::new(Exit::Invalid, "BAD_SERVER: --server starts with http:// or https://"));
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("coterm/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(TIME));
        if let Some(path) = &args.ca_file {
            config = config.tls_config(TlsConfig::builder().root_certs(authorities(path)?).build());
        }
        Ok(Client { agent: config.build().new_agent(), base, token: token(args)? })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, None, &[])
    }

    /// Every element of a list, page by page.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        let mut progress = Progress::of("entries");
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                None => format!("{path}{join}limit=1000"),
                Some(cursor) => format!("{path}{join}limit=1000&cursor={}", encode(cursor)),
            };
            let mut body = self.get(&page)?.body;
            if let Some(Value::Array(found)) = body.get_mut("items").map(Value::take) {
                items.extend(found);
            }
            let next = body.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
            if next.is_none() || next == cursor {
                return Ok(items);
            }
            cursor = next;
            progress.at(items.len() as u64);
        }
    }

    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut response = self.raw(method, path, body, headers, TIME)?;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(broken)?;
        let body: Value = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|_| not_coterm(&self.base, status))?
        };
        if (200..300).contains(&status) { Ok(Answer { body, etag }) } else { Err(refused(status, &body)) }
    }

    /// Copies an answer that is text, however long, and returns how many bytes there were.
    pub(crate) fn copy(&self, path: &str, to: &mut impl Write) -> Result<u64, Failure> {
        let mut response = self.raw(Method::GET, path, None, &[], EXPORT_TIME)?;
        let status = response.status().as_u16();
        if !(200..300).contains(&status) {
            let text =
                response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(broken)?;
            return Err(refused(status, &serde_json::from_str(&text).unwrap_or(Value::Null)));
        }
        let mut progress = Progress::of("bytes");
        let mut reader = response.into_body().into_reader();
        let mut piece = vec![0; 64 * 1024];
        let mut count = 0_u64;
        loop {
            let read = reader.read(&mut piece).map_err(|error| broken(error.into()))?;
            if read == 0 {
                return Ok(count);
            }
            match to.write_all(piece.get(..read).unwrap_or_default()) {
                // A reader that has seen enough (`| head`).
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(count),
                other => other.map_err(|error| Failure::internal(format!("cannot write: {error}")))?,
            }
            count = count.saturating_add(read as u64);
            progress.at(count);
        }
    }

    /// Sends a file, and returns what came of it. `length` is unknown of what is no plain file.
    pub(crate) fn upload(
        &self,
        path: &str,
        file: impl Read + Send + 'static,
        length: Option<u64>,
        key: &str,
        request_id: &str,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token.reveal()))
            .header("accept", "application/json, application/problem+json")
            .header("content-type", "text/csv")
            .header("idempotency-key", key)
            .header("x-request-id", request_id);
        if let Some(length) = length {
            request = request.header("content-length", length.to_string());
        }
        let request = request.body(ureq::SendBody::from_owned_reader(file)).map_err(Failure::internal)?;
        let request = self.agent.configure_request(request).timeout_global(Some(EXPORT_TIME)).build();
        let mut response = self.agent.run(request).map_err(|error| {
            let text = format!("UNREACHABLE: no answer from {}: {error}.", self.base);
            Failure::new(Exit::Unavailable, text)
        })?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(MAX_ANSWER).read_to_string().map_err(broken)?;
        let body: Value = serde_json::from_str(&text).map_err(|_| not_coterm(&self.base, status))?;
        if (200..300).contains(&status) {
            Ok(Answer { body, etag: None })
        } else {
            Err(Failure { problem: Some(body.clone()), ..refused(status, &body) })
        }
    }

    fn raw(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
        time: Duration,
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.token.reveal()))
            .header("accept", "application/json, application/problem+json, text/csv");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => {
                let bytes = serde_json::to_vec(body).map_err(Failure::internal)?;
                let request = request.header("content-type", "application/json").body(bytes);
                self.agent.run(request.map_err(Failure::internal)?)
            }
            None => {
                let request = self.agent.configure_request(request.body(()).map_err(Failure::internal)?);
                self.agent.run(request.timeout_global(Some(time)).build())
            }
        };
        sent.map_err(|error| {
            let text = format!(
                "UNREACHABLE: no answer from {}: {error}.\n  Is coterm-cloud running? Set --server or COTERM_SERVER.",
                self.base
            );
            Failure::new(Exit::Unavailable, text)
        })
    }
}

fn token(args: &ServerArgs) -> Result<Secret, Failure> {
    let denied = |text: String| Failure::new(Exit::Denied, text);
    // Set to nothing is not set: scripts say so.
    if let Some(path) = args.token_file.as_deref().filter(|path| !path.is_empty()).map(Path::new) {
        let name = path.display();
        let bytes = read_secret_file(path).map_err(|error| denied(format!("TOKEN_FILE: {error}")))?;
        return std::str::from_utf8(&bytes)
            .ok()
            .and_then(Secret::parse)
            .ok_or_else(|| denied(format!("TOKEN_FILE: {name} holds no API token (ctk_…)")));
    }
    let text = std::env::var("COTERM_TOKEN").unwrap_or_default();
    if text.is_empty() {
        return Err(denied(String::from(
            "NO_TOKEN: nothing says who is asking.\n  Give --token-file FILE (the daemon's first start writes \
             admin.token into its data directory) or set COTERM_TOKEN.",
        )));
    }
    Secret::parse(&text)
        .ok_or_else(|| denied(String::from("NO_TOKEN: COTERM_TOKEN is not an API token (ctk_…)")))
}

fn authorities(path: &PathBuf) -> Result<RootCerts, Failure> {
    let pem = std::fs::read(path)
        .map_err(|error| Failure::internal(format!("cannot read {}: {error}", path.display())))?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(Result::ok)
        .filter_map(|item| if let PemItem::Certificate(found) = item { Some(found) } else { None })
        .collect();
    if certificates.is_empty() {
        return Err(Failure::new(Exit::Invalid, format!("{} holds no certificate (PEM)", path.display())));
    }
    Ok(RootCerts::from(certificates))
}

fn is_loopback(rest: &str) -> bool {
    let authority = rest.split('/').next().unwrap_or_default();
    // What stands before an @ is not the host.
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Percent-encodes a part of a path or query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn broken(error: ureq::Error) -> Failure {
    Failure::new(
        Exit::Unavailable,
        format!("UNREACHABLE: the answer broke off: {error}. Repeat the command."),
    )
}

fn not_coterm(base: &str, status: u16) -> Failure {
    let text = format!("NOT_COTERM: {base} answered {status}, but not as coterm-cloud does. Check --server.");
    Failure::new(Exit::Unavailable, text)
}

/// A problem document as people read it: code and sentence, hint, then every finding.
fn refused(status: u16, problem: &Value) -> Failure {
    let text_of =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let code = text_of(problem, "code");
    let errors = problem.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text = String::new();
    if errors.is_empty() {
        let code = if code.is_empty() { format!("HTTP_{status}") } else { code };
        finding(&mut text, &code, &text_of(problem, "detail"), &text_of(problem, "hint"), "");
    }
    for error in &errors {
        let field = text_of(error, "field");
        finding(
            &mut text,
            &text_of(error, "code"),
            &text_of(error, "message"),
            &text_of(error, "hint"),
            &field,
        );
    }
    let exit = match status {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        429 | 502..=504 => Exit::Unavailable,
        400..=499 => Exit::Invalid,
        _ => Exit::Internal,
    };
    Failure::new(exit, text.trim_end())
}

fn finding(text: &mut String, code: &str, message: &str, hint: &str, field: &str) {
    text.push_str(code);
    if !field.is_empty() {
        text.push_str(&format!(" ({field})"));
    }
    text.push_str(&format!(": {message}\n"));
    if !hint.is_empty() {
        text.push_str(&format!("  {hint}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_trusted_with_plain_http() {
        for good in ["127.0.0.1:8080", "localhost", "[::1]:80/x", "127.9.9.9"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["10.0.0.1", "example.com", "127.0.0.1@evil.example", "localhost.evil.example", "[::2]", ""]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn every_finding_is_printed_with_its_hint() {
        let problem = serde_json::json!({"code": "A", "detail": "a.", "hint": "do a", "errors": [
            {"code": "A", "message": "a.", "hint": "do a", "field": "name"}, {"code": "B", "message": "b."}]});
        let failure = refused(422, &problem);
        assert_eq!(failure.text, "A (name): a.\n  do a\nB: b.");
        assert_eq!(failure.exit, Exit::Invalid);
        assert_eq!(refused(503, &Value::Null).exit, Exit::Unavailable);
    }
}
