//! A daemon's interface on a temporary directory, two organizations in it, and one token per role.

use crate::auth::{RoleName, Secret, TokenId, TokenRecord, TokenStore};
use crate::books::{Books, Mode};
use crate::clock::Clock;
use crate::clock::testing::ManualClock;
use crate::http::{Api, BrokerAddress, Deps, Provisioned, Provisioner, Trust, Unknown, router};
use crate::store::sqlite::SqliteStore;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use coterm_certs::{Pki, PkiError, Time};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

pub(super) struct World {
    pub(super) router: Router,
    pub(super) tokens: Arc<TokenStore>,
    pub(super) books: Books,
    pub(super) clock: ManualClock,
    pub(super) vendor: String,
    pub(super) admin: String,
    pub(super) viewer: String,
    /// The organization of `admin` and `viewer`, and one that is not theirs.
    pub(super) org: String,
    pub(super) foreign: String,
    dir: TempDir,
}

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    pub(super) fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

struct TestProvisioner(Pki);

impl Provisioner for TestProvisioner {
    fn certificate(&self, device: &DeviceId, organization: OrganizationId) -> Result<Provisioned, PkiError> {
        let certificate = self.0.device_certificate(device, organization)?;
        let replaced = self.0.keep_only(device, &certificate.facts.serial)?;
        Ok(Provisioned { certificate, replaced })
    }

    fn trust(&self) -> Trust {
        Trust { domain: String::from("test.local"), root: vec![1, 2], keyring: vec![3] }
    }

    fn broker(&self) -> BrokerAddress {
        let ca_pem = self.0.ca_pem().unwrap();
        BrokerAddress { host: "localhost".into(), port: 8883, server_name: "localhost".into(), ca_pem }
    }
}

/// The interface on what lies in a directory.
fn assemble(dir: &Path, clock: &ManualClock) -> (Router, Books, Arc<TokenStore>) {
    let store = SqliteStore::open(&dir.join("books.db")).unwrap();
    let books = Books::start(store, Arc::new(clock.clone()), Mode::Production).unwrap();
    let tokens = Arc::new(TokenStore::open(&dir.join("tokens.db")).unwrap());
    let time = books.clone();
    let pki = Pki::open_or_create(&dir.join("pki"), move || Time::Sure(time.now())).unwrap();
    let api = Api::new(Deps {
        books: books.clone(),
        tokens: tokens.clone(),
        provisioner: Arc::new(TestProvisioner(pki)),
        fleet: Arc::new(Unknown),
        readiness: Arc::new(Unknown),
        alarms: Arc::default(),
        metrics: Arc::default(),
        lease: Seconds::days(7),
        notify: crate::notify::Rules { allow_private: false, mail: true },
    });
    (router(api), books, tokens)
}

impl World {
    pub(super) async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at("2027-01-01T00:00:00Z");
        let now = clock.now();
        let (router, books, tokens) = assemble(dir.path(), &clock);
        let mut world = World {
            router,
            tokens,
            books,
            clock,
            vendor: String::new(),
            admin: String::new(),
            viewer: String::new(),
            org: String::new(),
            foreign: String::new(),
            dir,
        };
        world.vendor = world.token(1, RoleName::Vendor, None, None, now);
        for (product, price) in [("camera", 199), ("door", 99)] {
            let path = format!("/api/v1/prices/{product}");
            world.ok(&world.vendor, Method::PUT, &path, json!({ "price": price })).await;
        }
        world
            .ok(&world.vendor, Method::PUT, "/api/v1/models/CAM-1", json!({"product": "camera", "units": 1}))
            .await;
        world.org = world.create_org("Acme").await;
        world.foreign = world.create_org("Other").await;
        let own = Some(world.org.parse().unwrap());
        world.admin = world.token(2, RoleName::OrgAdmin, own, None, now);
        world.viewer = world.token(3, RoleName::OrgViewer, own, None, now);
        world
    }

    /// Ends the daemon and starts another on the same directory.
    pub(super) async fn restart(&mut self) {
        self.books.close().await;
        (self.router, self.books, self.tokens) = assemble(self.dir.path(), &self.clock);
    }

    async fn create_org(&self, name: &str) -> String {
        let vendor = &self.vendor;
        self.ok(
            vendor,
            Method::POST,
            "/api/v1/organizations",
            json!({ "name": name, "license_groups": true }),
        )
        .await
        .text("/id")
    }

    /// Makes a token behind the interface's back.
    pub(super) fn token(
        &self,
        number: u8,
        role: RoleName,
        organization: Option<OrganizationId>,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> String {
        let secret = Secret::generate().unwrap();
        let record = TokenRecord {
            id: TokenId::from_bytes([number; 16]),
            name: format!("token {number}"),
            role,
            organization,
            created_at: now,
            created_by: String::from("test"),
            expires_at,
            revoked_at: None,
        };
        self.tokens.insert(secret.hash(), record, None).unwrap();
        secret.reveal().to_owned()
    }

    /// Every byte of the books on disk.
    pub(super) fn on_disk(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let books = files.filter(|path| path.to_string_lossy().contains("books.db"));
        books.flat_map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// The path of something in the organization.
    pub(super) fn at(&self, rest: &str) -> String {
        format!("/api/v1/organizations/{}{rest}", self.org)
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        assert!(parts.headers.contains_key("x-request-id"), "every answer is named");
        if parts.status.is_client_error() || parts.status.is_server_error() {
            let kind = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned());
            assert_eq!(kind.as_deref(), Some("application/problem+json"), "{text}");
            for field in ["type", "title", "code", "detail", "hint"] {
                assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {text}");
            }
            assert_eq!(body["status"], parts.status.as_u16());
        }
        let answer = Answer { status: parts.status, headers: parts.headers, text, body };
        super::openapi::hold(&method, &path, &answer);
        answer
    }

    pub(super) async fn call(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        self.call_with(token, method, path, body, &[]).await
    }

    pub(super) async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("authorization", format!("Bearer {token}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        };
        self.send(request.body(body).unwrap()).await
    }

    pub(super) async fn ok(&self, token: &str, method: Method, path: &str, body: Value) -> Answer {
        let answer = self.call(token, method, path, body).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        answer
    }

    pub(super) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ok(token, Method::GET, path, Value::Null).await
    }

    /// A fresh license key for cameras.
    pub(super) async fn issue(&self, quantity: u64, term_days: u64) -> String {
        let body = json!({"order_number": "SO-1", "term_days": term_days,
            "lines": [{"product": "camera", "quantity": quantity}]});
        self.ok(&self.vendor, Method::POST, "/api/v1/keys", body).await.text("/code")
    }

    /// A root site in no group.
    pub(super) async fn site(&self, name: &str) -> String {
        self.ok(&self.admin, Method::POST, &self.at("/sites"), json!({ "name": name })).await.text("/id")
    }
}
