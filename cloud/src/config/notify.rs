//! Reading how notices are delivered: `[notify]` and `[smtp]`.

use super::Notify;
use super::read::Reader;
use crate::notify::mail::{MailSettings, Security, check_sender};
use coterm_shared::time::DAY_SECS;
use std::net::IpAddr;

pub(super) fn read_notify(from: &mut Reader, demonstration: bool) -> Notify {
    let shortest = if demonstration { 1 } else { 3_600 };
    Notify {
        retry_first: from.seconds("notify.retry_first_secs", 1..=3_600),
        give_up: from.seconds("notify.give_up_secs", shortest..=30 * DAY_SECS),
        allow_private_addresses: from.flag("notify.allow_private_addresses"),
        ca_file: from.optional_path("notify.ca_file"),
    }
}

/// Every key is read whether or not there is a host, so that a typing error does not lie in wait.
pub(super) fn read_mail(from: &mut Reader) -> Option<MailSettings> {
    let port = u16::try_from(from.number("smtp.port", 1..=65_535)).unwrap_or(u16::MAX);
    let choices = [("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)];
    let security = from.choice("smtp.security", &choices);
    let username = from.optional_text("smtp.username").filter(|name| !name.is_empty());
    let password_file = from.optional_path("smtp.password_file");
    let ca_file = from.optional_path("smtp.ca_file");
    let host = from.optional_text("smtp.host").filter(|host| !host.is_empty())?;
    let sender = from.text("smtp.from", "smtp.host");
    if !sender.is_empty()
        && let Err(error) = check_sender(&sender)
    {
        let hint = "Write an address, such as licenses@example.com or Coterm <licenses@example.com>";
        from.report("smtp.from", format!("`{sender}` is no sender: {error}"), hint);
    }
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if security == Some(Security::None) && !local {
        let told = format!("mail and password would travel to {host} unencrypted");
        from.report("smtp.security", told, "Use starttls or tls; none is for a server on this machine");
    }
    let login = match (username, password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        (Some(_), None) => {
            from.report("smtp.password_file", "is not set", "It is needed for smtp.username");
            None
        }
        (None, Some(_)) => {
            from.report("smtp.username", "is not set", "It is needed for smtp.password_file");
            None
        }
    };
    Some(MailSettings { host, port, security: security?, from: sender, login, ca_file })
}
