//! Notices are made with the change they tell of, once, whatever happens in between (domain N1, N2).

use super::*;
use crate::store::outbox::{Endpoint, EndpointKind, NoticeQuery, OutboxChange};
use coterm_shared::id::EndpointId;
use coterm_shared::licensing::Actor;
use coterm_shared::time::Seconds;

pub(super) fn contact(of: u8) -> OutboxChange {
    OutboxChange::Add(Endpoint {
        id: EndpointId::from_bytes([of; 16]),
        organization: organization(of),
        kind: EndpointKind::Email,
        address: format!("ada-{of}@example.com"),
        secret: None,
        old_secret: None,
        created_at: NOW.parse().unwrap(),
        created_by: "ada".to_owned(),
    })
}

/// A site in the first group of an organization.
pub(super) fn site_in_group(of: u8) -> Change {
    let (name, group) = ("Lobby".to_owned(), Some(group(1)));
    to(of, Command::CreateSite { id: site(of), name, parent: None, group })
}

fn claim_into_group(of: u8, n: u8) -> Change {
    let (organization, group) = (organization(of), Some(group(1)));
    Change::ClaimKey { organization, code: code(n), group, mode: ClaimMode::Increase }
}

/// Kinds of the notices of an organization, the oldest first, each with how many deliveries it has.
pub(super) async fn told(books: &Books, of: u8) -> Vec<(String, usize)> {
    let query = NoticeQuery { organization: Some(organization(of)), ..NoticeQuery::default() };
    let mut found = books.notices(query, 100).await.unwrap();
    found.sort_by_key(|(notice, _)| (notice.made_at, notice.id));
    found.into_iter().map(|(notice, deliveries)| (notice.kind, deliveries.len())).collect()
}

fn kinds(expect: &[&str]) -> Vec<(String, usize)> {
    expect.iter().map(|kind| ((*kind).to_owned(), 1)).collect()
}

#[tokio::test]
async fn n2_a_transition_is_told_with_its_change_and_a_date_when_it_comes_near() {
    let (books, clock, dir) = fresh().await;
    books.change_outbox(vec![contact(1), contact(2)]).await.unwrap();
    run(&books, [set_price(), issue_key(1, 365), site_in_group(1), claim_device(1, 7)]).await;
    assert_eq!(told(&books, 1).await, kinds(&["noncompliant"]), "a device and no key, told with the change");
    run(&books, [claim_into_group(1, 1)]).await;
    assert_eq!(told(&books, 1).await, kinds(&["noncompliant", "compliant"]));
    clock.advance(Seconds::days(336));
    books.tick().await.unwrap();
    let far = kinds(&["noncompliant", "compliant", "term-ends"]);
    assert_eq!(told(&books, 1).await, far);
    books.close().await;
    // Down over a threshold: it is told at the start, and not again at the next.
    clock.advance(Seconds::days(23));
    for _ in 0..2 {
        let books = open(&dir.path().join("books.db"), &clock);
        books.confirm_time().await.unwrap();
        books.tick().await.unwrap();
        assert_eq!(told(&books, 1).await, [far.clone(), kinds(&["term-ends"])].concat());
        assert_eq!(told(&books, 2).await, [], "others are told nothing");
        books.close().await;
    }
}

#[tokio::test]
async fn n2_the_writer_comes_by_when_a_threshold_passes_and_writes_nothing_else() {
    let (books, clock, _dir) = fresh().await;
    run(&books, [set_price(), issue_key(1, 30), site_in_group(1), claim_into_group(1, 1)]).await;
    assert_eq!(told(&books, 1).await.len(), 1, "thirty days are left from the start");
    let version = books.version(organization(1));
    for (days, count) in [(22, 1), (1, 2), (5, 2), (1, 3)] {
        clock.advance(Seconds::days(days));
        books.tick().await.unwrap();
        assert_eq!(told(&books, 1).await.len(), count);
    }
    assert_eq!(books.version(organization(1)), version, "a notice is no event");
}

/// E6: a freeze of everything is in nobody's own books, and whoever makes notices knows of it all the same: nobody is told
/// of a lock that it holds back, and all are looked at again when it ends.
#[tokio::test]
async fn e6_a_freeze_of_everything_is_known_to_whoever_makes_notices() {
    let (books, clock, _dir) = fresh().await;
    run(&books, [set_price(), site_in_group(1), claim_device(1, 7)]).await;
    let by = || Actor { id: "vera".to_owned(), name: "Vera".to_owned() };
    run(&books, [Change::Platform(PlatformCommand::Freeze { by: by() })]).await;
    for _ in 0..40 {
        clock.advance(Seconds::days(1));
        books.tick().await.unwrap();
    }
    assert_eq!(told(&books, 1).await.len(), 1, "only that it is noncompliant: {:?}", told(&books, 1).await);
    let lease_secs = Seconds::days(7);
    let end = PlatformCommand::Unfreeze { by: by(), lease_secs, announced: None };
    run(&books, [Change::Platform(end)]).await;
    books.tick().await.unwrap();
    let kinds: Vec<String> = told(&books, 1).await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["noncompliant", "lock-ahead"], "looked at though nothing of it changed");
    clock.advance(Seconds::days(6));
    books.tick().await.unwrap();
    assert_eq!(told(&books, 1).await.len(), 3, "a day before, and woken for it");
}

