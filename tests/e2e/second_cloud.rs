//! A database restored from a backup, and two daemons on copies of one: devices follow, and never go back.

use coterm_shared::enforcement::OperatingMode;
use coterm_shared::token::TokenVersion;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::files::copy_dir;
use coterm_tests::operator::{CAMERA, Operator, Tenant};
use coterm_tests::process::run;
use coterm_tests::wait::{eventually, holds, never};
use serde_json::Value;
use std::time::Duration;

const YEAR: u64 = 365 * 86_400;

/// An organization with three licensed cameras, all of them running.
fn fleet(cloud: &Cloud) -> (Tenant, String, Vec<Device>) {
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 3, YEAR);
    let devices = ["cam-1", "cam-2", "cam-3"].map(|id| {
        tenant.device(id, "North", CAMERA);
        let mut device = Device::provision(cloud, &tenant, id, Obeys::InWordsOnly);
        device.start();
        device.reaches(OperatingMode::Full);
        device
    });
    (tenant, group, devices.into())
}

/// The state of a device: always licensed, and its token never older than the newest seen so far.
fn goes_on(device: &Device, newest: &mut TokenVersion) -> Result<(), String> {
    let state = device.state()?;
    assert_eq!(state.mode, OperatingMode::Full, "{state:?}");
    let held = state.token.ok_or("no token")?;
    assert!(held >= *newest, "{} went back from {newest} to {held}", device.id());
    *newest = held;
    Ok(())
}

fn follows(tenant: &Tenant, device: &Device) -> Result<(), String> {
    let shown = tenant.show_device(device.id());
    holds(shown["status"]["up_to_date"] == true && shown["status"]["quarantined"].is_null(), &shown["status"])
}

fn halts(vendor: &Operator) -> Vec<Value> {
    vendor.json(&["platform", "halts", "list"])["items"].as_array().expect("a list").clone()
}

