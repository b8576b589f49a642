//! P3: work follows change, with the real books and the real signing ledger; only the broker is a counter.

use super::super::*;
use super::Taker;
use crate::books::{Books, Change, Mode, Request};
use crate::clock::Clock;
use crate::clock::testing::ManualClock;
use crate::signer::{Trust, TrustPolicy, Vault};
use crate::store::sqlite::SqliteStore;
use coterm_shared::enforcement::EnforcementState;
use coterm_shared::id::{GroupId, KeyId, SiteId};
use coterm_shared::licensing::{
    Actor, ClaimMode, Command, FoundOrganization, NewDevice, OrderLine, SafetyCommand, SettingsChange,
};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use coterm_shared::token::{Claims, Expected, reopen_stored};
use std::time::Instant;
use tempfile::TempDir;

fn bytes(kind: u8, n: u32) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn group(n: u32) -> GroupId {
    GroupId::from_bytes(bytes(2, n))
}

fn site(n: u32) -> SiteId {
    SiteId::from_bytes(bytes(3, n))
}

fn code(n: u32) -> KeyCode {
    // A code has fewer bits than it is made of: the last ones do not count.
    KeyCode::from_random(bytes(4, n << 8))
}

fn device(n: u32) -> DeviceId {
    format!("dev-{n}").parse().unwrap()
}

struct Cloud {
    books: Books,
    reconciler: Reconciler,
    clock: ManualClock,
    trust: Arc<Trust>,
    _dir: TempDir,
}

/// What a change cost: signatures, publishes, rows about tokens.
type Cost = (u64, u64, u64);

impl Cloud {
    /// Two organizations; in the first so many groups of three devices, each group with a key for four cameras.
    async fn start(groups: u32) -> Cloud {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::at("2027-01-01T00:00:00Z");
        let store = SqliteStore::in_memory(&format!("follow-{groups}")).unwrap();
        let books = Books::start(store, Arc::new(clock.clone()), Mode::Production).unwrap();
        let trust_domain: TrustDomain = "follow.local".parse().unwrap();
        let (lease, days) = (Seconds::days(7), Seconds::days(90));
        let policy =
            TrustPolicy { trust_domain: trust_domain.clone(), key_lifetime: days, lease, keep: lease };
        let vault = Vault::files(dir.path().join("keys"));
        let trust = Arc::new(Trust::open_or_create(dir.path(), policy, vault, clock.now()).unwrap());
        let tokens = TokenPolicy { trust_domain: trust_domain.clone(), lease, offline_budget: days };
        let ledger = Arc::new(SigningLedger::new(books.clone(), Arc::clone(&trust), tokens));
        let settings = Settings {
            trust_domain,
            retained: true,
            sweep: Duration::from_secs(86_400),
            tick: Duration::from_secs(1),
            publishes_in_flight: 64,
            publish_deadline: Duration::from_secs(60),
            nonce_interval: Seconds(60),
        };
        let inbox = Arc::new(LatestInbox::new(Arc::default()));
        let reconciler =
            Reconciler::start(settings, ledger, Arc::new(Taker), inbox, trust.subscribe()).await.unwrap();
        let cloud = Cloud { books, reconciler, clock, trust, _dir: dir };
        let price = PlatformCommand::SetPrice { product: ProductType::CAMERA, price: 199 };
        cloud.execute(Change::Platform(price)).await;
        for n in [1, 2] {
            let founding = FoundOrganization {
                id: organization(n),
                name: format!("Organization {n}"),
                default_group: GroupId::from_bytes([n; 16]),
                settings: SettingsChange::default(),
                license_groups: true,
            };
            cloud.execute(Change::FoundOrganization(founding)).await;
        }
        for n in 0..groups {
            let (id, name, settings) = (group(n), format!("Group {n} of many"), SettingsChange::default());
            cloud.command(Command::CreateGroup { id, name, settings }).await;
            let (id, name, group) = (site(n), format!("Site {n}"), Some(group(n)));
            cloud.command(Command::CreateSite { id, name, parent: None, group }).await;
            cloud.key(n, n, 4, 365).await;
            for d in 0..3 {
                cloud.claim(n * 10 + d, n).await;
            }
        }
        cloud.settled(u64::from(groups) * 3).await;
        cloud
    }

