//! Settings of an organization and its groups, and the bounds the vendor sets for them (domain E1).

use super::name::Zone;
use super::refusal::{Refusal, RefusalCode};
use crate::time::Seconds;
use alloc::format;
use serde::{Deserialize, Serialize};

/// How long the ladder's steps last, and where midnight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// From the start of noncompliance to the lock, in seconds; default 30 days.
    pub grace_secs: Seconds,
    /// From the lock to the stop, in seconds; default 60 days.
    pub stop_after_lock_secs: Seconds,
    /// Where a lock or stop lands on midnight; default UTC.
    pub time_zone: Zone,
    /// Whom a shortfall is enforced on (domain C3); default the whole group.
    #[serde(default)]
    pub scope: Scope,
    /// How long keys and sites may stay unassigned (domain G3), in seconds; default 30 days.
    pub countdown_secs: Seconds,
    /// What a door controller counts by (domain G7); default its model.
    #[serde(default)]
    pub door_units: DoorUnits,
    /// What share of the devices in use, in percent, one operation may put on the way to lock without approval (domain
    /// E6); default 20.
    #[serde(default = "hold_share")]
    pub hold_share_percent: u64,
    /// How many devices one operation may, whatever their share (domain E6); default 50.
    #[serde(default = "hold_devices")]
    pub hold_devices: u64,
    /// How many devices of a group lock a day at most, for one cause (domain E6); default no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout_pace: Option<u64>,
}

/// What a door controller counts by (domain G7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoorUnits {
    /// The units of its model in the catalog, however many of its doors are configured.
    #[default]
    Model,
    /// One unit for each of its configured doors; the units of its model while nothing was said of its doors.
    Configured,
}

impl DoorUnits {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            DoorUnits::Model => "model",
            DoorUnits::Configured => "configured",
        }
    }

    /// The units of a controller with so many doors in the catalog, of which `configured` are in use.
    #[must_use]
    pub const fn units(self, model_units: u64, configured: Option<u64>) -> u64 {
        match (self, configured) {
            (DoorUnits::Configured, Some(doors)) => doors,
            (DoorUnits::Configured, None) | (DoorUnits::Model, _) => model_units,
        }
    }
}

/// Why a text does not say what door controllers count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what doors count by: write `model` or `configured`")]
pub struct DoorUnitsError;

impl core::str::FromStr for DoorUnits {
    type Err = DoorUnitsError;

    fn from_str(text: &str) -> Result<Self, DoorUnitsError> {
        [DoorUnits::Model, DoorUnits::Configured]
            .into_iter()
            .find(|by| by.name() == text)
            .ok_or(DoorUnitsError)
    }
}

/// Whom a shortfall is enforced on (domain C3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Every device of the group.
    #[default]
    Group,
    /// The newest devices of the product types in shortfall, until the rest fits.
    Product,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            grace_secs: Seconds::days(30),
            stop_after_lock_secs: Seconds::days(60),
            time_zone: Zone::UTC,
            scope: Scope::Group,
            countdown_secs: Seconds::days(30),
            door_units: DoorUnits::Model,
            hold_share_percent: hold_share(),
            hold_devices: hold_devices(),
            lockout_pace: None,
        }
    }
}

impl Scope {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Group => "group",
            Scope::Product => "product",
        }
    }
}

/// Why a text is not a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: write `group` or `product`")]
pub struct ScopeError;

impl core::str::FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        [Scope::Group, Scope::Product].into_iter().find(|scope| scope.name() == text).ok_or(ScopeError)
    }
}

/// A setting in which a group may depart from its organization (domain E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSetting {
    /// See [`Settings::grace_secs`].
    GraceSecs,
    /// See [`Settings::stop_after_lock_secs`].
    StopAfterLockSecs,
    /// See [`Settings::time_zone`].
    TimeZone,
    /// See [`Settings::scope`].
    Scope,
}

impl GroupSetting {
    /// All of them.
    pub const ALL: [GroupSetting; 4] = [
        GroupSetting::GraceSecs,
        GroupSetting::StopAfterLockSecs,
        GroupSetting::TimeZone,
        GroupSetting::Scope,
    ];

    /// Its stable name, which is that of its field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GroupSetting::GraceSecs => "grace_secs",
            GroupSetting::StopAfterLockSecs => "stop_after_lock_secs",
            GroupSetting::TimeZone => "time_zone",
            GroupSetting::Scope => "scope",
        }
    }
}

/// A group's departures from the settings of its organization; `None` follows the organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// See [`Settings::grace_secs`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_secs: Option<Seconds>,
    /// See [`Settings::stop_after_lock_secs`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after_lock_secs: Option<Seconds>,
    /// See [`Settings::time_zone`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// See [`Settings::scope`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

