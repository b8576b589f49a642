//! The reconciler's ports on the real books and the real signer.

use super::digest::{WantedDigest, digest_for};
use super::plan::Issued;
use super::ports::{
    Confirmation, Fresh, Kept, Ledger, LedgerError, Memory, Outcome, Said, Stored, Touched, Wish,
};
use crate::books::{self, Allocated, Books, BooksError, Feed, Note, NoteChange, SignError, ToIssue, Touch};
use crate::ports::BoxFuture;
use crate::signer::{Signer, Trust, TrustError};
use coterm_shared::id::{DeviceId, GroupId, OrganizationId};
use coterm_shared::licensing::{Wanted, Wants};
use coterm_shared::protocol::Report;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{
    Claims, Expected, Keyring, MAX_FINDINGS, TokenDigest, TokenVersion, TrustDomain, Unsigned, reopen_stored,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};
use std::thread;
use tokio::sync::Mutex;

/// Batches smaller than this are signed on one thread.
const SIGNED_ALONE: usize = 32;
/// No configuration has longer leases.
const LONGEST_LEASE: Seconds = Seconds::days(30);

/// How long tokens hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPolicy {
    /// The name of this deployment in every token.
    pub trust_domain: TrustDomain,
    /// From the issue to the end of the lease.
    pub lease: Seconds,
    /// From the issue to the management lock of a device that hears nothing newer (domain E7).
    pub offline_budget: Seconds,
}

/// Where the keys of tokens come from: the trust directory, or whoever stands in for it.
pub trait TokenKeys: Send + Sync + 'static {
    /// The epoch to issue in.
    fn epoch(&self) -> u64;
    /// The keyring as it is now.
    fn keyring(&self) -> Keyring;
    /// The key that signs tokens now.
    ///
    /// # Errors
    /// It is out of reach, and why.
    fn signer(&self) -> Result<Arc<dyn Signer>, TrustError>;
}

impl TokenKeys for Trust {
    fn epoch(&self) -> u64 {
        Trust::epoch(self)
    }

    fn keyring(&self) -> Keyring {
        Trust::keyring(self)
    }

    fn signer(&self) -> Result<Arc<dyn Signer>, TrustError> {
        Trust::signer(self)
    }
}

/// The books, with the key that signs.
pub struct SigningLedger {
    books: Books,
    feed: Mutex<Feed>,
    trust: Arc<dyn TokenKeys>,
    policy: TokenPolicy,
    /// What the organization looked at last wants, as long as neither it nor the platform, of this version, changes.
    wants: std::sync::Mutex<Option<(u64, Wants)>>,
}

impl fmt::Debug for SigningLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningLedger").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl SigningLedger {
    /// The books seen from now on, signed for under this policy.
    #[must_use]
    pub fn new<K: TokenKeys>(books: Books, trust: Arc<K>, policy: TokenPolicy) -> SigningLedger {
        SigningLedger {
            feed: Mutex::new(books.subscribe()),
            books,
            trust,
            policy,
            wants: std::sync::Mutex::default(),
        }
    }
}

/// The notes this module keeps: halts and what is settled by organization, contradictions by device.
const HALT: &str = "halt";
const SETTLED: &str = "halt-settled";
const CONTRADICTION: &str = "contradiction";

impl SigningLedger {
    /// The notes of a kind. One that cannot be read stops the start: an unread halt would be none.
    async fn notes<S: FromStr, T: DeserializeOwned>(
        &self,
        kind: &'static str,
    ) -> Result<Vec<(S, T)>, LedgerError> {
        let read = |note: Note| {
            let unreadable = || LedgerError(format!("the note {kind} of {} cannot be read", note.subject));
            let subject = note.subject.parse().map_err(|_| unreadable())?;
            Ok((subject, serde_json::from_slice(&note.body).map_err(|_| unreadable())?))
        };
        self.books.notes(kind).await.map_err(failed)?.into_iter().map(read).collect()
    }
}

fn note(
    kind: &str,
    subject: &impl fmt::Display,
    at: Timestamp,
    body: &impl Serialize,
) -> Result<NoteChange, BooksError> {
    // Numbers and names always encode; were it otherwise it would be a defect of ours.
    let body = serde_json::to_vec(body).map_err(|_| BooksError::Internal)?;
    Ok(NoteChange::Keep(Note { kind: kind.to_owned(), subject: subject.to_string(), at, body }))
}

impl Ledger for SigningLedger {
    fn now(&self) -> Timestamp {
        self.books.now()
    }

    fn now_millis(&self) -> u64 {
        self.books.now_millis()
    }

    fn organizations(&self) -> Vec<OrganizationId> {
        self.books.organizations()
    }

    fn devices(&self, organization: OrganizationId, after: Option<DeviceId>, limit: usize) -> Vec<DeviceId> {
        let Some(organization) = self.books.organization(organization) else { return Vec::new() };
        // A retired device is looked at when it is retired and whenever it speaks. Asking of each, at every sweep, whether
        // another organization claims it by now would cost as many lookups as there are organizations.
        let active = organization.devices_after(after).filter(|device| device.is_active());
        active.take(limit).map(|device| device.id.clone()).collect()
    }

