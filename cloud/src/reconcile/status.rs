//! What can be told about a device at any moment.

use super::plan::{Held, Issued};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenVersion;
use std::sync::Arc;

/// Whether a device's connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// The broker does not tell (external), or nothing was heard since the start.
    #[default]
    Unknown,
    /// It stands.
    Connected,
    /// It ended.
    Disconnected,
}

/// Why reports of a device are not believed (token §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Since when.
    pub since: Timestamp,
    /// What it claims to hold and cannot.
    pub held: Held,
}

/// Why nothing is signed for an organization (token §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// Since when.
    pub since: Timestamp,
    /// The device that showed a token that was not issued here.
    pub device: DeviceId,
    /// The version of that token.
    pub version: TokenVersion,
}

/// Everything known about a device.
#[derive(Clone, Debug)]
pub struct DeviceStatus {
    /// Who claims it, or did last.
    pub organization: Option<OrganizationId>,
    /// Whether its connection stands.
    pub link: Link,
    /// When anything was heard of it last.
    pub heard_at: Option<Timestamp>,
    /// What it said last.
    pub report: Option<Arc<Report>>,
    /// The newest token issued to it.
    pub issued: Option<Issued>,
    /// Set while its reports are not believed.
    pub quarantine: Option<Quarantine>,
}