    async fn execute(&self, change: Change) {
        self.books.execute(Request::new("user:ada", "req-1", change)).await.unwrap();
    }

    async fn command(&self, command: Command) {
        self.execute(Change::Organization { id: organization(1), command }).await;
    }

    /// Issues a key and claims it into a group.
    async fn key(&self, n: u32, into: u32, quantity: u64, term_days: u32) {
        let issue = PlatformCommand::IssueKey(IssueKey {
            id: KeyId::from_bytes(bytes(5, n)),
            code_hash: code(n).hash(),
            code_tail: code(n).tail(),
            order_number: format!("order-{n}"),
            lines: vec![OrderLine { product: ProductType::CAMERA, quantity }],
            term_days,
            created_at: None,
        });
        self.execute(Change::Platform(issue)).await;
        let (organization, group) = (organization(1), Some(group(into)));
        self.execute(Change::ClaimKey { organization, code: code(n), group, mode: ClaimMode::Increase })
            .await;
    }

    async fn claim(&self, n: u32, at: u32) {
        let device = NewDevice {
            id: device(n),
            model: "CAM-1".to_owned(),
            product: ProductType::CAMERA,
            units: 1,
            trial_secs: None,
            doors: None,
        };
        self.command(Command::ClaimDevice { device, site: site(at) }).await;
    }

    fn cost(&self) -> Cost {
        let counters = self.reconciler.counters();
        (counters.signatures.get(), counters.publishes.get(), counters.rows.get())
    }

