//! What a token has to say, written down a second time from the books (token §1; domain E5, E6, E7), and how often one may
//! be issued.
//!
//! **Problem.** A device is judged by what its token announces; that this is what the books want is another question.
//! **Method.** The claims are put together again from the books, the terms of the plan and the keyring, and encoded; what was
//! signed has to be that, byte for byte, up to the signature. **Deliberately absent:** the signature itself, which devices
//! look at.

use crate::plan::{HOUR, Plan};
use crate::trust::{Keys, domain};
use coterm_cloud::reconcile::{Fresh, Wish};
use coterm_shared::licensing::Wanted;
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Claims, Expected, MAX_FINDINGS, Unsigned, reopen_stored};
use std::collections::BTreeMap;

/// A signature is the last 64 bytes of a token.
const SIGNATURE: usize = 64;

/// How long tokens hold, by the plan.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// From the issue to the end of the lease.
    pub lease: Seconds,
    /// From the issue to the lock of a device that hears nothing newer.
    pub offline: Seconds,
}

impl Terms {
    /// Those of a plan.
    pub const fn of(plan: &Plan) -> Terms {
        Terms { lease: Seconds(plan.lease_secs), offline: Seconds(plan.offline_secs) }
    }

    /// When the lease of a token ends that was issued for this: under a freeze no earlier than that of the one before.
    fn lease_ends_at(&self, wish: &Wish, issued_at: Timestamp) -> Timestamp {
        let due = issued_at.saturating_add(self.lease);
        wish.announced.map_or(due, |announced| due.max(announced))
    }
}

/// What of a token just issued is not what the books want; `None` if all of it is.
pub fn differs(fresh: &Fresh, wish: &Wish, books: &Wanted, keys: &Keys, terms: Terms) -> Option<String> {
    let (epoch, kid, keyring) = {
        let office = keys.0.lock().expect("whole");
        (office.keyring().min_epoch(), office.signing_kid(), office.keyring().clone())
    };
    let issued = &fresh.issued;
    let lease_ends_at = terms.lease_ends_at(wish, issued.issued_at);
    let schedule = books.schedule_for(lease_ends_at);
    let Wanted { device, organization, site, group, findings, coterm_at, .. } = books.clone();
    let mut version = issued.version;
    version.epoch = epoch;
    let claims = Claims {
        trust_domain: domain(),
        device: device.clone(),
        lease_ends_at,
        issued_at: issued.issued_at,
        nonce: wish.nonce.clone(),
        organization,
        site,
        group,
        state: schedule.state_at(issued.issued_at),
        findings: findings.into_iter().take(MAX_FINDINGS).collect(),
        schedule,
        offline_lock_at: issued.issued_at.saturating_add(terms.offline),
        version,
        coterm_at,
    };
    let due = Unsigned::token(&claims, kid).expect("claims a token can carry").attach([0; SIGNATURE]);
    let unsigned = |bytes: &[u8]| bytes.len().saturating_sub(SIGNATURE);
    if due[..unsigned(&due)] == fresh.bytes[..unsigned(&fresh.bytes)] {
        return None;
    }
    let expected = Expected { trust_domain: domain(), device, organization };
    let said = reopen_stored(&fresh.bytes, &keyring, &expected).map(|token| token.claims().clone());
    Some(format!("token {} is to say {claims:?} and says {said:?}", issued.version))
}

/// Tokens that a device may be issued within an hour: one a minute it may ask for, and half as many for what changes.
pub const TOKENS_AN_HOUR: u32 = 90;
/// Times that a daemon may send the keyring to everybody within an hour: when it starts, when there is a new
/// one, and when somebody lacks it.
pub const KEYRINGS_AN_HOUR: u32 = 40;

/// Who caused how much of something of late.
#[derive(Debug)]
pub struct Hourly<K>(BTreeMap<K, (u64, u32)>);

impl<K> Default for Hourly<K> {
    fn default() -> Hourly<K> {
        Hourly(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Hourly<K> {
    /// Counts one, at an instant of the world in milliseconds; tells how many there were within the hour if there were more
    /// than `most`.
    pub fn count(&mut self, whose: &K, now: u64, most: u32) -> Option<u32> {
        let hour = now / HOUR;
        let (of, many) = self.0.entry(whose.clone()).or_insert((hour, 0));
        (*of, *many) = if *of == hour { (hour, *many + 1) } else { (hour, 1) };
        (*many > most).then_some(*many)
    }
}
