//! The command against a real interface on a real socket, from the first start to a provisioned device.

mod places;

use super::*;
use crate::failure::Exit;
use coterm_certs::{Pki, PkiError, Time};
use coterm_cloud::auth::{ADMIN_TOKEN_FILE, TokenStore, bootstrap};
use coterm_cloud::books::{Books, Mode};
use coterm_cloud::clock::SystemClock;
use coterm_cloud::http::{Api, BrokerAddress, Deps, Provisioned, Provisioner, Trust, Unknown, router};
use coterm_cloud::store::sqlite::SqliteStore;
use coterm_shared::id::{DeviceId, OrganizationId};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

struct Server {
    dir: TempDir,
    url: String,
    _runtime: Runtime,
}

struct Kits(Pki);

impl Provisioner for Kits {
    fn certificate(&self, device: &DeviceId, organization: OrganizationId) -> Result<Provisioned, PkiError> {
        let certificate = self.0.device_certificate(device, organization)?;
        let replaced = self.0.keep_only(device, &certificate.facts.serial)?;
        Ok(Provisioned { certificate, replaced })
    }

    fn trust(&self) -> Trust {
        Trust { domain: String::from("test.local"), root: vec![1], keyring: vec![2] }
    }

    fn broker(&self) -> BrokerAddress {
        let ca_pem = self.0.ca_pem().unwrap();
        BrokerAddress { host: "localhost".into(), port: 8883, server_name: "localhost".into(), ca_pem }
    }
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("books.db")).unwrap();
        let books = Books::start(store, Arc::new(SystemClock), Mode::Production).unwrap();
        let tokens = Arc::new(TokenStore::open(&dir.path().join("tokens.db")).unwrap());
        bootstrap(&tokens, dir.path(), books.now()).unwrap();
        let now = books.now();
        let pki = Pki::open_or_create(&dir.path().join("pki"), move || Time::Sure(now)).unwrap();
        let provisioner = Arc::new(Kits(pki));
        let api = Api::new(Deps {
            books,
            tokens,
            provisioner,
            fleet: Arc::new(Unknown),
            readiness: Arc::new(Unknown),
            lease: coterm_shared::time::Seconds::days(7),
            alarms: Arc::default(),
            metrics: Arc::default(),
            notify: coterm_cloud::notify::Rules { allow_private: false, mail: true },
        });
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router(api)).await });
        Server { dir, url, _runtime: runtime }
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join(ADMIN_TOKEN_FILE)
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Runs `coterm` with these arguments.
    fn coterm(&self, arguments: &[&str]) -> Result<(), Failure> {
        let token_file = self.token_file().display().to_string();
        let all = ["coterm", "--server", &self.url, "--token-file", &token_file];
        run(Cli::try_parse_from(all.iter().chain(arguments))
            .map_err(|error| Failure::internal(error.to_string()))?)
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) {
        if let Err(failure) = self.coterm(arguments) {
            panic!("coterm {}: {}", arguments.join(" "), failure.text);
        }
    }

    /// What the interface answers.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let token_file = self.token_file().display().to_string();
        let line = ["coterm", "--server", &self.url, "--token-file", &token_file, "org", "list"];
        let client = client::Client::open(&Cli::try_parse_from(line).unwrap().server).ok().unwrap();
        let body = Some(body).filter(|body| !body.is_null());
        match client.send(method.parse().unwrap(), path, body.as_ref(), &[]) {
            Ok(answer) => answer.body,
            Err(failure) => panic!("{method} {path}: {}", failure.text),
        }
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], exit: Exit, says: &str) {
        let failure = self.coterm(arguments).expect_err("it works");
        assert_eq!(failure.exit, exit, "{}", failure.text);
        assert!(failure.text.starts_with(says), "{}", failure.text);
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Every page can be rendered, and a script can be written with one page open.
#[test]
fn every_manual_page_mentions_every_exit_status_and_the_environment() {
    let pages = manual::pages(Cli::command(), NOTES).unwrap();
    assert!(pages.iter().any(|page| page.name == "coterm-key-claim"));
    for page in pages {
        let text = String::from_utf8(page.roff).unwrap().replace('\\', "");
        let status = |(status, meaning): &(u8, &str)| text.contains(&format!("fB{status}fR\n{meaning}"));
        assert!(failure::EXITS.iter().all(status), "{}: {text}", page.name);
        assert!(text.contains("COTERM_TOKEN_FILE") && text.contains("NO_COLOR"), "{}", page.name);
    }
}

#[test]
fn every_exit_status_is_told_once_and_in_order() {
    let told: Vec<u8> = failure::EXITS.iter().map(|(status, _)| *status).collect();
    assert_eq!(told, (0..11).collect::<Vec<u8>>());
    let page = include_str!("../../../../shared/docs/CLI.md");
    assert!(failure::EXITS.iter().all(|(n, meaning)| page.contains(&format!("| {n} | {meaning} |"))));
    for text in [failure::after_help(), exit_codes()] {
        assert!(
            failure::EXITS.iter().all(|(n, meaning)| text.contains(&format!("  {n}  {meaning}"))),
            "{text}"
        );
    }
}

#[test]
fn from_the_first_start_to_a_provisioned_device() {
    let server = Server::start();
    server.fails(&["group", "list"], Exit::NotFound, "NO_ORGANIZATION");
    server.ok(&["price", "set", "camera=199", "door=99"]);
    server.ok(&["model", "put", "CAM-1", "--product", "camera"]);
    server.ok(&["org", "create", "Acme", "--license-groups", "-o", "json"]);
    // The only organization there is need not be named; groups and sites go by their names.
    server.ok(&["group", "create", "North"]);
    server.ok(&["group", "settings", "North", "--grace-days", "10", "--yes"]);
    let both = ["group", "settings", "North", "--grace-days", "9", "--inherit", "grace", "--yes"];
    server.fails(&both, Exit::Invalid, "CONFLICTING_FIELDS");
    server.ok(&["group", "settings", "North", "--inherit", "grace,scope", "--yes"]);
    server.ok(&["site", "create", "Depot", "--group", "North"]);
    server.ok(&["device", "claim", "cam-1", "--site", "Depot", "--model", "CAM-1", "--dry-run"]);
    server.fails(&["device", "show", "cam-1"], Exit::NotFound, "NOT_FOUND");
    server.ok(&["device", "claim", "cam-1", "--site", "Depot", "--model", "CAM-1", "--yes"]);
    server.ok(&["key", "issue", "--order", "SO-1", "--line", "camera=10", "--term", "3y"]);
    for list in [["device", "list"], ["site", "list"], ["key", "list"], ["token", "list"], ["log", "list"]] {
        server.ok(&list);
        for format in ["json", "jsonl", "csv"] {
            server.ok(&[list[0], list[1], "-o", format]);
        }
    }
    server.fails(&["site", "rename", "Depot", "D", "--dry-run", "-o", "csv"], Exit::Invalid, "NO_CSV");
    server.ok(&["log", "verify"]);
    let file = server.path("log.csv");
    server.ok(&["log", "export", "--out", &file]);
    server.fails(&["log", "export", "--out", &file], Exit::Conflict, "FILE_EXISTS");
    server.ok(&["log", "verify", "--file", &file]);
    server.ok(&["log", "verify", "--file", &file, "--compare"]);
    server.ok(&["log", "list", "--platform"]);
    server.ok(&["log", "list", "--platform", "-o", "csv"]);
    server.ok(&["log", "verify", "--platform"]);
    server.ok(&["log", "list", "--subject", "cam-1", "--actor", "admin", "--since", "1d"]);
    server.ok(&["log", "list", "--group", "North", "--event", "group-assessed"]);
    server.ok(&[
        "log",
        "list",
        "-o",
        "csv",
        "--since",
        "2026-01-01T00:00:00Z",
        "--until",
        "9999-01-01T00:00:00Z",
    ]);
    server.fails(&["log", "list", "--since", "yesterday"], Exit::Internal, "error: ");
    server.ok(&["group", "show", "North"]);
    server.ok(&["group", "explain", "North"]);
    server.ok(&["group", "explain", "North", "-o", "json"]);
    server.ok(&["time", "show"]);
    server.ok(&["limits", "show"]);

    let out = server.path("cam-1");
    server.ok(&["device", "provision", "cam-1", "-o", &out]);
    let mode = |path: String| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(out.clone()), mode(format!("{out}/device.key"))), (0o700, 0o600));
    assert!(std::fs::read_to_string(format!("{out}/agent.toml")).unwrap().contains("device = \"cam-1\""));
    server.fails(&["device", "provision", "cam-1", "-o", &out], Exit::Conflict, "NOT_EMPTY");
    let other = server.path("cam-2");
    server.fails(&["device", "provision", "cam-2", "-o", &other], Exit::NotFound, "NOT_FOUND");
    assert!(!std::path::Path::new(&other).exists(), "a failure leaves nothing behind");
}

