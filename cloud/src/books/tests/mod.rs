//! The books as their users see them. Helpers here; each file one subject.

mod changes;
mod crash_points;
mod faults;
mod issuing;
mod keys;
mod notices;
mod safety;
mod time;

use super::*;
use crate::clock::testing::ManualClock;
use crate::store::sqlite::SqliteStore;
use coterm_shared::id::{GroupId, KeyId, SiteId};
use coterm_shared::licensing::{ClaimMode, Command, FoundOrganization, NewDevice, OrderLine, SettingsChange};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const NOW: &str = "2027-01-01T00:00:00Z";

fn organization(n: u8) -> OrganizationId {
    OrganizationId::from_bytes([n; 16])
}

fn group(n: u16) -> GroupId {
    let [high, low] = n.to_be_bytes();
    GroupId::from_bytes([high, low, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7])
}

fn site(n: u8) -> SiteId {
    SiteId::from_bytes([n; 16])
}

fn code(n: u8) -> KeyCode {
    KeyCode::from_random([n; 16])
}

fn device(n: u32) -> DeviceId {
    format!("cam-{n}").parse().unwrap()
}

fn found(n: u8) -> Change {
    Change::FoundOrganization(FoundOrganization {
        id: organization(n),
        name: format!("Organization {n}"),
        default_group: group(1),
        settings: SettingsChange::default(),
        license_groups: true,
    })
}

fn to(of: u8, command: Command) -> Change {
    Change::Organization { id: organization(of), command }
}

fn create_group(of: u8, n: u16) -> Change {
    let settings = SettingsChange::default();
    to(of, Command::CreateGroup { id: group(n), name: format!("Campus {n}"), settings })
}

fn create_site(of: u8) -> Change {
    to(of, Command::CreateSite { id: site(of), name: "Lobby".to_owned(), parent: None, group: None })
}

fn claim_device(of: u8, n: u32) -> Change {
    let model = "c-100".to_owned();
    to(
        of,
        Command::ClaimDevice {
            device: NewDevice {
                id: device(n),
                model,
                product: ProductType::CAMERA,
                units: 1,
                trial_secs: None,
                doors: None,
            },
            site: site(of),
        },
    )
}

fn retire_device(of: u8, n: u32) -> Change {
    to(of, Command::RetireDevice { id: device(n) })
}

fn claim_key(of: u8, n: u8) -> Change {
    Change::ClaimKey { organization: organization(of), code: code(n), group: None, mode: ClaimMode::Increase }
}

fn set_price() -> Change {
    Change::Platform(PlatformCommand::SetPrice { product: ProductType::CAMERA, price: 199 })
}

fn issue_key(n: u8, term_days: u32) -> Change {
    Change::Platform(PlatformCommand::IssueKey(IssueKey {
        id: KeyId::from_bytes([n; 16]),
        code_hash: code(n).hash(),
        code_tail: code(n).tail(),
        order_number: format!("order-{n}"),
        lines: vec![OrderLine { product: ProductType::CAMERA, quantity: 10 }],
        term_days,
        created_at: None,
    }))
}

fn ask(change: Change) -> Request {
    Request::new("user:ada", "req-1", change)
}

fn keyed(change: Change, key: &str, fingerprint: u8) -> Request {
    let idempotency =
        Idempotency { principal: "ada".to_owned(), key: key.to_owned(), fingerprint: [fingerprint; 32] };
    let respond: Respond = Box::new(|done| StoredResponse {
        status: 201,
        body: format!("version {}", done.version).into_bytes(),
    });
    Request { idempotency: Some(idempotency), respond: Some(respond), ..ask(change) }
}

fn open(path: &Path, clock: &ManualClock) -> Books {
    Books::start(SqliteStore::open(path).unwrap(), Arc::new(clock.clone()), Mode::Production).unwrap()
}

/// A fresh database with organizations 1 and 2.
async fn fresh() -> (Books, ManualClock, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let books = open(&dir.path().join("books.db"), &clock);
    for n in [1, 2] {
        books.execute(ask(found(n))).await.unwrap();
    }
    (books, clock, dir)
}

async fn run(books: &Books, changes: impl IntoIterator<Item = Change>) {
    for change in changes {
        books.execute(ask(change)).await.unwrap();
    }
}

async fn code_of(books: &Books, request: Request) -> &'static str {
    books.execute(request).await.unwrap_err().code()
}

fn has_group(books: &Books, of: u8, n: u16) -> bool {
    books.organization(organization(of)).unwrap().group(group(n)).is_some()
}

/// Names of the events in an organization's log, with their instants.
async fn story(books: &Books, of: u8) -> Vec<(String, Timestamp)> {
    let log = books.log(organization(of), 0, LOG_PAGE_MAX).await.unwrap();
    let name = |event: &[u8]| {
        let event: serde_json::Value = serde_json::from_slice(event).unwrap();
        event["type"].as_str().unwrap().to_owned()
    };
    log.iter().map(|line| (name(&line.event), line.at)).collect()
}

/// Holds the writer at work that no commit waits for until it is released; what is asked meanwhile becomes one group.
async fn hold_writer(books: &Books) -> HeldWriter {
    let (entered, entering) = oneshot::channel();
    let (release, held): (_, Receiver<()>) = channel();
    let mut entered = Some(entered);
    let sign = Box::new(move |_: &[Allocated]| {
        entered.take().unwrap().send(()).unwrap();
        let _released = held.recv();
        Vec::new()
    });
    let (reply, answer) = oneshot::channel();
    books.sender.try_send(Message::Issue { first: 0, chunk: Vec::new(), sign, reply }).ok().unwrap();
    entering.await.unwrap();
    HeldWriter { release, done: Box::pin(async move { drop(answer.await.unwrap().1.unwrap()) }) }
}

struct HeldWriter {
    release: std::sync::mpsc::Sender<()>,
    done: std::pin::Pin<Box<dyn Future<Output = ()>>>,
}

impl HeldWriter {
    async fn release(self) {
        drop(self.release);
        self.done.await;
    }
}

/// Asks without waiting; the request is queued when this returns.
fn queue(books: &Books, request: Request) -> oneshot::Receiver<Result<Committed, BooksError>> {
    let (reply, answer) = oneshot::channel();
    books.sender.try_send(Message::Execute(Box::new(request), reply)).ok().unwrap();
    answer
}

/// Waits for something that happens by itself.
async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !happened() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
