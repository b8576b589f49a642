//! When certificates end, and whether that is soon enough to say so.
//!
//! What renews itself is alarmed only when it should have been renewed long ago; what does not, a year ahead.

use super::mqtt::external_certificate_ends;
use crate::alarms::{AlarmCode, Condition};
use crate::config::{Config, Mqtt};
use coterm_certs::{FileState, Pki};
use coterm_shared::time::{DAY_SECS, Seconds, Timestamp};

/// How long ahead the end of the authority is said: replacing it touches every device.
const AUTHORITY_NOTICE: Seconds = Seconds::days(365);
/// How long ahead the end of a certificate is said; ours are renewed more than twice as long before it.
const CERTIFICATE_NOTICE: Seconds = Seconds::days(45);

/// What operators have to know about certificates.
pub(super) fn conditions(config: &Config, pki: &Pki, now: Timestamp) -> Vec<Condition> {
    let mut conditions = Vec::new();
    let mut look = |code, notice: Seconds, name: &str, ends_at: Timestamp| {
        if ends_at <= now.saturating_add(notice) {
            let days = ends_at.since(now).0 / DAY_SECS;
            conditions.push(Condition::new(
                code,
                name,
                format!("the {name} ends {ends_at}, in {days} day(s)"),
            ));
        }
    };
    for file in pki.files() {
        let (code, notice) = match file.name {
            "certificate authority" => (AlarmCode::AuthorityEnds, AUTHORITY_NOTICE),
            _ => (AlarmCode::CertificateEnds, CERTIFICATE_NOTICE),
        };
        match file.state {
            FileState::EndsAt(at) => look(code, notice, file.name, at),
            // Nothing to end; `check` says what is unusable.
            FileState::Missing | FileState::Unusable(_) => {}
        }
    }
    match &config.mqtt {
        Mqtt::Embedded(_) => {}
        Mqtt::External(external) => {
            if let Some(ends_at) = external_certificate_ends(external) {
                let name = "client certificate for the external broker";
                look(AlarmCode::CertificateEnds, CERTIFICATE_NOTICE, name, ends_at);
            }
        }
    }
    conditions
}

/// The codes of [`conditions`].
pub(super) const CODES: &[AlarmCode] = &[AlarmCode::AuthorityEnds, AlarmCode::CertificateEnds];
