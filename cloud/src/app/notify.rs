//! The courier of notices, as configured.

use super::StartError;
use crate::alarms::Alarms;
use crate::books::Books;
use crate::config::Config;
use crate::notify::webhook::authorities;
use crate::notify::{Courier, Mail, Rules, Settings, Way, Webhooks};
use std::sync::Arc;

/// What may be an endpoint under this configuration.
pub(super) const fn rules(config: &Config) -> Rules {
    Rules { allow_private: config.notify.allow_private_addresses, mail: config.mail.is_some() }
}

/// The courier; it delivers nothing yet.
///
/// # Errors
/// If the authorities of webhooks cannot be read.
pub(super) fn courier(
    config: &Config,
    books: &Books,
    alarms: &Arc<Alarms>,
) -> Result<Arc<Courier>, StartError> {
    let notify = &config.notify;
    let roots = notify.ca_file.as_deref().map(authorities).transpose().map_err(StartError::Webhooks)?;
    let webhooks: Arc<dyn Way> = Arc::new(Webhooks::new(notify.allow_private_addresses, roots));
    let mail = config.mail.clone().map(|settings| Arc::new(Mail::new(settings)) as Arc<dyn Way>);
    let settings = Settings { retry_first: notify.retry_first, give_up: notify.give_up };
    Ok(Courier::new(books.clone(), mail, webhooks, settings, Arc::clone(alarms)))
}