    fn devices_in_group(&self, organization: OrganizationId, group: GroupId) -> Vec<DeviceId> {
        let Some(organization) = self.books.organization(organization) else { return Vec::new() };
        let active = organization.devices_in_group(group).filter(|device| device.is_active());
        active.map(|device| device.id.clone()).collect()
    }

    fn wanted(&self, organization: OrganizationId, device: &DeviceId) -> Option<Wanted> {
        let mut wants = self.wants.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.books.version(organization)?;
        let current = |wants: &Wants| {
            let known = wants.organization();
            (known.id(), known.version()) == (organization, version)
        };
        let platform = self.books.platform_version();
        if !wants.as_ref().is_some_and(|(of, wants)| *of == platform && current(wants)) {
            let spanning = self.books.platform();
            let under = self.books.organization(organization)?.under(spanning.freeze());
            *wants = Some((spanning.version(), Wants::of(&under)));
        }
        let (_, known) = wants.as_mut()?;
        let wanted = known.wanted(device)?;
        // A retired device may be another's by now, who alone speaks to it.
        let speaks = !wanted.is_farewell() || self.books.is_owner(organization, device);
        speaks.then_some(wanted)
    }

    fn changes(&self) -> BoxFuture<'_, Vec<Touched>> {
        Box::pin(async move {
            let touches = self.feed.lock().await.changed().await;
            touches.into_iter().map(|(organization, touch)| touched(organization, touch)).collect()
        })
    }

    fn issue(&self, wishes: Vec<Wish>) -> BoxFuture<'_, Result<Vec<Outcome>, LedgerError>> {
        Box::pin(async move {
            let epoch = self.trust.epoch();
            let now = self.books.now();
            let batch = wishes.iter().map(|wish| to_issue(wish, epoch, &self.policy, now)).collect();
            let signer = self.trust.signer().map_err(|error| LedgerError(error.to_string()))?;
            let policy = self.policy.clone();
            let sign = move |allocated: &[Allocated]| sign_all(&*signer, &policy, &wishes, allocated);
            let signed = self.books.issue(batch, sign).await.map_err(failed)?;
            Ok(signed
                .into_iter()
                .map(|signed| match signed {
                    Ok((issued, bytes)) => {
                        let bytes = Arc::from(bytes);
                        let remembered = remembered(&issued, TokenDigest::of(&bytes));
                        Ok(Fresh { device: issued.device, issued: remembered, bytes })
                    }
                    Err(SignError(reason)) => Err(LedgerError(reason)),
                })
                .collect())
        })
    }

    fn token(&self, device: DeviceId) -> BoxFuture<'_, Result<Stored, LedgerError>> {
        Box::pin(async move {
            let stored = self.books.token(&device).await.map_err(failed)?;
            let Some((issued, bytes)) = stored else { return Ok(Stored::Nothing) };
            let organization = issued.organization;
            let expected = Expected { trust_domain: self.policy.trust_domain.clone(), device, organization };
            // As a device with the newest keyring would look at it: what it would refuse is not worth sending.
            Ok(match reopen_stored(&bytes, &self.trust.keyring(), &expected) {
                Ok(_) => Stored::Token(version(&issued), Arc::from(bytes)),
                Err(_) => Stored::Outdated(version(&issued)),
            })
        })
    }

    fn verify(&self, organization: OrganizationId, device: &DeviceId, proof: &[u8]) -> Option<TokenVersion> {
        let expected =
            Expected { trust_domain: self.policy.trust_domain.clone(), device: device.clone(), organization };
        // Of whatever epoch: a token of one we do not know yet is foreign all the more.
        let token = reopen_stored(proof, &self.trust.keyring(), &expected).ok()?;
        Some(token.claims().version)
    }

    fn load(&self) -> BoxFuture<'_, Result<Memory, LedgerError>> {
        Box::pin(async move {
            let issued = self.books.issued().await.map_err(failed)?;
            let statuses = self.books.statuses().await.map_err(failed)?;
            let issued = issued
                .into_iter()
                .map(|(issued, token)| {
                    let remembered = remembered(&issued, token);
                    (issued.device, issued.organization, remembered)
                })
                .collect();
            // A status written by another version of this program is as good as none: unknown is not missing.
            let said = statuses
                .into_iter()
                .filter_map(|status| {
                    let report = Report::parse(&status.body).ok()?;
                    Some(Said {
                        device: status.device,
                        organization: status.organization,
                        heard_at: status.heard_at,
                        report: Arc::new(report),
                    })
                })
                .collect();
            let halts = self.notes(HALT).await?;
            let settled = self.notes(SETTLED).await?;
            let contradictions = self.notes(CONTRADICTION).await?;
            Ok(Memory { issued, said, halts, settled, contradictions })
        })
    }

    fn save(&self, said: Vec<Said>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let statuses = said
                .into_iter()
                .filter_map(|Said { device, organization, heard_at, report }| {
                    let body = report.to_payload().ok()?;
                    Some(books::DeviceStatus { device, organization, heard_at, body })
                })
                .collect();
            self.books.record_statuses(statuses).await.map_err(failed)
        })
    }

    fn keep(&self, suspected: Vec<Kept>) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let change = |kept: &Kept| match kept {
                Kept::Halt(organization, halt) => note(HALT, organization, halt.since, halt),
                Kept::Contradiction(device, found) => note(CONTRADICTION, device, found.since, found),
            };
            let changes = suspected.iter().map(change).collect::<Result<_, _>>().map_err(failed)?;
            self.books.change_notes(changes).await.map_err(failed)
        })
    }

    fn keep_confirmation(&self, confirmation: Confirmation) -> BoxFuture<'_, Result<(), BooksError>> {
        Box::pin(async move {
            let Confirmation { organization, at, settled, noted } = confirmation;
            let (kind, subject) = (HALT.to_owned(), organization.to_string());
            let mut changes =
                vec![note(SETTLED, &organization, at, &settled)?, NoteChange::Forget { kind, subject }];
            for (device, found) in noted {
                changes.push(note(CONTRADICTION, &device, at, &found)?);
            }
            self.books.change_notes(changes).await
        })
    }
}