#[test]
fn a_key_is_claimed_moved_split_unclaimed_and_given_away() {
    let server = Server::start();
    server.ok(&["price", "set", "camera=199", "door=99"]);
    for org in ["Acme", "Other"] {
        server.ok(&["org", "create", org, "--license-groups"]);
    }
    let acme = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--org", "Acme"]);
        all.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    let ok = |arguments: &[&str]| {
        let all = acme(arguments);
        server.ok(&all.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let fails = |arguments: &[&str], exit, says| {
        let all = acme(arguments);
        server.fails(&all.iter().map(String::as_str).collect::<Vec<_>>(), exit, says);
    };
    for group in ["North", "South"] {
        ok(&["group", "create", group]);
    }
    let orgs = server.ask("GET", "/api/v1/organizations", Value::Null);
    let id = |name: &str| {
        let mut all = orgs["items"].as_array().unwrap().iter();
        all.find(|org| org["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let keys = |org: &str| {
        let path = format!("/api/v1/organizations/{}/keys", id(org));
        server.ask("GET", &path, Value::Null)["items"].as_array().unwrap().clone()
    };
    let lines = json!([{"product": "camera", "quantity": 5}, {"product": "door", "quantity": 1}]);
    let order = json!({"order_number": "SO-1", "term_days": 365, "lines": lines});
    let code = server.ask("POST", "/api/v1/keys", order)["code"].as_str().unwrap().to_owned();
    let tail = &code[24..29];

    ok(&["key", "claim", &code, "--as", "increase", "--dry-run"]);
    assert!(keys("Acme").is_empty(), "a dry run claims nothing");
    fails(
        &["key", "claim", &code, "--as", "renewal", "--yes"],
        Exit::Invalid,
        "RENEWAL_NEEDS_GROUP (group): ",
    );
    ok(&["key", "claim", &code, "--yes"]);
    // By the end of its code, in any case.
    ok(&["key", "move", &tail.to_lowercase(), "--group", "North", "--yes"]);
    ok(&["key", "show", tail]);
    fails(&["key", "move", tail, "--group", "north", "--yes"], Exit::Conflict, "ALREADY_THERE (group): ");
    fails(&["key", "move", "ZZZZZ0", "--group", "North", "--yes"], Exit::NotFound, "NOT_FOUND");
    let split = |first: &str, second: &str, how: &str| {
        ok(&["key", "split", tail, "--part", first, "--part", second, how]);
    };
    split("camera=3,door=1@North", "camera=2", "--dry-run");
    let odd = ["key", "split", tail, "--part", "camera=3", "--part", "camera=2", "--yes"];
    fails(&odd, Exit::Invalid, "SPLIT_DOES_NOT_ADD_UP");
    fails(
        &["key", "split", tail, "--part", "camera=5,door=1", "--yes"],
        Exit::Invalid,
        "OUT_OF_RANGE (parts)",
    );
    assert_eq!(keys("Acme").len(), 1);
    split("camera=3,door=1@North:renewal", "camera=2", "--yes");
    let parts = keys("Acme");
    let state = |n: usize| (parts[n]["state"].as_str().unwrap(), parts[n]["group_name"].as_str());
    let mut states = [state(0), state(1), state(2)];
    states.sort_unstable();
    // The group was left with no active key, so its renewal did not wait.
    assert_eq!(states, [("active", Some("North")), ("split", None), ("unassigned", None)]);
    let free = parts.iter().find(|key| key["state"] == "unassigned").unwrap()["id"].as_str().unwrap();
    ok(&["key", "list"]);

    ok(&["key", "move", free, "--group", "South", "--yes"]);
    fails(&["key", "transfer", free, "--to", "Other", "--yes"], Exit::Conflict, "KEY_NOT_UNASSIGNED");
    ok(&["key", "unclaim", free, "--yes", "-o", "json"]);
    ok(&["key", "transfer", free, "--to", "other", "--yes"]);
    assert_eq!(
        (keys("Other")[0]["id"].as_str(), keys("Other")[0]["state"].as_str()),
        (Some(free), Some("unassigned"))
    );
}

#[test]
fn what_goes_wrong_has_an_exit_status_and_says_what_to_do() {
    let server = Server::start();
    server.ok(&["org", "create", "Acme", "--license-groups"]);
    server.fails(&["group", "create", ""], Exit::Invalid, "NAME_INVALID (name): ");
    server.ok(&["group", "create", "North"]);
    server.fails(&["group", "create", "north"], Exit::Conflict, "NAME_TAKEN");
    server.fails(&["group", "show", "South"], Exit::NotFound, "NOT_FOUND");
    server.fails(&["key", "claim", "ABC", "--yes"], Exit::Invalid, "KEY_CODE_MALFORMED (code): ");
    server.ok(&["org", "create", "Other", "--license-groups"]);
    server.fails(&["group", "list"], Exit::Invalid, "WHICH_ORGANIZATION");
    server.ok(&["group", "list", "--org", "Other"]);

    server.fails(&["org", "list", "--server", "http://127.0.0.1:1"], Exit::Unavailable, "UNREACHABLE");
    server.fails(&["org", "list", "--server", "http://192.0.2.1"], Exit::Invalid, "PLAIN_HTTP");
    server.fails(&["org", "list", "--server", "ftp://x"], Exit::Invalid, "BAD_SERVER");
    let wide = server.path("wide");
    std::fs::copy(server.token_file(), &wide).unwrap();
    std::fs::set_permissions(&wide, PermissionsExt::from_mode(0o640)).unwrap();
    server.fails(&["org", "list", "--token-file", &wide], Exit::Denied, "TOKEN_FILE");
    std::fs::write(&wide, format!("ctk_{}", "0".repeat(40))).unwrap();
    std::fs::set_permissions(&wide, PermissionsExt::from_mode(0o600)).unwrap();
    server.fails(&["org", "list", "--token-file", &wide], Exit::Denied, "UNAUTHENTICATED");
}

/// E8, and what lies ahead: who is kept out ends with a status of its own, and the past is no forecast.
#[test]
fn access_forecasts_and_coming_dates_are_asked_for() {
    let server = Server::start();
    server.ok(&["price", "set", "camera=199"]);
    server.ok(&["model", "put", "CAM", "--product", "camera"]);
    server.ok(&["org", "create", "Acme"]);
    server.ok(&["site", "create", "HQ"]);
    server.ok(&["device", "claim", "cam-1", "--site", "HQ", "--model", "CAM", "--yes"]);
    server.ok(&["access", "check", "--device", "cam-1", "--action", "configure"]);
    server.ok(&["access", "check", "--site", "HQ"]);
    server.ok(&["access", "list", "-o", "csv"]);
    server.fails(&["access", "check", "--device", "cam-2"], Exit::NotFound, "NOT_FOUND");
    server.ok(&["device", "retire", "cam-1", "--yes"]);
    server.fails(&["access", "check", "--device", "cam-1"], Exit::KeptOut, "DEVICE_RETIRED: ");
    server.ok(&["access", "check", "--device", "cam-1", "--action", "license"]);
    for noun in [["org", "show"].as_slice(), &["group", "list"], &["site", "list"], &["device", "list"]] {
        server.ok(&[noun, &["--at", "+400d"]].concat());
        server.fails(&[noun, &["--at", "1999-01-01"]].concat(), Exit::Invalid, "AT_IS_PAST (at): ");
    }
    server.ok(&["group", "explain", "Group 1", "--at", "9999-12-31"]);
    server.ok(&["device", "show", "cam-1", "--at", "+1h"]);
    server.ok(&["calendar"]);
    server.ok(&["calendar", "--ics", "--until", "+90d"]);
    assert!(server.coterm(&["access", "check", "--device", "a", "--site", "b"]).is_err(), "one of the two");
    assert!(server.coterm(&["access", "check", "--action", "everything"]).is_err());
}
