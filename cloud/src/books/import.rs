//! Files with many things in them: decided beside the writer, committed by it.
//!
//! **Problem.** A million lines take long to decide; decided by the writer, every other organization would wait.
//! **Method.** They are decided on a snapshot, on a thread of their own, down to the bytes of the log; the writer then only
//! looks whether the organization (and for orders the platform) is still where the snapshot was, and writes. If it has
//! moved on, all is decided anew, a few times. **Deliberately absent:** reading files ([`crate::imports`]).

use super::names;
use super::plan::Plan;
use super::request::{BooksError, Change, Committed, Idempotency, Request, Respond, StoredResponse};
use super::rules::View;
use super::{Books, beside};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::import::{Import, ImportLine, ImportRow, field_of_line};
use coterm_shared::licensing::{
    GroupChange, Organization, Refusal, RefusalCode, Refusals, group_changes, refusals_of,
};
use coterm_shared::platform::{HistoricOrder, Platform};
use coterm_shared::time::Timestamp;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::imports::{Claimed, Phase, Run};
use crate::store::Reservation;

/// How often a file is decided anew because its organization has moved on meanwhile.
const TRIES: usize = 4;
/// Names that are looked up at a time, so that other readers get their turn.
const NAMES: usize = 1000;

/// A file that is ready to be decided.
#[derive(Clone, Debug)]
pub struct ImportFile {
    /// The organization.
    pub organization: OrganizationId,
    /// A hash of the file.
    pub print: String,
    /// Its lines, but for orders.
    pub lines: Arc<Vec<ImportLine>>,
    /// Its orders.
    pub orders: Arc<Vec<(HistoricOrder, Claimed)>>,
    /// How far it has come.
    pub run: Arc<Run>,
}

/// A decided change that waits for the writer.
pub struct Prepared {
    organization: OrganizationId,
    version: u64,
    platform: Option<u64>,
    plan: Mutex<Option<Plan>>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("organization", &self.organization).finish_non_exhaustive()
    }
}

impl Prepared {
    /// The organization it changes.
    pub(super) const fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The plan, if the state is still the one it was made on.
    pub(super) fn plan(&self, view: &impl View) -> Result<Plan, BooksError> {
        let found = view.organization(self.organization).as_ref().map_or(0, Organization::version);
        if found != self.version {
            return Err(BooksError::VersionConflict { expected: self.version, actual: found });
        }
        if let Some(expected) = self.platform {
            let actual = view.platform().version();
            if actual != expected {
                return Err(BooksError::VersionConflict { expected, actual });
            }
        }
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).take().ok_or(BooksError::Internal)
    }
}

/// The committed state as it is at one moment.
struct Snapshot {
    platform: Platform,
    organization: Option<Organization>,
}

impl View for Snapshot {
    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.organization.clone().filter(|organization| organization.id() == id)
    }
}

/// What a file comes to.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The version of the organization after it, or before it if it was only looked at.
    pub version: u64,
    /// Every group whose figures change, before and after.
    pub groups: Vec<GroupChange>,
    /// The response of the first time, if this is a repetition.
    pub replayed: Option<StoredResponse>,
}

