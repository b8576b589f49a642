//! One transaction of requests: each decided on the uncommitted tail, each applied apart from the others.
//!
//! A request that is refused, conflicts or meets a defect leaves no trace, and the others do not notice. Only a failure
//! of the store ends the whole group.

use super::feed::{Touch, Touches, merge};
use super::ledger::{Ledger, Overlay, Tail};
use super::names;
use super::plan::{Encoded, Plan};
use super::request::{BooksError, Committed, Held, Request, StoredResponse};
use super::rules::{self, Mode, View};
use super::tell;
use crate::store::{ChangeSet, Conflict, IdempotencyRecord, Reads, Reservation, StoreError, Transaction};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Changed, Organization};
use coterm_shared::time::Timestamp;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a request is answered.
pub(super) type Answer = Result<Committed, BooksError>;

/// What one transaction of requests came to, before its commit.
pub(super) struct Group {
    /// Cloud time of the request it is at; it never goes back.
    pub(super) now: Timestamp,
    mode: Mode,
    pub(super) tail: Tail,
    pub(super) touches: Touches,
    pub(super) answers: Vec<Answer>,
    /// What changed, as far as notices go.
    pub(super) changed: BTreeMap<OrganizationId, Changed>,
    /// Whether anything was written at all.
    pub(super) wrote: bool,
    /// Notices that were made with a request.
    pub(super) told: usize,
}

impl Group {
    pub(super) fn at(now: Timestamp, mode: Mode) -> Group {
        Group {
            now,
            mode,
            tail: Tail::default(),
            touches: Touches::new(),
            answers: Vec::new(),
            changed: BTreeMap::new(),
            wrote: false,
            told: 0,
        }
    }
}

/// Carries out one request inside the transaction. The outer error is the store's and ends the group.
pub(super) fn carry_out(
    tx: &mut impl Transaction,
    ledger: &Ledger,
    group: &mut Group,
    request: Request,
) -> Result<Answer, StoreError> {
    let (now, mode) = (group.now, group.mode);
    let Request {
        actor,
        request_id,
        by,
        change,
        expected_version,
        expected_preview,
        buyer,
        idempotency,
        respond,
    } = request;
    let view = Overlay { ledger, tail: &group.tail };
    if let Some(key) = &idempotency
        && let Some(kept) = tx.reads().idempotency(&key.principal, &key.key)?
    {
        return Ok(if kept.fingerprint == key.fingerprint {
            Ok(repetition(&view, change.organization(), kept, now))
        } else {
            Err(BooksError::IdempotencyKeyReused)
        });
    }
    if let Some(name) = names::asked_for(&view, &change)
        && let Err(refusals) = names::check_holder(&name, tx.reads().holder(&name.kind, &name.value)?)
    {
        return Ok(Err(refusals.into()));
    }
    // A defect in a rule costs the request that met it, not the daemon: nothing it touched is kept.
    let planned = catch_unwind(AssertUnwindSafe(|| {
        check_version(&view, change.organization(), expected_version, now, mode)?;
        let plan = rules::plan(&view, &change, now, mode)?;
        plan.check_preview(expected_preview.as_ref())?;
        // What waits takes no names; yet a claim of what is another's is refused now, not when it is approved.
        let (mut plan, names, held) = if plan.needs_approval() {
            let (waiting, operation) = plan.held(&by)?;
            let held = Held { operation, preview: plan.preview(now) };
            (waiting, plan.reservations(), Some(Box::new(held)))
        } else {
            (plan, Vec::new(), None)
        };
        let Encoded { appends, names: reservations, changed } = plan.written()?;
        let mut committed = committed(&view, &mut plan, now);
        committed.held = held;
        committed.response = respond.map(|respond| respond(&committed));
        let idempotency = idempotency.map(|key| {
            let (status, body) = committed
                .response
                .as_ref()
                .map_or((204, Vec::new()), |made| (made.status, made.body.clone()));
            IdempotencyRecord {
                principal: key.principal,
                key: key.key,
                fingerprint: key.fingerprint,
                status,
                body,
            }
        });
        let changes = ChangeSet { recorded_at: now, actor, request_id, appends, reservations, idempotency };
        Ok((plan, names, committed, changes, changed))
    }));
    let (plan, names, committed, changes, changed) = match planned {
        Ok(Ok(planned)) => planned,
        Ok(Err(error)) => return Ok(Err(error)),
        Err(_) => return Ok(Err(BooksError::Internal)),
    };
    let holder = |name: &Reservation| tx.reads().holder(&name.kind, &name.value).map_err(BooksError::from);
    if let Err(error) = names::check_names(&names, holder) {
        return Ok(Err(error));
    }
    if changes.appends.is_empty() && changes.idempotency.is_none() {
        return Ok(Ok(committed));
    }
    match tx.apply(&changes)? {
        Ok(()) => {
            group.wrote = true;
            if let Some((buyer, key)) = buyer.zip(plan.issued_key()) {
                tell::tell_buyer(tx, buyer, key, now)?;
                group.told = group.told.saturating_add(1);
            }
            let freezes = plan.freezes();
            let touched = group.tail.take(plan);
            merge(&mut group.touches, touched.map(|(id, touched)| (id, touched.into())));
            if freezes {
                let everyone = ledger.organizations.keys().chain(group.tail.organizations.keys());
                merge(&mut group.touches, everyone.map(|id| (*id, Touch::Everything)));
            }
            for (id, more) in changed {
                group.changed.entry(id).or_default().extend(more);
            }
            Ok(Ok(committed))
        }
        Err(Conflict::Version { expected, actual, .. }) => {
            Ok(Err(BooksError::VersionConflict { expected, actual }))
        }
        Err(Conflict::Taken { kind, value, .. }) => Ok(Err(names::taken(&kind, &value).into())),
        Err(Conflict::IdempotencyKey { .. }) => Ok(Err(BooksError::IdempotencyKeyReused)),
    }
}

