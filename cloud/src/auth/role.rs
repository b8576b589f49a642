//! The role matrix: what a principal may do, in one place.

use coterm_shared::id::OrganizationId;
use serde::Serialize;
use std::fmt;

/// What a principal is (domain §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The vendor's staff: platform matters, and any organization on its behalf.
    Vendor,
    /// The administrator of one organization: everything in it.
    OrgAdmin(OrganizationId),
    /// A reader of one organization.
    OrgViewer(OrganizationId),
    /// A monitoring system: the daemon's metrics, and nothing of anybody's books.
    Monitor,
}

/// Which organizations a role reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// This one.
    Only(OrganizationId),
    /// None.
    Nothing,
}

/// The name of a role, as in JSON and on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleName {
    /// `vendor`
    Vendor,
    /// `org-admin`
    OrgAdmin,
    /// `org-viewer`
    OrgViewer,
    /// `monitor`
    Monitor,
}

impl RoleName {
    /// The role of this name, if the organization it needs (or does not) is given (or not).
    #[must_use]
    pub fn scoped(self, organization: Option<OrganizationId>) -> Option<Role> {
        match (self, organization) {
            (RoleName::Vendor, None) => Some(Role::Vendor),
            (RoleName::Monitor, None) => Some(Role::Monitor),
            (RoleName::OrgAdmin, Some(id)) => Some(Role::OrgAdmin(id)),
            (RoleName::OrgViewer, Some(id)) => Some(Role::OrgViewer(id)),
            (RoleName::Vendor | RoleName::Monitor, Some(_))
            | (RoleName::OrgAdmin | RoleName::OrgViewer, None) => None,
        }
    }

    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RoleName::Vendor => "vendor",
            RoleName::OrgAdmin => "org-admin",
            RoleName::OrgViewer => "org-viewer",
            RoleName::Monitor => "monitor",
        }
    }

    /// The role name with this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<RoleName> {
        [RoleName::Vendor, RoleName::OrgAdmin, RoleName::OrgViewer, RoleName::Monitor]
            .into_iter()
            .find(|name| name.as_str() == text)
    }
}

impl Role {
    /// Its name without its scope.
    #[must_use]
    pub const fn name(self) -> RoleName {
        match self {
            Role::Vendor => RoleName::Vendor,
            Role::OrgAdmin(_) => RoleName::OrgAdmin,
            Role::OrgViewer(_) => RoleName::OrgViewer,
            Role::Monitor => RoleName::Monitor,
        }
    }

    /// Which organizations it reaches at all.
    #[must_use]
    pub const fn reach(self) -> Reach {
        match self {
            Role::Vendor => Reach::All,
            Role::OrgAdmin(id) | Role::OrgViewer(id) => Reach::Only(id),
            Role::Monitor => Reach::Nothing,
        }
    }

    /// The organization it is scoped to, if to one; see [`Role::reach`] for what it may see.
    #[must_use]
    pub const fn organization(self) -> Option<OrganizationId> {
        match self {
            Role::Vendor | Role::Monitor => None,
            Role::OrgAdmin(id) | Role::OrgViewer(id) => Some(id),
        }
    }
}

/// Who is asking: one API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id, `tok_…`: public, and stable in logs.
    pub id: String,
    /// The name people gave it.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl fmt::Display for Principal {
    /// As an actor in the transaction log: the id cannot be forged by a name, so it comes first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.id, self.role.name().as_str(), self.name)
    }
}

/// What can be asked for, as far as roles tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create an organization.
    FoundOrganization,
    /// Read anything of an organization: figures, keys (masked), devices, the log.
    Read(OrganizationId),
    /// Change anything of an organization: groups, sites, devices, claims, settings.
    Change(OrganizationId),
    /// Approve or reject operations that wait for the vendor, freeze enforcement and end that.
    Release(OrganizationId),
    /// Read and change where notices of an organization go, and deliver again: addresses are people's, URLs are secrets.
    ManageEndpoints(OrganizationId),
    /// Make a device's certificate and private key.
    Provision(OrganizationId),
    /// List the API tokens of an organization, or of the platform.
    ListTokens(Option<OrganizationId>),
    /// Create or revoke an API token of this role.
    ManageToken(Role),
    /// Read what a monitoring system wants to know of the daemon.
    ReadMetrics,
    /// Read the price book and the catalog.
    ReadPlatform,
    /// Change the price book, the catalog and the limits; issue license keys, list what was issued, and give a key from
    /// one organization to another.
    ManagePlatform,
}

