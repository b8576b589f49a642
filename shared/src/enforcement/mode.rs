//! What a device is told to do: the operating mode.
//!
//! The ladder ([`EnforcementState`]) says where a device stands; the mode says what it does about it. Grace is a state
//! and not a mode, because in grace everything still works.

use super::EnforcementState;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// The mode a device is driven to, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatingMode {
    /// Everything works.
    Full,
    /// Management is refused; the device goes on functioning.
    ManagementLocked,
    /// The function of the device is stopped.
    Stopped,
}

impl OperatingMode {
    /// All modes, mildest first.
    pub const ALL: [OperatingMode; 3] =
        [OperatingMode::Full, OperatingMode::ManagementLocked, OperatingMode::Stopped];

    /// The mode a state of the ladder asks for, before the class cap.
    #[must_use]
    pub const fn wanted_by(state: EnforcementState) -> OperatingMode {
        match state {
            EnforcementState::Licensed | EnforcementState::Grace => OperatingMode::Full,
            EnforcementState::ManagementLocked => OperatingMode::ManagementLocked,
            EnforcementState::Stopped => OperatingMode::Stopped,
        }
    }

    /// Whether management (configuration, accounts, firmware) is allowed.
    #[must_use]
    pub const fn allows_manage(self) -> bool {
        match self {
            OperatingMode::Full => true,
            OperatingMode::ManagementLocked | OperatingMode::Stopped => false,
        }
    }

    /// Whether the device may do what it is there for.
    #[must_use]
    pub const fn allows_operate(self) -> bool {
        match self {
            OperatingMode::Full | OperatingMode::ManagementLocked => true,
            OperatingMode::Stopped => false,
        }
    }

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OperatingMode::Full => "full",
            OperatingMode::ManagementLocked => "management-locked",
            OperatingMode::Stopped => "stopped",
        }
    }
}

impl fmt::Display for OperatingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an operating mode: write `full`, `management-locked` or `stopped`")]
pub struct ModeError;

impl FromStr for OperatingMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        OperatingMode::ALL.into_iter().find(|mode| mode.name() == text).ok_or(ModeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_a_lock_or_a_stop_takes_anything_away() {
        for (state, mode, manage, operate) in [
            (EnforcementState::Licensed, OperatingMode::Full, true, true),
            (EnforcementState::Grace, OperatingMode::Full, true, true),
            (EnforcementState::ManagementLocked, OperatingMode::ManagementLocked, false, true),
            (EnforcementState::Stopped, OperatingMode::Stopped, false, false),
        ] {
            assert_eq!(OperatingMode::wanted_by(state), mode);
            assert_eq!((mode.allows_manage(), mode.allows_operate()), (manage, operate), "{mode}");
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("Full".parse::<OperatingMode>(), Err(ModeError));
    }
}
