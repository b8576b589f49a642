//! What a device is, and how far enforcement may ever go on it.
//!
//! **Problem.** The same token must lock a camera and leave a fire exit alone. **Method.** The integrator states the
//! class in the agent's own configuration; the cap follows from it by a pure function compiled in here. A [`ModeCap`]
//! cannot be read from a message, a token or a stored record, so nothing the cloud signs raises one. Stopping a door
//! needs an [`EgressIndependent`] value, which only the parsing of a configuration that contains the attestation
//! makes. **Deliberately absent:** any verb that commands an output (relay, lock power, request-to-exit, fire input).

use super::OperatingMode;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What a device is, as its integrator states it (enforcement §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceClass {
    /// A camera or video encoder.
    Camera,
    /// A controller that decides at doors.
    DoorController,
    /// A sensor.
    Sensor {
        /// Whether lives depend on its telemetry: smoke, CO, gas, panic, medical, flood.
        life_safety: bool,
    },
    /// A viewing station or video wall.
    ViewingStation,
    /// An intercom, which places emergency calls.
    Intercom,
    /// An alarm console, which signals alarms.
    AlarmConsole,
}

impl DeviceClass {
    /// Every class.
    pub const ALL: [DeviceClass; 7] = [
        DeviceClass::Camera,
        DeviceClass::DoorController,
        DeviceClass::Sensor { life_safety: false },
        DeviceClass::Sensor { life_safety: true },
        DeviceClass::ViewingStation,
        DeviceClass::Intercom,
        DeviceClass::AlarmConsole,
    ];

    /// Its stable name; a life-safety sensor has its own.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DeviceClass::Camera => "camera",
            DeviceClass::DoorController => "door-controller",
            DeviceClass::Sensor { life_safety: false } => "sensor",
            DeviceClass::Sensor { life_safety: true } => "life-safety-sensor",
            DeviceClass::ViewingStation => "viewing-station",
            DeviceClass::Intercom => "intercom",
            DeviceClass::AlarmConsole => "alarm-console",
        }
    }

    /// The class a configuration names, with its separate `life_safety` key.
    ///
    /// # Errors
    ///
    /// The name is no class; a sensor does not say whether it is life safety (too much depends on it to be assumed);
    /// or the key contradicts the class.
    pub fn from_configuration(name: &str, life_safety: Option<bool>) -> Result<DeviceClass, ClassError> {
        if name == "sensor" {
            return life_safety
                .map(|life_safety| DeviceClass::Sensor { life_safety })
                .ok_or(ClassError::LifeSafetyUnstated);
        }
        let class: DeviceClass = name.parse()?;
        let of_its_own = matches!(class, DeviceClass::Sensor { life_safety: true });
        match life_safety {
            Some(stated) if stated != of_its_own => Err(ClassError::LifeSafetyContradicts { class }),
            Some(_) | None => Ok(class),
        }
    }

    /// What `mode` means on a device of this class, in words for people (enforcement §2).
    #[must_use]
    pub const fn meaning(self, mode: OperatingMode) -> &'static str {
        match (self, mode) {
            (_, OperatingMode::Full) => "everything works",
            (DeviceClass::Camera, OperatingMode::ManagementLocked) => {
                "configuration and account changes, unsigned firmware and reading of secrets are refused; live view \
                 and recording for existing clients go on"
            }
            (DeviceClass::Camera, OperatingMode::Stopped) => {
                "live streams and recording jobs are stopped; stored footage stays and stays exportable"
            }
            (DeviceClass::DoorController, OperatingMode::ManagementLocked) => {
                "changes of doors, access points, schedules and rules, new credentials and remote unlock are refused; \
                 doors keep deciding with the last configuration, and revoking a credential stays allowed"
            }
            (DeviceClass::DoorController, OperatingMode::Stopped) => {
                "readers stop granting entry and say so; egress is untouched: no relay, lock power, request-to-exit \
                 or fire input is ever commanded"
            }
            (DeviceClass::Sensor { life_safety: _ }, OperatingMode::ManagementLocked) => {
                "configuration is refused; telemetry goes on"
            }
            (DeviceClass::Sensor { life_safety: false }, OperatingMode::Stopped) => "telemetry is stopped",
            (DeviceClass::Sensor { life_safety: true }, OperatingMode::Stopped) => {
                "never happens: telemetry that lives depend on is not stopped"
            }
            (DeviceClass::ViewingStation, OperatingMode::ManagementLocked) => {
                "configuration is refused; viewing goes on"
            }
            (DeviceClass::ViewingStation, OperatingMode::Stopped) => "viewing is stopped",
            (DeviceClass::Intercom, OperatingMode::ManagementLocked) => {
                "configuration is refused; calls, emergency calls among them, go on"
            }
            (DeviceClass::Intercom, OperatingMode::Stopped) => {
                "never happens: a stopped intercom could place no emergency call"
            }
            (DeviceClass::AlarmConsole, OperatingMode::ManagementLocked) => {
                "configuration is refused; alarm signalling goes on"
            }
            (DeviceClass::AlarmConsole, OperatingMode::Stopped) => {
                "never happens: a stopped console could signal no alarm"
            }
        }
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a configuration names no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassError {
    /// The name is no class.
    #[error(
        "not a device class: write `camera`, `door-controller`, `sensor`, `life-safety-sensor`, `viewing-station`, \
         `intercom` or `alarm-console`"
    )]
    Unknown,
    /// A sensor without a statement about life safety.
    #[error(
        "a sensor must say whether lives depend on it: add `life_safety = true` (smoke, CO, gas, panic, medical, \
         flood) or `life_safety = false`"
    )]
    LifeSafetyUnstated,
    /// `life_safety` says something else than the class.
    #[error("`life_safety` contradicts the class `{class}`: it belongs to `sensor` alone; remove it")]
    LifeSafetyContradicts {
        /// The class named.
        class: DeviceClass,
    },
}

