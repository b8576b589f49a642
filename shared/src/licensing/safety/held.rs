//! Operations that wait for the vendor, and what else the books remember for safety's sake (domain E6).
//!
//! A held operation keeps the command as text: it is decided anew when it is approved, by the rules of that day, and a
//! log in which it waits can be replayed by a program that reads it no longer. **Deliberately absent:** any reservation.
//! A key or device whose claim is held is anybody's until it is approved.

use super::freeze::{Freeze, Thaw};
use crate::id::{GroupId, HeldId, KeyId};
use crate::licensing::command::Command;
use crate::platform::code::CodeHash;
use crate::time::{Seconds, Timestamp};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};

/// Operations of one organization that may wait at once.
pub(in crate::licensing) const HELD_MAX: usize = 20;
/// Operations that wait no longer and are still known beside the log, the newest.
const CLOSED_KEPT: usize = 100;
/// For how long devices put on the way to lock by one operation count with those of the next.
const WINDOW: Seconds = Seconds::days(1);
/// They are counted by the hour, so that there is a bound on what is kept.
const BUCKET_SECS: u64 = 3_600;
/// The form [`HeldCommand`] is written in.
const FORM: u32 = 1;

/// Who did something, by what does not change with names and roles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The principal.
    pub id: String,
    /// How people know it.
    pub name: String,
}

/// A command that waits, with what the platform has to learn if it is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCommand {
    form: u32,
    /// The command.
    pub command: Command,
    /// The hashes of the codes that the parts of split keys get, by part (domain K7).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub code_hashes: BTreeMap<KeyId, CodeHash>,
}

impl HeldCommand {
    /// A command and nothing else.
    #[must_use]
    pub const fn new(command: Command) -> HeldCommand {
        HeldCommand { form: FORM, command, code_hashes: BTreeMap::new() }
    }

    /// A command that splits keys, with the codes of their parts.
    #[must_use]
    pub const fn with_codes(command: Command, code_hashes: BTreeMap<KeyId, CodeHash>) -> HeldCommand {
        HeldCommand { form: FORM, command, code_hashes }
    }

    /// The command as it is kept.
    pub(super) fn text(&self) -> String {
        // Commands always serialize: they consist of texts, numbers and lists.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// An operation that waits for the vendor, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOperation {
    /// Its id.
    pub id: HeldId,
    /// Who asked for it.
    pub by: Actor,
    /// The name of the command.
    pub operation: String,
    /// The command, as [`HeldCommand`] in JSON.
    pub command: String,
    /// What it was and what it read when it was asked for: the digest of its preview, as text.
    pub digest: String,
    /// The groups whose devices it would put on the way to lock.
    pub groups: Vec<GroupId>,
    /// How many devices it would newly put on the way to lock.
    pub devices: u64,
    /// How many others operations of the day before had put there.
    pub lately: u64,
    /// Devices in use of the organization.
    pub of: u64,
    /// Since when it waits.
    pub held_at: Timestamp,
    /// When it is dropped if nobody decides.
    pub expires_at: Timestamp,
    /// Where it stands.
    #[serde(default)]
    pub state: HeldState,
}

impl HeldOperation {
    /// The command; `None` if this program cannot read it any more.
    #[must_use]
    pub fn command(&self) -> Option<HeldCommand> {
        serde_json::from_str(&self.command).ok().filter(|held: &HeldCommand| held.form == FORM)
    }

    /// Whether it still waits.
    #[must_use]
    pub const fn waits(&self) -> bool {
        match self.state {
            HeldState::Waiting => true,
            HeldState::Approved { .. }
            | HeldState::Rejected { .. }
            | HeldState::Withdrawn { .. }
            | HeldState::Expired { .. } => false,
        }
    }
}

/// Where a held operation stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum HeldState {
    /// It waits.
    #[default]
    Waiting,
    /// It was approved and carried out.
    Approved {
        /// When.
        at: Timestamp,
        /// By whom.
        by: Actor,
    },
    /// The vendor rejected it.
    Rejected {
        /// When.
        at: Timestamp,
        /// By whom.
        by: Actor,
    },
    /// Who had asked for it took it back.
    Withdrawn {
        /// When.
        at: Timestamp,
        /// By whom.
        by: Actor,
    },
    /// Nobody decided in time.
    Expired {
        /// When.
        at: Timestamp,
    },
}

impl HeldState {
    /// Its stable name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            HeldState::Waiting => "waiting",
            HeldState::Approved { .. } => "approved",
            HeldState::Rejected { .. } => "rejected",
            HeldState::Withdrawn { .. } => "withdrawn",
            HeldState::Expired { .. } => "expired",
        }
    }
}

