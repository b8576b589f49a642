//! The ledger of a daemon's reconciler: the real one, with a world that takes note of every token that is issued.
//!
//! What a token says is compared here with the books, whatever the reconciler was told and asks for.

use crate::cloud::{Air, Issue, MachineClock};
use crate::invariants::Invariant;
use crate::plan::BEGINS_SECS;
use crate::planted::Planted;
use crate::told::{TOKENS_AN_HOUR, Terms, differs};
use crate::trust::{Keys, domain};
use coterm_cloud::books::BooksError;
use coterm_cloud::ports::BoxFuture;
use coterm_cloud::reconcile::{
    Confirmation, Fresh, Kept, Ledger, LedgerError, Memory, Outcome, Said, SigningLedger, Stored, TokenKeys,
    Touched, WantedDigest, Why, Wish, digest_for,
};
use coterm_shared::id::{DeviceId, GroupId, OrganizationId};
use coterm_shared::licensing::Wanted;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Claims, Expected, TokenVersion, reopen_stored};
use std::sync::{Arc, Mutex};

/// The real ledger, with a world that takes note of what is issued.
pub struct Watched {
    /// The real one.
    pub inner: SigningLedger,
    /// Where notes are taken.
    pub air: Arc<Mutex<Air>>,
    /// The clock of the machine.
    pub clock: Arc<MachineClock>,
    /// How long tokens hold.
    pub terms: Terms,
    /// Whose keyring devices have.
    pub keys: Keys,
    /// The bug that was put in.
    pub planted: Option<Planted>,
}

impl Watched {
    /// A token that was on disk when its daemon died, before anybody heard of it, is as genuine as any.
    fn take_note(&self, device: &DeviceId, bytes: &Arc<[u8]>) {
        let mut air = self.air.lock().expect("whole");
        if air.issued.contains_key(bytes) {
            return;
        }
        let keyring = self.keys.keyring();
        for organization in self.inner.organizations() {
            let expected = Expected { trust_domain: domain(), device: device.clone(), organization };
            let Ok(token) = reopen_stored(bytes, &keyring, &expected) else { continue };
            let claims = token.claims();
            let issue = Issue {
                device: device.clone(),
                organization,
                version: claims.version,
                schedule: claims.schedule,
                issued_at: claims.issued_at,
                offline_lock_at: claims.offline_lock_at,
                lease_ends_at: claims.lease_ends_at,
                truly_at: claims.issued_at.as_secs().min(BEGINS_SECS + self.clock.world_millis() / 1000),
            };
            air.issued.insert(Arc::clone(bytes), issue);
            return;
        }
    }

    /// Whether a token issued under a freeze of `since` announces no further step before its own lease ends (E6).
    fn is_frozen(&self, fresh: &Fresh, organization: OrganizationId, since: Timestamp) -> bool {
        let expected = Expected { trust_domain: domain(), device: fresh.device.clone(), organization };
        let Ok(token) = reopen_stored(&fresh.bytes, &self.keys.keyring(), &expected) else { return true };
        let Claims { schedule, lease_ends_at, .. } = token.claims();
        let reached = |at: Option<Timestamp>| at.is_none_or(|at| at <= since || at >= *lease_ends_at);
        reached(schedule.lock_at) && reached(schedule.stop_at)
    }

    /// The same wish, with the bug that was put in.
    fn spoilt(&self, mut wish: Wish) -> Wish {
        let schedule = &mut wish.wanted.schedule;
        match self.planted {
            Some(Planted::LockedEarly) => {
                let earlier = schedule.lock_at.map(|at| at.saturating_sub(Seconds(3_600)));
                schedule.lock_at = earlier.max(schedule.grace_begins_at);
            }
            Some(Planted::GraceProlonged) => {
                let now = self.inner.now();
                let spent = schedule.grace_begins_at.map_or(Seconds::ZERO, |at| now.since(at));
                schedule.lock_at = schedule.lock_at.map(|at| at.saturating_add(spent));
                schedule.stop_at = schedule.stop_at.map(|at| at.saturating_add(spent));
            }
            Some(Planted::StopForgotten) => schedule.stop_at = None,
            Some(Planted::FreezeIgnored) => wish.wanted.frozen_since = None,
            _ => {}
        }
        wish
    }

    /// What the reconciler remembers of a token: that it says what was wished for, whatever it says.
    fn remembered(&self, wish: &Wish, fresh: &mut Fresh) {
        match self.planted {
            Some(
                Planted::LockedEarly
                | Planted::GraceProlonged
                | Planted::StopForgotten
                | Planted::FreezeIgnored,
            ) => fresh.issued.wanted = digest_for(&domain(), &wish.wanted, fresh.issued.lease_ends_at),
            Some(Planted::IssuedAgain) => fresh.issued.wanted = WantedDigest([0; 32]),
            _ => {}
        }
    }

