//! The courier with receivers that answer as they are told, and a clock that is set (domain N2).

use super::courier::{Courier, Settings};
use super::{Outcome, Parcel, Way};
use crate::alarms::{AlarmCode, Alarms};
use crate::books::{Books, Change, Mode, Request};
use crate::clock::testing::ManualClock;
use crate::ports::BoxFuture;
use crate::store::outbox::{Delivery, DeliveryState, Endpoint, EndpointKind, NoticeQuery, OutboxChange};
use crate::store::sqlite::SqliteStore;
use coterm_shared::id::{EndpointId, GroupId, OrganizationId, SiteId};
use coterm_shared::licensing::{Command, FoundOrganization, NewDevice, SettingsChange};
use coterm_shared::product::ProductType;
use coterm_shared::time::Seconds;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ACME: OrganizationId = OrganizationId::from_bytes([1; 16]);

/// Receivers by endpoint: what each answers until it is told otherwise, and what it was given.
#[derive(Default)]
struct Receivers {
    answers: Mutex<BTreeMap<EndpointId, Outcome>>,
    given: Mutex<Vec<(EndpointId, String, String)>>,
    /// Who hangs.
    hanging: Mutex<Option<EndpointId>>,
}

impl Way for Receivers {
    fn deliver(&self, parcel: Parcel) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let id = parcel.endpoint.id;
            let hangs = *self.hanging.lock().unwrap() == Some(id);
            if hangs {
                std::future::pending::<()>().await;
            }
            let given = (id, parcel.notice.kind.clone(), parcel.notice.id.to_string());
            self.given.lock().unwrap().push(given);
            self.answers.lock().unwrap().get(&id).cloned().unwrap_or(Outcome::Delivered)
        })
    }
}

impl Receivers {
    fn answer(&self, n: u8, outcome: Outcome) {
        self.answers.lock().unwrap().insert(EndpointId::from_bytes([n; 16]), outcome);
    }

    /// Kinds given to an endpoint.
    fn of(&self, n: u8) -> Vec<String> {
        let given = self.given.lock().unwrap();
        let of = given.iter().filter(|(id, ..)| *id == EndpointId::from_bytes([n; 16]));
        of.map(|(_, kind, _)| kind.clone()).collect()
    }
}

struct World {
    books: Books,
    clock: ManualClock,
    courier: Arc<Courier>,
    receivers: Arc<Receivers>,
    alarms: Arc<Alarms>,
    dir: tempfile::TempDir,
}

/// One organization with a device and no key, which is told to these endpoints.
async fn world(kinds: &[EndpointKind]) -> World {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at("2027-01-01T00:00:00Z");
    let store = SqliteStore::open(&dir.path().join("books.db")).unwrap();
    let books = Books::start(store, Arc::new(clock.clone()), Mode::Production).unwrap();
    let (receivers, alarms) = (Arc::new(Receivers::default()), Arc::new(Alarms::default()));
    let way = || Arc::clone(&receivers) as Arc<dyn Way>;
    let settings = Settings { retry_first: Seconds(60), give_up: Seconds::days(3) };
    let courier = Courier::new(books.clone(), Some(way()), way(), settings, alarms.clone());
    let world = World { books, clock, courier, receivers, alarms, dir };
    let settings = SettingsChange::default();
    let default_group = GroupId::from_bytes([1; 16]);
    let found =
        FoundOrganization { id: ACME, name: "Acme".into(), default_group, settings, license_groups: false };
    world.ask(Change::FoundOrganization(found)).await;
    let site = SiteId::from_bytes([1; 16]);
    world.run(Command::CreateSite { id: site, name: "HQ".into(), parent: None, group: None }).await;
    for (n, kind) in (1_u8..).zip(kinds) {
        let endpoint = Endpoint {
            id: EndpointId::from_bytes([n; 16]),
            organization: ACME,
            kind: *kind,
            address: format!("endpoint-{n}"),
            secret: None,
            old_secret: None,
            created_at: world.clock.now_at(),
            created_by: "ada".into(),
        };
        world.books.change_outbox(vec![OutboxChange::Add(endpoint)]).await.unwrap();
    }
    world
}

