//! What the interface needs from the rest of the daemon, besides the books.

use super::bundle::{BrokerAddress, Trust};
use crate::books::BooksError;
use crate::ports::BoxFuture;
use coterm_certs::{DeviceCertificate, PkiError};
use coterm_shared::id::{DeviceId, OrganizationId};
use serde::Serialize;
use serde_json::Value;

/// A device's new certificate.
#[derive(Debug)]
pub struct Provisioned {
    /// The certificate, with the only copy of its key.
    pub certificate: DeviceCertificate,
    /// How many certificates of the device it takes the place of; they are revoked.
    pub replaced: usize,
}

/// Makes a device ready to connect.
pub trait Provisioner: Send + Sync + 'static {
    /// A new certificate for a device of this organization; it takes the place of all older ones. Blocks on the disk.
    ///
    /// # Errors
    /// The PKI refuses.
    fn certificate(&self, device: &DeviceId, organization: OrganizationId) -> Result<Provisioned, PkiError>;
    /// What a device must trust from the start.
    fn trust(&self) -> Trust;
    /// Where devices connect.
    fn broker(&self) -> BrokerAddress;
}

/// What is known of devices in the field.
pub trait Fleet: Send + Sync + 'static {
    /// What the daemon last heard of a device and last sent it, as JSON; `None` if it never heard of it, or if another
    /// organization has claimed it since.
    fn status(&self, organization: OrganizationId, device: &DeviceId) -> Option<Value>;
    /// What operators have to look into and can confirm (token §3), as JSON, by organization.
    fn suspicions(&self) -> Vec<Value>;
    /// Signs for the organization again; returns whether there was anything to confirm.
    fn confirm(&self, organization: OrganizationId) -> BoxFuture<'_, Result<bool, BooksError>>;
}

/// Something that keeps the daemon from its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Obstacle {
    /// Stable code.
    pub code: &'static str,
    /// What is the case. Anybody may read it: no names, no paths.
    pub reason: String,
    /// Whether the process is no good any more and should be started anew.
    #[serde(skip)]
    pub dead: bool,
}

/// Whether the daemon does its work.
pub trait Readiness: Send + Sync + 'static {
    /// What keeps it from its work; empty if nothing does.
    fn obstacles(&self) -> Vec<Obstacle>;
}

/// A fleet nobody has heard of, and no obstacles: for a daemon without a reconciler, and for tests.
#[derive(Clone, Copy, Debug)]
pub struct Unknown;

impl Fleet for Unknown {
    fn status(&self, _organization: OrganizationId, _device: &DeviceId) -> Option<Value> {
        None
    }

    fn suspicions(&self) -> Vec<Value> {
        Vec::new()
    }

    fn confirm(&self, _organization: OrganizationId) -> BoxFuture<'_, Result<bool, BooksError>> {
        Box::pin(async { Ok(false) })
    }
}

impl Readiness for Unknown {
    fn obstacles(&self) -> Vec<Obstacle> {
        Vec::new()
    }
}