fn alarms(vendor: &Operator) -> Vec<String> {
    let listed = vendor.get("/platform/alarms");
    let items = listed["items"].as_array().expect("a list");
    items.iter().map(|alarm| alarm["code"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Token §6: restored cloud database.
#[test]
fn a_database_restored_from_a_backup_heals_by_itself_and_no_device_ever_goes_back() {
    let mut cloud = Cloud::start();
    let (tenant, group, mut devices) = fleet(&cloud);
    // While it runs and serves.
    let to = cloud.dir().join("backups");
    let said = cloud.run_with("backup", &["--to", to.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    let backup = said.stdout.lines().next().expect("the first line names it").to_owned();

    // Life goes on: two devices get tokens the backup knows nothing of; one sleeps and keeps an old one.
    devices[2].kill();
    let before: Vec<TokenVersion> = devices.iter().map(Device::holds_token).collect();
    tenant.license(&group, "camera", 1, 2 * YEAR);
    let newest: Vec<TokenVersion> = devices[..2]
        .iter()
        .zip(&before)
        .map(|(device, before)| {
            eventually("a token of the new term", || {
                let held = device.state()?.token.ok_or("none")?;
                holds(held > *before, held)?;
                Ok(held)
            })
        })
        .collect();

    let running = cloud.run_with("restore", &[&backup, "--replace"]);
    assert!(running.code == 1 && running.stderr.contains("stop it first"), "{running:?}");
    cloud.kill();
    let unasked = cloud.run_with("restore", &[&backup]);
    assert!(unasked.code == 1 && unasked.stderr.contains("--replace"), "{unasked:?}");
    let said = cloud.run_with("restore", &[&backup, "--replace"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains(".before-restore-"), "{said:?}");
    cloud.restart();
    devices[2].start();
    for (n, device) in devices.iter().enumerate() {
        let mut seen = newest.get(n).copied().unwrap_or(before[n]);
        let lost = seen;
        eventually(&format!("{} to follow the restored books", device.id()), || {
            goes_on(device, &mut seen)?;
            // The one that slept holds what the backup knows, and needs nothing newer.
            holds(n == 2 || seen > lost, seen)?;
            follows(&tenant, device)
        });
    }
    assert!(halts(&cloud.vendor()).is_empty());
    let alarms = alarms(&cloud.vendor());
    assert!(!alarms.iter().any(|code| code == "DEVICE_QUARANTINED"), "{alarms:?}");

    // And what is decided from now on arrives.
    let _ = tenant.json(&["device", "retire", "cam-3", "--yes"]);
    tenant.device("cam-4", "North", CAMERA);
    tenant.device("cam-5", "North", CAMERA);
    devices[0].reaches(OperatingMode::Stopped);
}

/// A disk that fills up: the system refuses to let files grow.
#[test]
fn a_backup_onto_a_full_disk_says_so_and_leaves_nothing() {
    let cloud = Cloud::start();
    let to = cloud.dir().join("backups");
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "ulimit -f 64; trap '' XFSZ; exec \"$0\" \"$@\""]);
    let backup = cloud.command("backup");
    command.arg(backup.get_program()).args(backup.get_args()).arg("--to").arg(&to);
    command.envs(backup.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let said = run(command);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("disk"), "{said:?}");
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0, "nothing half-made");
    let said = cloud.run_with("backup", &["--to", to.to_str().unwrap()]);
    assert_eq!(said.code, 0, "the same with room: {said:?}");
}

/// Moves a device to the other daemon's broker.
fn move_to(device: &mut Device, from: &Cloud, to: &Cloud) {
    let config = device.config().replace(&from.address().to_string(), &to.address().to_string());
    assert!(device.stop().success());
    device.set_config(&config);
    device.start();
}

/// Waits until a daemon stopped signing because of what the device shows, while the device goes on unmoved.
fn halts_over(cloud: &Cloud, tenant: &Tenant, device: &Device) {
    let mut held = device.holds_token();
    let before = held;
    let found = eventually("the daemon to halt", || {
        goes_on(device, &mut held)?;
        let found = halts(&cloud.vendor());
        holds(found.iter().any(|halt| halt["halts"] == true), &found)?;
        Ok(found)
    });
    assert_eq!(held, before, "no token of the other daemon was taken");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (&found[0]["organization"], &found[0]["device"]),
        (&tenant.id.clone().into(), &device.id().into())
    );
    assert_eq!(found[0]["cause"], "foreign-token");
    assert_eq!(found[0]["version"]["seq"], held.seq);
    eventually("the alarm", || {
        let alarms = alarms(&cloud.vendor());
        holds(alarms.iter().any(|code| code == "SIGNING_HALTED"), alarms)
    });
}

/// Token §6: two clouds at once.
#[test]
fn two_daemons_on_copies_of_one_database_stop_signing_and_no_device_flaps() {
    let mut first = Cloud::start();
    let (tenant, group, mut devices) = fleet(&first);
    first.stop();
    let mut second = Cloud::prepare(&[]);
    copy_dir(&first.data_dir(), &second.data_dir());
    first.restart();
    second.restart();
    let there = Tenant { operator: second.vendor(), id: tenant.id.clone() };

    // The first goes on; the second decides something else, on its stale copy and too late.
    let before = devices[0].holds_token();
    tenant.license(&group, "camera", 1, 2 * YEAR);
    eventually("a token the second knows nothing of", || {
        let held = devices[0].holds_token();
        holds(held > before, held)
    });
    move_to(&mut devices[0], &first, &second);
    halts_over(&second, &there, &devices[0]);
    there.device("cam-9", "North", CAMERA);
    never("a device gets a token of the second daemon", Duration::from_secs(3), || {
        holds(devices[0].state()?.mode == OperatingMode::Full, devices[0].state())
    });
    // A restart is no way around the halt.
    second.kill();
    second.restart();
    assert_eq!(halts(&second.vendor()).len(), 1);
    let mut held = devices[0].holds_token();
    never("a restart signs", Duration::from_secs(3), || goes_on(&devices[0], &mut held));

    // Back with the first, everything is as it was.
    move_to(&mut devices[0], &second, &first);
    eventually("the device to follow the first again", || follows(&tenant, &devices[0]));
    assert!(halts(&first.vendor()).is_empty());

    // An operator who decides for the second stops the first, and confirms.
    first.stop();
    move_to(&mut devices[0], &first, &second);
    let said = second.vendor().coterm(&["platform", "halts", "confirm", "Acme"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = second.vendor().coterm(&["platform", "halts", "confirm", "Acme"]);
    assert_eq!(said.code, 5, "there is nothing left to confirm: {said:?}");
    devices[0].reaches(OperatingMode::Stopped);
    let taken = devices[0].holds_token();
    assert!(taken > held);
    assert!(halts(&second.vendor()).is_empty());
}
