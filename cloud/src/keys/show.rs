//! What `coterm-cloud keys` prints.

use crate::alarms::Condition;
use crate::signer::{RoleStatus, Status};
use serde_json::json;
use std::io::Write;

/// Prints a line; a reader that is gone is an error like any other.
pub(super) fn line(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints the status.
pub(super) fn status(status: &Status, conditions: &[Condition], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let alarms: Vec<_> = conditions
            .iter()
            .map(|alarm| {
                json!({
                    "code": alarm.code,
                    "severity": alarm.code.severity(),
                    "subject": alarm.subject,
                    "sentence": alarm.sentence,
                    "hint": alarm.code.hint(),
                })
            })
            .collect();
        let mut value = serde_json::to_value(status)?;
        if let Some(object) = value.as_object_mut() {
            object.insert(String::from("alarms"), json!(alarms));
        }
        return line(&serde_json::to_string_pretty(&value)?);
    }
    line(&format!("trust domain   {}", status.trust_domain))?;
    line(&format!("root           version {}", status.root_version))?;
    role("  next root    ", &status.root_role)?;
    role("  keyrings     ", &status.keyring_role)?;
    line(&format!(
        "keyring        version {}, made {} under root {}, signed by {}",
        status.keyring_version,
        status.keyring_issued_at,
        status.keyring_root_version,
        status.keyring_signed_by.join(", ")
    ))?;
    line(&format!("epoch          {}", status.epoch))?;
    for key in &status.token_keys {
        let signs = if key.signs { ", signs now" } else { "" };
        let here = if key.here { "" } else { ", its private half is not here" };
        line(&format!(
            "token key      {} from {} to {} ({} days left{signs}{here})",
            key.kid, key.not_before_at, key.not_after_at, key.days_left
        ))?;
    }
    for key in &status.other_keys {
        line(&format!(
            "other key      {} (use {}) from {} to {} ({} days left)",
            key.kid, key.key_use, key.not_before_at, key.not_after_at, key.days_left
        ))?;
    }
    for fault in &status.faults {
        line(&format!("fault          {fault}"))?;
    }
    for alarm in conditions {
        line(&format!(
            "{:<14} {}: {}; {}",
            alarm.code.severity().name().to_uppercase(),
            alarm.code,
            alarm.sentence,
            alarm.code.hint()
        ))?;
    }
    Ok(())
}

fn role(name: &str, role: &RoleStatus) -> anyhow::Result<()> {
    let keys: Vec<String> = role
        .keys
        .iter()
        .map(|(kid, here)| if *here { format!("{kid} (here)") } else { format!("{kid} (elsewhere)") })
        .collect();
    line(&format!("{name}{} of {}: {}", role.threshold, keys.len(), keys.join(", ")))
}
