//! Books in memory: what is wanted, what was issued and said, and what is suspected.

use super::super::*;
use super::world::{LEASE, ORGANIZATION, locked};
use crate::books::BooksError;
use crate::ports::BoxFuture;
use coterm_shared::id::GroupId;
use coterm_shared::licensing::Wanted;
use coterm_shared::time::Timestamp;
use coterm_shared::token::TokenDigest;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use tokio::sync::Notify;

/// What can be lost with a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Database {
    pub(super) wanted: BTreeMap<DeviceId, Wanted>,
    pub(super) issued: HashMap<DeviceId, (Issued, Arc<[u8]>)>,
    pub(super) said: HashMap<DeviceId, Said>,
    pub(super) last_seq: u64,
    pub(super) halts: BTreeMap<OrganizationId, Halt>,
    pub(super) settled: BTreeMap<OrganizationId, TokenVersion>,
    pub(super) contradictions: BTreeMap<DeviceId, Contradiction>,
}

#[derive(Debug, Default)]
pub(super) struct FakeLedger {
    pub(super) now: Mutex<u64>,
    pub(super) database: Mutex<Database>,
    pub(super) backup: Mutex<Option<Database>>,
    pub(super) touched: Mutex<Vec<Touched>>,
    pub(super) epoch: Mutex<u64>,
    pub(super) revoked: Mutex<bool>,
    /// Nothing is signed.
    pub(super) refuses: Mutex<bool>,
    pub(super) wake: Notify,
}

impl FakeLedger {
    pub(super) fn touch(&self, groups: Vec<GroupId>, devices: Vec<DeviceId>) {
        locked(&self.touched).push(Touched {
            organization: ORGANIZATION,
            everything: false,
            groups,
            devices,
        });
        self.wake.notify_one();
    }
}

impl Ledger for FakeLedger {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(*locked(&self.now)).unwrap()
    }

    fn now_millis(&self) -> u64 {
        *locked(&self.now) * 1_000
    }

    fn organizations(&self) -> Vec<OrganizationId> {
        vec![ORGANIZATION]
    }

    fn devices(&self, _: OrganizationId, after: Option<DeviceId>, limit: usize) -> Vec<DeviceId> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let database = locked(&self.database);
        let active = database.wanted.range((after, Bound::Unbounded)).filter(|(_, w)| !w.is_farewell());
        active.take(limit).map(|(id, _)| id.clone()).collect()
    }

    fn devices_in_group(&self, _: OrganizationId, group: GroupId) -> Vec<DeviceId> {
        let database = locked(&self.database);
        database.wanted.values().filter(|w| w.group == Some(group)).map(|w| w.device.clone()).collect()
    }

    fn wanted(&self, _: OrganizationId, device: &DeviceId) -> Option<Wanted> {
        locked(&self.database).wanted.get(device).cloned()
    }

    fn changes(&self) -> BoxFuture<'_, Vec<Touched>> {
        Box::pin(async move {
            loop {
                let touched = std::mem::take(&mut *locked(&self.touched));
                if !touched.is_empty() {
                    return touched;
                }
                self.wake.notified().await;
            }
        })
    }

    fn issue(&self, wishes: Vec<Wish>) -> BoxFuture<'_, Result<Vec<Outcome>, LedgerError>> {
        Box::pin(async move {
            if *locked(&self.refuses) {
                return Err(LedgerError("the time is in doubt".to_owned()));
            }
            let now = self.now();
            let mut database = locked(&self.database);
            let mut outcomes = Vec::new();
            for wish in wishes {
                database.last_seq = (database.last_seq + 1).max(now.as_secs() * 1_000);
                let version = TokenVersion { epoch: (*locked(&self.epoch)).max(1), seq: database.last_seq };
                let nonce = wish.nonce.map(|nonce| nonce.to_string()).unwrap_or_default();
                let bytes: Arc<[u8]> = format!("{version} {nonce}").into_bytes().into();
                let issued = Issued {
                    version,
                    token: TokenDigest::of(&bytes),
                    wanted: wish.digest,
                    issued_at: now,
                    lease_ends_at: now.saturating_add(LEASE),
                };
                let device = wish.wanted.device;
                database.issued.insert(device.clone(), (issued, Arc::clone(&bytes)));
                outcomes.push(Ok(Fresh { device, issued, bytes }));
            }
            Ok(outcomes)
        })
    }

    fn token(&self, device: DeviceId) -> BoxFuture<'_, Result<Stored, LedgerError>> {
        let stored =
            locked(&self.database).issued.get(&device).map_or(
                Stored::Nothing,
                |(issued, bytes)| match *locked(&self.revoked) {
                    true => Stored::Outdated(issued.version),
                    false => Stored::Token(issued.version, Arc::clone(bytes)),
                },
            );
        Box::pin(async move { Ok(stored) })
    }

    fn verify(&self, _: OrganizationId, _: &DeviceId, proof: &[u8]) -> Option<TokenVersion> {
        std::str::from_utf8(proof).ok()?.split(' ').next()?.parse().ok()
    }

    fn load(&self) -> BoxFuture<'_, Result<Memory, LedgerError>> {
        let database = locked(&self.database);
        let issued =
            database.issued.iter().map(|(id, (issued, _))| (id.clone(), ORGANIZATION, *issued)).collect();
        let memory = Memory {
            issued,
            said: database.said.values().cloned().collect(),
            halts: database.halts.clone().into_iter().collect(),
            settled: database.settled.clone().into_iter().collect(),
            contradictions: database.contradictions.clone().into_iter().collect(),
        };
        Box::pin(async move { Ok(memory) })
    }

    fn save(&self, said: Vec<Said>) -> BoxFuture<'_, Result<(), LedgerError>> {
        locked(&self.database).said.extend(said.into_iter().map(|said| (said.device.clone(), said)));
        Box::pin(async move { Ok(()) })
    }

    fn keep(&self, suspected: Vec<Kept>) -> BoxFuture<'_, Result<(), LedgerError>> {
        let mut database = locked(&self.database);
        for kept in suspected {
            match kept {
                Kept::Halt(organization, halt) => drop(database.halts.insert(organization, halt)),
                Kept::Contradiction(device, found) => drop(database.contradictions.insert(device, found)),
            }
        }
        Box::pin(async move { Ok(()) })
    }

    fn keep_confirmation(&self, confirmation: Confirmation) -> BoxFuture<'_, Result<(), BooksError>> {
        let mut database = locked(&self.database);
        database.halts.remove(&confirmation.organization);
        database.settled.insert(confirmation.organization, confirmation.settled);
        database.contradictions.extend(confirmation.noted);
        Box::pin(async move { Ok(()) })
    }
}