/// The version that conditions and answers speak of: the organization's, or the platform's.
fn version(view: &impl View, id: Option<OrganizationId>) -> u64 {
    match id {
        Some(id) => view.organization(id).as_ref().map_or(0, Organization::version),
        None => view.platform().version(),
    }
}

fn check_version(
    view: &impl View,
    id: Option<OrganizationId>,
    expected: Option<u64>,
    now: Timestamp,
    mode: Mode,
) -> Result<(), BooksError> {
    let Some(expected) = expected else { return Ok(()) };
    // Who read the organization saw it as of now, with what is due and not yet in the log.
    let present = id.and_then(|id| view.organization(id));
    let present = present.map(|organization| rules::present(organization, view.platform(), now, mode));
    let actual = present.as_ref().map_or_else(|| version(view, id), Organization::version);
    if expected == actual { Ok(()) } else { Err(BooksError::VersionConflict { expected, actual }) }
}

/// The answer to what is written already: the events go with it.
fn committed(view: &impl View, plan: &mut Plan, now: Timestamp) -> Committed {
    let (response, replayed) = (None, None);
    match (&mut plan.organization, &plan.platform) {
        (Some(plan), _) => Committed {
            at: now,
            version: plan.decision.after.version(),
            // Of what was decided beside the writer there are none any more.
            events: std::mem::take(&mut plan.decision.events),
            held: None,
            organization: Some(plan.decision.after.clone()),
            response,
            replayed,
        },
        (None, platform) => Committed {
            at: now,
            version: platform.as_ref().map_or_else(|| version(view, None), |p| p.decision.after.version()),
            events: Vec::new(),
            held: None,
            organization: None,
            response,
            replayed,
        },
    }
}

fn repetition(
    view: &impl View,
    id: Option<OrganizationId>,
    kept: IdempotencyRecord,
    now: Timestamp,
) -> Committed {
    Committed {
        at: now,
        version: version(view, id),
        events: Vec::new(),
        held: None,
        organization: id.and_then(|id| view.organization(id)),
        response: None,
        replayed: Some(StoredResponse { status: kept.status, body: kept.body }),
    }
}