impl FromStr for DeviceClass {
    type Err = ClassError;

    fn from_str(text: &str) -> Result<Self, ClassError> {
        DeviceClass::ALL.into_iter().find(|class| class.name() == text).ok_or(ClassError::Unknown)
    }
}

impl Serialize for DeviceClass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for DeviceClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The integrator's attestation that egress works without the door controller (UL 294, NFPA 101 7.2.1.6).
///
/// There is no constructor: the one way to a value is deserializing the `[egress_independent]` table of the agent's
/// configuration, which must contain the sentence [`EgressIndependent::STATEMENT`] word for word and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressIndependent {
    attested_by: String,
}

impl EgressIndependent {
    /// What the integrator must write, word for word, as `statement`.
    pub const STATEMENT: &'static str =
        "Every door of this controller can be left without it, and without its power or network.";

    /// Who attested it, 1 to 128 characters, for logs and status.
    #[must_use]
    pub fn attested_by(&self) -> &str {
        &self.attested_by
    }
}

impl<'de> Deserialize<'de> for EgressIndependent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            statement: String,
            attested_by: String,
        }
        let table = Table::deserialize(deserializer)?;
        if table.statement != Self::STATEMENT {
            return Err(de::Error::custom(alloc::format!(
                "`egress_independent.statement` must be, word for word: {}",
                Self::STATEMENT
            )));
        }
        let attested_by = table.attested_by.trim();
        if !(1..=128).contains(&attested_by.chars().count()) {
            return Err(de::Error::custom(
                "`egress_independent.attested_by` must name who attests it, in 1 to 128 characters",
            ));
        }
        Ok(EgressIndependent { attested_by: attested_by.to_string() })
    }
}

/// The strictest mode a device may ever be put in (enforcement §2); made by [`ModeCap::of`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeCap(OperatingMode);

impl ModeCap {
    /// The cap of a class: what of the ladder is compiled in for it.
    ///
    /// An intercom and an alarm console are capped at the management lock, because no actuator can stop such a
    /// device and leave its emergency call or alarm signalling running.
    #[must_use]
    pub const fn of(class: DeviceClass, egress: Option<&EgressIndependent>) -> ModeCap {
        match class {
            DeviceClass::Camera
            | DeviceClass::ViewingStation
            | DeviceClass::Sensor { life_safety: false } => ModeCap(OperatingMode::Stopped),
            DeviceClass::DoorController => match egress {
                Some(_) => ModeCap(OperatingMode::Stopped),
                None => ModeCap(OperatingMode::ManagementLocked),
            },
            DeviceClass::Sensor { life_safety: true } | DeviceClass::Intercom | DeviceClass::AlarmConsole => {
                ModeCap(OperatingMode::ManagementLocked)
            }
        }
    }

