//! What people do with a device, as far as licenses tell it apart (enforcement §2).

use core::fmt;
use core::str::FromStr;
use serde::{Serialize, Serializer};

/// A kind of thing that people do with a device or site on a management platform (domain E8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccessAction {
    /// Watch or hear what the device shows now, read its telemetry.
    ViewLive,
    /// Watch what was recorded, on the platform; taking it away as evidence is [`AccessAction::ExportEvidence`].
    ViewRecorded,
    /// Make the device do something: turn a camera, speak, unlock a door from afar.
    Control,
    /// Change configuration: of the device, of its doors, schedules, rules, jobs.
    Configure,
    /// Create users, credentials and certificates, or give them more.
    ManageAccounts,
    /// Read passwords, keys and other secrets.
    ReadSecrets,
    /// Install firmware that is no security firmware signed by the vendor.
    UpdateFirmware,
    /// The license pages.
    License,
    /// The health pages.
    Health,
    /// Set the time, or have it set.
    SyncTime,
    /// Change one's own password.
    ChangePassword,
    /// Take access away: revoke users, credentials and certificates.
    RevokeAccess,
    /// Renew a certificate.
    RenewCertificate,
    /// Install security firmware signed by the vendor.
    SecurityFirmware,
    /// Export stored evidence.
    ExportEvidence,
    /// What lives depend on: emergency calls, alarm signalling, smoke, gas, panic and flood telemetry, egress.
    LifeSafety,
}

impl AccessAction {
    /// All of them.
    pub const ALL: [AccessAction; 16] = [
        AccessAction::ViewLive,
        AccessAction::ViewRecorded,
        AccessAction::Control,
        AccessAction::Configure,
        AccessAction::ManageAccounts,
        AccessAction::ReadSecrets,
        AccessAction::UpdateFirmware,
        AccessAction::License,
        AccessAction::Health,
        AccessAction::SyncTime,
        AccessAction::ChangePassword,
        AccessAction::RevokeAccess,
        AccessAction::RenewCertificate,
        AccessAction::SecurityFirmware,
        AccessAction::ExportEvidence,
        AccessAction::LifeSafety,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            AccessAction::ViewLive => "view-live",
            AccessAction::ViewRecorded => "view-recorded",
            AccessAction::Control => "control",
            AccessAction::Configure => "configure",
            AccessAction::ManageAccounts => "manage-accounts",
            AccessAction::ReadSecrets => "read-secrets",
            AccessAction::UpdateFirmware => "update-firmware",
            AccessAction::License => "license",
            AccessAction::Health => "health",
            AccessAction::SyncTime => "sync-time",
            AccessAction::ChangePassword => "change-password",
            AccessAction::RevokeAccess => "revoke-access",
            AccessAction::RenewCertificate => "renew-certificate",
            AccessAction::SecurityFirmware => "security-firmware",
            AccessAction::ExportEvidence => "export-evidence",
            AccessAction::LifeSafety => "life-safety",
        }
    }

    /// Whether it is allowed in every mode (enforcement §2), however far the ladder went (domain E8).
    #[must_use]
    pub const fn is_always_allowed(self) -> bool {
        match self {
            AccessAction::ViewLive
            | AccessAction::ViewRecorded
            | AccessAction::Control
            | AccessAction::Configure
            | AccessAction::ManageAccounts
            | AccessAction::ReadSecrets
            | AccessAction::UpdateFirmware => false,
            AccessAction::License
            | AccessAction::Health
            | AccessAction::SyncTime
            | AccessAction::ChangePassword
            | AccessAction::RevokeAccess
            | AccessAction::RenewCertificate
            | AccessAction::SecurityFirmware
            | AccessAction::ExportEvidence
            | AccessAction::LifeSafety => true,
        }
    }
}

/// Why a text is not a kind of thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a kind of access: write `view-live`, `view-recorded`, `control`, `configure`, `manage-accounts`, \
     `read-secrets`, `update-firmware`, or one that is always allowed: `license`, `health`, `sync-time`, \
     `change-password`, `revoke-access`, `renew-certificate`, `security-firmware`, `export-evidence`, `life-safety`"
)]
pub struct AccessActionError;

impl FromStr for AccessAction {
    type Err = AccessActionError;

    fn from_str(text: &str) -> Result<Self, AccessActionError> {
        AccessAction::ALL.into_iter().find(|action| action.name() == text).ok_or(AccessActionError)
    }
}

impl fmt::Display for AccessAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for AccessAction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enforcement::ALWAYS_ALLOWED;
    use std::string::ToString;

    #[test]
    fn e8_what_every_device_allows_in_every_mode_stays_allowed_to_people() {
        use AccessAction::*;
        // Every line of what devices always allow, and what people do by it.
        let table = [
            ("the license and health interfaces", [License, Health].as_slice()),
            ("time synchronisation", &[SyncTime]),
            ("changing one's own password", &[ChangePassword]),
            ("revoking users and certificates", &[RevokeAccess]),
            ("renewing certificates", &[RenewCertificate]),
            ("security firmware signed by the vendor", &[SecurityFirmware]),
            ("exporting stored evidence", &[ExportEvidence]),
            ("emergency calls and alarm signalling", &[LifeSafety]),
        ];
        assert_eq!(table.map(|(line, _)| line), ALWAYS_ALLOWED);
        let always: std::vec::Vec<AccessAction> =
            table.iter().flat_map(|(_, actions)| *actions).copied().collect();
        for action in AccessAction::ALL {
            assert_eq!(action.is_always_allowed(), always.contains(&action), "{action}");
            assert_eq!(action.to_string().parse(), Ok(action));
            assert!(AccessActionError.to_string().contains(action.name()), "the error names {action}");
        }
        assert_eq!("View-Live".parse::<AccessAction>(), Err(AccessActionError));
    }
}
