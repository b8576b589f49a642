//! What must hold for any claims, any damage and any bytes.

use super::support::*;
use crate::enforcement::{EnforcementState, Schedule};
use crate::finding::Finding;
use crate::id::{GroupId, SiteId};
use crate::product::ProductType;
use crate::time::{Seconds, Timestamp};
use crate::token::codec::check;
use crate::token::*;
use alloc::vec::Vec;
use proptest::prelude::*;

fn finding() -> impl Strategy<Value = Finding> {
    prop_oneof![
        Just(Finding::TermEnded),
        (1..=u16::MAX, 1..=u64::MAX).prop_map(|(product, shortfall)| Finding::OverCapacity {
            product: ProductType::from_number(product).unwrap(),
            shortfall
        }),
        Just(Finding::NoLicense),
        Just(Finding::TrialEnded),
        Just(Finding::OfflineBudget),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    (prop::array::uniform3(0..=Timestamp::MAX.as_secs()), 0..=3_usize).prop_map(|(mut instants, steps)| {
        instants.sort_unstable();
        let step = |n: usize| (n < steps).then(|| at(instants[n]));
        Schedule { grace_begins_at: step(0), lock_at: step(1), stop_at: step(2) }
    })
}

/// Any claims that may be issued, for the usual device, in the usual epoch, within the usual key's window.
pub(super) fn any_claims() -> impl Strategy<Value = Claims> {
    let instants =
        (0..20 * 86_400_u64, 1..=10_000_000_000_u64, 0..=10_000_000_000_u64, -86_400_000..=86_400_000_i64);
    let nonce = prop::option::of(prop::collection::vec(any::<u8>(), 8..=64));
    let findings = prop::collection::vec(finding(), 0..=8);
    let ids = (any::<[u8; 16]>(), prop::option::of(any::<[u8; 16]>()), 0..4_usize);
    let coterm = prop::option::of(0..=Timestamp::MAX.as_secs());
    (instants, nonce, findings, ids, schedule(), coterm).prop_map(
        |((issued, lease, offline, skew), nonce, findings, (site, group, state), schedule, coterm)| {
            let base = later(issued);
            Claims {
                lease_ends_at: base.issued_at.saturating_add(Seconds(lease)),
                nonce: nonce.map(|bytes| Nonce::new(&bytes).unwrap()),
                site: SiteId::from_bytes(site),
                group: group.map(GroupId::from_bytes),
                state: EnforcementState::ALL[state],
                findings,
                schedule,
                offline_lock_at: base.issued_at.saturating_add(Seconds(offline)),
                version: TokenVersion { epoch: 1, seq: base.version.seq.saturating_add_signed(skew) },
                coterm_at: coterm.map(at),
                ..base
            }
        },
    )
}

proptest! {
    #[test]
    fn any_claims_make_the_round_trip(claims in any_claims()) {
        let bytes = sign_token(&claims, 31);
        let accepted = verify_token(&bytes, &keyring(), &expected(), None, claims.nonce.as_ref()).unwrap();
        prop_assert_eq!(accepted.token().claims(), &claims);
        prop_assert_eq!(accepted.token().proves_freshness(), claims.nonce.is_some());
        prop_assert_eq!(check(&parts(&bytes)[1]), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(refusal(&bytes).is_some());
        prop_assert!(Root::pinned(&bytes).is_err());
        prop_assert!(root().update(&bytes).is_err());
        prop_assert!(Keyring::verify(&bytes, &root(), None).is_err());
    }

    /// As above, but past the signature: arbitrary claims with a good one.
    #[test]
    fn arbitrary_claims_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let refusal = refusal(&sign_parts(parts(&token())[0].clone(), payload)).unwrap();
        prop_assert_eq!(refusal.step(), 6);
    }

    /// A good token cut, stretched or overwritten anywhere is refused.
    #[test]
    fn damage_is_refused(start in 0..400_usize, length in 0..40_usize, patch in prop::collection::vec(any::<u8>(), 0..40)) {
        let token = token();
        let start = start.min(token.len());
        let end = (start + length).min(token.len());
        let damaged = [&token[..start], &patch, &token[end..]].concat();
        prop_assert_eq!(refusal(&damaged).is_none(), damaged == token);
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..bytes.len() * 8).map(|bit| {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    }
    let (keyring, expected, root) = (keyring(), expected(), root());
    // Where the damage is decides who notices: container, header, key id, and the signature for all the rest.
    let (signed, [header, payload, signature]) = (token(), parts(&token()));
    let header_at = signed.windows(header.len()).position(|window| window == header).unwrap();
    let payload_at = signed.windows(payload.len()).position(|window| window == payload).unwrap();
    let signature_at = signed.len() - signature.len();
    let kid_at = header_at + 5;
    for (bit, flipped) in flips(&signed).enumerate() {
        let refusal = verify_token(&flipped, &keyring, &expected, None, None).unwrap_err();
        let place = bit / 8;
        let steps = match place {
            _ if place < header_at => 2..=3,
            _ if (kid_at..kid_at + 8).contains(&place) => 4..=4,
            _ if place < header_at + header.len() => 3..=3,
            _ if place < payload_at => 2..=2,
            _ if place < payload_at + payload.len() => 5..=5,
            _ if place < signature_at => 2..=2,
            _ => 5..=5,
        };
        assert!(steps.contains(&refusal.step()), "byte {place}: {refusal:?}");
    }
    // Two root keys must sign and two did; a keyring key's id may be damaged, and then the signature is just missing.
    for flipped in flips(root.bytes()) {
        assert!(Root::pinned(&flipped).is_err(), "{}", hex(&flipped));
    }
    for flipped in flips(keyring.bytes()) {
        assert!(Keyring::verify(&flipped, &root, None).is_err(), "{}", hex(&flipped));
    }
}

#[test]
fn any_edit_of_the_claims_is_refused_or_means_something_else() {
    // One byte changed and signed again by the issuer: never the same claims in other bytes.
    let [header, payload, _] = parts(&token());
    for place in 0..payload.len() {
        for byte in [payload[place] ^ 1, payload[place] ^ 0x20, payload[place].wrapping_add(1), 0, 0xff] {
            let mut edited = payload.clone();
            edited[place] = byte;
            let bytes = sign_parts(header.clone(), edited.clone());
            if let Ok(token) = reopen_stored(&bytes, &keyring(), &expected()) {
                assert_eq!(*token.claims() == claims(), edited == payload);
            }
        }
    }
}
