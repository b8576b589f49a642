//! What the store keeps beside the state: the log with its chain, issued tokens, what devices said, notes.
//!
//! Reading goes past the writer; what is written waits for its turn with it.

use super::intake::Message;
use super::issue::{self, Allocated, SignError, Signed, ToIssue};
use super::request::BooksError;
use super::{Books, LOG_PAGE_MAX};
use crate::store::chain::{ChainFault, Verified, verify_chain};
use crate::store::{DeviceStatus, Envelope, Issued, Note, NoteChange, StreamId};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;

impl Books {
    /// Lines of an organization's log numbered above `after`, in order, at most `limit` and [`LOG_PAGE_MAX`].
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn log(&self, id: OrganizationId, after: u64, limit: u32) -> Result<Vec<Envelope>, BooksError> {
        self.read(move |reader| reader.entries(id.into(), after, limit.min(LOG_PAGE_MAX))).await
    }

    /// Lines of the platform's log, as [`Books::log`].
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn platform_log(&self, after: u64, limit: u32) -> Result<Vec<Envelope>, BooksError> {
        self.read(move |reader| reader.entries(StreamId::PLATFORM, after, limit.min(LOG_PAGE_MAX))).await
    }

    /// Recomputes the hash chain of an organization's log, or of the platform's if none is named (domain T1).
    ///
    /// # Errors
    /// If the store cannot be read; a fault of the chain is the inner result.
    pub async fn verify_log(
        &self,
        id: Option<OrganizationId>,
    ) -> Result<Result<Verified, ChainFault>, BooksError> {
        self.read(move |reader| verify_chain(reader, id.map_or(StreamId::PLATFORM, StreamId::from))).await
    }

    /// The newest token issued to each device, without its bytes but with what tells it from another.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn issued(&self) -> Result<Vec<(Issued, TokenDigest)>, BooksError> {
        self.read(|reader| {
            let mut all = Vec::new();
            reader.each_issued(&mut |issued, digest| all.push((issued, digest)))?;
            Ok(all)
        })
        .await
    }

    /// The latest end of a lease of the newest tokens issued since an instant, to devices of an organization or of all.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn lease_ends_at(
        &self,
        of: Option<OrganizationId>,
        since: Timestamp,
    ) -> Result<Option<Timestamp>, BooksError> {
        self.read(move |reader| {
            let mut latest = None;
            reader.each_issued(&mut |issued, _| {
                if issued.issued_at >= since && of.is_none_or(|of| of == issued.organization) {
                    latest = latest.max(Some(issued.lease_ends_at));
                }
            })?;
            Ok(latest)
        })
        .await
    }

    /// The newest token issued to a device, with its bytes.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn token(&self, device: &DeviceId) -> Result<Option<(Issued, Vec<u8>)>, BooksError> {
        let device = device.clone();
        self.read(move |reader| reader.token(&device)).await
    }

    /// The last status recorded of each device.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn statuses(&self) -> Result<Vec<DeviceStatus>, BooksError> {
        self.read(|reader| {
            let mut all = Vec::new();
            reader.each_status(&mut |status| all.push(status))?;
            Ok(all)
        })
        .await
    }

    /// Records the last status of devices; send them in batches, every few seconds.
    ///
    /// # Errors
    /// If the store fails; nothing of the batch is then recorded.
    pub async fn record_statuses(&self, statuses: Vec<DeviceStatus>) -> Result<(), BooksError> {
        self.ask(|reply| Message::Statuses(statuses, reply)).await?
    }

    /// The notes of a kind, by subject.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn notes(&self, kind: &'static str) -> Result<Vec<Note>, BooksError> {
        self.read(move |reader| reader.notes(kind)).await
    }

    /// Keeps or forgets notes, all of these changes or none.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn change_notes(&self, changes: Vec<NoteChange>) -> Result<(), BooksError> {
        self.ask(|reply| Message::Notes(changes, reply)).await?
    }

    /// Issues tokens (token §3): in one transaction allocates each organization's next sequence, has them signed, and
    /// records them as the devices' newest. Large batches become several transactions, with other requests between.
    ///
    /// `sign` gets what was allocated, each with its index in `batch`, and answers each in the same order; it is called
    /// on the writer's thread, once per transaction, and may use more threads. What it declines is not recorded.
    ///
    /// # Errors
    /// If the store fails or the time is in doubt; tokens of earlier transactions of the batch are then issued, and
    /// their devices' next look shows it.
    pub async fn issue<F>(&self, batch: Vec<ToIssue>, sign: F) -> Result<Vec<Signed>, BooksError>
    where
        F: FnMut(&[Allocated]) -> Vec<Result<Vec<u8>, SignError>> + Send + 'static,
    {
        let mut sign: issue::Sign = Box::new(sign);
        let mut results = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let later = rest.split_off(rest.len().min(issue::CHUNK));
            let chunk = std::mem::replace(&mut rest, later);
            let first = results.len();
            let (back, issued) = self.ask(|reply| Message::Issue { first, chunk, sign, reply }).await?;
            sign = back;
            results.extend(issued?);
        }
        Ok(results)
    }
}
