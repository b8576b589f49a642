//! The topics, printed and parsed by one type, and the static rule of who may use them.
//!
//! The rule is a pure function of identity, kind of access and text, enough for any broker: a device reads the keyring,
//! roots one by one and its own token, and writes its own report and request. It compares whole texts, so wildcards, shared
//! subscriptions and topics of others are refused by not being on the list. **Deliberately absent:** a last will for
//! anyone. Wills slip past the access rule of several brokers; presence comes from connections and heartbeats.

use crate::id::DeviceId;
use crate::token::{KEYRING_TYPE, MAX_DOCUMENT_BYTES, MAX_TOKEN_BYTES, ROOT_TYPE, TOKEN_TYPE};
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

const KEYRING: &str = "coterm/v1/keyring";
const ROOTS: &str = "coterm/v1/root/";
const DEVICES: &str = "coterm/v1/d/";

/// The filter for reports of all devices.
pub const DEVICE_REPORTS: &str = "coterm/v1/d/+/report";
/// The filter for requests of all devices.
pub const DEVICE_REQUESTS: &str = "coterm/v1/d/+/request";
/// The share name under which several cloud daemons divide reports and requests.
pub const CLOUD_SHARE: &str = "cloud";

/// A topic of the interface; there are no others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Cloud to one device: its license-state token.
    Token(DeviceId),
    /// Cloud to all: the keyring.
    Keyring,
    /// Cloud to all: the root of this version, 2 or more; devices are given the first one when they are provisioned.
    Root(u64),
    /// One device to the cloud: its status report.
    Report(DeviceId),
    /// One device to the cloud: "answer with a fresh token".
    Request(DeviceId),
}

impl Topic {
    /// The device whose topic it is; `None` for the keyring and roots.
    #[must_use]
    pub const fn device(&self) -> Option<&DeviceId> {
        match self {
            Topic::Token(device) | Topic::Report(device) | Topic::Request(device) => Some(device),
            Topic::Keyring | Topic::Root(_) => None,
        }
    }

    /// The MQTT 5 content type of its payload.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Topic::Token(_) => TOKEN_TYPE,
            Topic::Keyring => KEYRING_TYPE,
            Topic::Root(_) => ROOT_TYPE,
            Topic::Report(_) | Topic::Request(_) => "application/json",
        }
    }

    /// The longest payload the cloud publishes there, in bytes (token §2); `None` for what devices publish.
    #[must_use]
    pub const fn max_downward_bytes(&self) -> Option<usize> {
        match self {
            Topic::Token(_) => Some(MAX_TOKEN_BYTES),
            Topic::Keyring | Topic::Root(_) => Some(MAX_DOCUMENT_BYTES),
            Topic::Report(_) | Topic::Request(_) => None,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topic::Token(device) => write!(f, "{DEVICES}{device}/token"),
            Topic::Keyring => f.write_str(KEYRING),
            Topic::Root(version) => write!(f, "{ROOTS}{version}"),
            Topic::Report(device) => write!(f, "{DEVICES}{device}/report"),
            Topic::Request(device) => write!(f, "{DEVICES}{device}/request"),
        }
    }
}

/// Why a text is not a topic of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a topic of this interface: it has `coterm/v1/keyring`, `coterm/v1/root/VERSION` from 2 on, and \
     `coterm/v1/d/DEVICE/` with `token`, `report` or `request`"
)]
pub struct TopicError;

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text == KEYRING {
            return Ok(Topic::Keyring);
        }
        if let Some(version) = text.strip_prefix(ROOTS) {
            // Digits alone, without a leading zero: one root has one topic.
            let spelled = version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
            let version = version.parse().map_err(|_| TopicError)?;
            return if spelled && version > 1 { Ok(Topic::Root(version)) } else { Err(TopicError) };
        }
        let (device, leaf) =
            text.strip_prefix(DEVICES).and_then(|rest| rest.split_once('/')).ok_or(TopicError)?;
        let device: DeviceId = device.parse().map_err(|_| TopicError)?;
        match leaf {
            "token" => Ok(Topic::Token(device)),
            "report" => Ok(Topic::Report(device)),
            "request" => Ok(Topic::Request(device)),
            _ => Err(TopicError),
        }
    }
}

