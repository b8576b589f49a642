//! What the HTTP interface asks of the rest of the daemon.

use crate::books::{Ailment, Books, BooksError};
use crate::http::{self, BrokerAddress, Fleet, Obstacle, Provisioned, Provisioner, Readiness};
use crate::mqtt::external::LinkStatus;
use crate::ports::{BoxFuture, Owners};
use crate::reconcile::{DeviceStatus, Held, Link, Reconciler};
use crate::signer::Trust;
use coterm_certs::{Pki, PkiError, Time};
use coterm_shared::id::{DeviceId, OrganizationId};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Makes devices ready to connect, from the PKI and the chain of trust.
#[derive(Debug)]
pub(super) struct DeviceKits {
    pub(super) pki: Pki,
    pub(super) trust: Arc<Trust>,
    pub(super) broker: BrokerAddress,
    /// Told when certificates were revoked.
    pub(super) revoked: Arc<Notify>,
}

impl Provisioner for DeviceKits {
    fn certificate(&self, device: &DeviceId, organization: OrganizationId) -> Result<Provisioned, PkiError> {
        let certificate = self.pki.device_certificate(device, organization)?;
        let replaced = self.pki.keep_only(device, &certificate.facts.serial)?;
        if replaced > 0 {
            self.revoked.notify_one();
        }
        Ok(Provisioned { certificate, replaced })
    }

    fn trust(&self) -> http::Trust {
        let (root, keyring) = self.trust.pair();
        http::Trust {
            domain: root.trust_domain().to_string(),
            root: root.bytes().to_vec(),
            keyring: keyring.bytes().to_vec(),
        }
    }

    fn broker(&self) -> BrokerAddress {
        self.broker.clone()
    }
}

/// Whose devices are, from the books.
#[derive(Debug)]
pub(super) struct Claims(pub(super) Books);

impl Owners for Claims {
    fn is_owner(&self, organization: OrganizationId, device: &DeviceId) -> bool {
        self.0.is_owner(organization, device)
    }
}

/// What the reconciler knows of devices, as JSON.
#[derive(Debug)]
pub(super) struct Statuses(pub(super) Arc<Reconciler>);

impl Fleet for Statuses {
    fn status(&self, organization: OrganizationId, device: &DeviceId) -> Option<Value> {
        // A retired device that another organization claimed is none of the first one's business any more.
        self.0
            .status(device)
            .filter(|status| status.organization == Some(organization))
            .map(|status| shown(&status))
    }

    fn suspicions(&self) -> Vec<Value> {
        self.0.suspicions().iter().map(|suspicion| json!(suspicion)).collect()
    }

    fn confirm(&self, organization: OrganizationId) -> BoxFuture<'_, Result<bool, BooksError>> {
        Box::pin(self.0.confirm(organization))
    }
}

/// A device's status: `null` where nothing is known, never a guess.
fn shown(status: &DeviceStatus) -> Value {
    let report = status.report.as_deref();
    let held = report.and_then(|report| report.held);
    let issued = status.issued.map(|issued| issued.version);
    json!({
        "connected": match status.link {
            Link::Unknown => None,
            Link::Connected => Some(true),
            Link::Disconnected => Some(false),
        },
        "last_seen_at": status.heard_at,
        "mode": report.map(|report| report.mode),
        "state": report.map(|report| report.state),
        "reasons": report.map(|report| &report.reasons),
        "held": held,
        "issued": status.issued.map(|issued| json!({
            "version": issued.version,
            "issued_at": issued.issued_at,
            "lease_ends_at": issued.lease_ends_at,
        })),
        "up_to_date": report.map(|_| held.is_some() && held == issued && status.quarantine.is_none()),
        "keyring_version": report.map(|report| report.keyring_version),
        "root_version": report.map(|report| report.root_version),
        "trusted_time": report.map(|report| report.trusted_time),
        "last_refusal": report.and_then(|report| report.last_refusal.as_ref()),
        "agent_version": report.map(|report| &report.agent_version),
        "quarantined": status.quarantine.map(|quarantine| json!({
            "since": quarantine.since,
            "asked_for_proof": quarantine.asked,
            "claims_to_hold": match quarantine.held {
                Held::Version(version) => Some(version),
                Held::Unknown | Held::Nothing => None,
            },
        })),
    })
}

/// The time at which our certificates are made, and made anew. What was made by a clock that ran ahead does not stay once that
/// clock is put right and confirmed, though cloud time never goes back.
pub(super) fn time_of_making(books: &Books) -> Time {
    match books.believed() {
        (now, None) => Time::Sure(now),
        (now, Some(_)) => Time::Doubted(now),
    }
}

/// Cloud time, at which others' certificates are judged: a clock in doubt locks nobody out.
#[derive(Debug)]
pub(super) struct CloudTime(pub(super) Books);

impl TimeProvider for CloudTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().as_secs())))
    }
}

/// What keeps the daemon from its work.
#[derive(Clone, Debug)]
pub(super) struct Obstacles {
    pub(super) books: Books,
    pub(super) reconciler: Arc<Reconciler>,
    pub(super) external: Option<watch::Receiver<LinkStatus>>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl Readiness for Obstacles {
    fn obstacles(&self) -> Vec<Obstacle> {
        let mut obstacles = Vec::new();
        let mut add = |code, dead, reason: &str| {
            obstacles.push(Obstacle { code, reason: reason.to_owned(), dead });
        };
        let stopping = *self.stopping.borrow();
        if stopping {
            add("STOPPING", false, "the daemon is stopping");
        }
        match self.books.meters().ailment() {
            None => {}
            Some(Ailment::Failing) => {
                add(
                    "STORE_FAILING",
                    false,
                    "the last change could not be written: the disk is full or fails",
                );
            }
            Some(Ailment::Stuck) => {
                add("WRITER_STUCK", !stopping, "the books have not been written for a minute, nor idled");
            }
        }
        if !stopping && self.reconciler.is_over() {
            add("RECONCILER_GONE", true, "nothing keeps devices up to date: its task ended");
        }
        if let Some(external) = &self.external
            && let LinkStatus::Down { reason } = &*external.borrow()
        {
            add("BROKER_DOWN", false, &format!("the MQTT broker is not reached: {reason}"));
        }
        obstacles
    }
}
