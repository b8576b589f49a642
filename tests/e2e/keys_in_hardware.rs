//! Signing keys behind PKCS#11: made there, used there, and what happens when the hardware does not play along.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::run;
use coterm_tests::secrets::Secrets;
use coterm_tests::wait::{eventually, holds};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODULES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/softhsm/libsofthsm2.so",
];
const YEAR: u64 = 365 * 86_400;
/// Long enough that no number in a log is one of them by chance.
const PIN: &str = "98765432-the-right-one";
const WRONG_PIN: &str = "00000000-the-wrong-one";

/// A directory with a software HSM in it.
struct Hsm {
    dir: PathBuf,
}

impl Hsm {
    /// One with a token called `coterm`, and a daemon that is configured to use it and not started yet.
    fn with_daemon() -> (Hsm, Cloud) {
        let module = MODULES.into_iter().find(|path| Path::new(path).exists());
        let module = module.expect("this test uses a software HSM: apt-get install softhsm2");
        let mut cloud = Cloud::prepare(&[
            &format!("signer.pkcs11.module={module}"),
            "signer.pkcs11.token_label=coterm",
            "signer.pkcs11.pin_file=pin",
            // Rounds of a second: the daemon looks at its hardware as often.
            "tokens.lease_secs=4",
            "log.filter=trace",
        ]);
        let hsm = Hsm { dir: cloud.dir().join("hsm") };
        std::fs::create_dir_all(hsm.tokens()).unwrap();
        let conf = hsm.dir.join("softhsm2.conf");
        let text = format!("directories.tokendir = {}\nobjectstore.backend = file\n", hsm.tokens().display());
        std::fs::write(&conf, text).unwrap();
        cloud.set_environment("SOFTHSM2_CONF", conf.to_str().unwrap());
        let mut init = Command::new("softhsm2-util");
        init.args(["--init-token", "--free", "--label", "coterm", "--so-pin", "12345678", "--pin", PIN]);
        init.env("SOFTHSM2_CONF", conf);
        let said = run(init);
        assert_eq!(said.code, 0, "{said:?}");
        set_pin(&cloud, PIN);
        (hsm, cloud)
    }

    fn tokens(&self) -> PathBuf {
        self.dir.join("tokens")
    }
}

fn set_pin(cloud: &Cloud, pin: &str) {
    let path = cloud.dir().join("pin");
    std::fs::write(&path, format!("{pin}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Neither the right PIN nor a wrong one, in what the daemon and its commands say at any level.
#[track_caller]
fn no_pin_is_said(cloud: &Cloud) {
    let mut secrets = Secrets::default();
    secrets.text("the PIN", PIN);
    secrets.text("a wrong PIN", WRONG_PIN);
    let commands = [cloud.run("check"), cloud.run("config"), cloud.keys(&["status"])];
    let said =
        commands.map(|said| ("a command".to_owned(), format!("{}{}", said.stdout, said.stderr).into_bytes()));
    assert!(cloud.log().contains("TRACE"), "it is looked at where most is said");
    let log = [("the log".to_owned(), cloud.log().into_bytes())];
    for (place, text) in said.into_iter().chain(log) {
        assert_eq!(secrets.found_in(&place, &text), Vec::<String>::new());
    }
}

fn licensed(cloud: &Cloud) -> (Tenant, String, Device) {
    let tenant = cloud.vendor().organization("Acme", 600, 600);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, YEAR);
    tenant.device("cam-1", "North", CAMERA);
    let mut camera = Device::provision(cloud, &tenant, "cam-1", Obeys::BySupervision);
    camera.start();
    camera.reaches(OperatingMode::Full);
    (tenant, group, camera)
}

/// Waits for a newer token: the hardware signs.
#[track_caller]
fn gets_a_newer_token(camera: &Device) {
    let before = camera.holds_token();
    eventually("a newer token", || {
        let state = camera.state()?;
        holds(state.token.is_some_and(|held| held > before), &state)
    });
}

fn alarms(cloud: &Cloud) -> Vec<String> {
    let listed = cloud.vendor().get("/platform/alarms");
    let items = listed["items"].as_array().unwrap();
    items.iter().map(|alarm| alarm["code"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn until_alarmed(cloud: &Cloud, alarmed: bool) {
    eventually("the alarm about the signer to come or go", || {
        let alarms = alarms(cloud);
        holds(alarms.iter().any(|code| code == "SIGNER_UNAVAILABLE") == alarmed, alarms)
    });
}

/// Names of private key files.
fn files(cloud: &Cloud) -> Vec<String> {
    let files = std::fs::read_dir(cloud.data_dir().join("keys")).unwrap().flatten();
    files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn token_and_keyring_keys_live_in_hardware_and_rotate_there() {
    let (_hsm, mut cloud) = Hsm::with_daemon();
    cloud.restart();
    let (_, _, camera) = licensed(&cloud);
    gets_a_newer_token(&camera);
    assert_eq!(files(&cloud), ["root.key"], "no other private key is in a file");
    for change in
        [&["rotate", "token", "--yes"][..], &["rotate", "keyring", "--yes"], &["raise-epoch", "--yes"]]
    {
        let said = cloud.keys(change);
        assert_eq!(said.code, 0, "{change:?}: {said:?}");
        gets_a_newer_token(&camera);
    }
    let status = cloud.keys_status();
    assert_eq!(status["epoch"], 2);
    assert!(files(&cloud).iter().all(|file| file == "root.key"), "{:?}", files(&cloud));
    let signing = status["token_keys"].as_array().unwrap().iter().find(|key| key["signs"] == true).unwrap();
    let said = cloud.keys(&["revoke", signing["kid"].as_str().unwrap(), "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    gets_a_newer_token(&camera);
    cloud.kill();
    cloud.restart();
    gets_a_newer_token(&camera);
    assert_eq!(camera.workload.starts(), 1);
}

#[test]
fn hardware_that_is_gone_or_refuses_its_pin_costs_no_device_anything() {
    let (hsm, mut cloud) = Hsm::with_daemon();
    cloud.restart();
    let (_, _, camera) = licensed(&cloud);
    gets_a_newer_token(&camera);

    // Pulled while the daemon runs, and put back.
    let away = hsm.dir.join("pulled");
    std::fs::rename(hsm.tokens(), &away).unwrap();
    until_alarmed(&cloud, true);
    assert_eq!(camera.state().unwrap().mode, OperatingMode::Full);
    std::fs::rename(&away, hsm.tokens()).unwrap();
    until_alarmed(&cloud, false);
    gets_a_newer_token(&camera);

    // A wrong PIN is tried once: the token does not lock, and a corrected file is enough.
    cloud.stop();
    set_pin(&cloud, WRONG_PIN);
    cloud.restart();
    until_alarmed(&cloud, true);
    let said = cloud.keys(&["status"]);
    assert!(said.code == 4 && said.stdout.contains("SIGNER_UNAVAILABLE"), "{said:?}");
    no_pin_is_said(&cloud);
    set_pin(&cloud, PIN);
    until_alarmed(&cloud, false);
    gets_a_newer_token(&camera);

    // Others may not read the PIN.
    let path = cloud.dir().join("pin");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = cloud.keys(&["status"]);
    assert!(said.stdout.contains("chmod 600"), "{said:?}");
    no_pin_is_said(&cloud);
    assert_eq!(camera.workload.starts(), 1);
}
