use super::*;
use std::fs;
use tempfile::TempDir;

fn load_text(text: &str) -> Result<Config, ConfigFindings> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("coterm-cloud.toml");
    fs::write(&file, text).unwrap();
    Config::load(&Sources { file: Some(file), ..Sources::default() })
}

fn findings(text: &str) -> Vec<String> {
    let found = load_text(text).unwrap_err().0;
    found
        .iter()
        .map(|finding| {
            let line = finding.line.map_or_else(|| String::from("-"), |line| line.to_string());
            format!("{line} {}: {}", finding.key, finding.message)
        })
        .collect()
}

fn set(pairs: &[(&str, &str)], demonstration: bool) -> Result<Config, ConfigFindings> {
    let flags = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { flags, demonstration, ..Sources::default() })
}

#[test]
fn nothing_set_is_a_working_loopback_daemon() {
    let config = Config::load(&Sources::default()).unwrap();
    assert!(config.http.listen.ip().is_loopback());
    assert!(!config.demonstration);
    assert_eq!(config.tokens.lease, Seconds::days(7));
    assert_eq!(config.tokens.offline_budget, Seconds::days(40));
    let Mqtt::Embedded(mqtt) = config.mqtt else { panic!("embedded is the default") };
    assert!(mqtt.listen.ip().is_loopback());
}

#[test]
fn the_example_is_the_defaults_and_the_committed_one() {
    assert_eq!(load_text(&example()).unwrap(), Config::load(&Sources::default()).unwrap());
    let committed = include_str!("../../coterm-cloud.example.toml");
    assert_eq!(
        committed,
        example(),
        "run: cargo run -p coterm-cloud --bin coterm-cloud -- config --example > cloud/coterm-cloud.example.toml"
    );
}

#[test]
fn what_is_in_force_loads_to_the_same_and_names_who_set_it() {
    let pairs = [
        ("data_dir", "/srv/a \"b\"\\c"),
        ("mqtt.embedded.server_names", "a.example, b.example"),
        ("limits.sweep_secs", "7"),
        ("http.allow_plain_http", "true"),
    ];
    let flags = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let sources = Sources { flags, ..Sources::default() };
    let text = in_force(&sources).unwrap();
    assert_eq!(load_text(&text).unwrap(), Config::load(&sources).unwrap(), "{text}");
    assert!(text.contains("sweep_secs = 7  # --set limits.sweep_secs"), "{text}");
    assert!(text.contains("lease_secs = 604800  # (default)"), "{text}");
}

#[test]
fn every_field_belongs_to_a_section_and_is_explained() {
    for field in fields::FIELDS {
        let section = field.path.rsplit_once('.').map_or("", |(section, _)| section);
        assert!(
            section.is_empty() || fields::SECTIONS.iter().any(|(name, _)| *name == section),
            "{}",
            field.path
        );
        assert!(field.doc.len() > 10, "{}", field.path);
    }
}

#[test]
fn everything_wrong_is_said_at_once_with_its_line() {
    let text = "trust_domain = \"Not A Domain\"\n\n[http]\nlisten = \"0.0.0.0:80\"\nlisten_on = 1\n\n[tokens]\n\
                lease_secs = 5\n[log]\nformat = \"xml\"\n[demo]\nfast = true\n";
    let found = findings(text);
    let expect = [
        "11 demo: there is no such key",
        "5 http.listen_on: there is no such key",
        "4 http.listen: 0.0.0.0:80 is reachable",
        "8 tokens.lease_secs: 5 is out of bounds",
        "10 log.format: `xml` is not known",
        "1 trust_domain: `Not A Domain` does not fit",
    ];
    for expect in expect {
        assert!(found.iter().any(|line| line.starts_with(expect)), "{expect} is missing in {found:#?}");
    }
    assert_eq!(found.len(), expect.len(), "{found:#?}");
}