/// What a client wants with a topic name or filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// To publish to a topic.
    Publish,
    /// To subscribe with a filter.
    Subscribe,
    /// To leave a last will for a topic at connect.
    LastWill,
}

impl Access {
    /// Every kind of access.
    pub const ALL: [Access; 3] = [Access::Publish, Access::Subscribe, Access::LastWill];
}

/// Whether a device may do this with this topic name or filter.
#[must_use]
pub fn device_may(device: &DeviceId, access: Access, text: &str) -> bool {
    let Ok(topic) = text.parse::<Topic>() else { return false };
    match (access, topic) {
        (Access::Publish, Topic::Report(of) | Topic::Request(of)) | (Access::Subscribe, Topic::Token(of)) => {
            of == *device
        }
        (Access::Subscribe, Topic::Keyring | Topic::Root(_)) => true,
        (Access::Publish, Topic::Token(_) | Topic::Keyring | Topic::Root(_))
        | (Access::Subscribe, Topic::Report(_) | Topic::Request(_))
        | (
            Access::LastWill,
            Topic::Token(_) | Topic::Keyring | Topic::Root(_) | Topic::Report(_) | Topic::Request(_),
        ) => false,
    }
}

/// The filters a cloud daemon subscribes with; `shared` if several daemons divide the work.
#[must_use]
pub fn cloud_filters(shared: bool) -> [String; 2] {
    [DEVICE_REPORTS, DEVICE_REQUESTS].map(|filter| {
        if shared { alloc::format!("$share/{CLOUD_SHARE}/{filter}") } else { filter.to_string() }
    })
}

