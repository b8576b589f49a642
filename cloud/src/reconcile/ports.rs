//! What the reconciler needs from the books, and nothing more.

use super::digest::WantedDigest;
use super::plan::{Issued, Why};
use super::status::{Contradiction, Halt};
use crate::books::BooksError;
use crate::ports::BoxFuture;
use coterm_shared::id::{DeviceId, GroupId, OrganizationId};
use coterm_shared::licensing::Wanted;
use coterm_shared::protocol::Report;
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Nonce, TokenVersion};
use std::sync::Arc;

/// The books as the reconciler sees them: what is wanted, what was issued, what devices said.
///
/// What is read here is committed. Reads return at once; they look at snapshots in memory.
pub trait Ledger: Send + Sync + 'static {
    /// Cloud time: the clock, but never before the last recorded event (token §3).
    fn now(&self) -> Timestamp;
    /// The same in milliseconds since 1970: no sequence issued from now on is below it.
    fn now_millis(&self) -> u64;
    /// Every organization.
    fn organizations(&self) -> Vec<OrganizationId>;
    /// At most `limit` devices an organization claims now, by id, those above `after`.
    fn devices(&self, organization: OrganizationId, after: Option<DeviceId>, limit: usize) -> Vec<DeviceId>;
    /// The devices in a license group now.
    fn devices_in_group(&self, organization: OrganizationId, group: GroupId) -> Vec<DeviceId>;
    /// What a device's token should express; `None` if the organization has nothing to say to it.
    fn wanted(&self, organization: OrganizationId, device: &DeviceId) -> Option<Wanted>;
    /// Waits for changes and takes them, coalesced; dropping the future loses none.
    fn changes(&self) -> BoxFuture<'_, Vec<Touched>>;
    /// Allocates sequences, signs and records in one transaction (token §3); an outcome for each wish, in order.
    fn issue(&self, wishes: Vec<Wish>) -> BoxFuture<'_, Result<Vec<Outcome>, LedgerError>>;
    /// The token issued last to a device.
    fn token(&self, device: DeviceId) -> BoxFuture<'_, Result<Stored, LedgerError>>;
    /// The version of the token in `proof`, if it verifies as one for this device: ours, or by whoever has our keys.
    fn verify(&self, organization: OrganizationId, device: &DeviceId, proof: &[u8]) -> Option<TokenVersion>;
    /// Everything remembered about devices.
    fn load(&self) -> BoxFuture<'_, Result<Memory, LedgerError>>;
    /// Remembers what devices said last.
    fn save(&self, said: Vec<Said>) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Remembers what is suspected, all of it or nothing.
    fn keep(&self, suspected: Vec<Kept>) -> BoxFuture<'_, Result<(), LedgerError>>;
    /// Remembers what an operator confirmed, and the halt no longer.
    fn keep_confirmation(&self, confirmation: Confirmation) -> BoxFuture<'_, Result<(), BooksError>>;
}

/// What is suspected, to be remembered over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing is signed for an organization, and why.
    Halt(OrganizationId, Halt),
    /// A device reported that it was shown two tokens of one version.
    Contradiction(DeviceId, Contradiction),
}

/// What an operator confirms: he has looked into it, and it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The organization.
    pub organization: OrganizationId,
    /// When.
    pub at: Timestamp,
    /// Up to which version tokens found on devices are held against nobody, and those of ours are issued anew.
    pub settled: TokenVersion,
    /// Contradictions he took note of, by device.
    pub noted: Vec<(DeviceId, Contradiction)>,
}

/// The token issued last to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// There is none.
    Nothing,
    /// This one.
    Token(TokenVersion, Arc<[u8]>),
    /// There is one, of this version, that no device would take any more: its key was revoked or cut short since.
    Outdated(TokenVersion),
}

/// A token issued, or why it was not.
pub type Outcome = Result<Fresh, LedgerError>;

/// What a change touched; looked up again when it is worked on, so a stale one costs a look and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The organization.
    pub organization: OrganizationId,
    /// Whether so much changed that all of it is to be looked at.
    pub everything: bool,
    /// Groups whose devices are to be looked at.
    pub groups: Vec<GroupId>,
    /// Single devices to be looked at.
    pub devices: Vec<DeviceId>,
}

/// A token to be issued.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// What it expresses.
    pub wanted: Wanted,
    /// Its digest.
    pub digest: WantedDigest,
    /// The device's nonce, if it answers one.
    pub nonce: Option<Nonce>,
    /// What it is issued for.
    pub why: Why,
    /// Under a freeze, when the lease of the token before it ends: what that one announced.
    pub announced: Option<Timestamp>,
}

/// A token just issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// For whom.
    pub device: DeviceId,
    /// What is remembered of it.
    pub issued: Issued,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// What a device said last.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The device.
    pub device: DeviceId,
    /// Whose it was when it said so.
    pub organization: OrganizationId,
    /// When it was heard.
    pub heard_at: Timestamp,
    /// Its report.
    pub report: Arc<Report>,
}

/// Everything remembered about devices.
#[derive(Debug, Default)]
pub struct Memory {
    /// The newest token of each device and for whom it was issued.
    pub issued: Vec<(DeviceId, OrganizationId, Issued)>,
    /// What each device said last.
    pub said: Vec<Said>,
    /// The organizations nothing is signed for.
    pub halts: Vec<(OrganizationId, Halt)>,
    /// Up to which version everything is settled, where an operator confirmed.
    pub settled: Vec<(OrganizationId, TokenVersion)>,
    /// The last contradiction each device reported.
    pub contradictions: Vec<(DeviceId, Contradiction)>,
}

/// Why the books did not do what was asked; tried again at the next sweep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);
