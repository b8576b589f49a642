//! What holds for every broker. Each test runs once per broker, see [`suite!`].

use super::{Bench, OURS, client, id, report, within};
use coterm_cloud::ports::{Incoming, Outgoing, PublishError};
use coterm_shared::protocol::{FormatV1, Request, Topic};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, PubAckReason, SubscribeReasonCode};
use std::sync::Arc;

/// One `#[tokio::test]` per rule, all against the broker that `$start` starts.
macro_rules! suite {
    ($start:path) => {
        suite!($start;
            own_topics_work,
            the_keyring_is_retained_and_tokens_are_typed,
            every_root_is_retained_and_read_one_by_one,
            a_session_is_resumed,
            topics_of_others_stay_closed,
            wildcards_and_shares_give_nothing,
            nobody_takes_over_anothers_session,
            a_certificate_of_our_authority_is_needed,
            a_will_never_speaks_for_another,
            the_cloud_publishes_only_what_it_may,
        );
    };
    ($start:path; $($rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                crate::broker::suite::$rule(&$start().await).await;
            }
        )*
    };
}
pub(super) use suite;

/// Topics a device has no business with.
fn foreign_topics() -> Vec<String> {
    let mut topics =
        ["coterm/v1/keyring", "coterm/v1/root/2", "coterm/v1/d/cam-1/token"].map(str::to_owned).to_vec();
    for leaf in ["token", "report", "request"] {
        topics.push(format!("coterm/v1/d/victim/{leaf}"));
    }
    topics.extend(["coterm/v1/d/cam-1/other", "other", "coterm/v1/d/cam-1/report/more"].map(str::to_owned));
    topics
}

pub(super) async fn own_topics_work(bench: &Bench) {
    let mut device = bench.connect("cam-1").await;
    assert_eq!(
        device.subscribe("coterm/v1/d/cam-1/token").await,
        Ok(SubscribeReasonCode::Success(QoS::AtLeastOnce))
    );
    bench.publish(Topic::Token(id("cam-1")), b"a token").await;
    let (topic, message) = device.message().await;
    assert_eq!(
        (topic.as_str(), message.payload.as_ref()),
        ("coterm/v1/d/cam-1/token", b"a token".as_slice())
    );

    let said = report(1);
    let answer = device.publish("coterm/v1/d/cam-1/report", &said.to_payload().unwrap()).await;
    assert!(matches!(answer, Ok(PubAckReason::Success)), "{answer:?}");
    bench.inbox.until_has(&id("cam-1"), &Incoming::Report(said)).await;

    let asked = Request { v: FormatV1, nonce: "00112233445566778899aabbccddeeff".parse().unwrap() };
    let answer = device.publish("coterm/v1/d/cam-1/request", &asked.to_payload().unwrap()).await;
    assert!(matches!(answer, Ok(PubAckReason::Success)), "{answer:?}");
    bench.inbox.until_has(&id("cam-1"), &Incoming::Request(asked)).await;
    bench.inbox.until_has(&id("cam-1"), &Incoming::Connected).await;
}

pub(super) async fn the_keyring_is_retained_and_tokens_are_typed(bench: &Bench) {
    bench.publish(Topic::Keyring, b"old keyring").await;
    bench.publish(Topic::Keyring, b"keyring").await;
    let mut device = bench.connect("cam-1").await;
    device.subscribe("coterm/v1/keyring").await.unwrap();
    let (topic, message) = device.message().await;
    assert_eq!((topic.as_str(), message.payload.as_ref()), ("coterm/v1/keyring", b"keyring".as_slice()));
    assert!(message.retain);
    let content_type = message.properties.and_then(|properties| properties.content_type);
    assert_eq!(content_type.as_deref(), Some(Topic::Keyring.content_type()));
}

pub(super) async fn every_root_is_retained_and_read_one_by_one(bench: &Bench) {
    for version in 2..=4 {
        // The longest there may be: brokers must take it.
        bench.publish(Topic::Root(version), &vec![u8::try_from(version).unwrap(); 16_384]).await;
    }
    bench.publish(Topic::Keyring, b"keyring").await;
    let mut device = bench.connect("cam-1").await;
    for version in [3_u8, 2, 4] {
        device.subscribe(&format!("coterm/v1/root/{version}")).await.unwrap();
        let (topic, message) = device.message().await;
        assert_eq!((topic, message.payload.first()), (format!("coterm/v1/root/{version}"), Some(&version)));
        assert!(message.retain && message.payload.len() == 16_384);
        let content_type = message.properties.and_then(|properties| properties.content_type);
        assert_eq!(content_type.as_deref(), Some(Topic::Root(2).content_type()));
    }
}