    /// The strictest mode it lets through.
    #[must_use]
    pub const fn strictest(self) -> OperatingMode {
        self.0
    }

    /// `wanted`, or the cap where that is milder.
    #[must_use]
    pub fn limit(self, wanted: OperatingMode) -> OperatingMode {
        wanted.min(self.0)
    }
}

/// What every device allows in every mode (enforcement §2), in words for people.
pub const ALWAYS_ALLOWED: [&str; 8] = [
    "the license and health interfaces",
    "time synchronisation",
    "changing one's own password",
    "revoking users and certificates",
    "renewing certificates",
    "security firmware signed by the vendor",
    "exporting stored evidence",
    "emergency calls and alarm signalling",
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn egress() -> EgressIndependent {
        serde_json::from_value(
            json!({"statement": EgressIndependent::STATEMENT, "attested_by": "A. Installer"}),
        )
        .unwrap()
    }

    #[test]
    fn caps_are_compiled_in() {
        use OperatingMode::{ManagementLocked, Stopped};
        for (class, without, with) in [
            (DeviceClass::Camera, Stopped, Stopped),
            (DeviceClass::DoorController, ManagementLocked, Stopped),
            (DeviceClass::Sensor { life_safety: false }, Stopped, Stopped),
            (DeviceClass::Sensor { life_safety: true }, ManagementLocked, ManagementLocked),
            (DeviceClass::ViewingStation, Stopped, Stopped),
            (DeviceClass::Intercom, ManagementLocked, ManagementLocked),
            (DeviceClass::AlarmConsole, ManagementLocked, ManagementLocked),
        ] {
            assert_eq!(ModeCap::of(class, None).strictest(), without, "{class}");
            assert_eq!(ModeCap::of(class, Some(&egress())).strictest(), with, "{class} attested");
            for mode in OperatingMode::ALL {
                let reached = ModeCap::of(class, None).limit(mode);
                assert!(reached <= mode && reached <= without, "{class} {mode}");
                assert!(!class.meaning(mode).is_empty());
            }
        }
    }

    #[test]
    fn stopping_a_door_takes_the_sentence_and_a_name() {
        assert_eq!(egress().attested_by(), "A. Installer");
        for bad in [
            json!(true),
            json!({"attested_by": "A. Installer"}),
            json!({"statement": EgressIndependent::STATEMENT}),
            json!({"statement": EgressIndependent::STATEMENT, "attested_by": "  "}),
            json!({"statement": "yes", "attested_by": "A. Installer"}),
            json!({"statement": EgressIndependent::STATEMENT, "attested_by": "A.", "extra": 1}),
        ] {
            assert!(serde_json::from_value::<EgressIndependent>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_class_is_what_the_configuration_says() {
        for class in DeviceClass::ALL {
            assert_eq!(class.name().parse(), Ok(class));
        }
        for (name, life_safety, expect) in [
            ("camera", None, Ok(DeviceClass::Camera)),
            ("camera", Some(false), Ok(DeviceClass::Camera)),
            ("sensor", Some(true), Ok(DeviceClass::Sensor { life_safety: true })),
            ("sensor", Some(false), Ok(DeviceClass::Sensor { life_safety: false })),
            ("life-safety-sensor", None, Ok(DeviceClass::Sensor { life_safety: true })),
            ("sensor", None, Err(ClassError::LifeSafetyUnstated)),
            (
                "life-safety-sensor",
                Some(false),
                Err(ClassError::LifeSafetyContradicts { class: DeviceClass::Sensor { life_safety: true } }),
            ),
            ("camera", Some(true), Err(ClassError::LifeSafetyContradicts { class: DeviceClass::Camera })),
            ("Camera", None, Err(ClassError::Unknown)),
        ] {
            assert_eq!(DeviceClass::from_configuration(name, life_safety), expect, "{name} {life_safety:?}");
        }
    }
}
