//! Layers, findings, and the example.

use super::*;
use std::path::Path;

const GOOD: &str = r#"
device = "cam-1"
organization = "org_01900000000070008000000000000000"
trust_domain = "licenses.example.com"
class = "camera"
[broker]
host = "localhost"
[[actuator]]
kind = "dry-run"
"#;

fn layers(dir: &Path, text: &str) -> Layers {
    let file = dir.join("agent.toml");
    std::fs::write(&file, text).unwrap();
    Layers { file, ..Layers::default() }
}

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let prefix = format!("{}/", dir.path().display());
    load(&layers(dir.path(), text))
        .map_err(|errors| errors.0.iter().map(|finding| finding.to_string().replace(&prefix, "")).collect())
}

#[test]
fn the_example_parses_and_equals_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let from_example = load(&layers(dir.path(), &example())).unwrap();
    assert_eq!(from_example, load(&layers(dir.path(), GOOD)).unwrap());
    // What stands in its comments is what holds without it, for all that has a default.
    let has_default = |key: &str| {
        keys::KEYS.iter().any(|known| {
            key.starts_with(&format!("{} = ", known.name))
                && matches!(known.without, keys::Without::Default(_))
        })
    };
    let mut uncommented = String::new();
    // A section that is a comment as a whole stays one.
    let mut commented = false;
    for line in example().lines() {
        if line.starts_with('[') || line.starts_with("# [") {
            commented = line.starts_with('#');
        }
        let key = line.strip_prefix("# ").filter(|key| !commented && has_default(key));
        uncommented.push_str(key.unwrap_or(line));
        uncommented.push('\n');
    }
    assert_eq!(load(&layers(dir.path(), &uncommented)).unwrap(), from_example);
    for line in example().lines() {
        assert!(line.len() <= 125, "{line}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let config = load(&layers(dir.path(), GOOD)).unwrap();
    assert_eq!(config.state_dir, dir.path().join("state"));
    assert_eq!(config.run_dir, dir.path().join("run"));
    assert_eq!(config.broker.key_file, dir.path().join("device.key"));
    assert_eq!(config.broker.server_name, "localhost");
}

#[test]
fn later_layers_win() {
    let dir = tempfile::tempdir().unwrap();
    let mut layers = layers(dir.path(), GOOD);
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/10-port.toml"), "[broker]\nport = 1\nhost = \"ten\"").unwrap();
    std::fs::write(dir.path().join("conf.d/20-port.toml"), "[broker]\nport = 2").unwrap();
    std::fs::write(dir.path().join("conf.d/ignored.txt"), "nonsense").unwrap();
    let port = |layers: &Layers| (load(layers).unwrap().broker.port, load(layers).unwrap().broker.host);
    assert_eq!(port(&layers), (2, "ten".to_owned()));
    for name in ["COTERM_AGENT_BROKER__PORT", "COTERM_AGENT__BROKER__PORT"] {
        layers.environment = vec![(name.to_owned(), "3".to_owned()), ("OTHER".to_owned(), "x".to_owned())];
        assert_eq!(port(&layers), (3, "ten".to_owned()), "{name}");
    }
    layers.overrides = vec![("broker.port".to_owned(), "4".to_owned())];
    assert_eq!(port(&layers), (4, "ten".to_owned()));
}