pub(super) async fn a_session_is_resumed(bench: &Bench) {
    let mut login = bench.login("cam-1");
    let mut first = within("CONNACK", login.connect()).await.unwrap();
    first.subscribe("coterm/v1/d/cam-1/token").await.unwrap();
    drop(first);
    bench.publish(Topic::Token(id("cam-1")), b"while away").await;
    login.clean_start = false;
    let mut second = within("CONNACK", login.connect()).await.unwrap();
    assert!(second.connack.session_present);
    let (_, message) = second.message().await;
    assert_eq!(message.payload.as_ref(), b"while away");
}

pub(super) async fn topics_of_others_stay_closed(bench: &Bench) {
    let mut victim = bench.connect("victim").await;
    victim.subscribe("coterm/v1/d/victim/token").await.unwrap();
    victim.subscribe("coterm/v1/keyring").await.unwrap();
    let mut attacker = bench.connect("cam-1").await;
    let lie = report(666).to_payload().unwrap();
    for topic in foreign_topics() {
        let answer = attacker.publish(&topic, &lie).await;
        assert!(matches!(answer, Ok(PubAckReason::NotAuthorized)), "PUBLISH {topic}: {answer:?}");
    }
    for leaf in ["token", "report", "request"] {
        let filter = format!("coterm/v1/d/victim/{leaf}");
        let answer = attacker.subscribe(&filter).await;
        assert!(
            !bench.strict || answer == Ok(SubscribeReasonCode::NotAuthorized),
            "SUBSCRIBE {filter}: {answer:?}"
        );
    }
    let said = report(1);
    victim.publish("coterm/v1/d/victim/report", &said.to_payload().unwrap()).await.unwrap();
    bench.publish(Topic::Token(id("victim")), b"for the victim").await;

    let (_, message) = victim.message().await;
    assert_eq!(message.payload.as_ref(), b"for the victim", "and nothing of the attacker's before it");
    bench.inbox.until_has(&id("victim"), &Incoming::Report(said.clone())).await;
    assert_eq!(
        bench.inbox.count(|_, incoming| matches!(incoming, Incoming::Report(other) if *other != said)),
        0
    );
    assert!(attacker.received_nothing_more("coterm/v1/d/cam-1/report").await);
}

pub(super) async fn wildcards_and_shares_give_nothing(bench: &Bench) {
    let mut attacker = bench.connect("cam-1").await;
    for filter in [
        "#",
        "+/+/+/+/+",
        "coterm/#",
        "coterm/v1/d/+/token",
        "coterm/v1/d/+/report",
        "coterm/v1/d/#",
        "$share/x/coterm/v1/d/victim/token",
        "$share/cloud/coterm/v1/d/+/report",
        "$share/cloud/coterm/v1/d/+/request",
        "$SYS/#",
    ] {
        let answer = attacker.subscribe(filter).await;
        assert!(
            !bench.strict || answer == Ok(SubscribeReasonCode::NotAuthorized),
            "SUBSCRIBE {filter}: {answer:?}"
        );
    }
    let mut victim = bench.connect("victim").await;
    for uptime in 1..=8 {
        victim.publish("coterm/v1/d/victim/report", &report(uptime).to_payload().unwrap()).await.unwrap();
    }
    bench.publish(Topic::Token(id("victim")), b"for the victim").await;
    for uptime in 1..=8 {
        // Whoever joins the cloud's share must not swallow a part of the reports.
        bench.inbox.until_has(&id("victim"), &Incoming::Report(report(uptime))).await;
    }
    assert!(attacker.received_nothing_more("coterm/v1/d/cam-1/report").await);
}

