//! Books on a real disk, and what is put into them before anything is measured.

use crate::report;
use coterm_cloud::books::{Books, Change, Mode, Request};
use coterm_cloud::clock::SystemClock;
use coterm_cloud::store::sqlite::SqliteStore;
use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::{ClaimMode, Command, FoundOrganization, NewDevice, OrderLine, SettingsChange};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use rustix::time::{ClockId, clock_gettime};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// As in the daemon: what is measured from inside is to cost what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Writers that load a world.
const LOADERS: usize = 200;

/// Processor time of this process so far, in milliseconds: on a busy machine it tells more than the wall.
pub(crate) fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A directory on the disk the project is on; `/tmp` may be memory.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(report::directory()).unwrap()
}

pub(crate) fn open(directory: &TempDir) -> Books {
    let store = SqliteStore::open(&directory.path().join("books.db")).unwrap();
    Books::start(store, Arc::new(SystemClock), Mode::Production).unwrap()
}

fn bytes(kind: u8, n: u64) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    bytes
}

pub(crate) fn organization(n: u64) -> OrganizationId {
    OrganizationId::from_bytes(bytes(1, n))
}

pub(crate) fn group(n: u64) -> GroupId {
    GroupId::from_bytes(bytes(2, n))
}

pub(crate) fn default_group(of: u64) -> GroupId {
    GroupId::from_bytes(bytes(9, of))
}

pub(crate) fn site(n: u64) -> SiteId {
    SiteId::from_bytes(bytes(3, n))
}

pub(crate) fn code(n: u64) -> KeyCode {
    // A code has fewer bits than it is made of: the last ones do not count.
    KeyCode::from_random(bytes(4, n << 8))
}

pub(crate) fn device(n: u64) -> DeviceId {
    format!("dev-{n}").parse().unwrap()
}

pub(crate) fn to(of: u64, command: Command) -> Change {
    Change::Organization { id: organization(of), command }
}

pub(crate) fn found(n: u64) -> Change {
    Change::FoundOrganization(FoundOrganization {
        id: organization(n),
        name: format!("Organization {n}"),
        default_group: default_group(n),
        settings: SettingsChange::default(),
        license_groups: true,
    })
}

pub(crate) fn create_group(of: u64, n: u64) -> Change {
    let settings = SettingsChange::default();
    to(of, Command::CreateGroup { id: group(n), name: format!("Campus {n}"), settings })
}

pub(crate) fn create_site(of: u64, n: u64, group: GroupId) -> Change {
    let name = format!("Building {n}");
    to(of, Command::CreateSite { id: site(n), name, parent: None, group: Some(group) })
}

pub(crate) fn retire_device(of: u64, n: u64) -> Change {
    to(of, Command::RetireDevice { id: device(n) })
}

pub(crate) fn claim_device(of: u64, n: u64, at: u64) -> Change {
    let device = NewDevice {
        id: device(n),
        model: "CAM-1".to_owned(),
        product: ProductType::CAMERA,
        units: 1,
        trial_secs: None,
        doors: None,
    };
    to(of, Command::ClaimDevice { device, site: site(at) })
}

pub(crate) fn issue_key(n: u64, quantity: u64, term_days: u32) -> Change {
    Change::Platform(PlatformCommand::IssueKey(IssueKey {
        id: KeyId::from_bytes(bytes(5, n)),
        code_hash: code(n).hash(),
        code_tail: code(n).tail(),
        order_number: format!("SO-{n}"),
        lines: vec![OrderLine { product: ProductType::CAMERA, quantity }],
        term_days,
        created_at: None,
    }))
}

pub(crate) fn claim_key(of: u64, n: u64, into: u64) -> Change {
    let (organization, group) = (organization(of), Some(group(into)));
    Change::ClaimKey { organization, code: code(n), group, mode: ClaimMode::Increase }
}

/// What must be on the platform before anything else.
pub(crate) fn catalog() -> Vec<Change> {
    let put = PlatformCommand::PutModel { name: "CAM-1".to_owned(), product: ProductType::CAMERA, units: 1 };
    vec![
        Change::Platform(PlatformCommand::SetPrice { product: ProductType::CAMERA, price: 199 }),
        Change::Platform(put),
    ]
}

pub(crate) async fn execute(books: &Books, change: Change) {
    books.execute(Request::new("user:ada", "req-0190163d8694739b", change)).await.unwrap();
}

/// Carries changes out many at a time, each list in its order.
pub(crate) async fn load(books: &Books, lists: impl IntoIterator<Item = Vec<Change>>) {
    let lists: Arc<Mutex<VecDeque<Vec<Change>>>> = Arc::new(Mutex::new(lists.into_iter().collect()));
    let loaders = (0..LOADERS).map(|_| {
        let (books, lists) = (books.clone(), Arc::clone(&lists));
        tokio::spawn(async move {
            loop {
                let Some(list) = lists.lock().unwrap().pop_front() else { return };
                for change in list {
                    execute(&books, change).await;
                }
            }
        })
    });
    for loader in loaders.collect::<Vec<_>>() {
        loader.await.unwrap();
    }
}

/// An organization of `groups` groups, each with a key, a site and `devices` devices; numbers begin above `base`.
pub(crate) async fn populate(books: &Books, of: u64, base: u64, groups: u64, devices: u64) {
    execute(books, found(of)).await;
    let lists = (1..=groups).map(|n| {
        let n = base + n;
        let mut list = vec![
            create_group(of, n),
            create_site(of, n, group(n)),
            issue_key(n, devices + 5, 365),
            claim_key(of, n, n),
        ];
        list.extend((0..devices).map(|d| claim_device(of, n * 1_000 + d, n)));
        list
    });
    load(books, lists).await;
}
