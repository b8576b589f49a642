//! The registry of alarms: a stable code, how bad it is, and what to do.
//!
//! `docs/OPERATIONS.md` in `shared` lists the same; a test compares the two.

use serde::{Serialize, Serializer};
use std::fmt;

/// How bad an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong yet; it will be.
    Warning,
    /// Something does not work, or keys are abused.
    Critical,
}

impl Severity {
    /// Its word, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// Declares the codes once: name, severity, meaning, what to do.
macro_rules! codes {
    ($($variant:ident = $name:literal, $severity:ident, $meaning:literal, $hint:literal;)+) => {
        /// What an alarm is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AlarmCode {
            $(#[doc = $meaning] $variant,)+
        }

        impl AlarmCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [AlarmCode] = &[$(AlarmCode::$variant,)+];

            /// Its stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(AlarmCode::$variant => $name,)+ }
            }

            /// How bad it is.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(AlarmCode::$variant => Severity::$severity,)+ }
            }

            /// What it means, for the documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(AlarmCode::$variant => $meaning,)+ }
            }

            /// What to do.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(AlarmCode::$variant => $hint,)+ }
            }
        }
    };
}

codes! {
    TokenKeyEnds = "TOKEN_KEY_ENDS", Critical,
        "the last token key ends within a lease and no other is announced",
        "run `coterm-cloud keys rotate token`; if the keyring is signed offline, `coterm-cloud keys draft-keyring`";
    RotationFailed = "ROTATION_FAILED", Critical,
        "a token key or keyring that is due could not be made; the old ones stay in use",
        "mend what the sentence names; it is tried again by itself";
    KeyringNotRenewable = "KEYRING_NOT_RENEWABLE", Warning,
        "too few keyring keys are within reach to sign the next keyring",
        "sign the next one offline: `coterm-cloud keys draft-keyring`";
    KeyringBehindRoot = "KEYRING_BEHIND_ROOT", Critical,
        "no keyring is signed under the newest root yet, so no device can adopt that root",
        "sign one: `coterm-cloud keys draft-keyring`, `keys sign`, `keys assemble`, `keys install-keyring`";
    SignerUnavailable = "SIGNER_UNAVAILABLE", Critical,
        "the key that signs tokens cannot be used; devices go on with the tokens they hold",
        "look at the token or card, its PIN and its module; it is tried again by itself";
    TrustUnreadable = "TRUST_UNREADABLE", Critical,
        "the trust directory changed and cannot be read; the daemon goes on with what it had",
        "restore the file the sentence names, or repeat the last `coterm-cloud keys` command";
    RootKeyOnline = "ROOT_KEY_ONLINE", Warning,
        "private root keys lie beside the daemon, enough of them to make any root",
        "move them offline: `coterm-cloud keys draft-root`, see Keys in OPERATIONS.md";
    SigningHalted = "SIGNING_HALTED", Critical,
        "a device showed a token signed with our key that was not issued here; nothing is signed for its organization",
        "stop the second daemon, or revoke the stolen key with `--raise-epoch`; then `coterm platform halts confirm ORG`";
    TokensContradict = "TOKENS_CONTRADICT", Critical,
        "devices refused a token because they hold another one of the same version",
        "two issuers are at work or a key is abused: look for a second daemon; then `coterm platform halts confirm ORG`";
    DeviceQuarantined = "DEVICE_QUARANTINED", Warning,
        "devices claim tokens that were not issued here and do not show them; their reports are not believed",
        "look at the devices: a cloned disk, a manipulated agent, or a second cloud";
    TimeInDoubt = "TIME_IN_DOUBT", Critical,
        "the clock of this machine cannot be believed; nothing is signed",
        "look at the clock, set it right, then `coterm time confirm`";
    OperationHeld = "OPERATION_HELD", Warning,
        "operations of an organization that would lock many devices wait for somebody of the vendor to decide",
        "`coterm held list --org ORG`, look at each with `coterm held show`, then `coterm held approve` or `reject`; what nobody decides is dropped";
    NoticesUndelivered = "NOTICES_UNDELIVERED", Warning,
        "notices of an organization could not be delivered for days, or were refused, and were given up",
        "`coterm notice list --dead` says why; mend it or remove the endpoint, then `coterm notice redeliver`";
    MailUnreachable = "MAIL_UNREACHABLE", Critical,
        "the mail server does not answer or refuses our login, so no notice gets out by mail",
        "look at the mail server and at [smtp] in the configuration: `coterm-cloud check`; it is tried again by itself";
    AuthorityEnds = "AUTHORITY_ENDS", Warning,
        "the certificate authority ends within a year",
        "plan a new one; every device has to be provisioned again";
    CertificateEnds = "CERTIFICATE_ENDS", Critical,
        "a certificate of the daemon or its broker ends soon and was not renewed",
        "look at the log for what keeps it from being renewed; of an external broker's client certificate, install a new one";
}

impl fmt::Display for AlarmCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for AlarmCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_exactly_these_alarms() {
        let page = include_str!("../../../shared/docs/OPERATIONS.md");
        let listed: Vec<&str> = page
            .lines()
            .skip_while(|line| *line != "## Alarms")
            .skip(1)
            .take_while(|line| !line.starts_with("## "))
            .filter(|line| line.starts_with("| `"))
            .collect();
        let expected: Vec<String> = AlarmCode::ALL
            .iter()
            .map(|code| {
                format!("| `{code}` | {} | {} | {} |", code.severity().name(), code.meaning(), code.hint())
            })
            .collect();
        assert_eq!(listed, expected, "\n{}\n", expected.join("\n"));
    }
}
