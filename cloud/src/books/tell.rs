//! Notices made with the change they tell of (domain N2).
//!
//! **Method.** At the end of a transaction every organization it changed, and every one whose time has come, is asked what
//! is to be told and was not told yet; that goes into the outbox, with what is to be remembered, before the commit. A
//! defect in these rules costs the notice, never the change. **Deliberately absent:** the rules (`coterm_shared`) and the
//! delivery ([`crate::notify`]).

use super::Books;
use super::group::Group;
use super::intake::Message;
use super::ledger::{Ledger, Overlay};
use super::request::BooksError;
use super::rules::View;
use super::watches::{Looked, Watches};
use crate::notify::message::Body;
use crate::store::outbox::{
    Delivery, DueDelivery, Endpoint, EndpointKind, NewNotice, NoticeQuery, OutboxChange, OutboxFigures,
    OutboxReads, Recipients, StoredNotice, VENDOR,
};
use crate::store::{StoreError, Transaction};
use coterm_shared::id::{EndpointId, NoticeId, OrganizationId};
use coterm_shared::licensing::{
    About, IssuedKey, Mark, Notice, Organization, is_mark_over, key_issued, notices,
};
use coterm_shared::time::Timestamp;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU16, Ordering};

/// Notices made by this process.
static MADE: AtomicU16 = AtomicU16::new(0);

/// What was put into the outbox with a commit.
pub(super) struct Told {
    /// How many notices.
    pub(super) count: usize,
    /// What was looked at for that.
    pub(super) looked: Vec<Looked>,
}

/// Puts into the outbox what is to be told of whoever changed, and of whoever was woken.
pub(super) fn tell_all(
    tx: &mut impl Transaction,
    ledger: &Ledger,
    group: &Group,
    watches: &Watches,
    woken: &[OrganizationId],
) -> Result<Told, StoreError> {
    let mut changed = group.changed.clone();
    let mut whole = BTreeSet::new();
    for id in woken {
        match watches.about(*id, group.now) {
            About::Everything => drop(whole.insert(*id)),
            About::Changed(due) => changed.entry(*id).or_default().extend(due),
        }
    }
    changed.retain(|id, changed| !changed.is_empty() && !whole.contains(id));
    let about = changed.into_iter().map(|(id, changed)| (id, About::Changed(changed)));
    let about = about.chain(whole.into_iter().map(|id| (id, About::Everything)));
    let view = Overlay { ledger, tail: &group.tail };
    let platform = view.platform();
    let mut told = Told { count: 0, looked: Vec::new() };
    for (id, about) in about {
        if let Some(organization) = view.organization(id) {
            let organization = organization.under(platform.freeze());
            told.count = told.count.saturating_add(tell(tx, &organization, &about, group.now)?);
            told.looked.push((organization, about));
        }
    }
    Ok(told)
}

/// Puts what is to be told of an organization, as it is under any freeze of everything, into the outbox; tells how many
/// notices that are.
fn tell(
    tx: &mut impl Transaction,
    organization: &Organization,
    about: &About,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let id = organization.id();
    let found = catch_unwind(AssertUnwindSafe(|| {
        notices(organization, now, about, |topic| {
            let mark = tx.reads().told(id, topic.as_str())?;
            // A mark of a newer program is none: telling twice is better than never.
            Ok::<_, StoreError>(mark.and_then(|mark| serde_json::from_slice::<Mark>(&mark).ok()))
        })
    }));
    let found = match found {
        Ok(found) => found?,
        Err(_) => {
            tracing::error!(organization = %id, "what is to be told could not be found out; it is tried with the next change");
            return Ok(0);
        }
    };
    let count = found.len();
    for notice in found {
        let new = new_notice((id, organization.name().as_str()), &notice, now)?;
        tx.change_outbox(&OutboxChange::Tell(new))?;
        tracing::info!(organization = %id, kind = %notice.head.kind, "a notice is to be told");
    }
    Ok(count)
}

/// Puts what the buyer of a key is told into the outbox: never its code, which is nowhere in these books (domain K1).
pub(super) fn tell_buyer(
    tx: &mut impl Transaction,
    address: String,
    key: &IssuedKey,
    now: Timestamp,
) -> Result<(), StoreError> {
    let order = format!("Order {}", key.order_number.as_str());
    let made = new_notice((VENDOR, &order), &key_issued(key, now), now)?;
    // As unique as the notice itself.
    let id = EndpointId::from_bytes(*made.notice.id.as_bytes());
    let told = NewNotice { to: Recipients::Buyer { id, address }, ..made };
    tx.change_outbox(&OutboxChange::Tell(told))?;
    tracing::info!(key = %key.id, "the buyer is to be told");
    Ok(())
}

