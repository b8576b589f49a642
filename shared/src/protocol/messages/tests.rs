//! What is read, what is refused, and the examples of the documentation.

use super::*;
use serde_json::{Value, json};

fn report() -> Report {
    Report {
        v: FormatV1,
        class: DeviceClass::Camera,
        mode: OperatingMode::ManagementLocked,
        state: EnforcementState::ManagementLocked,
        held: Some(TokenVersion { epoch: 0, seq: 1_808_000_000_123 }),
        held_digest: Some("ba7816bf8f01cfea".parse().unwrap()),
        keyring_version: 3,
        root_version: 1,
        reasons: ["TERM_ENDED", "SCHEDULE"].map(|code| code.parse().unwrap()).to_vec(),
        trusted_time: "2027-05-01T00:00:07Z".parse().unwrap(),
        time_source: TimeSource::Nonce,
        adopted_time: None,
        wall_skew_secs: -2,
        boot_id: "0f6c2f3e-9a51-4a0e-8d0b-5f1f0c3f7a11".parse().unwrap(),
        uptime_secs: 86_407,
        last_refusal: Some(LastRefusal { code: "WRONG_DEVICE".parse().unwrap(), count: 2 }),
        agent_version: String::from("0.1.0"),
        nonce: None,
        proof: None,
    }
}

fn request() -> Request {
    Request { v: FormatV1, nonce: "00112233445566778899aabbccddeeff".parse().unwrap() }
}

/// The report with one field replaced, or left out by `null` in the place of a value.
fn changed(field: &str, value: Value) -> Vec<u8> {
    let mut message = serde_json::to_value(report()).unwrap();
    let fields = message.as_object_mut().unwrap();
    match value {
        Value::Null => fields.remove(field),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            fields.insert(field.to_string(), value)
        }
    };
    serde_json::to_vec(&message).unwrap()
}

#[test]
fn the_documentation_shows_what_is_sent() {
    let documentation = include_str!("../../../docs/PROTOCOL.md");
    for message in [serde_json::to_string_pretty(&report()), serde_json::to_string_pretty(&request())] {
        let example = alloc::format!("```json\n{}\n```", message.unwrap());
        assert!(documentation.contains(&example), "docs/PROTOCOL.md should show:\n{example}");
    }
}

#[test]
fn the_published_description_knows_every_field_and_word() {
    let description = include_str!("../../../docs/asyncapi.yaml");
    let described = |line: String| description.lines().any(|found| found.trim() == line);
    for field in serde_json::to_value(proven()).unwrap().as_object().unwrap().keys() {
        assert!(described(alloc::format!("{field}:")), "{field}");
    }
    for words in [
        DeviceClass::ALL.map(DeviceClass::name).to_vec(),
        OperatingMode::ALL.map(OperatingMode::name).to_vec(),
        EnforcementState::ALL.map(EnforcementState::name).to_vec(),
        TimeSource::ALL.map(TimeSource::name).to_vec(),
    ] {
        assert!(described(alloc::format!("enum: [{}]", words.join(", "))), "{words:?}");
    }
    for most in [MAX_REPORT_BYTES, MAX_REQUEST_BYTES] {
        assert!(description.contains(&alloc::format!("At most {most} bytes.")));
    }
}

/// A report with everything in it, as long as it gets.
fn proven() -> Report {
    Report {
        held: Some(TokenVersion { epoch: u64::MAX, seq: u64::MAX }),
        adopted_time: Some(Timestamp::MAX),
        nonce: Some(request().nonce),
        proof: Some(Proof::new([0xa5; MAX_TOKEN_BYTES].to_vec()).unwrap()),
        reasons: core::iter::repeat_n("A".repeat(48).parse().unwrap(), MAX_REASONS).collect(),
        agent_version: "x".repeat(MAX_VERSION_BYTES),
        wall_skew_secs: i64::MIN,
        uptime_secs: u64::MAX,
        keyring_version: u64::MAX,
        root_version: u64::MAX,
        last_refusal: Some(LastRefusal { code: "B".repeat(48).parse().unwrap(), count: u64::MAX }),
        ..report()
    }
}

