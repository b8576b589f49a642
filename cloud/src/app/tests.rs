//! The daemon in one piece: what a start leaves on disk, what it signs, what keeps it from starting.

use super::adapters::Claims;
use super::*;
use crate::books::{Change, Request};
use crate::clock::testing::ManualClock;
use crate::config::Sources;
use crate::ports::Owners as _;
use coterm_shared::id::{DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use coterm_shared::licensing::{ClaimMode, Command, FoundOrganization, NewDevice, OrderLine, SettingsChange};
use coterm_shared::platform::code::KeyCode;
use coterm_shared::platform::{IssueKey, PlatformCommand};
use coterm_shared::product::ProductType;
use coterm_shared::time::Seconds;
use coterm_shared::token::{Expected, Keyring, Root, verify_token};
use std::time::Instant;
use tempfile::TempDir;

const ORGANIZATION: OrganizationId = OrganizationId::from_bytes([1; 16]);

fn config(dir: &TempDir, more: &[(&str, &str)]) -> Config {
    let data_dir = dir.path().join("data").display().to_string();
    let basic = [
        ("data_dir", data_dir.as_str()),
        ("http.listen", "127.0.0.1:0"),
        ("mqtt.embedded.listen", "127.0.0.1:0"),
    ];
    let flags =
        basic.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { flags, ..Sources::default() }).unwrap()
}

fn clock() -> ManualClock {
    ManualClock::at("2027-01-01T00:00:00Z")
}

async fn start(dir: &TempDir, clock: &ManualClock) -> Result<Running, StartError> {
    App::start(config(dir, &[]), Arc::new(clock.clone())).await
}

