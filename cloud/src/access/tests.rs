//! What is remembered of an organization, and for how long.

use super::*;
use coterm_shared::id::{GroupId, SiteId};
use coterm_shared::licensing::{
    Command, Context, FoundOrganization, Limits, NewDevice, SettingsChange, decide, found,
};
use coterm_shared::product::ProductType;
use coterm_shared::time::Seconds;

fn at(day: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + day * 86_400).unwrap()
}

fn after(organization: &Organization, command: &Command, now: Timestamp) -> Organization {
    decide(organization, command, &Context { now, limits: Limits::default() }).unwrap().after
}

/// An organization of so many cameras and no license.
fn unlicensed(number: u8, cameras: u32) -> Organization {
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes([number; 16]),
        name: "Acme".to_owned(),
        default_group: GroupId::from_bytes([number; 16]),
        settings: SettingsChange::default(),
        license_groups: false,
    };
    let context = Context { now: at(0), limits: Limits::default() };
    let site = SiteId::from_bytes([1; 16]);
    let create = Command::CreateSite { id: site, name: "HQ".to_owned(), parent: None, group: None };
    let founded = after(&found(&founding, &context).unwrap().after, &create, at(0));
    (0..cameras).fold(founded, |organization, n| {
        let device = NewDevice {
            id: format!("cam-{n}").parse().unwrap(),
            model: "CAM-1".to_owned(),
            product: ProductType::CAMERA,
            units: 1,
            trial_secs: None,
            doors: None,
        };
        after(&organization, &Command::ClaimDevice { device, site }, at(0))
    })
}

fn present(organization: &Organization, now: Timestamp) -> Organization {
    organization.present(&Context { now, limits: Limits::default() }).unwrap()
}

#[test]
fn a_feed_tells_each_subject_once_as_it_is_now_and_goes_on_after_a_restart() {
    let (desk, acme) = (Desk::default(), unlicensed(1, 2));
    let start = desk.changes(&acme, None, at(0));
    assert!(start.resync && start.changes.is_empty(), "without a cursor the list is to be read");
    assert_eq!(desk.changes(&acme, Some(start.cursor), at(0)).changes, [], "nothing new");
    let locked = present(&acme, at(40));
    let told = desk.changes(&locked, Some(start.cursor), at(40));
    assert_eq!((told.resync, told.changes.len()), (false, 3), "two cameras and their site");
    let stopped = present(&acme, at(200));
    let all = desk.changes(&stopped, Some(start.cursor), at(200));
    assert_eq!(all.changes.len(), 4, "the organization too; nothing twice");
    assert!(all.changes.iter().all(|change| !change.view().allowed));
    let rest = desk.changes(&stopped, Some(told.cursor), at(200));
    assert_eq!(rest.changes.len(), 4, "stopped is another answer than locked");
    // Another daemon finds the same list to have the same print: nobody has to read it again.
    let again = Desk::default().changes(&stopped, Some(all.cursor), at(200));
    assert_eq!((again.resync, again.changes.len()), (false, 0));
    assert!(Desk::default().changes(&stopped, Some(start.cursor), at(200)).resync, "that one it never saw");
}

#[test]
fn what_is_remembered_is_bounded_and_more_than_that_is_a_resync() {
    let desk = Desk::default();
    let acme = unlicensed(1, 1_100);
    let start = desk.changes(&acme, None, at(0)).cursor;
    let locked = present(&acme, at(40));
    let told = desk.changes(&locked, Some(start), at(40));
    assert!(told.resync && told.changes.is_empty(), "more changed than is told at a time");
    assert_eq!(desk.denied(&locked, at(40)).count(), 1_101);
    for round in 0..5 {
        let device = format!("cam-{round}").parse().unwrap();
        let fewer = after(&locked, &Command::RetireDevice { id: device }, at(41 + round));
        let _ = desk.changes(&fewer, None, at(41 + round));
    }
    let shelf = desk.shelf(acme.id(), |shelf| shelf.remembered);
    assert!(shelf <= REMEMBERED, "{shelf}");
    for n in 0..u8::MAX {
        let other = unlicensed(n, 0);
        let _ = desk.changes(&other, None, at(0));
    }
    assert!(lock(&desk.shelves).by_id.len() <= SHELVES);
}

#[test]
fn a_request_that_was_overtaken_answers_by_its_own_state_and_undoes_nothing() {
    let (desk, acme) = (Desk::default(), unlicensed(1, 1));
    let locked = present(&acme, at(40));
    let list = desk.denied(&locked, at(40));
    assert_eq!(list.count(), 2);
    assert_eq!(desk.denied(&acme, at(0).saturating_add(Seconds(1))).digest(), list.digest());
    let subject = AccessSubject::Device("cam-0".parse().unwrap());
    assert!(desk.answer(&acme, &subject, None, at(0)).unwrap().answer.allowed);
    assert!(!desk.answer(&locked, &subject, None, at(40)).unwrap().answer.allowed);
}
