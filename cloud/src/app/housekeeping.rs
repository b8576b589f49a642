//! What has to be done now and then: what `coterm-cloud keys` wrote taken over, token keys rotated, the broker's
//! certificate renewed, revocations read, alarms raised, also of what waits for approval; and connections ended whose devices changed hands.

use super::ends;
use super::mqtt::{Started, reload_external};
use crate::alarms::{AlarmCode, Alarms, Condition};
use crate::books::{Books, Touch, WaitsForVendor};
use crate::config::Config;
use crate::reconcile::Reconciler;
use crate::signer::Trust;
use coterm_certs::{Pki, PkiError};
#[cfg(feature = "embedded-broker")]
use coterm_shared::id::DeviceId;
use coterm_shared::id::OrganizationId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// The longest time between two rounds.
const ROUND: Duration = Duration::from_secs(60);

/// Between two looks at what `coterm-cloud keys` may have written.
const LOOK: Duration = Duration::from_secs(1);

/// Starts doing it, until told to stop.
#[expect(clippy::too_many_arguments, reason = "it looks after all of them, and is called once")]
pub(super) fn start(
    config: &Config,
    books: Books,
    trust: Arc<Trust>,
    pki: Pki,
    mqtt: Started,
    revoked: Arc<Notify>,
    alarms: Arc<Alarms>,
    reconciler: Arc<Reconciler>,
    mut stop: watch::Receiver<bool>,
) -> JoinHandle<()> {
    // Often enough that a key is rotated well within its notice, also with the short leases of a demonstration.
    let round = ROUND.min(Duration::from_secs(config.tokens.lease.0 / 4)).max(Duration::from_secs(1));
    let mut feed = books.subscribe();
    let config = config.clone();
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval(round);
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = stop.changed() => return,
                // A new certificate took the place of another, which must not serve a moment longer.
                () = revoked.notified() => {
                    renew(&pki, &mqtt).await;
                    renew_for_other_brokers(&pki, &mqtt).await;
                }
                touches = feed.changed() => change_hands(&mqtt, touches).await,
                _ = looks.tick() => {
                    suspect(&books, &reconciler, &alarms);
                    if take_over(&books, &trust).await {
                        alarm(&config, &books, &trust, &pki, &alarms).await;
                    }
                }
                _ = rounds.tick() => {
                    rotate(&books, &trust).await;
                    renew(&pki, &mqtt).await;
                    renew_for_other_brokers(&pki, &mqtt).await;
                    alarm(&config, &books, &trust, &pki, &alarms).await;
                }
            }
        }
    })
}

/// Takes over what operators changed; returns whether anything is to be looked at anew.
async fn take_over(books: &Books, trust: &Arc<Trust>) -> bool {
    let (now, trust) = (books.now(), Arc::clone(trust));
    match tokio::task::spawn_blocking(move || trust.reload_if_changed(now)).await {
        Ok(Ok(false)) => false,
        Ok(Ok(true)) => {
            tracing::info!("root or keyring were changed by hand and are taken over");
            true
        }
        // Said by its alarm, once.
        Ok(Err(_)) => true,
        Err(error) => {
            tracing::error!(%error, "reading root and keyring crashed; tried again");
            false
        }
    }
}

/// Settles what operators have to know about keys and certificates.
async fn alarm(config: &Config, books: &Books, trust: &Arc<Trust>, pki: &Pki, alarms: &Arc<Alarms>) {
    let now = books.now();
    let (config, trust, pki) = (config.clone(), Arc::clone(trust), pki.clone());
    // It reads files, and asks hardware.
    let look = move || (trust.conditions(now), ends::conditions(&config, &pki, now));
    let Ok((keys, certificates)) = tokio::task::spawn_blocking(look).await else { return };
    alarms.settle(Trust::CODES, keys, now);
    alarms.settle(ends::CODES, certificates, now);
}

/// Settles what operators have to know about devices, other signers, the time, and what waits for them.
fn suspect(books: &Books, reconciler: &Reconciler, alarms: &Alarms) {
    let now = books.now();
    alarms.settle(Reconciler::CODES, reconciler.conditions(), now);
    let doubt = books.time_doubt();
    let doubts = doubt.map(|doubt| Condition::new(AlarmCode::TimeInDoubt, "", doubt.to_string()));
    alarms.settle(&[AlarmCode::TimeInDoubt], doubts.into_iter().collect(), now);
    alarms.settle(&[AlarmCode::OperationHeld], books.waits_for_vendor().iter().map(waits).collect(), now);
}