    /// Looks at a token just issued: whether it says what the books want, and how many there were.
    fn compare(&self, air: &mut Air, fresh: &Fresh, wish: &Wish, books: Option<&Wanted>) {
        air.compared += 1;
        if let Some(what) = books.and_then(|books| differs(fresh, wish, books, &self.keys, self.terms)) {
            air.broken.push((Invariant::Told, what));
        }
        let now = self.clock.world_millis();
        if let Some(many) = air.tokens.count(&fresh.device, now, TOKENS_AN_HOUR) {
            let what = format!("{} was issued {many} tokens within an hour", fresh.device);
            air.broken.push((Invariant::Quiet, what));
        }
        let signer = self.keys.0.lock().expect("whole").signing_kid();
        air.newest.insert(fresh.device.clone(), (fresh.issued.version, signer));
    }

    /// Has tokens signed by the real ledger, and takes note of each.
    async fn issued(&self, wishes: Vec<Wish>) -> Result<Vec<Outcome>, LedgerError> {
        let asked = wishes.iter().cloned().map(|wish| self.spoilt(wish)).collect();
        // By the books themselves, whatever the reconciler was told and asks for.
        let books = |wish: &Wish| self.inner.wanted(wish.wanted.organization, &wish.wanted.device);
        let books: Vec<Option<Wanted>> = wishes.iter().map(books).collect();
        let mut outcomes = self.inner.issue(asked).await?;
        let mut air = self.air.lock().expect("whole");
        for ((wish, books), outcome) in wishes.iter().zip(books).zip(&mut outcomes) {
            let Ok(fresh) = outcome else { continue };
            self.compare(&mut air, fresh, wish, books.as_ref());
            let wanted = books.as_ref().unwrap_or(&wish.wanted);
            let issue = Issue {
                device: fresh.device.clone(),
                organization: wanted.organization,
                version: fresh.issued.version,
                schedule: wanted.schedule_for(fresh.issued.lease_ends_at),
                issued_at: fresh.issued.issued_at,
                offline_lock_at: fresh.issued.issued_at.saturating_add(self.terms.offline),
                lease_ends_at: fresh.issued.lease_ends_at,
                truly_at: BEGINS_SECS + self.clock.world_millis() / 1000,
            };
            if !air.taken.insert((issue.organization, issue.version)) {
                air.twice.push(issue.version);
            }
            if let Some(since) = wanted.frozen_since {
                air.frozen += 1;
                if !self.is_frozen(fresh, issue.organization, since) {
                    air.thawed.push(issue.version);
                }
            }
            air.issued.insert(Arc::clone(&fresh.bytes), issue);
            self.remembered(wish, fresh);
        }
        Ok(outcomes)
    }
}

impl Ledger for Watched {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn now_millis(&self) -> u64 {
        self.inner.now_millis()
    }

    fn organizations(&self) -> Vec<OrganizationId> {
        self.inner.organizations()
    }

    fn devices(&self, organization: OrganizationId, after: Option<DeviceId>, limit: usize) -> Vec<DeviceId> {
        self.inner.devices(organization, after, limit)
    }

    fn devices_in_group(&self, organization: OrganizationId, group: GroupId) -> Vec<DeviceId> {
        self.inner.devices_in_group(organization, group)
    }

    fn wanted(&self, organization: OrganizationId, device: &DeviceId) -> Option<Wanted> {
        let wanted = self.inner.wanted(organization, device)?;
        let told = self.planted != Some(Planted::NoFarewell) || !wanted.is_farewell();
        told.then_some(wanted)
    }

    fn changes(&self) -> BoxFuture<'_, Vec<Touched>> {
        self.inner.changes()
    }

    fn issue(&self, wishes: Vec<Wish>) -> BoxFuture<'_, Result<Vec<Outcome>, LedgerError>> {
        Box::pin(async move {
            let is_kept =
                |wish: &Wish| self.planted != Some(Planted::NeverRenewed) || wish.why != Why::Renewal;
            let kept: Vec<bool> = wishes.iter().map(is_kept).collect();
            let asked = wishes.into_iter().filter(is_kept).collect();
            let mut outcomes = self.issued(asked).await?.into_iter();
            let left = || Err(LedgerError("leases are not renewed".to_owned()));
            let next = |kept| if kept { outcomes.next().unwrap_or_else(left) } else { left() };
            Ok(kept.into_iter().map(next).collect())
        })
    }

    fn token(&self, device: DeviceId) -> BoxFuture<'_, Result<Stored, LedgerError>> {
        Box::pin(async move {
            let stored = self.inner.token(device.clone()).await?;
            if let Stored::Token(_, bytes) = &stored {
                self.take_note(&device, bytes);
            }
            Ok(stored)
        })
    }

    fn verify(&self, organization: OrganizationId, device: &DeviceId, proof: &[u8]) -> Option<TokenVersion> {
        self.inner.verify(organization, device, proof)
    }

    fn load(&self) -> BoxFuture<'_, Result<Memory, LedgerError>> {
        self.inner.load()
    }

    fn save(&self, said: Vec<Said>) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.inner.save(said)
    }

    fn keep(&self, suspected: Vec<Kept>) -> BoxFuture<'_, Result<(), LedgerError>> {
        self.inner.keep(suspected)
    }

    fn keep_confirmation(&self, confirmation: Confirmation) -> BoxFuture<'_, Result<(), BooksError>> {
        self.inner.keep_confirmation(confirmation)
    }
}
