//! Every refusal of a token has a message that provokes it, and every code is stable.

use super::support::*;
use crate::finding::Finding;
use crate::id::OrganizationId;
use crate::time::DAY_SECS;
use crate::token::*;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use std::eprintln;

#[test]
fn every_refusal_of_a_token_has_its_cause() {
    use TokenRefusal as R;
    let [header, payload, signature] = parts(&token());
    let no_mark: Option<Held> = None;
    let mark = Some(mark_of(&token()));
    let epoch = |epoch| {
        let mut claims = claims();
        claims.version.epoch = epoch;
        sign_token(&claims, 31)
    };
    let lease_ends = [&[0x04, 0x1a][..], &(1_800_604_800_u32).to_be_bytes()].concat();
    let empty_lease = [&[0x04, 0x1a][..], &(1_800_000_000_u32).to_be_bytes()].concat();
    let sequence = |seq: u64| [&[0x0a, 0x1b][..], &seq.to_be_bytes()].concat();
    let seq = claims().version.seq;
    let table: Vec<(R, Vec<u8>, Option<Held>)> = [
        (R::Length, Vec::new(), no_mark),
        (R::Shape, token()[1..].to_vec(), no_mark),
        (R::Shape, [token(), [0].to_vec()].concat(), no_mark),
        (R::Header, sign_parts(with_pairs(header.clone(), 0xa4), payload.clone()), no_mark),
        (R::Header, sign_parts([header.clone(), [0].to_vec()].concat(), payload.clone()), no_mark),
        (R::Header, sign_parts(Vec::new(), payload.clone()), no_mark),
        // EdDSA (-8) is the same mathematics and still another number.
        (R::Algorithm, sign_parts(replace(&header, &[0x01, 0x32], &[0x01, 0x27]), payload.clone()), no_mark),
        (R::ContentType, sign_parts(replace(&header, b"+cwt", b"+cbo"), payload.clone()), no_mark),
        (R::UnknownKey, sign_token(&claims(), 99), no_mark),
        (R::KeyUse, sign_token(&claims(), 33), no_mark),
        (R::KeyOrganization, sign_token(&claims(), 32), no_mark),
        (R::Signature, assemble(&header, &[payload.clone(), [0].to_vec()].concat(), &signature), no_mark),
        (R::ClaimsEncoding, sign_parts(header.clone(), Vec::new()), no_mark),
        (R::ClaimsMalformed, sign_parts(header.clone(), unhex("a0")), no_mark),
        (R::ProfileVersion, sign_edited(&unhex("70ab0101"), &unhex("70ab0102")), no_mark),
        (R::TimesUnordered, sign_edited(&lease_ends, &empty_lease), no_mark),
        (R::WrongIssuer, sign_edited(b"licenses.", b"licences."), no_mark),
        (R::WrongDevice, sign_edited(b"dev_", b"dev-"), no_mark),
        (R::WrongOrganization, sign_edited(&[1; 16], &[9; 16]), no_mark),
        (R::OutsideKeyWindow, sign_token(&later(21 * DAY_SECS), 31), no_mark),
        (R::SequenceOffTime, sign_edited(&sequence(seq), &sequence(seq + DAY_SECS * 1000 + 1)), no_mark),
        (R::SequenceOffTime, sign_edited(&sequence(seq), &sequence(seq - DAY_SECS * 1000 - 1)), no_mark),
        (R::EpochRevoked, epoch(0), no_mark),
        (R::EpochUnknown, epoch(2), no_mark),
        (R::Rollback, sign_edited(&sequence(seq), &sequence(seq - 1)), mark),
        (R::Equivocation, sign_token(&Claims { nonce: None, ..claims() }, 31), mark),
    ]
    .to_vec();
    for (refusal, bytes, mark) in &table {
        let verdict = verify_token(bytes, &keyring(), &expected(), mark.as_ref(), None);
        assert_eq!(verdict.err(), Some(*refusal), "{}", hex(bytes));
    }
    let provoked: BTreeSet<R> = table.iter().map(|(refusal, _, _)| *refusal).collect();
    assert_eq!(provoked, R::ALL.iter().copied().collect::<BTreeSet<_>>());
}

