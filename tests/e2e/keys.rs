//! Keys are rotated, revoked and recovered under devices that run, and under devices that were away; nobody touches one.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::forge::{Forger, licensed_for_ever};
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::{Process, Said};
use coterm_tests::rogue::RogueBroker;
use coterm_tests::wait::{eventually, holds, rounds};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const YEAR: u64 = 365 * 86_400;

/// A licensed camera that runs.
fn licensed(cloud: &Cloud) -> (Tenant, String, Device) {
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 2, YEAR);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);
    camera.workload_runs(true);
    let _ = camera.holds_token();
    (tenant, group, camera)
}

#[track_caller]
fn done(said: &Said) {
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

/// The id of the token key that signs.
fn signing_key(cloud: &Cloud) -> String {
    let status = cloud.keys_status();
    let keys = status["token_keys"].as_array().unwrap();
    keys.iter().find(|key| key["signs"] == true).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// Waits until the device says that it lives by the newest root and keyring.
#[track_caller]
fn trusts_the_newest(cloud: &Cloud, tenant: &Tenant, device: &str) {
    eventually(&format!("{device} to hold the newest root and keyring"), || {
        let (status, shown) = (cloud.keys_status(), tenant.show_device(device));
        let held = |name: &str| shown["status"][name].clone();
        let newest = held("root_version") == status["root_version"]
            && held("keyring_version") == status["keyring_version"];
        holds(newest, (held("root_version"), held("keyring_version"), &status["root_version"]))
    });
}

/// Changes what tokens say: another term, so another co-termination.
fn relicense(tenant: &Tenant, group: &str) {
    static TERMS: AtomicU64 = AtomicU64::new(1);
    tenant.license(group, "camera", 1, YEAR + TERMS.fetch_add(1, Ordering::Relaxed) * 30 * 86_400);
}

/// Changes what tokens say, and waits until the device holds one that says so: signing, delivery and belief all work.
#[track_caller]
fn believes_what_is_signed_now(tenant: &Tenant, group: &str, camera: &Device) {
    let before = camera.holds_token();
    relicense(tenant, group);
    eventually("the device to hold a token of the present key", || {
        let state = camera.state()?;
        holds(state.token.is_some_and(|held| held > before), &state)
    });
}

/// That the device never was in any other mode: its workload runs since its first start.
#[track_caller]
fn never_lost_its_state(camera: &Device) {
    assert_eq!(camera.state().unwrap().mode, OperatingMode::Full);
    assert_eq!(camera.workload.starts(), 1, "{}", camera.log());
}

#[test]
fn a_token_key_is_rotated_and_revoked_under_a_running_device() {
    let cloud = Cloud::start();
    let (tenant, group, mut camera) = licensed(&cloud);
    let first = signing_key(&cloud);
    done(&cloud.keys(&["rotate", "token", "--yes"]));
    let second = signing_key(&cloud);
    assert_ne!(first, second);
    trusts_the_newest(&cloud, &tenant, "cam-1");
    believes_what_is_signed_now(&tenant, &group, &camera);

    done(&cloud.keys(&["revoke", &second, "--yes"]));
    trusts_the_newest(&cloud, &tenant, "cam-1");
    assert!(!cloud.data_dir().join(format!("keys/token-{second}.key")).exists());
    // The token it holds was signed by the revoked key: it goes on, also over a reboot, until the next one.
    camera.kill();
    camera.start();
    camera.reaches(OperatingMode::Full);
    believes_what_is_signed_now(&tenant, &group, &camera);
    never_lost_its_state(&camera);
    assert_eq!(cloud.keys(&["revoke", &second, "--yes"]).code, 1, "it is gone already");
}

#[test]
fn what_waited_for_a_device_that_was_away_is_signed_anew_when_its_key_is_revoked() {
    let cloud = Cloud::start();
    let (tenant, group, mut camera) = licensed(&cloud);
    let held = camera.holds_token();
    camera.kill();
    // Issued while the device is away, and never delivered.
    relicense(&tenant, &group);
    eventually("a newer token to be issued", || {
        let shown = tenant.show_device("cam-1");
        holds(shown["status"]["up_to_date"] == false, shown)
    });
    done(&cloud.keys(&["revoke", &signing_key(&cloud), "--yes"]));
    camera.start();
    eventually("the device to hold a token of a key that counts", || {
        let shown = tenant.show_device("cam-1");
        holds(shown["status"]["up_to_date"] == true, shown)
    });
    assert!(camera.holds_token() > held);
    never_lost_its_state(&camera);
}

#[test]
fn a_raised_epoch_undoes_what_a_stolen_token_key_pushed_ahead() {
    let mut cloud = Cloud::start();
    let (tenant, _, mut camera) = licensed(&cloud);
    // Its group is over capacity now, and the ladder ends in a stop.
    for device in ["cam-2", "cam-3"] {
        tenant.device(device, "North", CAMERA);
    }
    camera.reaches(OperatingMode::Stopped);
    let held = camera.holds_token();
    let stolen = signing_key(&cloud);

    // The thief sits at the broker, and his token is newer than any the cloud will make within the hour.
    let forged = Forger::with_the_real_key(&cloud).token(&licensed_for_ever(&tenant, "cam-1", held.epoch));
    cloud.stop();
    let rogue = RogueBroker::instead_of(&cloud);
    rogue.publish(camera.dir(), "coterm/v1/d/cam-1/token", &forged);
    camera.reaches(OperatingMode::Full);
    let pushed = camera.holds_token();
    drop(rogue);
    cloud.restart();
    eventually("the cloud to hear of it", || {
        let shown = tenant.show_device("cam-1");
        holds(shown["status"]["held"] == serde_json::to_value(pushed).unwrap(), shown)
    });

    done(&cloud.keys(&["revoke", &stolen, "--raise-epoch", "--yes"]));
    camera.reaches(OperatingMode::Stopped);
    eventually("the device to hold a token of the new epoch", || {
        let state = camera.state()?;
        holds(state.token.is_some_and(|held| held.epoch == pushed.epoch + 1), &state)
    });
    assert!(!cloud.log().contains("coterm-cloud ended"));
    camera.kill();
    camera.start();
    camera.reaches(OperatingMode::Stopped);
}

/// Three people with a root key each, on machines without a daemon.
struct Ceremony<'a> {
    cloud: &'a Cloud,
    dir: PathBuf,
}

impl<'a> Ceremony<'a> {
    fn of_three(cloud: &'a Cloud) -> Ceremony<'a> {
        let dir = cloud.dir().join("ceremony");
        std::fs::create_dir(&dir).unwrap();
        let ceremony = Ceremony { cloud, dir };
        for name in ["a", "b", "c"] {
            done(&cloud.keys(&["generate-root-key", &ceremony.path(&format!("{name}.key"))]));
        }
        ceremony
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn sign(&self, draft: &str, key: &Path) -> String {
        let said = self.cloud.keys(&["sign", draft, "--key", key.to_str().unwrap(), "--yes"]);
        done(&said);
        assert!(said.stderr.contains("This is root"), "what is signed is said: {}", said.stderr);
        said.stdout.trim().strip_prefix("Signature: ").unwrap().to_owned()
    }

    /// Signs a draft with these people's keys and puts it together.
    fn root(&self, draft: &str, version: u64, keys: &[PathBuf]) -> String {
        let signatures: Vec<String> = keys.iter().map(|key| self.sign(draft, key)).collect();
        let out = self.path(&format!("root-{version}.cose"));
        let mut arguments = vec!["assemble", draft];
        arguments.extend(signatures.iter().map(String::as_str));
        arguments.extend(["--out", &out]);
        done(&self.cloud.keys(&arguments));
        out
    }

    fn key(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.key"))
    }
}

#[test]
fn a_root_ceremony_of_two_in_three_and_a_new_keyring_key_reach_devices_that_run_and_devices_that_were_away() {
    let cloud = Cloud::start();
    let (tenant, group, mut running) = licensed(&cloud);
    tenant.device("cam-2", "North", CAMERA);
    let mut away = Device::provision(&cloud, &tenant, "cam-2", Obeys::BySupervision);
    away.start();
    away.reaches(OperatingMode::Full);
    away.workload_runs(true);
    let _ = away.holds_token();
    away.kill();

    // Root 2: from the software key of the first start to two of three keys that are kept elsewhere.
    let people = Ceremony::of_three(&cloud);
    let draft = people.path("root-2.draft.json");
    let public = |name: &str| people.path(&format!("{name}.key.pub"));
    let (a, b, c) = (public("a"), public("b"), public("c"));
    let all = ["draft-root", "--root-key", &a, "--root-key", &b, "--root-key", &c];
    done(&cloud.keys(&[&all[..], &["--root-threshold", "2", "--out", &draft]].concat()));
    let old_root = cloud.data_dir().join("keys/root.key");
    let root_2 = people.root(&draft, 2, &[old_root.clone(), people.key("a"), people.key("c")]);
    done(&cloud.keys(&["install-root", &root_2]));
    std::fs::remove_file(old_root).unwrap();
    trusts_the_newest(&cloud, &tenant, "cam-1");
    assert_eq!(cloud.keys_status()["root_version"], 2);
    // One key kept here is not to take the place of those by a slip.
    let slip = cloud.keys(&["rotate", "root", "--yes"]);
    assert!(slip.code != 0 && slip.stderr.contains("ROOT_KEPT_ELSEWHERE"), "{slip:?}");
    believes_what_is_signed_now(&tenant, &group, &running);

    // The keyring key was stolen: root 3 replaces it, signed by two of the three.
    let draft = people.path("root-3.draft.json");
    let said = cloud.keys(&["rotate", "keyring", "--yes", "--out", &draft]);
    done(&said);
    assert!(said.stdout.contains("Not in force yet"), "{}", said.stdout);
    let alone = people.sign(&draft, &people.key("a"));
    let too_few = cloud.keys(&["assemble", &draft, &alone]);
    assert!(too_few.code == 1 && too_few.stdout.contains("1 of 2"), "{too_few:?}");
    std::fs::remove_file(alone).unwrap();
    let root_3 = people.root(&draft, 3, &[people.key("a"), people.key("b")]);
    done(&cloud.keys(&["install-root", &root_3]));
    let raised = cloud.keys(&["raise-epoch", "--yes"]);
    done(&raised);
    assert!(raised.stdout.contains("Announced: the token key"), "the present one goes on: {raised:?}");
    trusts_the_newest(&cloud, &tenant, "cam-1");
    believes_what_is_signed_now(&tenant, &group, &running);
    let status = cloud.keys(&["status"]);
    assert_eq!(status.code, 0, "nothing is wrong: {}", status.stdout);

    // Away across all of it, with a token of a key and an epoch that are gone.
    done(&cloud.keys(&["rotate", "token", "--yes"]));
    away.start();
    trusts_the_newest(&cloud, &tenant, "cam-2");
    believes_what_is_signed_now(&tenant, &group, &away);
    for camera in [&mut running, &mut away] {
        camera.kill();
        camera.start();
        camera.reaches(OperatingMode::Full);
        never_lost_its_state(camera);
    }
    trusts_the_newest(&cloud, &tenant, "cam-1");
    // A device that is provisioned now begins with the newest pair.
    relicense(&tenant, &group);
    tenant.device("cam-3", "North", CAMERA);
    let mut young = Device::provision(&cloud, &tenant, "cam-3", Obeys::InWordsOnly);
    young.start();
    young.reaches(OperatingMode::Full);
    trusts_the_newest(&cloud, &tenant, "cam-3");
}

#[test]
fn killed_at_any_moment_of_any_change_everything_goes_on() {
    let mut cloud = Cloud::start();
    let (tenant, group, mut camera) = licensed(&cloud);
    for round in 0..12 * rounds() {
        let change: &[&str] = match round % 4 {
            0 => &["rotate", "token", "--yes"],
            1 => &["raise-epoch", "--yes"],
            2 => &["rotate", "keyring", "--yes"],
            _ => &["rotate", "root", "--yes"],
        };
        let log = cloud.dir().join("keys.log");
        let mut command = Process::start("keys", cloud.keys_command(change), &log);
        std::thread::sleep(Duration::from_millis(7 * (round as u64 % 9)));
        command.kill();
        match round % 3 {
            0 => {
                cloud.kill();
                cloud.restart();
            }
            1 => {
                camera.kill();
                camera.start();
            }
            _ => {}
        }
        let status = cloud.keys(&["status"]);
        assert!(status.stdout.contains("signs now"), "{round}: {status:?}\n{}", command.log());
    }
    // What was begun comes to an end by itself, or by typing it again; nothing has to be repaired.
    done(&cloud.keys(&["rotate", "keyring", "--yes"]));
    done(&cloud.keys(&["rotate", "token", "--yes"]));
    trusts_the_newest(&cloud, &tenant, "cam-1");
    believes_what_is_signed_now(&tenant, &group, &camera);
    camera.kill();
    camera.start();
    camera.reaches(OperatingMode::Full);
    never_lost_its_state(&camera);
}

#[test]
fn what_will_hurt_is_said_ahead() {
    let mut cloud = Cloud::start();
    let vendor = cloud.vendor();
    let alarms = || -> Vec<(String, Value)> {
        let listed = vendor.get("/platform/alarms");
        let items = listed["items"].as_array().unwrap();
        items.iter().map(|alarm| (alarm["code"].as_str().unwrap().to_owned(), alarm.clone())).collect()
    };
    eventually("the hint to move the root key offline", || {
        let alarms = alarms();
        holds(alarms.iter().any(|(code, _)| code == "ROOT_KEY_ONLINE"), alarms)
    });
    let shown = vendor.coterm(&["platform", "alarms"]);
    assert!(shown.code == 0 && shown.stdout.contains("ROOT_KEY_ONLINE"), "{shown:?}");
    assert_eq!(cloud.run("check").code, 0);

    // The one keyring key is gone: found by `check` and `keys status`, with the daemon or without.
    let key = cloud.data_dir().join("keys/keyring.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let status = cloud.keys(&["status"]);
    assert!(status.code == 4 && status.stdout.contains("KEYRING_NOT_RENEWABLE"), "{status:?}");
    let check = cloud.run("check");
    assert!(check.code == 4 && check.stdout.contains("KEYRING_NOT_RENEWABLE"), "{check:?}");
    cloud.stop();
    cloud.restart();
    eventually("the alarm", || {
        let alarms = alarms();
        holds(alarms.iter().any(|(code, _)| code == "KEYRING_NOT_RENEWABLE"), alarms)
    });
    // Said once, however often it is looked at.
    assert_eq!(cloud.log().matches("KEYRING_NOT_RENEWABLE").count(), 1);
    assert_eq!(cloud.keys(&["rotate", "token", "--yes"]).code, 0, "it becomes a draft");
    std::fs::write(&key, kept).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, mode).unwrap();
    done(&cloud.keys(&["rotate", "token", "--yes"]));
    eventually("the alarm to end", || {
        let alarms = alarms();
        holds(alarms.iter().all(|(code, _)| code == "ROOT_KEY_ONLINE"), alarms)
    });
}