#[test]
fn a_later_layer_replaces_the_list_of_actuators_whole() {
    let dir = tempfile::tempdir().unwrap();
    let twice = GOOD.replace(
        "kind = \"dry-run\"",
        "kind = \"command\"\nprogram = \"x\"\n[[actuator]]\nkind = \"dry-run\"",
    );
    let layers = layers(dir.path(), &twice);
    assert_eq!(load(&layers).unwrap().actuators.len(), 2);
    std::fs::create_dir(dir.path().join("conf.d")).unwrap();
    std::fs::write(dir.path().join("conf.d/demo.toml"), "[[actuator]]\nkind = \"dry-run\"").unwrap();
    assert_eq!(load(&layers).unwrap().actuators, [ActuatorConfig::DryRun]);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_line() {
    let findings = parse(
        "device = \"a b\"\nclas = \"camera\"\n\n[broker]\nhots = \"x\"\nport = 70000\n[[actuator]]\nkind = \"command\"\n[[actuator]]\nkind = \"relay\"\nfoo = 1\n[log]\nlevel = \"loud\"\n",
    )
    .unwrap_err();
    let expect = [
        "agent.toml:11: actuator[1].foo: unknown key",
        "agent.toml:5: broker.hots: unknown key; did you mean `host`?",
        "agent.toml:2: clas: unknown key; did you mean `class`?",
        "agent.toml:1: device: not a device id",
        "organization: is required",
        "trust_domain: is required",
        "class: is required",
        "broker.host: is required",
        "agent.toml:6: broker.port: must be a whole number from 1 to 65535",
        "actuator[0].program: is required for `command`",
        "agent.toml:10: actuator[1].kind: `relay` is no actuator",
        "agent.toml:13: log.level: must be",
    ];
    for text in expect {
        assert!(findings.iter().any(|finding| finding.contains(text)), "{text} not in {findings:#?}");
    }
    assert_eq!(findings.len(), expect.len(), "{findings:#?}");
}

#[test]
fn a_broken_or_missing_file_is_named() {
    let findings = parse("device = ").unwrap_err();
    assert!(findings[0].contains("agent.toml") && findings[0].contains("line 1"), "{findings:?}");
    assert_eq!(findings.len(), 1, "the keys it would have set are not missing: {findings:?}");
    let missing = Layers { file: "/nonexistent/agent.toml".into(), ..Layers::default() };
    let text = load(&missing).unwrap_err().to_string();
    assert!(text.contains("/nonexistent/agent.toml") && text.contains("--example"), "{text}");
}

fn refused(extra: &str, want: &str) {
    let findings =
        parse(&format!("{extra}\n{GOOD}").replace("class = \"camera\"\nclass", "class")).unwrap_err();
    assert!(findings.iter().any(|finding| finding.contains(want)), "{want} not in {findings:#?}");
}

#[test]
fn a_door_controller_is_never_supervised_and_stops_only_when_attested() {
    use coterm_shared::enforcement::OperatingMode;
    let door = GOOD.replace("camera", "door-controller");
    assert_eq!(parse(&door).unwrap().cap().strictest(), OperatingMode::ManagementLocked);
    let supervised = door.replace("kind = \"dry-run\"", "kind = \"supervise\"\nprogram = \"/bin/door\"");
    assert!(parse(&supervised).unwrap_err()[0].contains("never supervised"));
    let statement = EgressIndependent::STATEMENT;
    let attested =
        format!("{door}\n[egress_independent]\nstatement = \"{statement}\"\nattested_by = \"A. Installer\"");
    assert_eq!(parse(&attested).unwrap().cap().strictest(), OperatingMode::Stopped);
    for bad in [attested.replace("Every", "Some"), attested.replace("A. Installer", " ")] {
        assert!(parse(&bad).unwrap_err()[0].contains("egress_independent"));
    }
    assert!(parse(&attested.replace("door-controller", "camera")).unwrap_err()[0].contains("remove it"));
}

#[test]
fn a_sensor_must_say_whether_lives_depend_on_it() {
    let sensor = GOOD.replace("camera", "sensor");
    assert!(parse(&sensor).unwrap_err()[0].contains("life_safety"));
    assert!(parse(&format!("life_safety = true{sensor}")).is_ok());
    refused("life_safety = true", "contradicts");
}

#[test]
fn untrue_time_needs_the_word_demonstration() {
    let keys = "time_scale = 100\nlongest_tick_secs = 1\nboot_id_file = \"b\"\nsteady_secs = 9";
    let off = parse(&format!("{GOOD}[demonstration]\n{keys}")).unwrap_err();
    assert_eq!(off.len(), 4, "{off:#?}");
    assert!(off[0].contains("demonstration.enabled"));
    let on = parse(&format!("{GOOD}[demonstration]\nenabled = true\n{keys}\n[timing]\nheartbeat_secs = 1"))
        .unwrap();
    assert_eq!(on.demonstration.unwrap().time_scale, 100);
    assert_eq!(on.timing.heartbeat, Duration::from_secs(1));
    assert!(parse(&format!("{GOOD}[timing]\nheartbeat_secs = 1")).is_err());
}

#[test]
fn actuators_are_read_with_their_keys() {
    let text = GOOD.replace(
        "kind = \"dry-run\"",
        "kind = \"command\"\nprogram = \"hooks/lock\"\nargs = [\"-v\"]\ntimeout_secs = 3\n[[actuator]]\nkind = \"supervise\"\nprogram = \"/bin/cam\"",
    );
    let actuators = parse(&text).unwrap().actuators;
    assert!(matches!(&actuators[0], ActuatorConfig::Command(hook)
        if hook.program.ends_with("hooks/lock") && hook.args == ["-v"] && hook.timeout == Duration::from_secs(3)));
    assert!(matches!(&actuators[1], ActuatorConfig::Supervise(workload)
        if workload.program == Path::new("/bin/cam") && workload.stop_timeout == Duration::from_secs(10)));
    let twice = format!("{text}\n[[actuator]]\nkind = \"supervise\"\nprogram = \"/bin/other\"");
    assert!(parse(&twice).unwrap_err()[0].contains("only one workload"));
    assert!(
        parse(&GOOD.replace("[[actuator]]\nkind = \"dry-run\"", "")).unwrap_err()[0].contains("at least one")
    );
}
