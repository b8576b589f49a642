//! What must work besides the access rule, one check each.

use super::Bench;
use super::client::Mqtt;
use super::judge::{carries, granted, payload};
use crate::mqtt::DOWNWARD_MAX_BYTES;
use crate::ports::BoxFuture;
use coterm_shared::enforcement::{BootId, DeviceClass, EnforcementState, OperatingMode, TimeSource};
use coterm_shared::protocol::{FormatV1, MAX_REPORT_BYTES, Proof, Report, Topic};
use coterm_shared::time::Timestamp;
use coterm_shared::token::MAX_TOKEN_BYTES;
use rumqttc::v5::mqttbytes::v5::PubAckReason;

/// One check: its name, what to do where it fails, and how it is made.
pub struct Check {
    /// What must hold, in words.
    pub name: &'static str,
    /// What to do about it.
    pub hint: &'static str,
    /// Makes it.
    pub make: for<'a> fn(&'a Bench) -> BoxFuture<'a, Result<(), String>>,
}

/// Every check.
pub const CHECKS: &[Check] = &[
    Check {
        name: "a device hears its token and is heard",
        hint: "allow each device to read coterm/v1/d/%u/token and to write coterm/v1/d/%u/report and /request",
        make: |bench| Box::pin(own_topics_work(bench)),
    },
    Check {
        name: "the keyring is retained and typed",
        hint: "switch retained messages on, and let MQTT 5 properties (content type) pass",
        make: |bench| Box::pin(the_keyring_is_retained_and_typed(bench)),
    },
    Check {
        name: "roots are retained, and the longest document passes",
        hint: "retain coterm/v1/root/+, and allow packets of 17408 bytes",
        make: |bench| Box::pin(the_longest_root_is_retained(bench)),
    },
    Check {
        name: "the longest token and the longest report pass",
        hint: "allow packets of 17408 bytes in both directions",
        make: |bench| Box::pin(the_longest_messages_pass(bench)),
    },
    Check {
        name: "a session is resumed with what came meanwhile",
        hint: "keep sessions of clients that are away (session expiry of a day), with messages of QoS 1",
        make: |bench| Box::pin(a_session_is_resumed(bench)),
    },
    Check {
        name: "what is refused is refused with the reason of MQTT 5",
        hint: "answer denied publishes with NotAuthorized (0x87) instead of dropping them or the connection",
        make: |bench| Box::pin(refusals_have_reasons(bench)),
    },
];

/// A report that differs from others in its uptime.
pub(super) fn report(uptime: u64) -> Vec<u8> {
    // What a number of JSON carries exactly, everywhere.
    in_words(uptime >> 12, None)
}

fn in_words(uptime_secs: u64, proof: Option<Proof>) -> Vec<u8> {
    sample_report(uptime_secs, proof).to_payload().unwrap_or_default()
}

/// A report of a camera that works and holds nothing, to be told from others by its uptime, in seconds.
#[must_use]
pub fn sample_report(uptime_secs: u64, proof: Option<Proof>) -> Report {
    Report {
        v: FormatV1,
        class: DeviceClass::Camera,
        mode: OperatingMode::Full,
        state: EnforcementState::Licensed,
        held: None,
        held_digest: None,
        keyring_version: 1,
        root_version: 1,
        reasons: Vec::new(),
        trusted_time: Timestamp::EPOCH,
        time_source: TimeSource::Token,
        adopted_time: None,
        wall_skew_secs: 0,
        boot_id: BootId::from_bytes([7; 16]),
        uptime_secs,
        last_refusal: None,
        agent_version: String::from("check"),
        nonce: None,
        proof,
    }
}

async fn own_topics_work(bench: &Bench) -> Result<(), String> {
    let own = &bench.own.device;
    let mut device = bench.connect(&bench.own).await?;
    let token = Topic::Token(own.clone());
    let code = device.subscribe(&token.to_string()).await?;
    if !granted(code) {
        return Err(format!("subscribing to {token} was answered {code:?}"));
    }
    let marker = payload(0, "token", bench);
    bench.publish(token, &marker, false).await?;
    device.until(&marker).await?;
    for topic in [Topic::Report(own.clone()), Topic::Request(own.clone())] {
        let said = payload(0, &topic.to_string(), bench);
        is_heard(bench, &mut device, &topic, &said).await?;
    }
    device.leave().await;
    Ok(())
}