#[test]
fn a_misspelled_key_is_named_and_the_right_one_offered() {
    let found = load_text("[tokens]\nlease_sec = 7200\n").unwrap_err().0;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, Some(2));
    assert_eq!(found[0].hint, "Did you mean `tokens.lease_secs`?");
}

#[test]
fn broken_toml_says_the_line() {
    let found = load_text("[http]\nlisten = \n").unwrap_err().0;
    assert_eq!((found.len(), found[0].line), (1, Some(2)), "{found:?}");
    assert!(!found[0].to_string().contains('\n'));
}

#[test]
fn later_layers_win() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("main.toml");
    fs::create_dir(dir.path().join("conf.d")).unwrap();
    fs::write(&file, "[limits]\nsweep_secs = 11\npublishes_in_flight = 11\npublish_deadline_secs = 11\n")
        .unwrap();
    fs::write(dir.path().join("conf.d/20.toml"), "[limits]\nsweep_secs = 13\n").unwrap();
    fs::write(dir.path().join("conf.d/10.toml"), "[limits]\nsweep_secs = 12\npublishes_in_flight = 12\n")
        .unwrap();
    let sources = Sources {
        file: Some(file.clone()),
        environment: [
            ("COTERM_CLOUD_LIMITS__PUBLISH_DEADLINE_SECS", "14"),
            ("COTERM_CLOUD_MQTT__EMBEDDED__SERVER_NAMES", "a.example, b.example"),
            ("COTERM_CLOUD_LOG__FILTER", "debug"),
            ("COTERM_CLOUD_CONFIG", "elsewhere.toml"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        flags: vec![(String::from("log.filter"), String::from("warn"))],
        demonstration: false,
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.limits.sweep, Seconds(13));
    assert_eq!(config.limits.publishes_in_flight, 12);
    assert_eq!(config.limits.publish_deadline, Seconds(14));
    assert_eq!(config.log.filter, "warn");
    let Mqtt::Embedded(mqtt) = config.mqtt else { panic!("embedded is the default") };
    assert_eq!(mqtt.server_names, ["a.example", "b.example"]);
}

#[test]
fn an_unknown_variable_is_not_ignored() {
    let environment = [(String::from("COTERM_CLOUD_HTTP__LISTNE"), String::from("x"))].into();
    let found = Config::load(&Sources { environment, ..Sources::default() }).unwrap_err().0;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].origin, "COTERM_CLOUD_HTTP__LISTNE");
}

#[test]
fn demonstration_lifts_bounds_and_is_no_key() {
    let short = [("tokens.lease_secs", "6"), ("tokens.offline_budget_secs", "60")];
    assert!(set(&short, false).is_err());
    assert_eq!(set(&short, true).unwrap().tokens.lease, Seconds(6));
    assert!(set(&[("demonstration", "true")], false).is_err());
}

#[test]
fn durations_that_contradict_each_other_are_refused() {
    for (key, value) in [("tokens.offline_budget_secs", "604800"), ("tokens.key_lifetime_secs", "1000000")] {
        let found = set(&[(key, value)], false).unwrap_err().0;
        assert_eq!((found.len(), found[0].key.as_str()), (1, key), "{found:?}");
    }
}

#[test]
fn an_external_broker_needs_all_its_files() {
    let found =
        set(&[("mqtt.mode", "external"), ("mqtt.external.host", "mqtt.example.com")], false).unwrap_err().0;
    let keys: Vec<&str> = found.iter().map(|finding| finding.key.as_str()).collect();
    assert_eq!(keys, ["mqtt.external.ca_file", "mqtt.external.certificate_file", "mqtt.external.key_file"]);
}

#[test]
fn plain_http_on_a_reachable_address_must_be_asked_for() {
    let open = ("http.listen", "0.0.0.0:8080");
    assert!(set(&[open], false).is_err());
    assert!(set(&[open, ("http.allow_plain_http", "true")], false).is_ok());
}
