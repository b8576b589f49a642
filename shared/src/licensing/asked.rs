//! Which change was asked for, in 16 bytes: a preview of one change is no consent to another (domain K9).
//!
//! **Method.** The command as it is serialized, with every field, and the organization it is for. **Deliberately absent:**
//! what is made anew for each request, ids and codes of what the command creates: they differ between a preview and its
//! deed although the same was asked.

use super::command::Command;
use super::enrolment::EnrolmentCommand;
use crate::enrolment::code::ClaimHash;
use crate::id::{ClaimCodeId, DeviceId, GroupId, KeyId, OrganizationId, SiteId};
use alloc::string::String;
use sha2::{Digest, Sha256};

/// The print of a change that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asked(pub(super) [u8; 16]);

impl Asked {
    /// The print of a command to an organization.
    pub(super) fn of(organization: OrganizationId, command: &Command) -> Asked {
        // Commands always serialize: they consist of texts, numbers and lists.
        let bytes = serde_json::to_vec(&(organization, without_fresh(command))).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        let [print, _] = halves(hash);
        Asked(print)
    }
}

/// The two halves of a hash.
pub(super) fn halves(hash: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (to, from) in halves.as_flattened_mut().iter_mut().zip(hash) {
        *to = from;
    }
    halves
}

/// A command without what is made anew for each request.
fn without_fresh(command: &Command) -> Command {
    let mut command = command.clone();
    match &mut command {
        Command::CreateGroup { id, .. } | Command::CreateGroupFromSite { id, .. } => {
            *id = GroupId::from_bytes([0; 16]);
        }
        Command::CreateSite { id, .. } => *id = SiteId::from_bytes([0; 16]),
        Command::SplitKey { parts, .. } => {
            for part in parts.iter_mut() {
                part.id = KeyId::from_bytes([0; 16]);
                part.code_tail = String::new();
            }
        }
        Command::Enrolment(enrolment) => match enrolment {
            EnrolmentCommand::IssueCode(new) => {
                new.id = ClaimCodeId::from_bytes([0; 16]);
                new.hash = ClaimHash::NONE;
                new.tail = String::new();
            }
            EnrolmentCommand::Enrol(enrol) => enrol.fresh = DeviceId::from_uuid_bytes([0; 16]),
            EnrolmentCommand::RevokeCode { .. }
            | EnrolmentCommand::Approve { .. }
            | EnrolmentCommand::Deny { .. }
            | EnrolmentCommand::Preauthorise { .. }
            | EnrolmentCommand::EndPreauthorisation { .. } => {}
        },
        // Which keys go along follows from the groups as they are, which the other half of a digest is of.
        Command::WithLicenses { of, keys, proven_smallest } => {
            **of = without_fresh(of);
            keys.clear();
            *proven_smallest = false;
        }
        Command::Safety(safety) => safety.by_nobody(),
        Command::Materialize
        | Command::EnableGroups
        | Command::ChangeSettings(_)
        | Command::RenameGroup { .. }
        | Command::ChangeGroupSettings { .. }
        | Command::DeleteGroup { .. }
        | Command::RenameSite { .. }
        | Command::MoveSite { .. }
        | Command::DeleteSite { .. }
        | Command::ClaimDevice { .. }
        | Command::MoveDevice { .. }
        | Command::ConvertTrial { .. }
        | Command::ReplaceDevice { .. }
        | Command::ConfigureDoors { .. }
        | Command::RetireDevice { .. }
        | Command::ReportStolen { .. }
        | Command::ClaimKey { .. }
        | Command::ReceiveKey { .. }
        | Command::MoveKey { .. }
        | Command::UnclaimKey { .. }
        | Command::TransferKey { .. }
        | Command::Import(_) => {}
    }
    command
}