/// What can be asked for safety's sake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "safety", rename_all = "kebab-case")]
pub enum SafetyCommand {
    /// Carries a held operation out; vendor staff only, and never who asked for it.
    Approve {
        /// The operation.
        held: HeldId,
        /// Who approves.
        by: Actor,
        /// Who made the credential that approves, who made that one's, and so on.
        made_by: Vec<String>,
    },
    /// Drops a held operation; vendor staff only.
    Reject {
        /// The operation.
        held: HeldId,
        /// Who rejects.
        by: Actor,
    },
    /// Takes a held operation back; who asked for it.
    Withdraw {
        /// The operation.
        held: HeldId,
        /// Who takes it back.
        by: Actor,
    },
    /// Freezes enforcement; vendor staff only.
    Freeze {
        /// Who freezes.
        by: Actor,
    },
    /// Ends a freeze; vendor staff only.
    Unfreeze {
        /// Who ends it.
        by: Actor,
        /// How long a token issued a moment ago may hold, in seconds: what it announced stands.
        lease_secs: Seconds,
        /// The latest instant to which any token issued under the freeze puts a step off, as the shell knows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        announced: Option<Timestamp>,
    },
}

impl SafetyCommand {
    /// Its name, for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            SafetyCommand::Approve { .. } => "approve-held-operation",
            SafetyCommand::Reject { .. } => "reject-held-operation",
            SafetyCommand::Withdraw { .. } => "withdraw-held-operation",
            SafetyCommand::Freeze { .. } => "freeze-enforcement",
            SafetyCommand::Unfreeze { .. } => "unfreeze-enforcement",
        }
    }

    /// The same, whoever asks: a preview shown to one holds for the other.
    pub(in crate::licensing) fn by_nobody(&mut self) {
        match self {
            SafetyCommand::Approve { by, made_by, .. } => {
                (*by, *made_by) = (Actor::default(), Vec::new());
            }
            SafetyCommand::Reject { by, .. }
            | SafetyCommand::Withdraw { by, .. }
            | SafetyCommand::Freeze { by } => *by = Actor::default(),
            // Tokens go on being issued between a preview and its change.
            SafetyCommand::Unfreeze { by, announced, .. } => (*by, *announced) = (Actor::default(), None),
        }
    }
}

/// What happened for safety's sake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum SafetyEvent {
    /// An operation was not carried out and waits.
    #[serde(rename = "operation-held")]
    Held {
        /// The operation.
        operation: Box<HeldOperation>,
    },
    /// A held operation was approved; what it did stands beside this.
    #[serde(rename = "held-operation-approved")]
    Approved {
        /// The operation.
        held: HeldId,
        /// By whom.
        by: Actor,
        /// How many devices it newly put on the way to lock, as it was carried out.
        devices: u64,
    },
    /// A held operation was rejected.
    #[serde(rename = "held-operation-rejected")]
    Rejected {
        /// The operation.
        held: HeldId,
        /// By whom.
        by: Actor,
    },
    /// A held operation was taken back.
    #[serde(rename = "held-operation-withdrawn")]
    Withdrawn {
        /// The operation.
        held: HeldId,
        /// By whom.
        by: Actor,
    },
    /// A held operation was dropped because nobody decided.
    #[serde(rename = "held-operation-expired")]
    Expired {
        /// The operation.
        held: HeldId,
    },
    /// What stands before this put devices newly on the way to lock, and no group was judged anew by it.
    #[serde(rename = "lockout-counted")]
    Counted {
        /// How many.
        devices: u64,
    },
    /// Enforcement was frozen.
    #[serde(rename = "enforcement-frozen")]
    Frozen {
        /// By whom.
        by: Actor,
    },
    /// Enforcement goes on.
    #[serde(rename = "enforcement-unfrozen")]
    Unfrozen {
        /// By whom.
        by: Actor,
        /// No step that came due meanwhile is reached before this.
        until: Timestamp,
    },
}

impl SafetyEvent {
    event_names! {
        Held => "operation-held",
        Approved => "held-operation-approved",
        Rejected => "held-operation-rejected",
        Withdrawn => "held-operation-withdrawn",
        Expired => "held-operation-expired",
        Counted => "lockout-counted",
        Frozen => "enforcement-frozen",
        Unfrozen => "enforcement-unfrozen",
    }
}