impl Overrides {
    /// Whether the group departs in this setting.
    #[must_use]
    pub const fn has(&self, setting: GroupSetting) -> bool {
        match setting {
            GroupSetting::GraceSecs => self.grace_secs.is_some(),
            GroupSetting::StopAfterLockSecs => self.stop_after_lock_secs.is_some(),
            GroupSetting::TimeZone => self.time_zone.is_some(),
            GroupSetting::Scope => self.scope.is_some(),
        }
    }

    /// The same without a departure in this setting.
    #[must_use]
    pub const fn without(self, setting: GroupSetting) -> Overrides {
        match setting {
            GroupSetting::GraceSecs => Overrides { grace_secs: None, ..self },
            GroupSetting::StopAfterLockSecs => Overrides { stop_after_lock_secs: None, ..self },
            GroupSetting::TimeZone => Overrides { time_zone: None, ..self },
            GroupSetting::Scope => Overrides { scope: None, ..self },
        }
    }

    /// The settings in force: the organization's where nothing is overridden.
    #[must_use]
    pub fn over(&self, base: &Settings) -> Settings {
        Settings {
            grace_secs: self.grace_secs.unwrap_or(base.grace_secs),
            stop_after_lock_secs: self.stop_after_lock_secs.unwrap_or(base.stop_after_lock_secs),
            time_zone: self.time_zone.unwrap_or(base.time_zone),
            scope: self.scope.unwrap_or(base.scope),
            countdown_secs: base.countdown_secs,
            door_units: base.door_units,
            hold_share_percent: base.hold_share_percent,
            hold_devices: base.hold_devices,
            lockout_pace: base.lockout_pace,
        }
    }
}

/// The bounds the vendor sets (domain E1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The longest grace an organization may choose; default 90 days.
    pub grace_max_secs: Seconds,
    /// The shortest time from lock to stop; default 30 days.
    pub stop_after_lock_min_secs: Seconds,
    /// The longest countdown of unassigned keys and sites (domain G3); default 90 days.
    #[serde(default = "countdown_max")]
    pub countdown_max_secs: Seconds,
    /// The longest trial of a device (domain G8); default 90 days.
    #[serde(default = "countdown_max")]
    pub trial_max_secs: Seconds,
    /// The compliant time after which both clocks start anew (domain E2); default 30 days.
    pub clock_reset_secs: Seconds,
    /// Whether organizations may count door controllers by their configured doors (domain G7); default yes.
    #[serde(default = "yes")]
    pub configured_doors_allowed: bool,
    /// The largest share of its devices, in percent, that an organization may let one operation put on the way to lock
    /// without approval (domain E6); default 20.
    #[serde(default = "hold_share")]
    pub hold_share_max_percent: u64,
    /// The largest number of devices it may, whatever their share (domain E6); default 50.
    #[serde(default = "hold_devices")]
    pub hold_devices_max: u64,
    /// How long a held operation waits for a decision before it is dropped (domain E6); default 30 days.
    #[serde(default = "held")]
    pub held_secs: Seconds,
    /// The slowest pace of lockouts that an organization may choose, in devices a day (domain E6); without one it may choose
    /// none. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout_pace_min: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            grace_max_secs: Seconds::days(90),
            stop_after_lock_min_secs: Seconds::days(30),
            countdown_max_secs: countdown_max(),
            trial_max_secs: countdown_max(),
            clock_reset_secs: Seconds::days(30),
            configured_doors_allowed: yes(),
            hold_share_max_percent: hold_share(),
            hold_devices_max: hold_devices(),
            held_secs: held(),
            lockout_pace_min: None,
        }
    }
}

const fn yes() -> bool {
    true
}

const fn hold_share() -> u64 {
    20
}

const fn hold_devices() -> u64 {
    50
}

const fn held() -> Seconds {
    Seconds::days(30)
}

const fn countdown_max() -> Seconds {
    Seconds::days(90)
}

/// The longest duration any setting may have: a hundred years.
const DURATION_MAX: Seconds = Seconds::days(36_500);

impl Limits {
    /// The bounds of a daemon in demonstration mode: none from below, so that a ladder fits in a minute (domain E1).
    #[must_use]
    pub const fn demonstration(self) -> Limits {
        Limits { stop_after_lock_min_secs: Seconds::ZERO, ..self }
    }

