//! What a device should hold: the cloud's side of a license-state token, before time and sequence are added.
//!
//! It contains nothing that depends on when it is asked, so two answers differ only if something changed. A group
//! that expires as announced therefore costs no signature and no message (domain E5).

use super::organization::Organization;
use crate::enforcement::Schedule;
use crate::finding::Finding;
use crate::id::{DeviceId, GroupId, OrganizationId, SiteId};
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The license state a device should hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The device.
    pub device: DeviceId,
    /// Its organization.
    pub organization: OrganizationId,
    /// Its site.
    pub site: SiteId,
    /// Its license group.
    pub group: Option<GroupId>,
    /// Why, also of what is still ahead, sorted.
    pub findings: Vec<Finding>,
    /// The whole ladder ahead.
    pub schedule: Schedule,
    /// The group's co-termination instant, to show.
    pub coterm_at: Option<Timestamp>,
}

impl Organization {
    /// What an active device should hold; `None` for a retired or unknown one.
    #[must_use]
    pub fn wanted(&self, id: &DeviceId) -> Option<Wanted> {
        let device = self.device(id).filter(|device| device.is_active())?;
        let group = self.group(self.group_of_site(device.site)?)?;
        Some(Wanted {
            device: id.clone(),
            organization: self.id(),
            site: device.site,
            group: Some(group.id),
            findings: group.announced_findings(),
            schedule: group.assessment.schedule,
            coterm_at: group.figures.term.coterm_at(),
        })
    }
}
