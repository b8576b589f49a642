//! What keeps a program from starting, and what it says then: where, what, and what to do about it.

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::{Cloud, HTTP_PORT, MQTT_PORT};
use coterm_tests::device::Device;
use coterm_tests::process::Said;
use coterm_tests::wait::{eventually, holds};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[track_caller]
fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "`{word}` is not said:\n{}", said.stderr);
    }
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
}

fn open_to_all(file: &Path) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_port_in_use_is_named() {
    for port in [HTTP_PORT, MQTT_PORT] {
        let cloud = Cloud::prepare(&[]);
        let address = (cloud.address(), port);
        let _taken = TcpListener::bind(address).unwrap();
        let place = format!("{}:{port}", cloud.address());
        says(&cloud.run("serve"), 5, &[&place, "in use", "listen"]);
    }
}

#[test]
fn a_second_daemon_on_the_same_data_does_not_start() {
    let cloud = Cloud::start();
    let second = cloud.run("serve");
    assert_eq!(second.code, 5, "{second:?}");
    assert!(cloud.vendor().get("/organizations")["items"].is_array(), "the first goes on");
}

#[test]
fn a_wrong_configuration_of_the_daemon_is_named_line_by_line() {
    let cloud = Cloud::prepare(&[]);
    let file = cloud.dir().join("coterm-cloud.toml");
    std::fs::write(&file, "trust_domain = \"Not One\"\n\n[tokens]\nlease_sec = 7200\n").unwrap();
    let name = file.to_str().unwrap().to_owned();
    let mut command = std::process::Command::new(coterm_tests::process::program("coterm-cloud"));
    command.args(["serve", "--config", &name]).current_dir(cloud.dir()).env_clear();
    let said = coterm_tests::process::run(command);
    let misspelled = format!("{name}:4");
    says(&said, 3, &[&format!("{name}:1"), "trust_domain", &misspelled, "tokens.lease_secs"]);
    assert!(!cloud.dir().join("coterm-data").exists(), "nothing is made before the configuration is good");
}

#[test]
fn a_wrong_configuration_of_the_agent_is_named_line_by_line() {
    let cloud = Cloud::start();
    let (_, camera) = Device::only_camera(&cloud, 60, 60);
    let good = camera.config();
    let line = |text: &str| 1 + good.lines().position(|line| line.starts_with(text)).unwrap();

    let bad = good.replace("\nclass = \"camera\"", "\nclass = \"kamera\"").replace("\nport = ", "\nprot = ");
    camera.set_config(&bad);
    let name = camera.config_file().to_str().unwrap().to_owned();
    let (class, port) = (format!("{name}:{}", line("class")), format!("{name}:{}", line("port")));
    says(&camera.run(&["run"]), 3, &[&class, "camera", &port, "port"]);

    // Supervision could kill a program that lets people out, so it is refused for doors, whatever the license says.
    camera.set_config(&good.replace("\nclass = \"camera\"", "\nclass = \"door-controller\""));
    says(&camera.run(&["run"]), 3, &["supervise", "door"]);
}

#[test]
fn a_key_others_can_read_is_not_used() {
    let mut cloud = Cloud::start();
    let (tenant, mut camera) = Device::only_camera(&cloud, 60, 60);
    open_to_all(&camera.dir().join("device.key"));
    camera.start();
    // The agent goes on enforcing what it knows, which is nothing; it does not log in with a key others may have.
    eventually("the agent to say what is wrong with the key", || {
        let log = camera.log();
        holds(log.contains("device.key") && log.contains("chmod 600"), log)
    });
    camera.reaches(OperatingMode::ManagementLocked);
    let check = camera.run(&["check"]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.stdout.contains("chmod 600"), "{check:?}");
    assert_eq!(
        tenant.show_device("cam-1")["status"]["last_seen_at"],
        serde_json::Value::Null,
        "it never logged in"
    );

    cloud.stop();
    for key in ["token-", "keyring.key", "root.key"] {
        let mut keys = std::fs::read_dir(cloud.data_dir().join("keys")).unwrap().flatten();
        let found = keys.find(|entry| entry.file_name().to_string_lossy().starts_with(key));
        let file = found.expect(key).path();
        open_to_all(&file);
        let said = cloud.run("serve");
        says(&said, 5, &[file.to_str().unwrap(), "chmod 600"]);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    cloud.restart();
}

#[test]
fn check_says_what_is_right_and_what_is_not() {
    let mut cloud = Cloud::start();
    let (_, mut camera) = Device::only_camera(&cloud, 60, 60);
    camera.start();
    camera.reaches(OperatingMode::Full);
    let good = camera.run(&["check"]);
    assert_eq!(good.code, 0, "{}{}", good.stdout, good.stderr);
    cloud.stop();
    let cut_off = camera.run(&["check"]);
    assert_eq!(cut_off.code, 1, "{}", cut_off.stdout);
    assert!(cut_off.stdout.contains("broker"), "{}", cut_off.stdout);
    assert_eq!(cloud.run("check").code, 0, "{:?}", cloud.run("check"));
}