impl ManualClock {
    fn now_at(&self) -> coterm_shared::time::Timestamp {
        crate::clock::Clock::now(self)
    }
}

impl World {
    async fn ask(&self, change: Change) {
        self.books.execute(Request::new("user:ada", "req-1", change)).await.unwrap();
    }

    async fn run(&self, command: Command) {
        self.ask(Change::Organization { id: ACME, command }).await;
    }

    async fn claim(&self, n: u32) {
        let device = NewDevice {
            id: format!("cam-{n}").parse().unwrap(),
            model: "CAM".into(),
            product: ProductType::CAMERA,
            units: 1,
            trial_secs: None,
            doors: None,
        };
        self.run(Command::ClaimDevice { device, site: SiteId::from_bytes([1; 16]) }).await;
    }

    async fn retire(&self, n: u32) {
        self.run(Command::RetireDevice { id: format!("cam-{n}").parse().unwrap() }).await;
    }

    async fn wait(&self, by: Seconds) {
        self.clock.advance(by);
        self.books.tick().await.unwrap();
        self.courier.drain().await;
    }

    /// The deliveries of every notice, the newest notice first.
    async fn deliveries(&self) -> Vec<Delivery> {
        let found = self.books.notices(NoticeQuery::default(), 100).await.unwrap();
        found.into_iter().flat_map(|(_, deliveries)| deliveries).collect()
    }

    async fn states(&self) -> Vec<(DeliveryState, u32)> {
        self.deliveries().await.iter().map(|one| (one.state, one.attempts)).collect()
    }
}

#[tokio::test]
async fn n2_a_receiver_that_fails_for_a_day_gets_it_then_and_holds_up_nobody() {
    let world = world(&[EndpointKind::Webhook, EndpointKind::Webhook, EndpointKind::Email]).await;
    world.receivers.answer(1, Outcome::failed("the receiver answered 500"));
    world.claim(1).await;
    world.courier.drain().await;
    assert_eq!(world.receivers.of(2), ["noncompliant"]);
    assert_eq!(world.receivers.of(3), ["noncompliant"]);
    for _ in 0..24 {
        world.wait(Seconds(3600)).await;
    }
    let tried = world.receivers.of(1).len();
    assert!((12..60).contains(&tried), "again and again, but ever later: {tried}");
    let first = &world.deliveries().await[0];
    assert_eq!(
        (first.state, first.error.as_deref()),
        (DeliveryState::Waiting, Some("the receiver answered 500"))
    );
    world.receivers.answer(1, Outcome::Delivered);
    world.wait(Seconds(2 * 3600)).await;
    assert_eq!(world.deliveries().await[0].state, DeliveryState::Delivered);
    let given = world.receivers.given.lock().unwrap().clone();
    assert!(given.iter().all(|(_, _, id)| *id == given[0].2), "every copy has the same id");
    assert_eq!(world.receivers.of(2).len(), 1, "once");
}

#[tokio::test]
async fn n2_what_is_not_true_any_more_is_dropped_and_what_is_is_sent() {
    let world = world(&[EndpointKind::Webhook]).await;
    world.receivers.answer(1, Outcome::failed("down"));
    world.claim(1).await;
    world.courier.drain().await;
    world.retire(1).await;
    world.receivers.answer(1, Outcome::Delivered);
    world.wait(Seconds(3600)).await;
    assert_eq!(world.receivers.of(1), ["noncompliant", "compliant"], "the first attempt, and what is so now");
    assert_eq!(world.states().await, [(DeliveryState::Delivered, 1), (DeliveryState::Dropped, 1)]);
}

