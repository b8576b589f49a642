//! What holds for every broker. Each test runs once per broker, see [`suite!`].

use super::Bench;
use coterm_cloud::conformance::suite::CHECKS;
use coterm_cloud::ports::{Outgoing, PublishError};
use coterm_shared::protocol::Topic;
use std::sync::Arc;

/// One `#[tokio::test]` per rule, all against the broker that `$start` starts.
macro_rules! suite {
    ($start:path) => {
        suite!($start; what_must_work_works, every_root_is_retained_and_read_one_by_one, the_cloud_publishes_only_what_it_may);
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

pub(super) async fn what_must_work_works(bench: &Bench) {
    let scene = bench.conformance(&bench.certificate("revoked-1"));
    for check in CHECKS {
        (check.make)(&scene).await.unwrap_or_else(|error| panic!("{}: {error}", check.name));
    }
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
        let (topic, message) = device.message().await.unwrap();
        assert_eq!((topic, message.payload.first()), (format!("coterm/v1/root/{version}"), Some(&version)));
        assert!(message.retain && message.payload.len() == 16_384);
        let content_type = message.properties.and_then(|properties| properties.content_type);
        assert_eq!(content_type.as_deref(), Some(Topic::Root(2).content_type()));
    }
}

pub(super) async fn the_cloud_publishes_only_what_it_may(bench: &Bench) {
    for (topic, payload) in [
        (Topic::Report(super::id("cam-1")), b"x".to_vec()),
        (Topic::Request(super::id("cam-1")), b"x".to_vec()),
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