pub(super) async fn nobody_takes_over_anothers_session(bench: &Bench) {
    let mut victim = bench.connect("victim").await;
    victim.subscribe("coterm/v1/d/victim/token").await.unwrap();
    let mut login = bench.login("cam-1");
    login.client_id = "victim".to_owned();
    login.clean_start = false;
    match within("CONNACK", login.connect()).await {
        Err(error) => {
            assert!(error.contains(&format!("{:?}", ConnectReturnCode::ClientIdentifierNotValid)), "{error}")
        }
        // Mosquitto gives it the client id of its certificate: it is itself.
        Ok(attacker) => assert!(!bench.strict && !attacker.connack.session_present),
    }
    login.client_id = "cam-1".to_owned();
    login.user = Some("victim".to_owned());
    match within("CONNACK", login.connect()).await {
        Err(error) => {
            assert!(error.contains(&format!("{:?}", ConnectReturnCode::BadUserNamePassword)), "{error}")
        }
        Ok(mut attacker) => {
            assert!(!bench.strict);
            let answer = attacker.publish("coterm/v1/d/victim/report", b"{}").await;
            assert!(matches!(answer, Ok(PubAckReason::NotAuthorized)), "{answer:?}");
        }
    }
    bench.publish(Topic::Token(id("victim")), b"still here").await;
    assert_eq!(victim.message().await.1.payload.as_ref(), b"still here");
}

pub(super) async fn a_certificate_of_our_authority_is_needed(bench: &Bench) {
    let mut login = bench.login("cam-1");
    login.tls = client::tls(bench.pki.ca_certificate(), None);
    assert!(within("refusal", login.connect()).await.is_err(), "no certificate");

    let elsewhere = tempfile::tempdir().unwrap();
    let other = coterm_certs::Pki::open_or_create(elsewhere.path()).unwrap();
    let forged = other.device_certificate(&id("cam-1"), OURS).unwrap();
    login.tls = client::tls(bench.pki.ca_certificate(), Some(&forged));
    assert!(within("refusal", login.connect()).await.is_err(), "a certificate of another authority");

    assert!(within("CONNACK", bench.login("cam-1").connect()).await.is_ok());
}

pub(super) async fn a_will_never_speaks_for_another(bench: &Bench) {
    for topic in [
        "coterm/v1/d/victim/report",
        "coterm/v1/d/victim/token",
        "coterm/v1/keyring",
        "coterm/v1/d/cam-1/report",
    ] {
        let mut login = bench.login("cam-1");
        let lie = report(666).to_payload().unwrap();
        login.will = Some(LastWill::new(topic, lie, QoS::AtLeastOnce, true, None));
        match within("CONNACK", login.connect()).await {
            Err(error) => {
                assert!(error.contains(&format!("{:?}", ConnectReturnCode::NotAuthorized)), "{error}")
            }
            // Dropped without a DISCONNECT: now the broker would publish it.
            Ok(client) => {
                assert!(!bench.strict, "a will on {topic} was accepted");
                drop(client);
            }
        }
    }
    if !bench.strict {
        // The last will above was on an own topic. Once it is here, the earlier ones were dealt with too.
        bench.inbox.until_has(&id("cam-1"), &Incoming::Report(report(666))).await;
    }
    let mut victim = bench.connect("victim").await;
    victim.subscribe("coterm/v1/d/victim/token").await.unwrap();
    victim.subscribe("coterm/v1/keyring").await.unwrap();
    let said = report(1);
    victim.publish("coterm/v1/d/victim/report", &said.to_payload().unwrap()).await.unwrap();
    bench.inbox.until_has(&id("victim"), &Incoming::Report(said.clone())).await;
    let lies = bench.inbox.count(|device, incoming| {
        *device == id("victim") && matches!(incoming, Incoming::Report(other) if *other != said)
    });
    assert_eq!(lies, 0);
    assert!(victim.received_nothing_more("coterm/v1/d/victim/report").await);
}

pub(super) async fn the_cloud_publishes_only_what_it_may(bench: &Bench) {
    for (topic, payload) in [
        (Topic::Report(id("cam-1")), b"x".to_vec()),
        (Topic::Request(id("cam-1")), b"x".to_vec()),
        (Topic::Keyring, Vec::new()),
        (Topic::Keyring, vec![0; 16_385]),
    ] {
        let message = Outgoing { topic, payload: Arc::from(payload), retain: false };
        let refused = bench.cloud.publish(message).await;
        assert!(matches!(refused, Err(PublishError::Invalid { .. })), "{refused:?}");
    }
    bench.cloud.stop().await;
    let message = Outgoing { topic: Topic::Keyring, payload: Arc::from(*b"x"), retain: false };
    assert_eq!(bench.cloud.publish(message).await, Err(PublishError::Stopping));
}