/// Of these marks, those that can keep nothing from being told twice any more, by organization and topic.
pub(super) fn over(
    view: &impl View,
    marks: Vec<(OrganizationId, String, Vec<u8>)>,
    now: Timestamp,
) -> Vec<(OrganizationId, String)> {
    let mut known: Option<Organization> = None;
    let is_over = |(id, topic, mark): &(OrganizationId, String, Vec<u8>)| {
        if known.as_ref().is_none_or(|known| known.id() != *id) {
            known = view.organization(*id);
        }
        let mark = serde_json::from_slice::<Mark>(mark).ok();
        known.as_ref().zip(mark).is_some_and(|(known, mark)| is_mark_over(known, topic, &mark, now))
    };
    let mut marks = marks;
    marks.retain({
        let mut is_over = is_over;
        move |mark| is_over(mark)
    });
    marks.into_iter().map(|(id, topic, _)| (id, topic)).collect()
}

/// A notice as the outbox takes it, with a fresh id, about an organization or whoever has this id and name.
pub(crate) fn new_notice(
    (organization, name): (OrganizationId, &str),
    notice: &Notice,
    now: Timestamp,
) -> Result<NewNotice, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(error.to_string().into());
    let mut random = [0_u8; 10];
    getrandom::fill(&mut random).map_err(|error| failed(&error))?;
    // Later ones sort later within a second too.
    let [high, low] = MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [first, second, ..] = &mut random;
    (*first, *second) = (high, low);
    let millis = now.as_secs().saturating_mul(1000);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    let marks = notice.marks.iter();
    let marks = marks.map(|(topic, mark)| Ok((topic.as_str().to_owned(), serde_json::to_vec(mark)?)));
    let encoded = || -> Result<_, serde_json::Error> {
        Ok((
            marks.collect::<Result<Vec<_>, serde_json::Error>>()?,
            serde_json::to_vec(&notice.head)?,
            serde_json::to_vec(&Body::of(name, notice))?,
        ))
    };
    let (marks, head, body) = encoded().map_err(|error| failed(&error))?;
    let to = match notice.head.kind.is_for_the_vendor() {
        true => Recipients::OrganizationAndVendor,
        false => Recipients::Organization,
    };
    let notice = StoredNotice {
        id: NoticeId::from_bytes(*id.as_bytes()),
        organization,
        kind: notice.head.kind.name().to_owned(),
        made_at: now,
        head,
        body,
    };
    Ok(NewNotice { notice, marks, to })
}

/// What waits in one organization until somebody of the vendor decides (domain E6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitsForVendor {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// How many operations wait, at least one.
    pub count: usize,
    /// When the first of them is dropped.
    pub first_expires_at: Timestamp,
}

impl Books {
    /// The organizations in which operations wait for the vendor, by id.
    #[must_use]
    pub fn waits_for_vendor(&self) -> Vec<WaitsForVendor> {
        self.shared.read(|ledger| {
            let each = ledger.organizations.iter().filter_map(|(id, organization)| {
                let waiting = organization.held_operations_after(None).filter(|held| held.waits());
                let ends: Vec<Timestamp> = waiting.map(|held| held.expires_at).collect();
                let (organization, name) = (*id, organization.name().to_string());
                let first_expires_at = ends.iter().min().copied()?;
                Some(WaitsForVendor { organization, name, count: ends.len(), first_expires_at })
            });
            each.collect()
        })
    }

    /// Changes the outbox, all of these changes or none; tells for each how many rows it found to change.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn change_outbox(&self, changes: Vec<OutboxChange>) -> Result<Vec<usize>, BooksError> {
        self.ask(|reply| Message::Outbox(changes, reply)).await?
    }

    /// The endpoints of an organization, by id.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn endpoints(&self, id: OrganizationId) -> Result<Vec<Endpoint>, BooksError> {
        self.read(move |reader| reader.endpoints(id)).await
    }

    /// At most `limit` notices with their deliveries, the newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn notices(
        &self,
        query: NoticeQuery,
        limit: u32,
    ) -> Result<Vec<(StoredNotice, Vec<Delivery>)>, BooksError> {
        self.read(move |reader| {
            let found = reader.stored_notices(&query, limit)?.into_iter();
            found.map(|notice| reader.deliveries(notice.id).map(|of| (notice, of))).collect()
        })
        .await
    }

    /// For at most `limit` endpoints of a kind the delivery that is due longest.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn due_deliveries(
        &self,
        kind: EndpointKind,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, BooksError> {
        let now = self.now();
        self.read(move |reader| reader.due_deliveries(now, kind, limit)).await
    }

    /// How full the outbox is.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn outbox_figures(&self) -> Result<OutboxFigures, BooksError> {
        self.read(|reader| reader.outbox_figures()).await
    }

    /// Returns when something new was put into the outbox; a permit is kept between two calls.
    pub async fn told(&self) {
        self.shared.told.notified().await;
    }
}
