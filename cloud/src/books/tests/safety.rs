//! What waits for the vendor, where more than an organization's own books decides it (domain E6).

use super::notices::site_in_group;
use super::*;
use coterm_shared::licensing::{Actor, SafetyCommand, SiteTarget};
use coterm_shared::time::Seconds;

fn by() -> Actor {
    Actor { id: "vera".to_owned(), name: "Vera".to_owned() }
}

fn asker() -> Actor {
    Actor { id: "user:ada".to_owned(), name: "Ada".to_owned() }
}

/// E6: a device that a freeze of everything kept from its lock is not locked, so what locks it at once waits for the vendor.
#[tokio::test]
async fn e6_whom_a_freeze_of_everything_kept_from_a_lock_counts_as_newly_locked() {
    let (books, clock, _dir) = fresh().await;
    let nobody =
        SettingsChange { hold_devices: Some(0), hold_share_percent: Some(0), ..SettingsChange::default() };
    let site_of = |n: u8, of: u16| {
        let (id, name, group) = (site(n), format!("Site {n}"), Some(group(of)));
        to(1, Command::CreateSite { id, name, parent: None, group })
    };
    let device_at = |n: u32, of: u8| {
        let claim = claim_device(1, n);
        let Change::Organization { command: Command::ClaimDevice { device, .. }, .. } = claim else {
            panic!("a device is claimed")
        };
        to(1, Command::ClaimDevice { device, site: site(of) })
    };
    let settings = SettingsChange {
        grace_secs: Some(Seconds::days(20)),
        stop_after_lock_secs: Some(Seconds::days(90)),
        ..SettingsChange::default()
    };
    let other = to(1, Command::CreateGroup { id: group(2), name: "Campus".to_owned(), settings });
    run(&books, [set_price(), other, site_in_group(1), site_of(9, 2)]).await;
    // Neither has a license: one locks on the twentieth day and stops on the 110th, the other on the fortieth and the 100th.
    run(&books, [device_at(9, 9)]).await;
    clock.advance(Seconds::days(10));
    run(&books, [device_at(1, 1), to(1, Command::ChangeSettings(nobody))]).await;
    clock.advance(Seconds::days(25));
    run(&books, [Change::Platform(PlatformCommand::Freeze { by: by() })]).await;
    clock.advance(Seconds::days(10));
    let joins = || to(1, Command::MoveSite { id: site(1), to: SiteTarget::Group(group(2)) });
    let waits = async || {
        let asked = books.execute(ask(joins())).await.unwrap();
        asked.held.map(|held| (held.operation.id, held.operation.devices))
    };
    let (held, devices) = waits().await.expect("what locks it while the freeze lasts waits");
    assert_eq!(devices, 1);
    run(&books, [to(1, Command::Safety(SafetyCommand::Withdraw { held, by: asker() }))]).await;
    let lease_secs = Seconds::days(7);
    let end = PlatformCommand::Unfreeze { by: by(), lease_secs, announced: None };
    run(&books, [Change::Platform(end)]).await;
    clock.advance(Seconds::days(1));
    let lock_at = |of: u32| {
        let present = books.present(organization(1), books.now()).unwrap();
        present.wanted(&device(of)).unwrap().schedule.lock_at.unwrap()
    };
    assert!(lock_at(9) < books.now() && lock_at(1) > books.now(), "{} {}", lock_at(9), lock_at(1));
    assert_eq!(waits().await.map(|(_, devices)| devices), Some(1));
    assert!(lock_at(1) > books.now(), "nothing is done before the vendor says so");
}
