//! What a token says, and how it is spelled (token §1).
//!
//! [`Claims`] is the flat, typed form both sides work with; the wire tables below are the nested maps of the CDDL.
//! The rules about times hold in both directions: the cloud cannot issue what a device would refuse.

use super::codec::{CodecError, decode, encode, uint_at};
use super::wire::{Fixed, int_map};
use super::{Nonce, TokenRefusal, TokenVersion, TrustDomain};
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, OrganizationId, SiteId};
use crate::product::ProductType;
use crate::time::{DAY_SECS, Timestamp};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

/// How many findings a token may carry; an issuer with more names the first ones (token §2: bounded).
pub const MAX_FINDINGS: usize = 64;

/// The only profile version this program speaks.
const PROFILE: u64 = 1;
/// The private claim that holds the license state.
const LICENSE: i64 = -70001;
/// A day in the unit of the sequence.
const DAY_MILLIS: u64 = DAY_SECS * 1000;

/// The complete license state of one device at one instant (token §1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who issued it: claim 1.
    pub trust_domain: TrustDomain,
    /// Whom it is for: claim 3.
    pub device: DeviceId,
    /// When the lease ends: claim 4. A token goes on to be believed after it; a newer one was due.
    pub lease_ends_at: Timestamp,
    /// When it was issued: claim 6.
    pub issued_at: Timestamp,
    /// The device's nonce, if it answers a request: claim 10.
    pub nonce: Option<Nonce>,
    /// The organization the device belongs to: license 2.
    pub organization: OrganizationId,
    /// The site the device is at: license 3.
    pub site: SiteId,
    /// The license group; `None` is Unassigned: license 4.
    pub group: Option<GroupId>,
    /// Where the ladder stands at `issued_at`, to show; the schedule decides: license 5.
    pub state: EnforcementState,
    /// Why, also of what is still ahead, at most [`MAX_FINDINGS`]: license 6.
    pub findings: Vec<Finding>,
    /// The ladder ahead as absolute instants: license 7.
    pub schedule: Schedule,
    /// When management locks if no newer token ever arrives (domain E7): license 8.
    pub offline_lock_at: Timestamp,
    /// Which token is newer: license 9 and 10.
    pub version: TokenVersion,
    /// When the group's keys co-terminate, to show; `None` is never: license 11.
    pub coterm_at: Option<Timestamp>,
}

/// Why claims cannot be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// The lease ends at or before the instant of issue.
    #[error("the lease ends before it begins: let it end after the instant of issue")]
    LeaseEmpty,
    /// The offline lock comes before the instant of issue.
    #[error("the offline lock lies before the instant of issue: compute it from there")]
    OfflineLockBeforeIssue,
    /// The steps of the schedule are out of order.
    #[error(
        "the schedule is out of order: grace, lock and stop follow one another, none without those before"
    )]
    ScheduleUnordered,
    /// More than [`MAX_FINDINGS`] findings.
    #[error("more than {MAX_FINDINGS} findings: name the first {MAX_FINDINGS}")]
    TooManyFindings,
    /// A shortfall of no units.
    #[error("a shortfall of zero units is none: leave that finding out")]
    EmptyShortfall,
    /// The sequence is more than a day away from the instant of issue.
    #[error("the sequence is more than a day away from the instant of issue: check the clock before issuing")]
    SequenceOffTime,
}

impl Claims {
    /// Token §4 step 6: the instants fit together.
    fn check_times(&self) -> Result<(), ClaimsError> {
        if self.lease_ends_at <= self.issued_at {
            Err(ClaimsError::LeaseEmpty)
        } else if self.offline_lock_at < self.issued_at {
            Err(ClaimsError::OfflineLockBeforeIssue)
        } else if !self.schedule.is_ordered() {
            Err(ClaimsError::ScheduleUnordered)
        } else {
            Ok(())
        }
    }

    /// Token §4 step 8: the sequence is milliseconds since 1970, within a day of the instant of issue.
    pub(super) fn is_sequence_near_issue(&self) -> bool {
        self.version.seq.abs_diff(self.issued_at.as_secs().saturating_mul(1000)) <= DAY_MILLIS
    }

    /// The payload of a token with these claims.
    pub(super) fn encode(&self) -> Result<Vec<u8>, ClaimsError> {
        self.check_times()?;
        if self.findings.len() > MAX_FINDINGS {
            return Err(ClaimsError::TooManyFindings);
        }
        if self.findings.iter().any(|finding| matches!(finding, Finding::OverCapacity { shortfall: 0, .. })) {
            return Err(ClaimsError::EmptyShortfall);
        }
        if !self.is_sequence_near_issue() {
            return Err(ClaimsError::SequenceOffTime);
        }
        Ok(encode(&WireClaims::from(self)).unwrap_or_default())
    }

    /// The claims in a payload (token §4 step 6).
    pub(super) fn decode(payload: &[u8]) -> Result<Claims, TokenRefusal> {
        let wire = decode::<WireClaims>(payload).map_err(|error| match error {
            CodecError::Encoding => TokenRefusal::ClaimsEncoding,
            CodecError::Malformed => match uint_at(payload, &[LICENSE, 1]) {
                Some(version) if version != PROFILE => TokenRefusal::ProfileVersion,
                _ => TokenRefusal::ClaimsMalformed,
            },
        })?;
        if wire.license.profile != PROFILE {
            return Err(TokenRefusal::ProfileVersion);
        }
        let claims = Claims::from(wire);
        if claims.findings.len() > MAX_FINDINGS {
            return Err(TokenRefusal::ClaimsMalformed);
        }
        claims.check_times().map_err(|_| TokenRefusal::TimesUnordered)?;
        Ok(claims)
    }
}

