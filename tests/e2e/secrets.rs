//! Secrets: never said, never shown, in files of their owner alone, and on the wire by TLS 1.3 only.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::broker::OwnBroker;
use coterm_tests::cloud::{Cloud, ENROLMENT_PORT, MQTT_PORT};
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::{CAMERA, Operator, Tenant};
use coterm_tests::process::{Said, run};
use coterm_tests::secrets::{Secrets, command_lines, files_below};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const YEAR: u64 = 365 * 86_400;

/// A story in which every kind of secret is made and used.
struct Story {
    // Declared first, so that they are gone before the directory they work in.
    devices: Vec<Device>,
    cloud: Cloud,
    secrets: Secrets,
    /// What commands said that had no business with a secret.
    said: Vec<(String, String)>,
}

impl Story {
    fn hears(&mut self, what: &str, said: &Said) {
        self.said.push((what.to_owned(), format!("{}{}", said.stdout, said.stderr)));
    }
}

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn at_trace(device: &Device) {
    device.set_config(&device.config().replace("level = \"debug\"", "level = \"trace\""));
}

fn tell() -> Story {
    let cloud = Cloud::start_with(&["log.filter=trace"]);
    let vendor = cloud.vendor();
    let mut story = Story { cloud, secrets: Secrets::default(), said: Vec::new(), devices: Vec::new() };
    let admin = std::fs::read_to_string(story.cloud.data_dir().join("admin.token")).unwrap();
    story.secrets.text("the first API token", admin.trim());

    let tenant = vendor.organization("Acme", 60, 60);
    let group = tenant.group("North");
    let code = tenant.key("camera", 2, YEAR);
    story.secrets.text("a key code", &code);
    tenant.claim(&code, &group);
    let unclaimed = tenant.key("camera", 1, YEAR);
    story.secrets.text("an unclaimed key code", &unclaimed);

    // A narrower API token, used, and revoked.
    let made = tenant.json(&["token", "create", "narrow", "--role", "org-viewer"]);
    let token = made["token"].as_str().unwrap_or_else(|| panic!("{made}"));
    story.secrets.text("an API token", token);
    let file = story.cloud.dir().join("narrow.token");
    coterm_certs::create_secret_file(&file, token.as_bytes()).unwrap();
    let narrow = Operator::new(story.cloud.url(), file);
    let shown = narrow.coterm(&["group", "list", "--org", &tenant.id]);
    story.hears("group list", &shown);
    let wrong = narrow.coterm(&["org", "create", "Mine", "--yes"]);
    story.hears("a refused command", &wrong);

    provisioned(&mut story, &tenant);
    enrolled(&mut story, &tenant);
    for arguments in [&["device", "list"][..], &["key", "list"], &["log", "list"], &["group", "show", &group]]
    {
        let said = tenant.coterm(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        story.hears(&arguments.join(" "), &said);
    }
    for command in ["check", "config"] {
        let said = story.cloud.run(command);
        story.hears(command, &said);
    }
    let status = story.cloud.keys(&["status"]);
    story.hears("keys status", &status);
    let rotated = story.cloud.keys(&["rotate", "token", "--yes"]);
    story.hears("keys rotate", &rotated);
    story
}

fn provisioned(story: &mut Story, tenant: &Tenant) {
    tenant.device("cam-1", "North", CAMERA);
    let dir = story.cloud.dir().join("devices/cam-1");
    let said = tenant.coterm(&["device", "provision", "cam-1", "-o", dir.to_str().unwrap()]);
    story.hears("device provision", &said);
    let again = Device::of_directory(&story.cloud, "cam-1", Obeys::BySupervision);
    at_trace(&again);
    let mut device = again;
    device.start();
    device.reaches(OperatingMode::Full);
    story.devices.push(device);
}

fn enrolled(story: &mut Story, tenant: &Tenant) {
    let made = tenant.json(&["enrol", "code", "create", "--site", "North", "--model", CAMERA]);
    let code = made["code"].as_str().unwrap().to_owned();
    // The first 26 symbols are the hash of a public document; what follows is the secret.
    let bare: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    story.secrets.text("a claim code", &code);
    story.secrets.text("a claim code's secret", &bare[26..48]);
    let dir = story.cloud.dir().join("devices/cam-2");
    std::fs::create_dir_all(&dir).unwrap();
    let mut device = Device::by_hand(dir, "cam-2", "class = \"camera\"\n\n", Obeys::BySupervision);
    at_trace(&device);
    let mut command =
        device.command(&["enroll", "--server", &story.cloud.enrolment(), "--device-id", "cam-2"]);
    command.env("COTERM_CLAIM_CODE", &code);
    let said = run(command);
    assert_eq!(said.code, 0, "{said:?}");
    story.hears("enroll", &said);
    let mut again = device.command(&["enroll", "--server", &story.cloud.enrolment(), "--replace"]);
    again.env("COTERM_CLAIM_CODE", code.replace(&bare[45..46], if &bare[45..46] == "7" { "8" } else { "7" }));
    story.hears("a refused enroll", &run(again));
    device.start();
    device.reaches(OperatingMode::Full);
    story.devices.push(device);
}

#[test]
fn no_secret_is_ever_logged_or_shown_at_any_level() {
    let mut story = tell();
    for (place, line) in command_lines() {
        assert_eq!(story.secrets.found_in(&place, &line), Vec::<String>::new());
    }
    for device in &story.devices {
        for command in [&["status"][..], &["check"], &["status", "-o", "json"]] {
            story.said.push((command.join(" "), format!("{:?}", device.run(command))));
        }
    }
    let keys = story.secrets.keys_below(story.cloud.dir());
    // Authority, broker, enrolment, root, keyring, token keys, both devices.
    assert!(keys.len() >= 8, "{keys:?}");
    let logs = std::iter::once(("the cloud's log".to_owned(), story.cloud.log()))
        .chain(story.devices.iter().map(|device| (format!("the log of {}", device.id()), device.log())));
    let mut leaks = Vec::new();
    for (place, text) in logs.chain(story.said.iter().cloned()) {
        assert!(!text.is_empty() || place == "config", "{place} says nothing");
        leaks.extend(story.secrets.found_in(&place, text.as_bytes()));
    }
    assert!(story.cloud.log().contains("TRACE"), "it was looked at where most is said");
    assert_eq!(leaks, Vec::<String>::new());
    // What other programs of the device may read: state and run directories.
    for device in &story.devices {
        for file in files_below(&device.dir().join("run")) {
            let text = std::fs::read(&file).unwrap();
            assert_eq!(story.secrets.found_in(&file.display().to_string(), &text), Vec::<String>::new());
        }
    }
}

#[test]
fn every_file_with_a_secret_is_its_owners_alone_and_refused_otherwise() {
    let mut story = tell();
    let dir = story.cloud.dir().to_path_buf();
    let mut files = story.secrets.keys_below(&dir);
    files.extend(files_below(&dir).into_iter().filter(|file| {
        let secret = std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"ctk_"));
        secret && file.extension().is_some_and(|extension| extension == "token")
    }));
    for file in &files {
        assert_eq!(mode_of(file), 0o600, "{}", file.display());
    }
    let refuses = |said: &Said, code: i32, file: &PathBuf| {
        let told = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(said.code, code, "{}: {told}", file.display());
        assert!(
            told.contains("chmod 600") && told.contains(file.file_name().unwrap().to_str().unwrap()),
            "{told}"
        );
    };
    for device in &mut story.devices {
        assert!(device.stop().success());
    }
    story.cloud.stop();
    let mut tried = 0;
    for file in &files {
        set_mode(file, 0o640);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if file.starts_with(story.cloud.data_dir().join("keys"))
            || file.starts_with(story.cloud.data_dir().join("pki"))
        {
            // Keys that were rotated away or serve another way of running are not read.
            let used = story.cloud.refuses_to_start();
            if let Some(said) = used {
                refuses(&said, 5, file);
                tried += 1;
            } else {
                assert!(
                    name == "cloud.key" || name.starts_with("token"),
                    "{name} is used although others can read it"
                );
            }
        } else if name == "device.key" {
            let device = story.devices.iter().find(|device| file.starts_with(device.dir())).unwrap();
            refuses(&device.run(&["check"]), 1, file);
            tried += 1;
        }
        set_mode(file, 0o600);
    }
    // The authority, broker, enrolment, root, keyring and a token key of the cloud; both devices.
    assert!(tried >= 8, "{tried} of {files:?}");
    story.cloud.restart();
    let admin = story.cloud.data_dir().join("admin.token");
    set_mode(&admin, 0o644);
    let said = story.cloud.vendor().coterm(&["org", "list"]);
    assert!(said.code != 0 && said.stderr.contains("chmod 600"), "{said:?}");
}