#[test]
fn the_first_check_that_fails_names_itself() {
    // A message wrong in every way is refused for its length; mended step by step, it is refused ever later.
    let mut wrong = later(21 * DAY_SECS);
    wrong.trust_domain = "other.example.com".parse().unwrap();
    wrong.device = "dev-next-door".parse().unwrap();
    wrong.organization = OrganizationId::from_bytes([9; 16]);
    wrong.version.epoch = 9;
    let by = |seed| sign_token(&wrong, seed);
    let steps: Vec<u8> = [
        [by(99), [0; 4096].to_vec()].concat(),
        by(99)[1..].to_vec(),
        replace(&by(99), &[0x01, 0x32, 0x04], &[0x01, 0x27, 0x04]),
        by(99),
        sign_unsigned(&Unsigned::token(&wrong, public(31).kid()).unwrap(), 99),
        sign_parts(parts(&token())[0].clone(), unhex("a0")),
        by(31),
        sign_token(&later(21 * DAY_SECS), 31),
    ]
    .iter()
    .map(|bytes| refusal(bytes).unwrap().step())
    .collect();
    assert_eq!(steps, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn codes_and_numbers_are_a_registry() {
    fn check<T: Copy + core::fmt::Debug + PartialEq>(
        all: &[T],
        code: fn(T) -> &'static str,
        number: fn(T) -> u8,
        step: fn(T) -> u8,
        from_code: fn(&str) -> Option<T>,
    ) {
        let numbers: Vec<u8> = all.iter().copied().map(number).collect();
        assert_eq!(numbers, (1..=u8::try_from(all.len()).unwrap()).collect::<Vec<_>>());
        assert!(all.iter().copied().map(step).is_sorted(), "listed in the order of the checks");
        for refusal in all {
            assert_eq!(from_code(code(*refusal)), Some(*refusal));
            assert!(code(*refusal).bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
    use {TokenRefusal as A, TrustRefusal as B};
    check(A::ALL, A::code, A::number, A::step, A::from_code);
    check(B::ALL, B::code, B::number, B::step, B::from_code);
    assert_eq!(A::from_code("NO_SUCH_CODE"), None);
    assert_eq!(serde_json::to_string(&A::KeyUse).unwrap(), "\"KEY_USE\"");
    assert_eq!(serde_json::from_str::<A>("\"KEY_USE\"").unwrap(), A::KeyUse);
}

#[test]
fn the_cloud_cannot_issue_what_devices_refuse() {
    use ClaimsError as E;
    let good = claims();
    let mut unordered = good.clone();
    unordered.schedule.grace_begins_at = None;
    let mut off = good.clone();
    off.version.seq += DAY_SECS * 1000 + 1;
    let nothing_short = Finding::OverCapacity { product: crate::product::ProductType::DOOR, shortfall: 0 };
    for (claims, error) in [
        (Claims { lease_ends_at: good.issued_at, ..good.clone() }, E::LeaseEmpty),
        (Claims { offline_lock_at: at(ISSUED_SECS - 1), ..good.clone() }, E::OfflineLockBeforeIssue),
        (unordered, E::ScheduleUnordered),
        (
            Claims { findings: [Finding::TermEnded; MAX_FINDINGS + 1].to_vec(), ..good.clone() },
            E::TooManyFindings,
        ),
        (Claims { findings: [nothing_short].to_vec(), ..good.clone() }, E::EmptyShortfall),
        (off, E::SequenceOffTime),
    ] {
        assert_eq!(Unsigned::token(&claims, public(31).kid()).unwrap_err(), error);
    }
    // The largest claims there are still fit.
    let short = |number| Finding::OverCapacity {
        product: crate::product::ProductType::from_number(number).unwrap(),
        shortfall: u64::MAX,
    };
    let largest = Claims {
        trust_domain: "x".repeat(64).parse().unwrap(),
        device: "x".repeat(64).parse().unwrap(),
        nonce: Some(Nonce::new(&[0xff; 64]).unwrap()),
        findings: (0..64).map(|n| short(u16::MAX - n)).collect(),
        ..good
    };
    let token = sign_token(&largest, 31);
    assert!(token.len() <= MAX_TOKEN_BYTES, "{}", token.len());
    let expected = Expected { trust_domain: largest.trust_domain, device: largest.device, ..expected() };
    assert_eq!(reopen_stored(&token, &keyring(), &expected).unwrap_err(), TokenRefusal::WrongIssuer);
}

#[test]
fn a_token_with_two_findings_is_small() {
    let length = token().len();
    eprintln!("a token with two findings, a nonce and a trust domain of 20 characters: {length} bytes");
    assert!(length <= 352, "{length} bytes");
}