async fn refused(dir: &TempDir, more: &[(&str, &str)]) -> String {
    let error = App::start(config(dir, more), Arc::new(clock())).await.unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

async fn execute(running: &Running, change: Change) {
    running.books.execute(Request::new("test", "req", change)).await.unwrap();
}

async fn command(running: &Running, command: Command) {
    execute(running, Change::Organization { id: ORGANIZATION, command }).await;
}

fn group(n: u8) -> GroupId {
    GroupId::from_bytes([n; 16])
}

fn cam(group: u8, n: u8) -> DeviceId {
    format!("cam-{group}-{n}").parse().unwrap()
}

/// Two groups with a site and three cameras each.
async fn settle_in(running: &Running) {
    let founding = FoundOrganization {
        id: ORGANIZATION,
        name: String::from("Acme"),
        default_group: group(9),
        settings: SettingsChange::default(),
        license_groups: true,
    };
    execute(running, Change::FoundOrganization(founding)).await;
    for n in [1, 2] {
        let settings = SettingsChange::default();
        command(running, Command::CreateGroup { id: group(n), name: format!("region {n}"), settings }).await;
        let site = SiteId::from_bytes([n; 16]);
        let name = format!("site {n}");
        command(running, Command::CreateSite { id: site, name, parent: None, group: Some(group(n)) }).await;
        for device in 0..3 {
            let device = NewDevice {
                id: cam(n, device),
                model: String::from("CAM-1"),
                product: ProductType::CAMERA,
                units: 1,
                trial_secs: None,
                doors: None,
            };
            command(running, Command::ClaimDevice { device, site }).await;
        }
    }
}

async fn until(running: &Running, what: &str, condition: impl Fn(&Running) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition(running) {
        assert!(
            Instant::now() < deadline,
            "timed out waiting until {what}: {:?}",
            running.reconciler.counters()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn sweep(running: &Running) {
    let before = running.reconciler.counters().sweeps.get();
    running.reconciler.sweep();
    until(running, "the sweep is over", |running| running.reconciler.counters().sweeps.get() > before).await;
}

#[tokio::test]
async fn a_claimed_device_gets_a_token_that_a_device_would_believe() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    settle_in(&running).await;
    until(&running, "all are issued", |running| {
        (0..3).all(|n| running.reconciler.status(&cam(2, n)).is_some_and(|status| status.issued.is_some()))
    })
    .await;
    sweep(&running).await;
    let root = Root::pinned(running.trust.root().bytes()).unwrap();
    let keyring = Keyring::verify(running.trust.keyring().bytes(), &root, None).unwrap();
    let (_, bytes) = running.books.token(&cam(2, 0)).await.unwrap().unwrap();
    let expected = Expected {
        trust_domain: "coterm.local".parse().unwrap(),
        device: cam(2, 0),
        organization: ORGANIZATION,
    };
    let token = verify_token(&bytes, &keyring, &expected, None, None).unwrap();
    let claims = token.token().claims();
    assert_eq!(claims.group, Some(group(2)));
    assert_eq!(claims.lease_ends_at, claims.issued_at.saturating_add(Seconds::days(7)));
    assert_eq!(claims.offline_lock_at, claims.issued_at.saturating_add(Seconds::days(40)));
    assert!(bytes.len() <= 352, "{} bytes", bytes.len());
    running.stop().await;
}

#[tokio::test]
async fn a_change_costs_the_devices_it_concerns_and_no_others() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    settle_in(&running).await;
    sweep(&running).await;
    let before = running.reconciler.counters().signatures.get();
    // A key for one group moves the dates of its devices.
    let code = KeyCode::from_random([7; 16]);
    let issue = IssueKey {
        id: KeyId::from_bytes([7; 16]),
        code_hash: code.hash(),
        code_tail: code.tail(),
        order_number: String::from("order-7"),
        lines: vec![OrderLine { product: ProductType::CAMERA, quantity: 10 }],
        term_days: 365,
        created_at: None,
    };
    let price = PlatformCommand::SetPrice { product: ProductType::CAMERA, price: 199 };
    execute(&running, Change::Platform(price)).await;
    execute(&running, Change::Platform(PlatformCommand::IssueKey(issue))).await;
    execute(
        &running,
        Change::ClaimKey {
            organization: ORGANIZATION,
            code,
            group: Some(group(1)),
            mode: ClaimMode::Increase,
        },
    )
    .await;
    sweep(&running).await;
    assert_eq!(running.reconciler.counters().signatures.get() - before, 3);
    command(&running, Command::RenameGroup { id: group(1), name: String::from("renamed") }).await;
    command(&running, Command::RenameSite { id: SiteId::from_bytes([2; 16]), name: String::from("moved") })
        .await;
    sweep(&running).await;
    assert_eq!(running.reconciler.counters().signatures.get() - before, 3);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_keeps_everything_and_signs_nothing_again() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    settle_in(&running).await;
    sweep(&running).await;
    let (root, keyring) = (running.trust.root().bytes().to_vec(), running.trust.keyring().bytes().to_vec());
    let admin = fs::read(running.data_dir.join("admin.token")).unwrap();
    running.stop().await;
    clock.advance(Seconds(60));
    let running = start(&dir, &clock).await.unwrap();
    sweep(&running).await;
    assert_eq!(running.reconciler.counters().signatures.get(), 0);
    assert_eq!(running.trust.root().bytes(), root);
    assert_eq!(running.trust.keyring().bytes(), keyring);
    assert_eq!(fs::read(running.data_dir.join("admin.token")).unwrap(), admin);
    running.stop().await;
}

#[tokio::test]
async fn after_a_long_silence_nothing_is_signed_until_someone_confirms_the_clock() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    settle_in(&running).await;
    sweep(&running).await;
    running.stop().await;
    clock.advance(Seconds::days(60));
    let running = start(&dir, &clock).await.unwrap();
    until(&running, "the first sweep was tried", |running| running.reconciler.counters().plans.get() >= 6)
        .await;
    assert!(running.books.time_doubt().is_some());
    assert_eq!(running.reconciler.counters().signatures.get(), 0);
    running.confirm_time().await.unwrap();
    until(&running, "the leases are renewed", |running| running.reconciler.counters().signatures.get() == 6)
        .await;
    running.stop().await;
}

#[tokio::test]
async fn who_retired_a_device_sees_nothing_of_it_once_another_claims_it() {
    use crate::http::Fleet as _;
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    settle_in(&running).await;
    let statuses = Statuses(Arc::clone(&running.reconciler));
    let device = cam(1, 0);
    until(&running, "the first is told", |_| statuses.status(ORGANIZATION, &device).is_some()).await;
    command(&running, Command::RetireDevice { id: device.clone() }).await;
    sweep(&running).await;
    assert!(statuses.status(ORGANIZATION, &device).is_some(), "it follows its last token, which is shown");
    let second = OrganizationId::from_bytes([2; 16]);
    let settings = SettingsChange::default();
    let founding = FoundOrganization {
        id: second,
        name: String::from("Next"),
        default_group: group(9),
        settings,
        license_groups: false,
    };
    execute(&running, Change::FoundOrganization(founding)).await;
    let owners = Claims(running.books.clone());
    let owns = |organization| owners.is_owner(organization, &device);
    assert!((owns(ORGANIZATION), owns(second)) == (true, false), "nobody claims it: it is its last owner's");
    let site = SiteId::from_bytes([7; 16]);
    let claimed = NewDevice {
        id: device.clone(),
        model: String::from("CAM-1"),
        product: ProductType::CAMERA,
        units: 1,
        trial_secs: None,
        doors: None,
    };
    for command in [
        Command::CreateSite { id: site, name: String::from("Lobby"), parent: None, group: None },
        Command::ClaimDevice { device: claimed, site },
    ] {
        execute(&running, Change::Organization { id: second, command }).await;
    }
    until(&running, "the second is told", |_| statuses.status(second, &device).is_some()).await;
    assert_eq!(statuses.status(ORGANIZATION, &device), None);
    assert!((owns(ORGANIZATION), owns(second)) == (false, true));
    // In the same second as the first one, on this clock: then it is nobody's.
    let retire = Command::RetireDevice { id: device.clone() };
    execute(&running, Change::Organization { id: second, command: retire }).await;
    assert!((owns(ORGANIZATION), owns(second)) == (false, false));
    running.stop().await;
}

#[tokio::test]
async fn the_api_answers_while_it_runs_and_not_after() {
    let (dir, clock) = (TempDir::new().unwrap(), clock());
    let running = start(&dir, &clock).await.unwrap();
    let url = format!("http://{}/ready", running.http_addr);
    let get = |url: String| {
        tokio::task::spawn_blocking(move || ureq::get(&url).call().map(|answer| answer.status().as_u16()))
    };
    assert_eq!(get(url.clone()).await.unwrap().unwrap(), 200);
    assert!(running.mqtt_addr.is_some_and(|address| address.port() != 0));
    running.stop().await;
    assert!(get(url).await.unwrap().is_err());
}

#[tokio::test]
async fn whatever_keeps_it_from_starting_is_one_sentence_with_a_way_out() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(refused(&dir, &[("http.listen", &address)]).await.contains("set http.listen to a free address"));
    assert!(!dir.path().join("data").exists(), "a port that is taken leaves nothing behind");
    assert!(refused(&dir, &[("mqtt.embedded.listen", &address)]).await.contains("choose another address"));

    let running = start(&dir, &clock()).await.unwrap();
    assert!(refused(&dir, &[]).await.contains("in use by another coterm-cloud"));
    running.stop().await;

    assert!(
        refused(&dir, &[("trust_domain", "other.example")])
            .await
            .contains("set trust_domain = \"coterm.local\"")
    );
    let key = dir.path().join("data/keys/keyring.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&dir, &[]).await.contains("chmod 600"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refused(&dir, &[]).await.contains("chmod 700"));
    fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o700)).unwrap();
    // After all these refusals the daemon still starts: none of them left anything locked.
    start(&dir, &clock()).await.unwrap().stop().await;
}