/// What an organization remembers for safety's sake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::licensing) struct Safety {
    held: RedBlackTreeMapSync<HeldId, HeldOperation>,
    /// Devices put on the way to lock, by the hour it was done in.
    lately: BTreeMap<Timestamp, u64>,
    freeze: Option<Freeze>,
    /// The freeze of the whole platform, as far as whoever looks knows of it; no part of these books.
    #[serde(skip)]
    platform: Option<Freeze>,
}

impl Safety {
    /// The operations with ids above `after`, by id.
    pub(in crate::licensing) fn held_after(
        &self,
        after: Option<HeldId>,
    ) -> impl Iterator<Item = &HeldOperation> + '_ {
        self.held.range(crate::licensing::above(after)).map(|(_, held)| held)
    }

    /// An operation.
    pub(in crate::licensing) fn held(&self, id: HeldId) -> Option<&HeldOperation> {
        self.held.get(&id)
    }

    /// The operations that wait.
    pub(in crate::licensing) fn waiting(&self) -> impl Iterator<Item = &HeldOperation> + '_ {
        self.held.values().filter(|held| held.waits())
    }

    /// Devices that operations of the last day put on the way to lock.
    pub(in crate::licensing) fn lately(&self, now: Timestamp) -> u64 {
        let since = now.saturating_sub(WINDOW);
        self.lately.range(since..).fold(0, |sum, (_, devices)| sum.saturating_add(*devices))
    }

    /// Counts devices that an operation put on the way to lock.
    pub(in crate::licensing) fn count(&mut self, at: Timestamp, devices: u64) {
        let hour = Timestamp::from_secs_clamped(at.as_secs() / BUCKET_SECS * BUCKET_SECS);
        let since = at.saturating_sub(WINDOW);
        self.lately.retain(|hour, _| *hour >= since);
        let counted = self.lately.entry(hour).or_insert(0);
        *counted = counted.saturating_add(devices);
    }

    /// The organization's own freeze, and that of the whole platform.
    pub(in crate::licensing) fn freezes(&self) -> impl Iterator<Item = &Freeze> + '_ {
        self.freeze.iter().chain(&self.platform)
    }

    /// The organization's own freeze, ended or not.
    pub(in crate::licensing) const fn freeze(&self) -> Option<&Freeze> {
        self.freeze.as_ref()
    }

    /// The freeze of the whole platform, as far as it is known here.
    pub(in crate::licensing) const fn platform_freeze(&self) -> Option<&Freeze> {
        self.platform.as_ref()
    }

    pub(in crate::licensing) fn set_platform_freeze(&mut self, freeze: Option<Freeze>) {
        self.platform = freeze;
    }

    /// When a waiting operation is dropped.
    pub(in crate::licensing) fn expires_at(&self, id: HeldId) -> Option<Timestamp> {
        self.held.get(&id).filter(|held| held.waits()).map(|held| held.expires_at)
    }

    /// Applies an event; `None` if it names what is not there.
    pub(in crate::licensing) fn apply(&mut self, event: &SafetyEvent, at: Timestamp) -> Option<()> {
        match event {
            SafetyEvent::Held { operation } => {
                self.held.insert_mut(operation.id, (**operation).clone());
            }
            SafetyEvent::Approved { held, by, .. } => {
                self.close(*held, HeldState::Approved { at, by: by.clone() })?;
            }
            SafetyEvent::Rejected { held, by } => {
                self.close(*held, HeldState::Rejected { at, by: by.clone() })?;
            }
            SafetyEvent::Withdrawn { held, by } => {
                self.close(*held, HeldState::Withdrawn { at, by: by.clone() })?;
            }
            SafetyEvent::Expired { held } => self.close(*held, HeldState::Expired { at })?,
            SafetyEvent::Counted { devices } => self.count(at, *devices),
            SafetyEvent::Frozen { by } => {
                self.freeze = Some(Freeze::after(self.freeze.as_ref(), at, by.clone()));
            }
            SafetyEvent::Unfrozen { by, until } => {
                self.freeze.as_mut()?.thaw = Some(Thaw { at, by: by.clone(), until: *until });
            }
        }
        Some(())
    }

    fn close(&mut self, id: HeldId, state: HeldState) -> Option<()> {
        self.held.get_mut(&id)?.state = state;
        let closed: Vec<HeldId> = self.held.values().filter(|held| !held.waits()).map(|h| h.id).collect();
        // Ids grow with time: the first are the oldest.
        for id in closed.iter().take(closed.len().saturating_sub(CLOSED_KEPT)) {
            self.held.remove_mut(id);
        }
        Some(())
    }
}
