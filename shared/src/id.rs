//! Names of things: typed, parsed once, printed one way.
//!
//! Organizations, groups, sites and keys carry a UUIDv7 (RFC 9562) printed with a prefix that says what it names
//! (`org_0190…`). A device id is text, because it is also the common name of the device's certificate and a level of
//! its MQTT topics. **Deliberately absent:** making ids. Randomness and time belong to the shells.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text lacks the prefix of its kind, or what follows is not a UUID in 32 hexadecimal digits.
    #[error("not {article} id: expected `{prefix}_` and 32 lowercase hexadecimal digits")]
    Malformed {
        /// The prefix of the kind that was expected.
        prefix: &'static str,
        /// The kind in words, with its article.
        article: &'static str,
    },
    /// The text is not a device id.
    #[error("not a device id: 1 to 64 characters of A-Z, a-z, 0-9, `_` and `-`")]
    Device,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $article:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What its text starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// The id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its 16 bytes, as a token carries them.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError::Malformed { prefix: $prefix, article: $article };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(error.clone())?;
                let id = Uuid::try_parse(hex).map(Self).map_err(|_| error.clone())?;
                // One spelling only, so that an id compares as text wherever it is stored.
                if id.0.simple().to_string() == hex { Ok(id) } else { Err(error) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

uuid_id!(
    /// An organization: the tenant.
    OrganizationId, "org", "an organization"
);
uuid_id!(
    /// A license group.
    GroupId, "grp", "a license group"
);
uuid_id!(
    /// A site or sub-site.
    SiteId, "site", "a site"
);
uuid_id!(
    /// A license key, whatever its code.
    KeyId, "key", "a license key"
);
uuid_id!(
    /// A claim code, whatever its text.
    ClaimCodeId, "clm", "a claim code"
);
uuid_id!(
    /// A notice: the same in every copy and repetition, so that a receiver can tell them.
    NoticeId, "ntc", "a notice"
);
uuid_id!(
    /// Where notices of an organization go: a mail address or a webhook.
    EndpointId, "ept", "an endpoint"
);

uuid_id!(
    /// An operation that waits for the vendor.
    HeldId, "held", "a held operation"
);

/// A device: its certificate's common name, its MQTT client id and a level of its topics.
///
/// 1 to 64 characters of `A-Z a-z 0-9 _ -`: nothing that MQTT, X.509 or a file name gives a meaning to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(String);

impl DeviceId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A device id made of a fresh UUID, for devices that have no name of their own.
    #[must_use]
    pub fn from_uuid_bytes(bytes: [u8; 16]) -> DeviceId {
        DeviceId(format!("dev_{}", Uuid::from_bytes(bytes).simple()))
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits { Ok(DeviceId(text.to_string())) } else { Err(IdError::Device) }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = GroupId::from_bytes([7; 16]);
        assert_eq!(id.to_string().parse::<GroupId>(), Ok(id));
        let upper = id.to_string().to_uppercase();
        for bad in [
            "",
            "grp_",
            "site_07070707070707070707070707070707",
            upper.as_str(),
            "grp_07070707-0707-0707-0707-070707070707",
        ] {
            assert!(bad.parse::<GroupId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_id_is_safe_in_a_topic() {
        for good in ["cam-1", "A", "x_y-Z9"] {
            assert!(good.parse::<DeviceId>().is_ok());
        }
        let long = "x".repeat(65);
        for bad in ["", "a/b", "+", "#", "$share", "a b", "ä", "a.b", long.as_str()] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }
}