/// Whether the cloud identity may do this with this topic name or filter.
#[must_use]
pub fn cloud_may(access: Access, text: &str) -> bool {
    match access {
        Access::Publish => match text.parse::<Topic>() {
            Ok(Topic::Token(_) | Topic::Keyring | Topic::Root(_)) => true,
            Ok(Topic::Report(_) | Topic::Request(_)) | Err(TopicError) => false,
        },
        Access::Subscribe => {
            [false, true].into_iter().any(|shared| cloud_filters(shared).iter().any(|f| f == text))
        }
        Access::LastWill => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn device(text: &str) -> DeviceId {
        text.parse().unwrap()
    }

    /// Everything a device with bad intentions might write.
    fn texts() -> Vec<String> {
        let mut texts = Vec::new();
        for name in ["cam-1", "cam-2", "cam-11", "+", "#", "%u", "", "cam-1/x", "CAM-1"] {
            for leaf in ["token", "report", "request", "+", "#", "", "token/", "other", "report/x"] {
                texts.push(alloc::format!("coterm/v1/d/{name}/{leaf}"));
            }
        }
        for text in [
            "",
            "#",
            "+",
            "/",
            "+/+/+",
            "coterm/#",
            "coterm/+/keyring",
            "coterm/v1/#",
            "coterm/v1/+",
            "coterm/v1/keyring",
            "coterm/v1/keyring/",
            "/coterm/v1/keyring",
            "coterm/v1/d",
            "coterm/v1/d/#",
            "coterm/v2/keyring",
            "coterm/v1/keyring\0",
            " coterm/v1/keyring",
            "COTERM/V1/KEYRING",
            "$SYS/#",
            "$SYS/broker/version",
            "$queue/coterm/v1/keyring",
            "coterm/v1/root",
            "coterm/v1/root/",
            "coterm/v1/root/+",
            "coterm/v1/root/#",
            "coterm/v1/root/0",
            "coterm/v1/root/1",
            "coterm/v1/root/2",
            "coterm/v1/root/02",
            "coterm/v1/root/+2",
            "coterm/v1/root/-2",
            "coterm/v1/root/2/",
            "coterm/v1/root/2/x",
            "coterm/v1/root/18446744073709551615",
            "coterm/v1/root/18446744073709551616",
            "coterm/v1/d/+/report",
            "coterm/v1/d/cam-1/token\n",
        ] {
            texts.push(text.to_string());
        }
        for share in ["cloud", "x", "+", ""] {
            for index in 0..texts.len() {
                texts.push(alloc::format!("$share/{share}/{}", texts[index]));
            }
        }
        texts
    }

    /// All that is allowed among everything above, and nothing else.
    fn check(may: impl Fn(Access, &str) -> bool, expect: &[(Access, &str)]) {
        let mut allowed = BTreeSet::new();
        for text in texts() {
            for access in Access::ALL {
                if may(access, &text) {
                    allowed.insert(alloc::format!("{access:?} {text}"));
                }
            }
        }
        let expect: BTreeSet<String> =
            expect.iter().map(|(access, text)| alloc::format!("{access:?} {text}")).collect();
        assert_eq!(allowed, expect);
    }

    #[test]
    fn a_device_has_its_topics_keyring_and_single_roots_and_no_wildcard_share_or_will() {
        check(
            |access, text| device_may(&device("cam-1"), access, text),
            &[
                (Access::Subscribe, "coterm/v1/keyring"),
                (Access::Subscribe, "coterm/v1/root/2"),
                (Access::Subscribe, "coterm/v1/root/18446744073709551615"),
                (Access::Subscribe, "coterm/v1/d/cam-1/token"),
                (Access::Publish, "coterm/v1/d/cam-1/report"),
                (Access::Publish, "coterm/v1/d/cam-1/request"),
            ],
        );
    }

    #[test]
    fn the_cloud_writes_downwards_and_reads_upwards() {
        check(
            cloud_may,
            &[
                (Access::Publish, "coterm/v1/keyring"),
                (Access::Publish, "coterm/v1/root/2"),
                (Access::Publish, "coterm/v1/root/18446744073709551615"),
                (Access::Publish, "coterm/v1/d/cam-1/token"),
                (Access::Publish, "coterm/v1/d/cam-2/token"),
                (Access::Publish, "coterm/v1/d/cam-11/token"),
                (Access::Publish, "coterm/v1/d/CAM-1/token"),
                (Access::Subscribe, "coterm/v1/d/+/report"),
                (Access::Subscribe, "coterm/v1/d/+/request"),
                (Access::Subscribe, "$share/cloud/coterm/v1/d/+/report"),
                (Access::Subscribe, "$share/cloud/coterm/v1/d/+/request"),
            ],
        );
    }

    #[test]
    fn a_topic_has_one_spelling() {
        let mut parsed = 0;
        for text in texts() {
            if let Ok(topic) = text.parse::<Topic>() {
                assert_eq!(topic.to_string(), text);
                parsed += 1;
            }
        }
        assert_eq!(parsed, 4 * 3 + 3);
        for topic in [
            Topic::Keyring,
            Topic::Root(2),
            Topic::Token(device("a")),
            Topic::Report(device("b")),
            Topic::Request(device("c")),
        ] {
            assert_eq!(topic.to_string().parse(), Ok(topic.clone()));
        }
    }

    #[test]
    fn the_published_description_names_exactly_these_topics() {
        let described: BTreeSet<&str> = include_str!("../../docs/asyncapi.yaml")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("address: "))
            .map(|address| address.trim_matches('\''))
            .collect();
        let placeholder =
            |topic: Topic| topic.to_string().replace("DEVICE", "{device}").replace("/99", "/{version}");
        let topics = [
            Topic::Token(device("DEVICE")),
            Topic::Keyring,
            Topic::Root(99),
            Topic::Report(device("DEVICE")),
            Topic::Request(device("DEVICE")),
        ]
        .map(placeholder);
        assert_eq!(described, topics.iter().map(String::as_str).collect());
    }
}
