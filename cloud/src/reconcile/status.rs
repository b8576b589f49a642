//! What can be told about a device at any moment.

use super::plan::{Held, Issued};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::protocol::Report;
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenVersion;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The fleet, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetCensus {
    /// Devices known.
    pub devices: u64,
    /// Of those, with a connection that stands.
    pub connected: u64,
    /// Of those that reported, by the state they were in.
    pub states: BTreeMap<&'static str, u64>,
    /// Whose newest token's lease ended.
    pub overdue: u64,
    /// Whose reports are not believed.
    pub quarantined: u64,
}

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
    /// How often it was asked to show that token.
    pub asked: u32,
}

/// What makes it certain that somebody else signs with our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A token of a version that was not issued here.
    ForeignToken,
    /// A token of a version that was issued here, with other content; without proof, a device that says it refused one.
    Contradiction,
    /// A token that was not issued here, claimed and not shown: that one device is not believed.
    Claim,
}

/// Why nothing is signed for an organization (token §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Since when.
    pub since: Timestamp,
    /// The device that showed a token that was not issued here.
    pub device: DeviceId,
    /// The version of that token.
    pub version: TokenVersion,
    /// What is wrong with it.
    pub cause: Cause,
}

/// A refusal for contradiction (token §4 step 9) that a device reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contradiction {
    /// Whose device it was.
    pub organization: OrganizationId,
    /// Since when nobody took note of it.
    pub since: Timestamp,
    /// The device's count of refusals when it was reported: tells one from the next.
    pub count: u64,
    /// Whether an operator took note of it.
    pub noted: bool,
}

/// Something an operator has to look into and can then confirm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspicion {
    /// The organization.
    pub organization: OrganizationId,
    /// Since when.
    pub since: Timestamp,
    /// The device that showed it or said so.
    pub device: DeviceId,
    /// The version of the token it showed.
    pub version: Option<TokenVersion>,
    /// What it is.
    pub cause: Cause,
    /// Whether nothing is signed for the organization because of it.
    pub halts: bool,
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