    /// The default settings, as far as the bounds let them be.
    #[must_use]
    pub fn defaults(&self) -> Settings {
        let usual = Settings::default();
        Settings {
            grace_secs: usual.grace_secs.min(self.grace_max_secs),
            stop_after_lock_secs: usual.stop_after_lock_secs.max(self.stop_after_lock_min_secs),
            countdown_secs: usual.countdown_secs.min(self.countdown_max_secs),
            hold_share_percent: usual.hold_share_percent.min(self.hold_share_max_percent),
            hold_devices: usual.hold_devices.min(self.hold_devices_max),
            ..usual
        }
    }

    /// Checks what door controllers count by against the bounds.
    pub fn check_door_units(&self, by: DoorUnits) -> Result<DoorUnits, Refusal> {
        match by {
            DoorUnits::Configured if !self.configured_doors_allowed => Err(Refusal::new(
                RefusalCode::SettingOutOfBounds,
                "the vendor counts door controllers by their model",
                "keep `model`, or ask the vendor to allow `configured`",
            )
            .at("door_units")),
            DoorUnits::Model | DoorUnits::Configured => Ok(by),
        }
    }

    /// Checks the share one operation may put on the way to lock without approval against the bounds (domain E6).
    pub fn check_hold_share(&self, percent: u64) -> Result<u64, Refusal> {
        within(percent, self.hold_share_max_percent, "% of the devices", "hold_share_percent")
    }

    /// Checks a pace of lockouts against the bounds (domain E6); 0 is none.
    pub fn check_pace(&self, per_day: u64) -> Result<Option<u64>, Refusal> {
        let refused = |message: alloc::string::String, hint: &str| {
            Err(Refusal::new(RefusalCode::SettingOutOfBounds, message, hint).at("lockout_pace"))
        };
        match (per_day, self.lockout_pace_min) {
            (0, _) => Ok(None),
            (_, None) => refused(
                format!("the vendor allows no pace of {per_day} devices a day, nor any other"),
                "ask the vendor to allow one",
            ),
            (_, Some(min)) if per_day < min => refused(
                format!("{per_day} devices a day are fewer than the vendor's bound of {min}"),
                "choose more a day, or ask the vendor to lower the bound",
            ),
            (_, Some(_)) => Ok(Some(per_day)),
        }
    }

    /// Checks the number of devices one operation may put on the way to lock without approval (domain E6).
    pub fn check_hold_devices(&self, devices: u64) -> Result<u64, Refusal> {
        within(devices, self.hold_devices_max, " devices", "hold_devices")
    }

    /// Checks a grace against the bounds.
    pub fn check_grace(&self, grace: Seconds) -> Result<Seconds, Refusal> {
        if grace <= self.grace_max_secs {
            return Ok(grace);
        }
        Err(Refusal::new(
            RefusalCode::SettingOutOfBounds,
            format!("a grace of {} s is above the vendor's bound of {} s", grace.0, self.grace_max_secs.0),
            "choose a shorter grace, or ask the vendor to raise the bound",
        )
        .at("grace_secs"))
    }

    /// Checks a countdown of unassigned keys and sites against the bounds.
    pub fn check_countdown(&self, countdown: Seconds) -> Result<Seconds, Refusal> {
        if (Seconds(1)..=self.countdown_max_secs).contains(&countdown) {
            return Ok(countdown);
        }
        Err(Refusal::new(
            RefusalCode::SettingOutOfBounds,
            format!("a countdown of {} s is outside 1 to {} s", countdown.0, self.countdown_max_secs.0),
            "choose a countdown within the vendor's bounds",
        )
        .at("countdown_secs"))
    }

    /// Checks the time from lock to stop against the bounds.
    pub fn check_stop_after_lock(&self, stop_after_lock: Seconds) -> Result<Seconds, Refusal> {
        if (self.stop_after_lock_min_secs..=DURATION_MAX).contains(&stop_after_lock) {
            return Ok(stop_after_lock);
        }
        Err(Refusal::new(
            RefusalCode::SettingOutOfBounds,
            format!(
                "{} s from lock to stop is outside the vendor's bounds of {} to {} s",
                stop_after_lock.0, self.stop_after_lock_min_secs.0, DURATION_MAX.0
            ),
            "choose a duration within the bounds, or ask the vendor to change them",
        )
        .at("stop_after_lock_secs"))
    }
}

fn within(value: u64, max: u64, what: &str, field: &str) -> Result<u64, Refusal> {
    if value <= max {
        return Ok(value);
    }
    Err(Refusal::new(
        RefusalCode::SettingOutOfBounds,
        format!("{value}{what} on the way to lock without approval is above the vendor's bound of {max}"),
        "choose less, or ask the vendor to raise the bound",
    )
    .at(field))
}
