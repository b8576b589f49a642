use super::*;
use crate::clock::testing::ManualClock;
use crate::store::sqlite::SqliteStore;
use coterm_shared::id::GroupId;
use coterm_shared::licensing::{Command, FoundOrganization, SettingsChange};
use std::path::Path;

const NOW: &str = "2027-01-01T00:00:00Z";

fn organization(n: u8) -> OrganizationId {
    OrganizationId::from_bytes([n; 16])
}

fn group(n: u8) -> GroupId {
    GroupId::from_bytes([n; 16])
}

fn found(n: u8) -> Change {
    Change::FoundOrganization(FoundOrganization {
        id: organization(n),
        name: format!("Organization {n}"),
        default_group: group(200),
        settings: SettingsChange::default(),
    })
}

fn create_group(of: u8, n: u8) -> Change {
    let command = Command::CreateGroup {
        id: group(n),
        name: format!("Campus {n}"),
        settings: SettingsChange::default(),
    };
    Change::Organization { id: organization(of), command }
}

fn ask(change: Change) -> Request {
    Request::new("user:ada", "req-1", change)
}

fn open(path: &Path, clock: &ManualClock) -> Books {
    Books::start(SqliteStore::open(path).unwrap(), Arc::new(clock.clone())).unwrap()
}

/// A fresh database with organization 1.
async fn fresh() -> (Books, ManualClock, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(NOW);
    let books = open(&dir.path().join("books.db"), &clock);
    books.execute(ask(found(1))).await.unwrap();
    (books, clock, dir)
}

#[tokio::test]
async fn a_change_is_seen_logged_and_there_after_a_restart() {
    let (books, clock, dir) = fresh().await;
    let done = books.execute(ask(create_group(1, 2))).await.unwrap();
    assert_eq!(done.version, 2);
    assert_eq!(done.organization.as_ref(), books.organization(organization(1)).as_ref());

    let log = books.log(organization(1), 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((log[1].actor.as_str(), log[1].request_id.as_str()), ("user:ada", "req-1"));
    assert_eq!(books.verify_log(Some(organization(1))).await.unwrap().unwrap().entries, 2);
    assert_eq!(books.verify_log(None).await.unwrap().unwrap().entries, 1);

    let before = books.organization(organization(1));
    let platform = books.platform();
    books.close().await;
    assert!(matches!(books.execute(ask(create_group(1, 3))).await, Err(BooksError::Closed)));
    let books = open(&dir.path().join("books.db"), &clock);
    assert_eq!(books.organization(organization(1)), before);
    assert_eq!(books.platform(), platform);
    assert_eq!(books.organizations(), [organization(1)]);
}
