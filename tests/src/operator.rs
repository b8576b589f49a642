//! People at work: the `coterm` command as it is shipped, and the HTTP interface where a program would use that.

use crate::cloud::clean;
use crate::process::{Said, program, run};
use crate::terminal::Terminal;
use coterm_certs::Time;
use coterm_shared::time::Timestamp;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Somebody with an API token.
#[derive(Clone, Debug)]
pub struct Operator {
    url: String,
    token_file: PathBuf,
}

/// The model every camera of the tests is.
pub const CAMERA: &str = "CAM-1";
/// The model every door controller of the tests is: four doors.
pub const DOOR: &str = "DOOR-4";

impl Operator {
    /// Whoever holds the token in this file.
    #[must_use]
    pub fn new(url: String, token_file: PathBuf) -> Operator {
        Operator { url, token_file }
    }

    /// Runs `coterm` with these arguments.
    #[track_caller]
    #[must_use]
    pub fn coterm(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments))
    }

    /// The command `coterm` with these arguments, to be run as the caller likes.
    ///
    /// # Panics
    /// It was not built.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("coterm"));
        command.args(arguments).arg("--server").arg(&self.url).arg("--token-file").arg(&self.token_file);
        clean(&mut command, self.token_file.parent().expect("a file lies somewhere"));
        command
    }

    /// Runs `coterm` with these arguments at a terminal.
    #[track_caller]
    #[must_use]
    pub fn at_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::run(self.command(arguments), 100)
    }

    /// Runs `coterm ... -o json` and returns what it prints.
    ///
    /// # Panics
    /// It fails or prints something else.
    #[track_caller]
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let said = self.coterm(&[arguments, &["-o", "json"]].concat());
        assert_eq!(said.code, 0, "coterm {}: {}{}", arguments.join(" "), said.stdout, said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said.stdout))
    }

    /// One request: the status (0 without an answer) and the body.
    ///
    /// # Panics
    /// The token cannot be read.
    #[must_use]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let token = std::fs::read_to_string(&self.token_file).expect("the token file is there");
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/api/v1{path}", self.url))
            .header("authorization", format!("Bearer {}", token.trim()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body.to_string()).expect("a request"))
            }
            None => agent.run(request.body(()).expect("a request")),
        };
        match sent {
            Ok(mut answer) => {
                let text = answer.body_mut().read_to_string().unwrap_or_default();
                (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }

    /// A POST that must succeed.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let name = format!("{:032x}", unique());
        let (status, answer) = self.request("POST", path, Some(body), &[("idempotency-key", &name)]);
        assert!((200..300).contains(&status), "POST {path} {body}: {status} {answer}");
        answer
    }

    /// A GET that must succeed.
    ///
    /// # Panics
    /// It does not.
    #[track_caller]
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.request("GET", path, None, &[]);
        assert_eq!(status, 200, "GET {path}: {answer}");
        answer
    }

    /// An organization whose ladder takes `grace` seconds to the lock and `stop` seconds more to the stop; prices
    /// and models are there.
    #[track_caller]
    #[must_use]
    pub fn organization(&self, name: &str, grace: u64, stop: u64) -> Tenant {
        let _ = self.coterm(&["price", "set", "camera=199", "door=249"]);
        let _ = self.json(&["model", "put", CAMERA, "--product", "camera"]);
        let _ = self.json(&["model", "put", DOOR, "--product", "door", "--units", "4"]);
        let made = self.json(&["org", "create", name, "--license-groups"]);
        let tenant = Tenant { operator: self.clone(), id: id_of(&made) };
        let (grace, stop) = (grace.to_string(), stop.to_string());
        let _ = tenant.json(&[
            "org",
            "settings",
            "--grace-secs",
            &grace,
            "--stop-after-lock-secs",
            &stop,
            "--yes",
        ]);
        tenant
    }
}

/// A number no other call returns.
fn unique() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
        ^ (u128::from(std::process::id()) << 96)
}

/// Whole seconds since 1970 by this machine's clock, which is the daemon's.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The same, to make certificates by.
#[must_use]
pub fn time() -> Time {
    Time::Sure(Timestamp::from_secs_clamped(now()))
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap_or_else(|| panic!("no id: {value}")).to_owned()
}

/// One organization, in the hands of an operator.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Who works in it.
    pub operator: Operator,
    /// Its id.
    pub id: String,
}

impl Tenant {
    /// Runs `coterm --org ... -o json`.
    #[track_caller]
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.operator.json(&[arguments, &["--org", &self.id]].concat())
    }

    /// Runs `coterm --org ...`, whatever comes of it.
    #[track_caller]
    #[must_use]
    pub fn coterm(&self, arguments: &[&str]) -> Said {
        self.operator.coterm(&[arguments, &["--org", &self.id]].concat())
    }

    /// A new group with one site of the same name; returns the group's id.
    #[track_caller]
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        let group = id_of(&self.json(&["group", "create", name, "--yes"]));
        let _ = self.json(&["site", "create", name, "--group", &group, "--yes"]);
        group
    }

    /// Claims a device into the site of this name.
    #[track_caller]
    pub fn device(&self, device: &str, site: &str, model: &str) {
        let _ = self.json(&["device", "claim", device, "--site", site, "--model", model, "--yes"]);
    }

    /// Issues a key whose own term ends in `ends_in` seconds; returns its code.
    #[track_caller]
    #[must_use]
    pub fn key(&self, product: &str, quantity: u64, ends_in: u64) -> String {
        const DAY: u64 = 86_400;
        let days = ends_in.div_ceil(DAY).max(1);
        let created_at = now() + ends_in - days * DAY;
        let at = Timestamp::from_secs_clamped(created_at);
        let order = json!({
            "order_number": "E2E-1",
            "lines": [{ "product": product, "quantity": quantity }],
            "term_days": days,
            "created_at": at,
        });
        let key = self.operator.post("/keys", &order);
        key["code"].as_str().unwrap_or_else(|| panic!("no code: {key}")).to_owned()
    }

    /// Claims a key into a group.
    #[track_caller]
    pub fn claim(&self, code: &str, group: &str) {
        let _ = self.json(&["key", "claim", code, "--group", group, "--yes"]);
    }

    /// Issues and claims in one go.
    #[track_caller]
    pub fn license(&self, group: &str, product: &str, quantity: u64, ends_in: u64) {
        self.claim(&self.key(product, quantity, ends_in), group);
    }

    /// What the operator sees of a group.
    #[track_caller]
    #[must_use]
    pub fn show_group(&self, group: &str) -> Value {
        self.json(&["group", "show", group])
    }

    /// What the operator sees of a device.
    #[track_caller]
    #[must_use]
    pub fn show_device(&self, device: &str) -> Value {
        self.json(&["device", "show", device])
    }

    /// The version of the organization's books.
    #[track_caller]
    #[must_use]
    pub fn version(&self) -> u64 {
        let shown = self.operator.get(&format!("/organizations/{}", self.id));
        shown["version"].as_u64().unwrap_or_else(|| panic!("no version: {shown}"))
    }
}