/// What waits in an organization for somebody of the vendor.
fn waits(held: &WaitsForVendor) -> Condition {
    let WaitsForVendor { organization, name, count, first_expires_at } = held;
    let what =
        if *count == 1 { String::from("an operation waits") } else { format!("{count} operations wait") };
    let told = format!("{what} for approval in {name}, until {first_expires_at} at first");
    Condition::new(AlarmCode::OperationHeld, organization.to_string(), told)
}

async fn rotate(books: &Books, trust: &Arc<Trust>) {
    // In doubt nothing is signed, so no key is needed; one made now would have the wrong window.
    if books.time_doubt().is_some() {
        return;
    }
    let (now, trust) = (books.now(), Arc::clone(trust));
    // It writes files.
    match tokio::task::spawn_blocking(move || trust.rotate_if_due(now)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, "the token key was not rotated; tried again"),
        Err(error) => tracing::error!(%error, "rotating the token key crashed; tried again"),
    }
}

/// Keeps what brokers elsewhere need from us: the cloud's client certificate, and the X.509 list of revoked ones.
pub(super) fn for_other_brokers(pki: &Pki) {
    match pki.write_revocation_list() {
        Ok(false) => {}
        Ok(true) => tracing::debug!("pki/revoked.crl was written: give it to your broker if you run one"),
        // Where the authority is kept elsewhere nothing can be signed here, and nothing was revoked here either.
        Err(PkiError::NoAuthorityKey { .. }) => {}
        Err(error) => tracing::error!(%error, "pki/revoked.crl is not up to date; tried again"),
    }
    match pki.cloud_identity() {
        Ok(_) | Err(PkiError::NoAuthorityKey { .. }) => {}
        Err(error) => tracing::error!(%error, "pki/cloud.crt is not up to date; tried again"),
    }
}

/// The same in the background.
async fn renew_for_other_brokers(pki: &Pki, mqtt: &Started) {
    let (pki, external) = (pki.clone(), mqtt.external.clone());
    let renewed = tokio::task::spawn_blocking(move || {
        for_other_brokers(&pki);
        if let Some((broker, config)) = external
            && let Err(error) = reload_external(&broker, &config)
        {
            tracing::error!(%error, "the external broker is shown the certificate read before; tried again");
        }
    });
    if let Err(error) = renewed.await {
        tracing::error!(%error, "what other brokers need was not renewed; tried again");
    }
}

#[cfg(feature = "embedded-broker")]
async fn renew(pki: &Pki, mqtt: &Started) {
    let Some((broker, names)) = &mqtt.embedded else { return };
    let (pki, names) = (pki.clone(), names.clone());
    let read = move || (pki.server_identity(&names), pki.revoked());
    let Ok((identity, revoked)) = tokio::task::spawn_blocking(read).await else { return };
    match identity.map_err(|error| error.to_string()) {
        Ok(identity) => {
            if let Err(error) = broker.reload(&identity) {
                tracing::error!(%error, "the broker keeps its old certificate");
            }
        }
        Err(error) => tracing::error!(%error, "the broker keeps its old certificate"),
    }
    match revoked {
        Ok(revoked) => broker.set_revoked(revoked).await,
        Err(error) => tracing::error!(%error, "the broker keeps its old list of revoked certificates"),
    }
}

/// Ends the connections of devices that have another owner now.
#[cfg(feature = "embedded-broker")]
async fn change_hands(mqtt: &Started, touches: BTreeMap<OrganizationId, Touch>) {
    let Some((broker, _)) = &mqtt.embedded else { return };
    for touch in touches.into_values() {
        match touch {
            Touch::Everything => broker.end_disowned(None).await,
            Touch::Some { devices, .. } => {
                let devices: Vec<DeviceId> = devices.into_iter().collect();
                broker.end_disowned(Some(&devices)).await;
            }
        }
    }
}

#[cfg(not(feature = "embedded-broker"))]
async fn change_hands(_: &Started, _: BTreeMap<OrganizationId, Touch>) {}

#[cfg(not(feature = "embedded-broker"))]
async fn renew(_: &Pki, _: &Started) {}