    /// Waits until every device has a token, and a sweep after that finds nothing to do.
    async fn settled(&self, devices: u64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let has_token =
            |n: &DeviceId| self.reconciler.status(n).is_some_and(|status| status.issued.is_some());
        loop {
            assert!(Instant::now() < deadline, "it never settles: {:?}", self.cost());
            let before = self.cost();
            let sweeps = self.reconciler.counters().sweeps.get();
            self.reconciler.sweep();
            while self.reconciler.counters().sweeps.get() == sweeps {
                assert!(Instant::now() < deadline, "the sweep does not end");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let organization = self.books.organization(organization(1)).unwrap();
            let with_token = organization.devices().filter(|device| has_token(&device.id)).count();
            let sent = self.cost().1 >= devices;
            if self.cost() == before && sent && with_token == organization.devices().count() {
                return;
            }
        }
    }

    /// What a change costs until nothing is left to do; `devices` are there after it.
    async fn costs(&self, devices: u64, change: impl Future<Output = ()>) -> Cost {
        let before = self.cost();
        change.await;
        self.settled(devices).await;
        let after = self.cost();
        (after.0 - before.0, after.1 - before.1, after.2 - before.2)
    }
}

fn organization(n: u8) -> OrganizationId {
    OrganizationId::from_bytes([100 + n; 16])
}

#[tokio::test]
async fn p3_signatures_publishes_and_rows_are_those_of_the_changed_group_with_real_books() {
    for groups in [3, 30, 200] {
        let cloud = Cloud::start(groups).await;
        let devices = u64::from(groups) * 3;
        // A key moves the date of its group: all three devices are told.
        let cost = cloud.costs(devices, cloud.key(1_000, 1, 1, 730)).await;
        assert_eq!(cost, (3, 3, 3), "a key, {groups} groups");
        // Within capacity, only the device that came.
        let cost = cloud.costs(devices + 1, cloud.claim(7_000, 0)).await;
        assert_eq!(cost, (1, 1, 1), "a device, {groups} groups");
        // One too many: the group is noncompliant, and all five of it are told.
        let cost = cloud.costs(devices + 2, cloud.claim(7_001, 0)).await;
        assert_eq!(cost, (5, 5, 5), "a device too many, {groups} groups");
        // What no token tells costs nothing.
        let rename = Command::RenameGroup { id: group(2), name: "Renamed".to_owned() };
        let cost = cloud.costs(devices + 2, cloud.command(rename)).await;
        assert_eq!(cost, (0, 0, 0), "a name, {groups} groups");
        let (name, settings) = ("Elsewhere".to_owned(), SettingsChange::default());
        let command = Command::CreateGroup { id: group(9_000), name, settings };
        let elsewhere = Change::Organization { id: organization(2), command };
        let cost = cloud.costs(devices + 2, cloud.execute(elsewhere)).await;
        assert_eq!(cost, (0, 0, 0), "another organization, {groups} groups");
        cloud.reconciler.stop().await;
        cloud.books.close().await;
    }
}

impl Cloud {
    /// The token issued last to a device, and when its lease ends.
    async fn token(&self, n: u32) -> Claims {
        let (_, bytes) = self.books.token(&device(n)).await.unwrap().unwrap();
        let trust_domain = "follow.local".parse().unwrap();
        let expected = Expected { trust_domain, device: device(n), organization: organization(1) };
        reopen_stored(&bytes, &self.trust.keyring(), &expected).unwrap().claims().clone()
    }
}

/// E6: a freeze has only those tokens signed anew that would lock before they are renewed anyway; the others wait for
/// their renewal, each at its own time. Renewed, a device never locks; when it ends, what came due comes a lease later.
#[tokio::test]
async fn e6_a_freeze_signs_what_it_must_and_moves_with_the_lease() {
    let by = || Actor { id: "tok_1".to_owned(), name: "Vera".to_owned() };
    let cloud = Cloud::start(20).await;
    let settings = SettingsChange { grace_secs: Some(Seconds::days(2)), ..SettingsChange::default() };
    cloud.command(Command::ChangeGroupSettings { id: group(0), settings }).await;
    cloud.claim(7_000, 0).await;
    cloud.claim(7_001, 0).await;
    cloud.settled(62).await;
    let locks_at = cloud.token(7_001).await.schedule.lock_at.unwrap();
    assert!(locks_at < cloud.token(7_001).await.lease_ends_at);

    let freeze = PlatformCommand::Freeze { by: by() };
    let cost = cloud.costs(62, cloud.execute(Change::Platform(freeze))).await;
    assert_eq!(cost, (5, 5, 5), "one group of twenty would lock within its lease");
    let frozen = cloud.token(7_001).await;
    assert_eq!(frozen.schedule.lock_at, Some(frozen.lease_ends_at));
    let own = Command::Safety(SafetyCommand::Freeze { by: by() });
    assert_eq!(
        cloud.costs(62, cloud.command(own)).await,
        (0, 0, 0),
        "frozen twice is frozen since the first"
    );
    let own =
        Command::Safety(SafetyCommand::Unfreeze { by: by(), lease_secs: Seconds::days(7), announced: None });
    let _known = cloud.costs(62, cloud.command(own)).await;

    // A lease later all have been renewed once, and none was due at once.
    for _ in 0..4 {
        cloud.clock.advance(Seconds::days(5));
        cloud.settled(62).await;
        let renewed = cloud.token(7_001).await;
        assert_eq!(renewed.schedule.lock_at, Some(renewed.lease_ends_at));
        assert_eq!(renewed.schedule.state_at(cloud.books.now()), EnforcementState::Grace);
        assert!(renewed.lease_ends_at > frozen.lease_ends_at && renewed.lease_ends_at > locks_at);
    }
    assert_eq!(cloud.costs(62, async {}).await, (0, 0, 0), "frozen, a sweep finds nothing to do");

    let announced = cloud.token(7_001).await.schedule.lock_at.unwrap();
    let unfreeze = PlatformCommand::Unfreeze { by: by(), lease_secs: Seconds::days(7), announced: None };
    let cost = cloud.costs(62, cloud.execute(Change::Platform(unfreeze))).await;
    assert_eq!(cost, (5, 5, 5));
    let over = cloud.token(7_001).await.schedule.lock_at.unwrap();
    assert_eq!(over, cloud.books.now().saturating_add(Seconds::days(7)));
    assert!(over >= announced, "E3: nothing that was announced comes earlier");
    cloud.reconciler.stop().await;
    cloud.books.close().await;
}