#[test]
fn messages_come_back() {
    for report in [report(), proven(), Report { held: None, held_digest: None, ..report() }] {
        assert_eq!(Report::parse(&report.to_payload().unwrap()), Ok(report));
    }
    assert_eq!(Request::parse(&request().to_payload().unwrap()), Ok(request()));
}

#[test]
fn a_newer_agent_is_still_heard() {
    assert_eq!(Report::parse(&changed("temperature", json!({"celsius": 40}))), Ok(report()));
    let nine = json!(["A", "B", "C", "D", "E", "F", "G", "H", "I"]);
    assert_eq!(Report::parse(&changed("reasons", nine)).unwrap().reasons.len(), MAX_REASONS);
    assert_eq!(Report::parse(br#"{"v":2,"all":"different"}"#), Err(MessageError::UnknownFormat { found: 2 }));
}

#[test]
fn what_is_optional_may_be_missing() {
    for field in ["held", "reasons", "last_refusal", "nonce", "proof", "adopted_time"] {
        assert!(Report::parse(&changed(field, Value::Null)).is_ok(), "{field}");
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    for (field, value) in [
        ("v", Value::Null),
        ("class", json!("toaster")),
        ("class", Value::Null),
        ("mode", json!("Full")),
        ("state", json!(2)),
        ("held", json!({"epoch": 0})),
        ("held", json!({"epoch": 0, "seq": -1})),
        ("keyring_version", json!(1.5)),
        ("reasons", json!(["<script>"])),
        ("reasons", json!("A")),
        ("trusted_time", json!("yesterday")),
        ("trusted_time", json!("+10000-01-01T00:00:00Z")),
        ("time_source", json!("oracle")),
        ("wall_skew_secs", json!(1e300)),
        ("boot_id", json!("1")),
        ("uptime_secs", json!(-1)),
        ("last_refusal", json!({"code": "a", "count": 1})),
        ("agent_version", json!("")),
        ("agent_version", json!("1\u{1b}[2J")),
        ("agent_version", json!("x".repeat(65))),
        ("nonce", json!("00")),
        ("proof", json!("")),
        ("proof", json!("A5")),
        ("proof", json!("a")),
        ("proof", json!("a5".repeat(4_097))),
    ] {
        let refused = Report::parse(&changed(field, value.clone()));
        assert!(matches!(refused, Err(MessageError::Malformed(_))), "{field} = {value}: {refused:?}");
    }
    for nonce in ["", "0011223344556", "00112233445566", "zz112233445566778899", &"00".repeat(65)] {
        let payload = json!({"v": 1, "nonce": nonce}).to_string();
        assert!(Request::parse(payload.as_bytes()).is_err(), "{nonce}");
    }
    for payload in ["", "{", "[]", "null", "{}{}", "{\"v\":1,\"v\":1}"] {
        assert!(Request::parse(payload.as_bytes()).is_err(), "{payload}");
    }
    let deep = "[".repeat(MAX_REQUEST_BYTES);
    assert!(Request::parse(deep.as_bytes()).is_err());
}

#[test]
fn endless_messages_are_refused_unread() {
    let most = MAX_REPORT_BYTES;
    let long = [b' '; MAX_REPORT_BYTES + 1];
    assert_eq!(Report::parse(&long), Err(MessageError::TooLong { length: most + 1, most }));
    assert_eq!(
        Request::parse(&long),
        Err(MessageError::TooLong { length: most + 1, most: MAX_REQUEST_BYTES })
    );
}

#[test]
fn a_report_that_would_be_refused_is_not_sent() {
    let report = Report { agent_version: String::new(), ..report() };
    assert!(report.to_payload().is_err());
}