async fn is_heard(bench: &Bench, device: &mut Mqtt, topic: &Topic, said: &[u8]) -> Result<(), String> {
    let answer = device.publish(&topic.to_string(), said).await?;
    if !matches!(answer, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
        return Err(format!("{} bytes to {topic} were answered {answer:?}", said.len()));
    }
    bench.ear.until(&format!("{topic}"), |_, incoming| carries(incoming, said)).await
}

async fn the_keyring_is_retained_and_typed(bench: &Bench) -> Result<(), String> {
    bench.publish(Topic::Keyring, &bench.keyring, true).await?;
    is_retained(bench, &Topic::Keyring, &bench.keyring).await
}

async fn is_retained(bench: &Bench, topic: &Topic, content: &[u8]) -> Result<(), String> {
    let mut device = bench.connect(&bench.own).await?;
    device.subscribe(&topic.to_string()).await?;
    let (at, message) = device.message().await?;
    device.leave().await;
    let content_type = message.properties.as_ref().and_then(|properties| properties.content_type.as_deref());
    if at != topic.to_string() || message.payload.as_ref() != content || !message.retain {
        return Err(format!("a device that subscribes to {topic} is not given what is retained there"));
    }
    if content_type != Some(topic.content_type()) {
        return Err(format!("the content type on {topic} did not pass: {content_type:?}"));
    }
    Ok(())
}

async fn the_longest_root_is_retained(bench: &Bench) -> Result<(), String> {
    let topic = Topic::Root(bench.root_version);
    let longest = vec![b'r'; DOWNWARD_MAX_BYTES];
    bench.publish(topic.clone(), &longest, true).await?;
    is_retained(bench, &topic, &longest).await
}

async fn the_longest_messages_pass(bench: &Bench) -> Result<(), String> {
    let own = &bench.own.device;
    let mut device = bench.connect(&bench.own).await?;
    let token = Topic::Token(own.clone());
    device.subscribe(&token.to_string()).await?;
    let longest = vec![b't'; MAX_TOKEN_BYTES];
    bench.publish(token, &longest, false).await?;
    device.until(&longest).await?;
    let said = longest_report();
    is_heard(bench, &mut device, &Topic::Report(own.clone()), &said).await?;
    device.leave().await;
    Ok(())
}

/// A report as long as one with a proof gets.
fn longest_report() -> Vec<u8> {
    let fits = |bytes: usize| {
        let proof = Proof::new(vec![7; bytes]).ok()?;
        let said = in_words(getrandom::u64().unwrap_or_default() >> 12, Some(proof));
        (!said.is_empty() && said.len() <= MAX_REPORT_BYTES).then_some(said)
    };
    fits(MAX_TOKEN_BYTES).unwrap_or_default()
}

async fn a_session_is_resumed(bench: &Bench) -> Result<(), String> {
    let token = Topic::Token(bench.own.device.clone());
    let mut login = bench.login(&bench.own);
    let mut first = login.connect().await?;
    first.subscribe(&token.to_string()).await?;
    drop(first);
    let marker = payload(0, "token", bench);
    bench.publish(token, &marker, false).await?;
    login.clean_start = false;
    let mut second = login.connect().await?;
    if !second.connack.session_present {
        return Err(String::from("a device that came back with its session was told that there is none"));
    }
    second.until(&marker).await?;
    second.leave().await;
    Ok(())
}

async fn refusals_have_reasons(bench: &Bench) -> Result<(), String> {
    let mut device = bench.connect(&bench.own).await?;
    for topic in [Topic::Report(bench.other.device.clone()), Topic::Keyring] {
        let said = payload(0, &topic.to_string(), bench);
        match device.publish(&topic.to_string(), &said).await {
            Ok(PubAckReason::NotAuthorized) => {}
            other => return Err(format!("publishing to {topic} was answered {other:?}")),
        }
    }
    device.leave().await;
    Ok(())
}
