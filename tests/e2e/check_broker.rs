//! `coterm-cloud check broker` against a real Mosquitto: content with the documented configuration, and not with others.

use coterm_tests::broker::OwnBroker;
use coterm_tests::cloud::Cloud;
use coterm_tests::process::{Said, run};
use serde_json::Value;

fn check(cloud: &Cloud, arguments: &[&str]) -> Said {
    let mut command = cloud.command("check");
    command.arg("broker").args(["--settle-ms", "0"]).args(arguments);
    run(command)
}

/// The lines that begin with this word.
fn lines<'a>(said: &'a Said, word: &str) -> Vec<&'a str> {
    said.stdout.lines().filter(|line| line.starts_with(word)).collect()
}

#[test]
fn r7_the_documented_broker_is_proven_and_nothing_is_left_behind() {
    let cloud = OwnBroker::prepare();
    let broker = OwnBroker::documented(&cloud);
    let said = check(&cloud, &[]);
    assert_eq!(said.code, 0, "{}{}{}", said.stdout, said.stderr, broker.log());
    assert!(lines(&said, "WRONG").is_empty());
    // Checks, the cloud twice, the device and four strangers; of the one that was not given it is said.
    assert!(lines(&said, "ok").len() >= 12, "{}", said.stdout);
    assert!(lines(&said, "-").iter().any(|line| line.contains("revoked")), "{}", said.stdout);
    assert!(!cloud.data_dir().join("pki/issued").exists(), "the throw-away devices were never anybody's");

    let again = check(&cloud, &["--json"]);
    assert_eq!(again.code, 0, "{}", again.stdout);
    let findings: Value = serde_json::from_str(&again.stdout).unwrap();
    let findings = findings["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["verdict"] != "wrong"));
}

#[test]
fn r7_whatever_a_configuration_lacks_is_found_and_said() {
    let cloud = OwnBroker::prepare();
    for (from, to, words) in [
        // Every device reads and writes everything.
        (
            "pattern read coterm/v1/keyring",
            "pattern readwrite #",
            vec![
                "device: write coterm/v1/keyring",
                "device: read coterm/v1/d/",
                "device: will coterm/v1/keyring",
                "let a device write",
            ],
        ),
        ("use_username_as_clientid true", "", vec!["another's client id"]),
        ("require_certificate true", "require_certificate false", vec!["cloud: cannot connect"]),
        (
            "max_packet_size 17408",
            "max_packet_size 8000",
            vec!["the longest document passes", "allow packets of 17408 bytes"],
        ),
    ] {
        let broker = OwnBroker::changed(&cloud, from, to);
        let said = check(&cloud, &[]);
        assert_eq!(said.code, 4, "{to}: {}{}", said.stdout, said.stderr);
        let wrong = lines(&said, "WRONG").join("\n");
        for word in words {
            assert!(wrong.contains(word), "{to}: `{word}` is not said: {}\n{}", said.stdout, broker.log());
        }
    }
}

#[test]
fn a_running_daemon_is_not_pushed_aside_and_an_embedded_broker_needs_no_proof() {
    let mut cloud = OwnBroker::prepare();
    let _broker = OwnBroker::documented(&cloud);
    cloud.restart();
    let said = check(&cloud, &[]);
    assert_eq!(said.code, 4);
    assert!(said.stdout.contains("stop it for the minute"), "{}", said.stdout);
    cloud.stop();
    assert_eq!(check(&cloud, &[]).code, 0);

    let embedded = Cloud::prepare(&[]);
    let said = check(&embedded, &[]);
    assert_eq!((said.code, said.stdout.contains("part of the program")), (0, true), "{}", said.stdout);
    let nobody = check(&embedded, &["--url", "mqtts://127.0.0.1:1"]);
    assert_eq!(nobody.code, 1, "nothing to show there, and it says what: {}", nobody.stderr);
    assert!(nobody.stderr.contains("--ca"), "{}", nobody.stderr);
}