/// The answer of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Go ahead.
    Allowed,
    /// 403: it exists, and this role may not.
    Forbidden,
    /// 404: to this principal it does not exist, so a tenant learns nothing about another.
    Hidden,
}

/// Whether `role` may do `action`.
#[must_use]
pub fn access(role: Role, action: Action) -> Access {
    match role {
        Role::Vendor => Access::Allowed,
        // Alike whether something exists or not.
        Role::Monitor if action == Action::ReadMetrics => Access::Allowed,
        Role::Monitor => Access::Forbidden,
        Role::OrgAdmin(own) => match action {
            Action::Read(id)
            | Action::Change(id)
            | Action::ManageEndpoints(id)
            | Action::Provision(id)
            | Action::ListTokens(Some(id)) => {
                if id == own {
                    Access::Allowed
                } else {
                    Access::Hidden
                }
            }
            Action::Release(id) => {
                if id == own {
                    Access::Forbidden
                } else {
                    Access::Hidden
                }
            }
            Action::ManageToken(other) => match other.organization() {
                Some(id) if id == own => Access::Allowed,
                Some(_) => Access::Hidden,
                None => Access::Forbidden,
            },
            Action::ReadPlatform => Access::Allowed,
            Action::ListTokens(None)
            | Action::FoundOrganization
            | Action::ManagePlatform
            | Action::ReadMetrics => Access::Forbidden,
        },
        Role::OrgViewer(own) => match action {
            Action::Read(id) => {
                if id == own {
                    Access::Allowed
                } else {
                    Access::Hidden
                }
            }
            Action::Change(id)
            | Action::Release(id)
            | Action::ManageEndpoints(id)
            | Action::Provision(id)
            | Action::ListTokens(Some(id)) => {
                if id == own {
                    Access::Forbidden
                } else {
                    Access::Hidden
                }
            }
            Action::ManageToken(other) => match other.organization() {
                Some(id) if id != own => Access::Hidden,
                Some(_) | None => Access::Forbidden,
            },
            Action::ReadPlatform => Access::Allowed,
            Action::ListTokens(None)
            | Action::FoundOrganization
            | Action::ManagePlatform
            | Action::ReadMetrics => Access::Forbidden,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_matrix() {
        let own = OrganizationId::from_bytes([1; 16]);
        let foreign = OrganizationId::from_bytes([2; 16]);
        let roles = [Role::Vendor, Role::OrgAdmin(own), Role::OrgViewer(own), Role::Monitor];
        use Access::{Allowed as A, Forbidden as F, Hidden as H};
        // action, then: vendor, org-admin, org-viewer, monitor
        let table = [
            (Action::FoundOrganization, [A, F, F, F]),
            (Action::Read(own), [A, A, A, F]),
            (Action::Read(foreign), [A, H, H, F]),
            (Action::Change(own), [A, A, F, F]),
            (Action::Change(foreign), [A, H, H, F]),
            (Action::Release(own), [A, F, F, F]),
            (Action::Release(foreign), [A, H, H, F]),
            (Action::ManageEndpoints(own), [A, A, F, F]),
            (Action::ManageEndpoints(foreign), [A, H, H, F]),
            (Action::Provision(own), [A, A, F, F]),
            (Action::Provision(foreign), [A, H, H, F]),
            (Action::ListTokens(Some(own)), [A, A, F, F]),
            (Action::ListTokens(Some(foreign)), [A, H, H, F]),
            (Action::ListTokens(None), [A, F, F, F]),
            (Action::ManageToken(Role::Vendor), [A, F, F, F]),
            (Action::ManageToken(Role::OrgAdmin(own)), [A, A, F, F]),
            (Action::ManageToken(Role::OrgViewer(own)), [A, A, F, F]),
            (Action::ManageToken(Role::OrgAdmin(foreign)), [A, H, H, F]),
            (Action::ManageToken(Role::OrgViewer(foreign)), [A, H, H, F]),
            (Action::ReadPlatform, [A, A, A, F]),
            (Action::ManagePlatform, [A, F, F, F]),
            (Action::ReadMetrics, [A, F, F, A]),
            (Action::ManageToken(Role::Monitor), [A, F, F, F]),
        ];
        for (action, expect) in table {
            assert_eq!(roles.map(|role| access(role, action)), expect, "{action:?}");
        }
    }
}
