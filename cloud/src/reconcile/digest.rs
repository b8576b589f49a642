//! What a token should express, as 32 bytes to compare.
//!
//! Everything in it is absolute (instants of the ladder, not "locked now"), so a group that expires on schedule, or a
//! lease that is renewed, leaves it unchanged: the device walks the ladder by itself and nothing is signed.

use coterm_shared::finding::Finding;
use coterm_shared::licensing::Wanted;
use coterm_shared::time::Timestamp;
use coterm_shared::token::TrustDomain;
use sha2::{Digest, Sha256};

/// SHA-256 of what a token should express; independent of when it is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WantedDigest(pub [u8; 32]);

/// What a device is to hold, as planning looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Goal {
    /// What its token should express.
    pub(super) digest: WantedDigest,
    /// Whether that is the last word to a retired device.
    pub(super) farewell: bool,
}

impl Goal {
    /// What a token is to express whose lease ends at `lease_ends_at`; of a device that has none yet, by the books.
    pub(super) fn of(domain: &TrustDomain, wanted: &Wanted, lease_ends_at: Option<Timestamp>) -> Goal {
        let digest =
            lease_ends_at.map_or_else(|| digest(domain, wanted), |at| digest_for(domain, wanted, at));
        Goal { digest, farewell: wanted.is_farewell() }
    }
}

/// Digests what `wanted` makes a token of `domain` say.
///
/// The encoding is our own and fixed, every variable part behind its length, so that an upgrade of a library or a
/// renamed field never costs a fleet-wide signing.
#[must_use]
pub fn digest(domain: &TrustDomain, wanted: &Wanted) -> WantedDigest {
    let mut sha = Sha256::new();
    sha.update(b"coterm wanted 1");
    text(&mut sha, domain.as_str());
    text(&mut sha, wanted.device.as_str());
    sha.update(wanted.organization.as_bytes());
    sha.update(wanted.site.as_bytes());
    match &wanted.group {
        Some(group) => {
            sha.update([1]);
            sha.update(group.as_bytes());
        }
        None => sha.update([0]),
    }
    number(&mut sha, wanted.findings.len() as u64);
    for finding in &wanted.findings {
        sha.update(finding.number().to_be_bytes());
        match finding {
            Finding::OverCapacity { product, shortfall } => {
                sha.update(product.number().to_be_bytes());
                number(&mut sha, *shortfall);
            }
            Finding::TermEnded | Finding::NoLicense | Finding::TrialEnded | Finding::OfflineBudget => {}
        }
    }
    let schedule = &wanted.schedule;
    for at in [schedule.grace_begins_at, schedule.lock_at, schedule.stop_at, wanted.coterm_at] {
        instant(&mut sha, at);
    }
    WantedDigest(sha.finalize().into())
}

/// The same for a token whose lease ends at `lease_ends_at`.
///
/// Under a freeze a token that puts a step off until its own lease ends is another one than by the books (domain E6). To
/// when it puts it off is no part of it: the next token, with the next lease, expresses the same. And a token whose lease
/// ends before anything would happen is as good as before: a freeze has only those signed anew that need it, and the
/// others are renewed at their own time.
#[must_use]
pub fn digest_for(domain: &TrustDomain, wanted: &Wanted, lease_ends_at: Timestamp) -> WantedDigest {
    let by_the_books = digest(domain, wanted);
    match wanted.frozen_since {
        Some(since) if wanted.schedule_for(lease_ends_at) != wanted.schedule => {
            let mut sha = Sha256::new();
            sha.update(b"coterm frozen 1");
            sha.update(by_the_books.0);
            instant(&mut sha, Some(since));
            WantedDigest(sha.finalize().into())
        }
        Some(_) | None => by_the_books,
    }
}

fn text(sha: &mut Sha256, text: &str) {
    number(sha, text.len() as u64);
    sha.update(text.as_bytes());
}

fn number(sha: &mut Sha256, number: u64) {
    sha.update(number.to_be_bytes());
}

/// Never is above every instant.
fn instant(sha: &mut Sha256, at: Option<Timestamp>) {
    number(sha, at.map_or(u64::MAX, Timestamp::as_secs));
}