#[tokio::test]
async fn check_knows_the_ports_of_the_running_daemon() {
    let dir = TempDir::new().unwrap();
    let running = start(&dir, &clock()).await.unwrap();
    let (http, mqtt) = (running.http_addr.to_string(), running.mqtt_addr.unwrap().to_string());
    let beside = config(&dir, &[("http.listen", &http), ("mqtt.embedded.listen", &mqtt)]);
    let outcomes = check(&beside, clock().now());
    assert!(outcomes.iter().all(|outcome| outcome.finding.is_ok()), "{outcomes:?}");
    let told = |outcome: &&Outcome| {
        outcome.finding.as_ref().is_ok_and(|found| found.contains("by the running daemon"))
    };
    assert_eq!(outcomes.iter().filter(told).count(), 2, "{outcomes:?}");
    running.stop().await;
}

#[tokio::test]
async fn check_changes_nothing_and_finds_what_a_start_would() {
    let dir = TempDir::new().unwrap();
    let now = clock().now();
    let clean = |outcomes: &[Outcome]| outcomes.iter().all(|outcome| outcome.finding.is_ok());
    let outcomes = check(&config(&dir, &[]), now);
    assert!(clean(&outcomes), "{outcomes:?}");
    assert!(!dir.path().join("data").exists());
    start(&dir, &clock()).await.unwrap().stop().await;
    let outcomes = check(&config(&dir, &[]), now);
    assert!(clean(&outcomes) && outcomes.len() >= 7, "{outcomes:?}");
    let key = dir.path().join("data/keys/keyring.key");
    fs::remove_file(key).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcomes = check(&config(&dir, &[("http.listen", &address)]), now);
    let wrong: Vec<&str> = outcomes.iter().filter(|o| o.finding.is_err()).map(|o| o.subject).collect();
    assert_eq!(wrong, ["keys", "http.listen"], "{outcomes:?}");
}

#[tokio::test]
async fn migrating_needs_the_daemon_stopped() {
    let dir = TempDir::new().unwrap();
    migrate(&config(&dir, &[])).unwrap();
    let running = start(&dir, &clock()).await.unwrap();
    assert!(migrate(&config(&dir, &[])).unwrap_err().to_string().contains("in use"));
    running.stop().await;
}