impl Books {
    /// Imports a file as one change, or says what it would do if `dry_run`.
    ///
    /// `respond` makes the response that a repetition is answered with, from the groups.
    ///
    /// # Errors
    /// [`BooksError`]; the refusals name the lines. Nothing of the file was changed then.
    pub async fn import(
        &self,
        file: ImportFile,
        actor: String,
        request_id: String,
        idempotency: Option<Idempotency>,
        dry_run: bool,
        respond: impl Fn(u64, &[GroupChange]) -> StoredResponse + Clone + Send + 'static,
    ) -> Result<Imported, BooksError> {
        let mut last = BooksError::Busy;
        for _ in 0..TRIES {
            if let Some(key) = idempotency.clone()
                && let Some(replayed) = self.remembered(key).await?
            {
                return Ok(Imported { version: 0, groups: Vec::new(), replayed: Some(replayed) });
            }
            file.run.enter(Phase::Checking);
            file.run.decided().reset();
            let (prepared, groups) = self.prepare(file.clone(), dry_run).await?;
            if dry_run {
                return Ok(Imported { version: prepared.version, groups, replayed: None });
            }
            file.run.enter(Phase::Writing);
            let respond = respond.clone();
            let shown = groups.clone();
            let answer: Respond = Box::new(move |committed: &Committed| respond(committed.version, &shown));
            let request = Request {
                idempotency: idempotency.clone(),
                respond: Some(answer),
                ..Request::new(actor.clone(), request_id.clone(), Change::Prepared(Arc::new(prepared)))
            };
            match self.execute(request).await {
                Ok(Committed { version, replayed, .. }) => return Ok(Imported { version, groups, replayed }),
                Err(error @ BooksError::VersionConflict { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        // It is changed all the time: whoever imports has to find a calmer moment.
        tracing::warn!(%last, "an import found its organization changed every time it was decided");
        Err(BooksError::Busy)
    }

    async fn remembered(&self, key: Idempotency) -> Result<Option<StoredResponse>, BooksError> {
        let kept = {
            let (principal, name) = (key.principal.clone(), key.key.clone());
            self.read(move |reader| reader.idempotency(&principal, &name)).await?
        };
        match kept {
            None => Ok(None),
            Some(kept) if kept.fingerprint == key.fingerprint => {
                Ok(Some(StoredResponse { status: kept.status, body: kept.body }))
            }
            Some(_) => Err(BooksError::IdempotencyKeyReused),
        }
    }

    /// Decides a file on a snapshot.
    async fn prepare(
        &self,
        file: ImportFile,
        dry_run: bool,
    ) -> Result<(Prepared, Vec<GroupChange>), BooksError> {
        let books = self.clone();
        self.beside(move || {
            let now = books.now();
            let snapshot =
                Snapshot { platform: books.platform(), organization: books.organization(file.organization) };
            let mut plan = decide(&snapshot, &file, now, &books)?;
            let names = plan.reservations();
            books.check_names(&file, &names)?;
            // A file is too much to be written down until somebody approves it (domain E6).
            if plan.needs_approval() {
                return Err(locks_out().into());
            }
            let of = plan.organization.as_ref().ok_or(BooksError::Internal)?;
            let before = of.before.as_ref().ok_or(BooksError::Internal)?;
            let groups = group_changes(before, &of.decision, now);
            let (version, platform) = (before.version(), plan.platform.as_ref().map(|plan| plan.before));
            if !dry_run {
                plan.encode(names)?;
            }
            let plan = Mutex::new(Some(plan));
            Ok((Prepared { organization: file.organization, version, platform, plan }, groups))
        })
        .await
    }

    /// Refuses names that another organization holds, each with its line.
    fn check_names(&self, file: &ImportFile, names: &[Reservation]) -> Result<(), BooksError> {
        let mut lines: Option<HashMap<&str, u64>> = None;
        let mut refusals: Vec<Refusal> = Vec::new();
        for names in names.chunks(NAMES) {
            self.look(|reader| {
                for name in names {
                    let holder = reader.holder(&name.kind, &name.value)?;
                    if let Err(taken) = names::check_holder(name, holder) {
                        let lines = lines.get_or_insert_with(|| devices_by_line(file));
                        let line = lines.get(name.value.as_str()).copied().unwrap_or(0);
                        refusals.extend(taken.all().iter().cloned().map(|refusal| Refusal {
                            field: Some(field_of_line(line, refusal.field.as_deref())),
                            ..refusal
                        }));
                    }
                }
                Ok(())
            })?;
        }
        refusals_of(refusals).map_or(Ok(()), |refusals| Err(refusals.into()))
    }
}

/// The line of each device.
fn devices_by_line(file: &ImportFile) -> HashMap<&str, u64> {
    let devices = file.lines.iter().filter_map(|line| match &line.row {
        ImportRow::Device { device, .. } => Some((device.id.as_str(), line.line)),
        ImportRow::Group { .. } | ImportRow::Site { .. } | ImportRow::Key { .. } => None,
    });
    devices.collect()
}

fn decide(snapshot: &Snapshot, file: &ImportFile, now: Timestamp, books: &Books) -> Result<Plan, BooksError> {
    let orders: Vec<HistoricOrder> = file.orders.iter().map(|(order, _)| order.clone()).collect();
    beside::import(snapshot, file.organization, &orders, now, books.shared.mode, |keys| {
        let lines = if keys.is_empty() {
            file.lines.clone()
        } else {
            let claimed =
                keys.into_iter().zip(file.orders.iter()).map(|(key, (order, claimed))| ImportLine {
                    line: order.lines.first().map_or(0, |line| line.line),
                    row: ImportRow::Key {
                        key: Box::new(key),
                        past: claimed.past,
                        group: claimed.group.clone(),
                        mode: claimed.mode,
                    },
                });
            Arc::new(claimed.collect())
        };
        Import { print: file.print.clone(), lines, decided: file.run.decided().clone() }
    })
}

fn locks_out() -> Refusals {
    let message = "by this file more devices would begin to lose their licenses than one operation may make";
    let hint = "import the orders that license them first, or the devices in several files";
    Refusal::new(RefusalCode::ImportLocksOut, message, hint).at("lines").into()
}
