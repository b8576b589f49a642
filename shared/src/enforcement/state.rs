//! The ladder (domain E1).

use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a device or group stands on the ladder, mildest first (domain E1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnforcementState {
    /// Everything works.
    #[default]
    Licensed,
    /// Noncompliant, everything still works, a lock is announced.
    Grace,
    /// Management is refused; the device goes on functioning.
    ManagementLocked,
    /// The device's function is stopped, as far as its class allows.
    Stopped,
}

impl EnforcementState {
    /// All states, mildest first.
    pub const ALL: [EnforcementState; 4] = [
        EnforcementState::Licensed,
        EnforcementState::Grace,
        EnforcementState::ManagementLocked,
        EnforcementState::Stopped,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EnforcementState::Licensed => "licensed",
            EnforcementState::Grace => "grace",
            EnforcementState::ManagementLocked => "management-locked",
            EnforcementState::Stopped => "stopped",
        }
    }

    /// Its number in a token, 0 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            EnforcementState::Licensed => 0,
            EnforcementState::Grace => 1,
            EnforcementState::ManagementLocked => 2,
            EnforcementState::Stopped => 3,
        }
    }
}

impl fmt::Display for EnforcementState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