int_map! {
    /// `claims` of the CDDL.
    WireClaims {
        req 1 => issuer: TrustDomain,
        req 3 => audience: DeviceId,
        req 4 => expires: Timestamp,
        req 6 => issued: Timestamp,
        opt 10 => nonce: Option<Nonce>,
        req -70001 => license: WireLicense,
    }
}

int_map! {
    /// `license` of the CDDL.
    WireLicense {
        req 1 => profile: u64,
        req 2 => organization: Fixed<16>,
        req 3 => site: Fixed<16>,
        opt 4 => group: Option<Fixed<16>>,
        req 5 => state: WireState,
        req 6 => findings: Vec<WireFinding>,
        req 7 => schedule: (Option<Timestamp>, Option<Timestamp>, Option<Timestamp>),
        req 8 => offline_lock: Timestamp,
        req 9 => epoch: u64,
        req 10 => seq: u64,
        req 11 => coterm: Option<Timestamp>,
    }
}

impl From<&Claims> for WireClaims {
    fn from(claims: &Claims) -> Self {
        let Schedule { grace_begins_at, lock_at, stop_at } = claims.schedule;
        WireClaims {
            issuer: claims.trust_domain.clone(),
            audience: claims.device.clone(),
            expires: claims.lease_ends_at,
            issued: claims.issued_at,
            nonce: claims.nonce.clone(),
            license: WireLicense {
                profile: PROFILE,
                organization: Fixed(*claims.organization.as_bytes()),
                site: Fixed(*claims.site.as_bytes()),
                group: claims.group.map(|group| Fixed(*group.as_bytes())),
                state: WireState(claims.state),
                findings: claims.findings.iter().copied().map(WireFinding).collect(),
                schedule: (grace_begins_at, lock_at, stop_at),
                offline_lock: claims.offline_lock_at,
                epoch: claims.version.epoch,
                seq: claims.version.seq,
                coterm: claims.coterm_at,
            },
        }
    }
}

impl From<WireClaims> for Claims {
    fn from(wire: WireClaims) -> Self {
        let license = wire.license;
        let (grace_begins_at, lock_at, stop_at) = license.schedule;
        Claims {
            trust_domain: wire.issuer,
            device: wire.audience,
            lease_ends_at: wire.expires,
            issued_at: wire.issued,
            nonce: wire.nonce,
            organization: OrganizationId::from_bytes(license.organization.0),
            site: SiteId::from_bytes(license.site.0),
            group: license.group.map(|group| GroupId::from_bytes(group.0)),
            state: license.state.0,
            findings: license.findings.into_iter().map(|finding| finding.0).collect(),
            schedule: Schedule { grace_begins_at, lock_at, stop_at },
            offline_lock_at: license.offline_lock,
            version: TokenVersion { epoch: license.epoch, seq: license.seq },
            coterm_at: license.coterm,
        }
    }
}

/// `0..3` of the CDDL.
struct WireState(EnforcementState);

impl Serialize for WireState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0.number())
    }
}

impl<'de> Deserialize<'de> for WireState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        EnforcementState::ALL
            .into_iter()
            .find(|state| state.number() == number)
            .map(WireState)
            .ok_or_else(|| de::Error::custom("not a state"))
    }
}

/// `finding` of the CDDL: `[code]`, or `[2, product, shortfall]`.
struct WireFinding(Finding);

impl Serialize for WireFinding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = self.0.number();
        match self.0 {
            Finding::OverCapacity { product, shortfall } => {
                let mut array = serializer.serialize_seq(Some(3))?;
                array.serialize_element(&number)?;
                array.serialize_element(&product.number())?;
                array.serialize_element(&shortfall)?;
                array.end()
            }
            Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {
                let mut array = serializer.serialize_seq(Some(1))?;
                array.serialize_element(&number)?;
                array.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for WireFinding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = WireFinding;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a finding of the registry")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut array: A) -> Result<WireFinding, A::Error> {
                let missing = || de::Error::custom("a finding lacks a part");
                let finding = match array.next_element::<u16>()?.ok_or_else(missing)? {
                    1 => Finding::TermEnded,
                    2 => {
                        let product = array.next_element::<u16>()?.ok_or_else(missing)?;
                        let shortfall = array.next_element::<u64>()?.ok_or_else(missing)?;
                        let product = ProductType::from_number(product).filter(|_| shortfall > 0);
                        Finding::OverCapacity { product: product.ok_or_else(missing)?, shortfall }
                    }
                    3 => Finding::NoLicense,
                    4 => Finding::TrialEnded,
                    5 => Finding::OfflineBudget,
                    _ => return Err(de::Error::custom("not a finding of the registry")),
                };
                Ok(WireFinding(finding))
            }
        }
        deserializer.deserialize_seq(Visitor)
    }
}

/// The tables of this file, for the test that compares them with the CDDL.
#[cfg(test)]
pub(super) const TABLES: [(&str, &[super::wire::Row]); 2] =
    [("claims", WireClaims::ROWS), ("license", WireLicense::ROWS)];