#[test]
fn a_systemd_credential_serves_as_a_key_file_of_the_agent_and_of_the_cloud() {
    let cloud = Cloud::start();
    let tenant = cloud.vendor().organization("Acme", 60, 60);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, YEAR);
    tenant.device("cam-1", "North", CAMERA);
    let device = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
    let credentials = cloud.dir().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let key = credentials.join("device.key");
    std::fs::rename(device.dir().join("device.key"), &key).unwrap();
    // The service manager hands it over by an access list, which shows as group bits.
    set_mode(&key, 0o440);
    let line =
        device.config().lines().find(|line| line.trim_start().starts_with("key_file")).map(str::to_owned);
    let text = match line {
        Some(line) => device.config().replace(&line, &format!("key_file = {key:?}")),
        None => device.config().replace("[broker]", &format!("[broker]\nkey_file = {key:?}")),
    };
    device.set_config(&text);
    assert_eq!(device.run(&["check"]).code, 1, "anywhere else it is too open");
    let mut command = device.command(&["check"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    let said = run(command);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    set_mode(&key, 0o444);
    let mut command = device.command(&["check"]);
    command.env("CREDENTIALS_DIRECTORY", &credentials);
    assert_eq!(run(command).code, 1, "others may not read it anywhere");

    // The cloud's key for a broker elsewhere, which it is shown by the daemon as it starts.
    let mut cloud = Cloud::prepare(&[
        "mqtt.mode=external",
        "mqtt.external.ca_file=data/pki/ca.crt",
        "mqtt.external.certificate_file=data/pki/cloud.crt",
    ]);
    let _broker = OwnBroker::documented(&cloud);
    let credentials = cloud.dir().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let key = credentials.join("cloud.key");
    std::fs::copy(cloud.data_dir().join("pki/cloud.key"), &key).unwrap();
    set_mode(&key, 0o440);
    cloud.set_environment("COTERM_CLOUD_MQTT__EXTERNAL__KEY_FILE", key.to_str().unwrap());
    let refusal = cloud.refuses_to_start().expect("anywhere else it is too open");
    assert!(refusal.stderr.contains("chmod 600"), "{refusal:?}");
    cloud.set_environment("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    assert_eq!(cloud.run("check").code, 0, "{:?}", cloud.run("check"));
    // Ready is who reaches its broker.
    cloud.restart();
    cloud.stop();
    set_mode(&key, 0o444);
    let refusal = cloud.refuses_to_start().expect("others may not read it anywhere");
    assert!(refusal.stderr.contains("cloud.key"), "{refusal:?}");
}

/// What openssl says to a listener, with this version of TLS.
fn handshake(cloud: &Cloud, port: u16, version: &str, certificate: Option<&Path>) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", version, "-connect", &format!("{}:{port}", cloud.address())]);
    if let Some(directory) = certificate {
        command.arg("-cert").arg(directory.join("device.crt")).arg("-key").arg(directory.join("device.key"));
    }
    let output = command.stdin(Stdio::null()).output().expect("this test needs openssl");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn tls_12_is_refused_unless_it_was_asked_for_and_then_it_is_warned_of() {
    for (settings, spoken) in [(&[][..], false), (&["mqtt.embedded.allow_tls12=true"][..], true)] {
        let cloud = Cloud::start_with(settings);
        let tenant = cloud.vendor().organization("Acme", 60, 60);
        let _ = tenant.group("North");
        tenant.device("cam-1", "North", CAMERA);
        let device = Device::provision(&cloud, &tenant, "cam-1", Obeys::BySupervision);
        let speaks = |said: &str| said.contains("Cipher is ") && !said.contains("Cipher is (NONE)");
        let old = handshake(&cloud, MQTT_PORT, "-tls1_2", Some(device.dir()));
        assert_eq!(speaks(&old), spoken, "{old}");
        assert_eq!(cloud.log().contains("BROKER_TLS12"), spoken);
        let new = handshake(&cloud, MQTT_PORT, "-tls1_3", Some(device.dir()));
        assert!(speaks(&new), "{new}");
        let older = handshake(&cloud, MQTT_PORT, "-tls1_1", Some(device.dir()));
        assert!(!speaks(&older), "{older}");
        let enrolment = handshake(&cloud, ENROLMENT_PORT, "-tls1_2", None);
        assert!(!speaks(&enrolment), "new devices have no excuse: {enrolment}");
    }
}
