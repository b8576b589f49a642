//! Why a group or a device is not compliant: the closed list of findings.
//!
//! The cloud computes findings (domain C1), a token carries them by number, the agent and every screen print them.
//! Codes and numbers are a registry: never reused, never renumbered.

use crate::product::ProductType;
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// One reason for noncompliance, ahead or present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Finding {
    /// The group's co-termination instant has passed (domain C1).
    TermEnded,
    /// Units in use exceed capacity for a product type (domain C1).
    OverCapacity {
        /// The product type in shortfall.
        product: ProductType,
        /// Units in use above capacity, at least 1.
        shortfall: u64,
    },
    /// The group has active devices and never had a license key (domain C1); of a device: it was retired (domain G10).
    NoLicense,
    /// The trial of this device has ended (domain G8).
    TrialEnded,
    /// The device has had no newer token for the whole offline budget (domain E7).
    OfflineBudget,
}

impl Finding {
    /// Its stable code, as in JSON and on screens.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Finding::TermEnded => "TERM_ENDED",
            Finding::OverCapacity { .. } => "OVER_CAPACITY",
            Finding::NoLicense => "NO_LICENSE",
            Finding::TrialEnded => "TRIAL_ENDED",
            Finding::OfflineBudget => "OFFLINE_BUDGET",
        }
    }

    /// Its number in the token's registry.
    #[must_use]
    pub const fn number(&self) -> u16 {
        match self {
            Finding::TermEnded => 1,
            Finding::OverCapacity { .. } => 2,
            Finding::NoLicense => 3,
            Finding::TrialEnded => 4,
            Finding::OfflineBudget => 5,
        }
    }

    /// The finding in one clause, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Finding::TermEnded => String::from("the license term has ended"),
            Finding::OverCapacity { product, shortfall } => {
                format!("{shortfall} more {product} unit(s) in use than licensed")
            }
            Finding::NoLicense => String::from("devices are in use and no license key was ever claimed"),
            Finding::TrialEnded => String::from("the trial of this device has ended"),
            Finding::OfflineBudget => {
                String::from("no newer license state has reached this device for too long")
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OverCapacity { product, shortfall } => {
                write!(f, "{} ({product}: {shortfall})", self.code())
            }
            Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {
                f.write_str(self.code())
            }
        }
    }
}