/// N2: marks whose dates are over are forgotten, a page at a time, and nothing is told twice for it.
#[tokio::test]
async fn n2_marks_of_what_is_over_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let books = by_hand(&dir.path().join("books.db"), &clock);
    run(&books, [found(1), set_price(), issue_key(1, 40), site_in_group(1), claim_into_group(1, 1)]).await;
    run(&books, [claim_device(1, 7)]).await;
    let mut most = 0;
    for _ in 0..300 {
        clock.advance(Seconds::days(1));
        books.turn();
        most = most.max(marks(&books).await.len());
    }
    let kinds: Vec<String> = told(&books, 1).await.into_iter().map(|(kind, _)| kind).collect();
    let expect = ["term-ends", "term-ends", "term-ends", "noncompliant"];
    let ladder = ["lock-ahead", "lock-ahead", "stop-ahead", "stop-ahead"];
    // Notices themselves are forgotten after 90 days; none was told twice before.
    let all = [expect, ladder].concat();
    assert!(all.ends_with(&kinds.iter().map(String::as_str).collect::<Vec<_>>()), "{kinds:?}");
    assert!(most > 1, "there were more: {most}");
    let left: Vec<String> = marks(&books).await.into_iter().map(|(_, topic, _)| topic).collect();
    assert_eq!(left, [format!("{}/compliance", group(1))]);
}

async fn marks(books: &Books) -> Vec<(OrganizationId, String, Vec<u8>)> {
    books.read(|reader| reader.marks_after(None, 100)).await.unwrap()
}

fn nth(n: u32) -> OrganizationId {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    OrganizationId::from_bytes(bytes)
}

/// Books kept by hand, just opened, with so many organizations of a device and no license, which were told so.
async fn many(count: u32, clock: &ManualClock, path: &Path) -> Books {
    let books = open(path, clock);
    let changes = |n: u32| {
        let id = nth(n);
        let name = format!("Organization {n}");
        let settings = SettingsChange::default();
        let founding =
            FoundOrganization { id, name, default_group: group(1), settings, license_groups: true };
        let site = SiteId::from_bytes(*id.as_bytes());
        let create = Command::CreateSite { id: site, name: "HQ".into(), parent: None, group: Some(group(1)) };
        let (model, product) = ("c-100".to_owned(), ProductType::CAMERA);
        let device = NewDevice { id: device(n), model, product, units: 1, trial_secs: None, doors: None };
        let claim = Command::ClaimDevice { device, site };
        let to = |command| Change::Organization { id, command };
        [Change::FoundOrganization(founding), to(create), to(claim)]
    };
    // As many at once as may wait for the writer: they are committed together.
    for first in (0..count).step_by(300) {
        let asked = (first..count.min(first + 300)).flat_map(changes);
        let answers: Vec<_> = asked.map(|change| queue(&books, ask(change))).collect();
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
    }
    books.close().await;
    by_hand(path, clock)
}

fn by_hand(path: &Path, clock: &ManualClock) -> Books {
    let store = SqliteStore::open(path).unwrap();
    Books::by_hand(store, Arc::new(clock.clone()), Mode::Production).unwrap()
}

async fn count(books: &Books) -> usize {
    books.notices(NoticeQuery::default(), 100_000).await.unwrap().len()
}

/// N2, architecture decision 4: at a start, and when much is due at once, organizations are looked at in pieces; whoever asks
/// something meanwhile waits for one piece at most.
#[tokio::test]
async fn n2_many_organizations_are_looked_at_in_pieces() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(NOW));
    let books = many(150, &clock, &dir.path().join("books.db")).await;
    assert_eq!(count(&books).await, 150);
    clock.advance(Seconds::days(24));
    let mut told = 150;
    let mut pieces = Vec::new();
    for turn in 0..4 {
        if turn == 1 {
            // Answered with the piece that comes with it, not after all of them.
            let rename = Command::RenameGroup { id: group(1), name: "Renamed".to_owned() };
            run(&books, [Change::Organization { id: nth(149), command: rename }]).await;
        } else {
            books.turn();
        }
        let now = count(&books).await;
        pieces.push(now - told);
        told = now;
    }
    assert_eq!(told, 300, "each was told once: {pieces:?}");
    assert!(pieces.iter().all(|piece| *piece <= 65), "{pieces:?}");
    drop(books);
    let books = by_hand(&dir.path().join("books.db"), &clock);
    (0..4).for_each(|_| books.turn());
    assert_eq!(count(&books).await, 300, "a start tells nothing twice");
}

/// The same with ten thousand, measured: `cargo test -p coterm-cloud --lib --release -- --ignored n2_ten_thousand --nocapture`.
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn n2_ten_thousand_organizations_are_looked_at_in_pieces() {
    const COUNT: u32 = 10_000;
    let (dir, clock) = (tempfile::tempdir().unwrap(), ManualClock::at(NOW));
    let path = dir.path().join("books.db");
    let books = many(COUNT, &clock, &path).await;
    let pieces = |books: &Books, what: &str| {
        let began = Instant::now();
        let mut longest = Duration::ZERO;
        let turns = COUNT.div_ceil(64) + 1;
        for _ in 0..turns {
            let turn = Instant::now();
            books.turn();
            longest = longest.max(turn.elapsed());
        }
        println!("{what}: {turns} pieces, {:?} in all, the longest {longest:?}", began.elapsed());
    };
    clock.advance(Seconds::days(24));
    pieces(&books, "each has something to tell");
    assert_eq!(count(&books).await, 2 * COUNT as usize);
    drop(books);
    let opened = Instant::now();
    let books = by_hand(&path, &clock);
    println!("opened in {:?}", opened.elapsed());
    pieces(&books, "at a start, with nothing to tell");
    assert_eq!(count(&books).await, 2 * COUNT as usize);
}
