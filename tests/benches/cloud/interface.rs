//! Commands and lists on an organization of 100,000 devices, through the real routes over TCP.
//!
//! Two shapes: 10,000 groups of ten devices, and everything in one group (1,000 sites of a hundred). The floor of each
//! request is the same request on an organization of a hundred devices in the same daemon, turn by turn. What is applied
//! is on disk when it is answered; what that costs alone, a commit of one row by bare SQLite, is shown once.

use crate::report::{Goal, Report, median};
use crate::world::{
    catalog, claim_device, claim_key, code, create_group, create_site, device, directory, execute, found,
    group, issue_key, load, open, organization, populate, retire_device, runtime, site,
};
use coterm_certs::PkiError;
use coterm_cloud::auth::{RoleName, Secret, TokenId, TokenRecord, TokenStore};
use coterm_cloud::books::Books;
use coterm_cloud::http::{Api, BrokerAddress, Deps, Provisioned, Provisioner, Trust, Unknown, router};
use coterm_shared::id::{DeviceId, OrganizationId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CALLS: u64 = 40;

struct NoProvisioner;

impl Provisioner for NoProvisioner {
    fn certificate(&self, _: &DeviceId, _: OrganizationId) -> Result<Provisioned, PkiError> {
        unreachable!("no request of this bench makes a certificate")
    }
    fn trust(&self) -> Trust {
        Trust { domain: String::new(), root: Vec::new(), keyring: Vec::new() }
    }
    fn broker(&self) -> BrokerAddress {
        BrokerAddress { host: String::new(), port: 0, server_name: String::new(), ca_pem: String::new() }
    }
}

/// A daemon's interface, and one client with one connection.
struct Daemon {
    books: Books,
    client: ureq::Agent,
    url: String,
    token: String,
    runtime: Runtime,
    directory: TempDir,
}

impl Daemon {
    fn start() -> Daemon {
        let (runtime, directory) = (runtime(), directory());
        let books = open(&directory);
        let tokens = Arc::new(TokenStore::open(&directory.path().join("tokens.db")).unwrap());
        let secret = Secret::generate().unwrap();
        let record = TokenRecord {
            id: TokenId::from_bytes([1; 16]),
            name: "bench".to_owned(),
            role: RoleName::Vendor,
            organization: None,
            created_at: books.now(),
            created_by: "bench".to_owned(),
            expires_at: None,
            revoked_at: None,
        };
        tokens.insert(secret.hash(), record, None).unwrap();
        let api = Api::new(Deps {
            books: books.clone(),
            tokens,
            provisioner: Arc::new(NoProvisioner),
            fleet: Arc::new(Unknown),
            readiness: Arc::new(Unknown),
            lease: coterm_shared::time::Seconds::days(7),
            alarms: Arc::default(),
            notify: coterm_cloud::notify::Rules { allow_private: false, mail: false },
            metrics: Arc::default(),
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}/api/v1", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, router(api)).await });
        let client = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Daemon { books, client, url, token: secret.reveal().to_owned(), runtime, directory }
    }

    /// The same question twice, the second time with the tag of the first answer: how long "not modified" takes.
    fn ask_again(&self, of: u64, path: &str) -> f64 {
        let url = format!("{}/organizations/{}{path}", self.url, organization(of));
        let authorization = format!("Bearer {}", self.token);
        let first = self.client.get(&url).header("authorization", &authorization).call().unwrap();
        let tag = first.headers().get("etag").unwrap().to_str().unwrap().to_owned();
        drop(first.into_body().read_to_vec());
        let started = Instant::now();
        let again = self.client.get(&url).header("authorization", &authorization);
        let again = again.header("if-none-match", &tag).call().unwrap();
        assert_eq!(again.status(), 304, "{url}");
        started.elapsed().as_secs_f64() * 1e3
    }

    /// One request in milliseconds, and what it was answered.
    fn call(&self, of: u64, path: &str, body: Option<&Value>) -> (f64, Value) {
        let url = format!("{}/organizations/{}{path}", self.url, organization(of));
        let authorization = format!("Bearer {}", self.token);
        let started = Instant::now();
        let mut answer = match body {
            None => self.client.get(&url).header("authorization", &authorization).call().unwrap(),
            Some(body) => {
                let request = self.client.post(&url).header("authorization", &authorization);
                request.header("content-type", "application/json").send(body.to_string()).unwrap()
            }
        };
        let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().unwrap();
        let took = started.elapsed().as_secs_f64() * 1e3;
        assert!(answer.status().is_success(), "{url}: {text}");
        (took, serde_json::from_str(&text).unwrap_or_default())
    }
}

/// An organization under test: where its groups, sites, devices and spare keys begin.
#[derive(Clone, Copy)]
struct Fleet {
    id: u64,
    base: u64,
    groups: u64,
}

/// Path and body of the `n`th request to a fleet.
type Make = fn(Fleet, u64) -> (String, Option<Value>);

/// A group of the fleet, every time another.
fn some_group(fleet: Fleet, n: u64) -> u64 {
    fleet.base + 1 + n * 37 % fleet.groups
}

fn claim(fleet: Fleet, n: u64, dry: &str) -> (String, Option<Value>) {
    let at = site(some_group(fleet, n)).to_string();
    let id = device(fleet.base * 1_000_000 + n);
    (format!("/devices{dry}"), Some(json!({ "id": id, "site": at, "model": "CAM-1" })))
}

fn key(fleet: Fleet, n: u64) -> u64 {
    1_000_000_000 + fleet.base * 1_000 + n
}

fn redeem(fleet: Fleet, n: u64, dry: &str) -> (String, Option<Value>) {
    let into = group(some_group(fleet, n)).to_string();
    (format!("/keys/claim{dry}"), Some(json!({ "code": code(key(fleet, n)).reveal(), "group": into })))
}

/// The first site goes to a group of its own and back.
fn relocate(fleet: Fleet, n: u64, dry: &str) -> (String, Option<Value>) {
    let to = if n.is_multiple_of(2) { fleet.base } else { fleet.base + 1 };
    (format!("/sites/{}/move{dry}", site(fleet.base + 1)), Some(json!({ "group": group(to).to_string() })))
}

/// A page from the middle of a list; cursors are ids.
fn middle(list: &str, cursor: String) -> (String, Option<Value>) {
    (format!("/{list}?limit=100&cursor={cursor}"), None)
}

/// Some device or site of the fleet, every time another.
fn access(fleet: Fleet, n: u64, of: &str) -> String {
    let at = some_group(fleet, n);
    match of {
        "device" => format!("/access?device={}&action=view-live", device(at * 1_000 + n % 10)),
        "site" => format!("/access?site={}", site(at)),
        _ => String::from("/access"),
    }
}

/// Retired devices of each fleet: what people are kept out of for good.
const RETIRED: u64 = 1_000;

/// All that is closed, in one page.
const DENIED: &str = "/access/denied?limit=1000";

/// The path of the `n`th request to a fleet.
type MakePath = fn(Fleet, u64) -> String;

/// Questions that are asked again with the tag of their answer.
const TAGGED: &[(&str, MakePath)] = &[
    ("may people, a device, not modified", |f, n| access(f, n, "device")),
    ("all 1,000 that are closed, not modified", |_, _| DENIED.to_owned()),
];

const REQUESTS: &[(&str, Make)] = &[
    ("may people, a device", |f, n| (access(f, n, "device"), None)),
    ("may people, a site", |f, n| (access(f, n, "site"), None)),
    ("may people, the organization", |f, n| (access(f, n, "organization"), None)),
    ("all 1,000 that are closed", |_, _| (DENIED.to_owned(), None)),
    ("show the organization", |_, _| (String::new(), None)),
    ("list devices, first page", |_, _| ("/devices?limit=100".to_owned(), None)),
    ("list devices, from the middle", |f, _| {
        middle("devices", device((f.base + 1 + f.groups / 2) * 1_000).to_string())
    }),
    ("list groups, from the middle", |f, _| middle("groups", group(f.base + f.groups / 2).to_string())),
    ("list sites, from the middle", |f, _| middle("sites", site(f.base + f.groups / 2).to_string())),
    ("list keys, first page", |_, _| ("/keys?limit=100".to_owned(), None)),
    ("show a group", |f, n| (format!("/groups/{}", group(some_group(f, n))), None)),
    ("preview adding a device", |f, n| claim(f, n, "?dry_run=true")),
    ("add a device", |f, n| claim(f, n, "")),
    ("preview claiming a key", |f, n| redeem(f, n, "?dry_run=true")),
    ("claim a key", |f, n| redeem(f, n, "")),
    ("preview moving a site", |f, n| relocate(f, n & !1, "?dry_run=true")),
    ("move a site", |f, n| relocate(f, n, "")),
];

/// A commit of one row by bare SQLite, in milliseconds.
fn commit_alone(daemon: &Daemon) -> f64 {
    let bare = rusqlite::Connection::open(daemon.directory.path().join("bare.db")).unwrap();
    let _: String = bare.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    bare.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE t (body BLOB)").unwrap();
    let commit = |_| {
        let started = Instant::now();
        bare.execute("INSERT INTO t VALUES (zeroblob(400))", []).unwrap();
        started.elapsed().as_secs_f64() * 1e3
    };
    median((0..200).map(commit).collect())
}

fn prepare(daemon: &Daemon) -> [Fleet; 3] {
    let books = &daemon.books;
    let small = Fleet { id: 1, base: 1_000_000, groups: 10 };
    let spread = Fleet { id: 2, base: 2_000_000, groups: 10_000 };
    let one = Fleet { id: 3, base: 3_000_000, groups: 1 };
    daemon.runtime.block_on(async {
        load(books, [catalog()]).await;
        for fleet in [small, spread] {
            populate(books, fleet.id, fleet.base, fleet.groups, 10).await;
        }
        let big = one.base + 1;
        execute(books, found(one.id)).await;
        load(
            books,
            [vec![create_group(one.id, big), issue_key(big, 100_500, 365), claim_key(one.id, big, big)]],
        )
        .await;
        let sites = (0..1_000).map(|n| {
            let mut list = vec![create_site(one.id, big + n, group(big))];
            list.extend((0..100).map(|d| claim_device(one.id, (big + n) * 1_000 + d, big + n)));
            list
        });
        load(books, sites).await;
        for fleet in [small, spread, one] {
            // Where a site goes to and fro, it has its licenses.
            execute(books, create_group(fleet.id, fleet.base)).await;
            execute(books, issue_key(key(fleet, CALLS), 300, 365)).await;
            execute(books, claim_key(fleet.id, key(fleet, CALLS), fleet.base)).await;
            load(books, (0..CALLS).map(|n| vec![issue_key(key(fleet, n), 10, 730)])).await;
            let at = fleet.base + 1;
            // One after the other: what is loaded together is done in any order. No group is ever short of a unit, for what
            // locks many waits for the vendor.
            let gone = (0..RETIRED).map(|n| fleet.base * 1_000_000 + 500_000 + n);
            let list = gone.flat_map(|n| [claim_device(fleet.id, n, at), retire_device(fleet.id, n)]);
            load(books, [list.collect()]).await;
        }
    });
    [small, spread, one]
}

pub(crate) fn run() {
    let mut report = Report::new("interface");
    let daemon = Daemon::start();
    eprintln!("claiming 200,000 devices...");
    let started = Instant::now();
    let fleets = prepare(&daemon);
    eprintln!("loaded in {:.1} s", started.elapsed().as_secs_f64());
    let alone = commit_alone(&daemon);
    report.add("API one durable commit by bare SQLite", "ms", alone, None, Goal::Shown);
    for (name, make) in REQUESTS {
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        for n in 0..CALLS {
            for (fleet, took) in fleets.into_iter().zip(&mut took) {
                let (path, body) = make(fleet, n);
                took.push(daemon.call(fleet.id, &path, body.as_ref()).0);
            }
        }
        let worst = took.iter().skip(1).flatten().copied().fold(0.0, f64::max);
        let [small, spread, one] = took.map(median);
        let floor = Some((small, "100 devices"));
        report.add(format!("API {name}, 10 k groups"), "ms", spread, floor, Goal::AtMost(10.0 + alone));
        report.add(format!("API {name}, one group"), "ms", one, floor, Goal::AtMost(10.0 + alone));
        report.add(format!("API {name}, slowest of {}", 2 * CALLS), "ms", worst, None, Goal::Shown);
    }
    for (name, path) in TAGGED {
        let [small, spread, one] = fleets
            .map(|fleet| median((0..CALLS).map(|n| daemon.ask_again(fleet.id, &path(fleet, n))).collect()));
        let floor = Some((small, "100 devices"));
        report.add(format!("API {name}, 10 k groups"), "ms", spread, floor, Goal::AtMost(10.0));
        report.add(format!("API {name}, one group"), "ms", one, floor, Goal::AtMost(10.0));
    }
    daemon.runtime.block_on(daemon.books.close());
    report.finish();
}