fn failed(error: BooksError) -> LedgerError {
    LedgerError(format!("{error}; {}", error.hint()))
}

fn touched(organization: OrganizationId, touch: Touch) -> Touched {
    match touch {
        Touch::Everything => {
            Touched { organization, everything: true, groups: Vec::new(), devices: Vec::new() }
        }
        Touch::Some { groups, devices } => Touched {
            organization,
            everything: false,
            groups: groups.into_iter().collect(),
            devices: devices.into_iter().collect(),
        },
    }
}

fn to_issue(wish: &Wish, epoch: u64, policy: &TokenPolicy, now: Timestamp) -> ToIssue {
    // Under a freeze a token announces its lease's end: the next one announces nothing earlier, though leases may have been
    // shortened in between (domain E6).
    let announced = wish.announced.map_or(Seconds::ZERO, |at| at.since(now));
    let lease = policy.lease.max(announced.min(LONGEST_LEASE));
    let wanted = digest_for(&policy.trust_domain, &wish.wanted, now.saturating_add(lease));
    ToIssue {
        device: wish.wanted.device.clone(),
        organization: wish.wanted.organization,
        epoch,
        wanted: wanted.0,
        lease_secs: lease,
        answers_nonce: wish.nonce.is_some(),
    }
}

fn version(issued: &books::Issued) -> TokenVersion {
    TokenVersion { epoch: issued.epoch, seq: issued.seq }
}

fn remembered(issued: &books::Issued, token: TokenDigest) -> Issued {
    Issued {
        version: version(issued),
        token,
        wanted: WantedDigest(issued.wanted),
        issued_at: issued.issued_at,
        lease_ends_at: issued.lease_ends_at,
    }
}

/// Signs a batch on all cores: signing is the dearest part of issuing, and the books wait for it.
fn sign_all(
    signer: &dyn Signer,
    policy: &TokenPolicy,
    wishes: &[Wish],
    allocated: &[Allocated],
) -> Vec<Result<Vec<u8>, SignError>> {
    let one = |allocated: &Allocated| match wishes.get(allocated.index) {
        Some(wish) => sign_one(signer, policy, wish, &allocated.issued),
        None => Err(SignError(String::from("the batch and its wishes do not fit together"))),
    };
    let alone = || allocated.iter().map(one).collect();
    if allocated.len() < SIGNED_ALONE {
        return alone();
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores == 1 {
        return alone();
    }
    let share = allocated.len().div_ceil(cores);
    thread::scope(|scope| {
        let parts: Vec<_> = allocated
            .chunks(share)
            .map(|part| (part.len(), scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())))
            .collect();
        parts
            .into_iter()
            .flat_map(|(len, part)| {
                let crashed = |_| vec![Err(SignError(String::from("the signer crashed"))); len];
                part.join().unwrap_or_else(crashed)
            })
            .collect()
    })
}

fn sign_one(
    signer: &dyn Signer,
    policy: &TokenPolicy,
    wish: &Wish,
    issued: &books::Issued,
) -> Result<Vec<u8>, SignError> {
    let schedule = wish.wanted.schedule_for(issued.lease_ends_at);
    let Wanted { device, organization, site, group, findings, coterm_at, .. } = wish.wanted.clone();
    let mut findings = findings;
    findings.truncate(MAX_FINDINGS);
    let claims = Claims {
        trust_domain: policy.trust_domain.clone(),
        device,
        lease_ends_at: issued.lease_ends_at,
        issued_at: issued.issued_at,
        nonce: wish.nonce.clone(),
        organization,
        site,
        group,
        state: schedule.state_at(issued.issued_at),
        findings,
        schedule,
        offline_lock_at: issued.issued_at.saturating_add(policy.offline_budget),
        version: version(issued),
        coterm_at,
    };
    let unsigned = Unsigned::token(&claims, signer.kid()).map_err(|error| SignError(error.to_string()))?;
    let signature = signer.sign(unsigned.to_be_signed()).map_err(|error| SignError(error.to_string()))?;
    Ok(unsigned.attach(signature))
}