#[tokio::test]
async fn n2_what_is_given_up_is_an_alarm_until_an_operator_has_it_delivered() {
    let world = world(&[EndpointKind::Webhook, EndpointKind::Webhook]).await;
    world.receivers.answer(1, Outcome::Refused { error: "410: gone".into() });
    world.receivers.answer(2, Outcome::failed("down"));
    world.claim(1).await;
    world.courier.drain().await;
    assert_eq!(world.states().await, [(DeliveryState::Dead, 1), (DeliveryState::Waiting, 1)]);
    for _ in 0..80 {
        world.wait(Seconds(3600)).await;
    }
    assert!(world.states().await.iter().all(|(state, _)| *state == DeliveryState::Dead));
    let alarms = world.alarms.list();
    assert_eq!(alarms.len(), 1);
    assert_eq!(
        (alarms[0].code, alarms[0].subject.as_str()),
        (AlarmCode::NoticesUndelivered, &*ACME.to_string())
    );
    world.receivers.answer(1, Outcome::Delivered);
    world.receivers.answer(2, Outcome::Delivered);
    let notice = world.deliveries().await[0].notice;
    let again = OutboxChange::Redeliver {
        organization: Some(ACME),
        notice,
        endpoint: None,
        at: world.clock.now_at(),
    };
    // Outdated by now: an operator wants it all the same.
    world.retire(1).await;
    assert_eq!(world.books.change_outbox(vec![again]).await.unwrap(), [2]);
    world.courier.drain().await;
    assert!(world.states().await.iter().all(|(state, _)| *state == DeliveryState::Delivered));
    assert!(world.alarms.list().is_empty());
}

#[tokio::test]
async fn n2_a_mail_server_that_is_long_away_is_an_alarm_and_kills_no_delivery() {
    let world = world(&[EndpointKind::Email]).await;
    world.receivers.answer(1, Outcome::Unreachable { error: "no answer".into() });
    world.claim(1).await;
    world.courier.drain().await;
    assert!(world.alarms.list().is_empty(), "not at the first time");
    world.wait(Seconds(1000)).await;
    assert_eq!(
        world.alarms.list().iter().map(|alarm| alarm.code).collect::<Vec<_>>(),
        [AlarmCode::MailUnreachable]
    );
    world.receivers.answer(1, Outcome::Delivered);
    world.wait(Seconds(3600)).await;
    assert!(world.alarms.list().is_empty());
    assert_eq!(world.receivers.of(1).last().map(String::as_str), Some("noncompliant"));
}

#[tokio::test]
async fn n2_one_that_hangs_holds_up_itself_and_an_attempt_lost_in_a_crash_is_made_again() {
    let world = world(&[EndpointKind::Webhook, EndpointKind::Webhook]).await;
    *world.receivers.hanging.lock().unwrap() = Some(EndpointId::from_bytes([1; 16]));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(world.courier.clone().run(stopped));
    world.claim(1).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while world.receivers.of(2).is_empty() {
        assert!(std::time::Instant::now() < deadline, "the other is told at once");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send_replace(true);
    running.await.unwrap();
    let World { books, clock, receivers, alarms, dir, .. } = world;
    books.close().await;
    // The daemon was killed in the middle; another one starts.
    *receivers.hanging.lock().unwrap() = None;
    let store = SqliteStore::open(&dir.path().join("books.db")).unwrap();
    let books = Books::start(store, Arc::new(clock.clone()), Mode::Production).unwrap();
    let way = || Arc::clone(&receivers) as Arc<dyn Way>;
    let settings = Settings { retry_first: Seconds(60), give_up: Seconds::days(3) };
    let courier = Courier::new(books.clone(), Some(way()), way(), settings, alarms.clone());
    let world = World { books, clock, courier, receivers, alarms, dir };
    world.courier.drain().await;
    assert_eq!(world.receivers.of(1), [""; 0], "its lease has not ended");
    world.wait(Seconds(121)).await;
    assert_eq!(
        (world.receivers.of(1), world.receivers.of(2)),
        (vec!["noncompliant".into()], vec!["noncompliant".into()])
    );
}
