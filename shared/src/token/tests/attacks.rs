//! The attacks of token §6 that this module decides, each in a test of its name.
//!
//! Those on the root and the keyring are in `trust.rs`; the table of every refusal is in `refusals.rs`.

use super::support::*;
use crate::finding::Finding;
use crate::id::{GroupId, OrganizationId, SiteId};
use crate::time::DAY_SECS;
use crate::token::*;
use alloc::vec::Vec;

#[test]
fn an_honest_token_is_accepted_and_says_what_was_said() {
    let Accepted::Newer(accepted) = verify_token(&token(), &keyring(), &expected(), None, None).unwrap()
    else {
        panic!("nothing was held")
    };
    assert_eq!(*accepted.claims(), claims());
    assert_eq!(accepted.bytes(), token());
    assert!(!accepted.proves_freshness(), "nothing was asked");
}

#[test]
fn forged() {
    // A key of the attacker's own under the id of ours, and a signature of zeros.
    let unsigned = Unsigned::token(&claims(), public(31).kid()).unwrap();
    assert_eq!(refusal(&sign_unsigned(&unsigned, 99)), Some(TokenRefusal::Signature));
    assert_eq!(refusal(&unsigned.attach([0; 64])), Some(TokenRefusal::Signature));
}

#[test]
fn rollback() {
    let held = mark_of(&sign_token(&later(1), 31));
    assert_eq!(refusal_holding(&token(), &held), Some(TokenRefusal::Rollback));
    // And of course the other way round it is simply newer.
    let earlier = mark_of(&token());
    let newer = verify_token(&sign_token(&later(1), 31), &keyring(), &expected(), Some(&earlier), None);
    assert!(matches!(newer, Ok(Accepted::Newer(_))));
}

#[test]
fn freeze() {
    // Who withholds everything new can only repeat the old: it is a duplicate, proves no freshness to a new nonce,
    // and the instant at which the device locks without news stays where it was.
    let asked = Nonce::new(&[7; 16]).unwrap();
    let held = mark_of(&token());
    let repeated = verify_token(&token(), &keyring(), &expected(), Some(&held), Some(&asked)).unwrap();
    let Accepted::Duplicate(repeated) = repeated else { panic!("the same bytes are a duplicate") };
    assert!(!repeated.proves_freshness());
    assert_eq!(repeated.claims().offline_lock_at, claims().offline_lock_at);
}

#[test]
fn only_the_outstanding_nonce_proves_freshness() {
    let echoed = claims().nonce.unwrap();
    let other = Nonce::new(&[7; 16]).unwrap();
    let unasked = sign_token(&Claims { nonce: None, ..claims() }, 31);
    for (bytes, outstanding, fresh) in [
        (token(), Some(&echoed), true),
        (token(), Some(&other), false),
        (token(), None, false),
        (unasked.clone(), Some(&echoed), false),
        (unasked, None, false),
    ] {
        let accepted = verify_token(&bytes, &keyring(), &expected(), None, outstanding).unwrap();
        assert_eq!(accepted.token().proves_freshness(), fresh);
    }
}

#[test]
fn fast_forward() {
    // A stolen key cannot push the sequence further than a day ahead of an instant within its own window ...
    let mut pushed = claims();
    pushed.version.seq = u64::MAX;
    assert_eq!(Unsigned::token(&pushed, public(31).kid()).unwrap_err(), ClaimsError::SequenceOffTime);
    let sequence = |seq: u64| [&[0x0a, 0x1b][..], &seq.to_be_bytes()].concat();
    let edited = sign_edited(&sequence(claims().version.seq), &sequence(u64::MAX));
    assert_eq!(refusal(&edited), Some(TokenRefusal::SequenceOffTime));
    let beyond = sign_token(&later(21 * DAY_SECS), 31);
    assert_eq!(refusal(&beyond), Some(TokenRefusal::OutsideKeyWindow));
    // ... nor the epoch beyond the keyring's ...
    pushed = claims();
    pushed.version.epoch = u64::MAX;
    assert_eq!(refusal(&sign_token(&pushed, 31)), Some(TokenRefusal::EpochUnknown));
    // ... and what it did push is undone by a keyring that raises the epoch: a lower sequence is newer then.
    let held = mark_of(&sign_token(&later(20 * DAY_SECS), 31));
    let raised = keyring_of(&KeyringDocument { min_epoch: 2, version: 6, ..keyring_document() });
    let mut healed = claims();
    healed.version.epoch = 2;
    let verdict = verify_token(&sign_token(&healed, 31), &raised, &expected(), Some(&held), None);
    assert!(matches!(verdict, Ok(Accepted::Newer(_))));
    assert_eq!(
        verify_token(&token(), &raised, &expected(), Some(&held), None).unwrap_err(),
        TokenRefusal::EpochRevoked
    );
}

#[test]
fn mix_and_match() {
    // Header, claims and signature of three good tokens by two good keys: only what was signed together passes.
    let second =
        keyring_of(&KeyringDocument { keys: [token_key(31), token_key(34)].to_vec(), ..keyring_document() });
    let relaxed = Claims { findings: Vec::new(), ..later(5) };
    let tokens = [token(), sign_token(&relaxed, 31), sign_token(&later(9), 34)];
    let parts: Vec<[Vec<u8>; 3]> = tokens.iter().map(|token| parts(token)).collect();
    for [header, _, _] in &parts {
        for [_, payload, _] in &parts {
            for [_, _, signature] in &parts {
                let mixed = assemble(header, payload, signature);
                let verdict = verify_token(&mixed, &second, &expected(), None, None);
                let whole = tokens.contains(&mixed);
                assert_eq!(verdict.err(), (!whole).then_some(TokenRefusal::Signature));
            }
        }
    }
}

#[test]
fn cross_device_replay() {
    let neighbour = Claims { device: "dev-next-door".parse().unwrap(), ..claims() };
    assert_eq!(refusal(&sign_token(&neighbour, 31)), Some(TokenRefusal::WrongDevice));
}

#[test]
fn cross_site_replay() {
    // A token names one device, so one made for a device of another site is one for another device.
    let elsewhere = Claims {
        device: "dev-elsewhere".parse().unwrap(),
        site: SiteId::from_bytes([8; 16]),
        group: Some(GroupId::from_bytes([8; 16])),
        ..claims()
    };
    assert_eq!(refusal(&sign_token(&elsewhere, 31)), Some(TokenRefusal::WrongDevice));
    // And one of this device's own, from before it was moved, is older.
    let moved = Claims { site: SiteId::from_bytes([8; 16]), ..later(1) };
    let held = mark_of(&sign_token(&moved, 31));
    assert_eq!(refusal_holding(&token(), &held), Some(TokenRefusal::Rollback));
}

#[test]
fn cross_organization_replay() {
    let other = Claims { organization: OrganizationId::from_bytes([9; 16]), ..claims() };
    assert_eq!(refusal(&sign_token(&other, 31)), Some(TokenRefusal::WrongOrganization));
    // A key lent to one organization signs for no other, whatever the token says.
    assert_eq!(refusal(&sign_token(&claims(), 32)), Some(TokenRefusal::KeyOrganization));
}

#[test]
fn cross_deployment_replay() {
    let other: TrustDomain = "other.example.com".parse().unwrap();
    let theirs = Claims { trust_domain: other.clone(), ..claims() };
    assert_eq!(refusal(&sign_token(&theirs, 31)), Some(TokenRefusal::WrongIssuer));
    // Even for a device that expects that domain: this keyring does not speak for it.
    let expected = Expected { trust_domain: other, ..expected() };
    assert_eq!(
        reopen_stored(&sign_token(&theirs, 31), &keyring(), &expected).unwrap_err(),
        TokenRefusal::WrongIssuer
    );
}

#[test]
fn type_confusion() {
    // A keyring or root sent as a token has another shape; the same container with another type is refused by type.
    assert_eq!(refusal(keyring().bytes()), Some(TokenRefusal::Shape));
    assert_eq!(refusal(root().bytes()), Some(TokenRefusal::Shape));
    let header = replace(&parts(&token())[0], b"license-state", b"emergency-key");
    assert_eq!(refusal(&sign_parts(header, parts(&token())[1].clone())), Some(TokenRefusal::ContentType));
    // A key meant for something else signs no license states.
    assert_eq!(refusal(&sign_token(&claims(), 33)), Some(TokenRefusal::KeyUse));
}

#[test]
fn unknown_key() {
    assert_eq!(refusal(&sign_token(&claims(), 99)), Some(TokenRefusal::UnknownKey));
}

#[test]
fn expired_key() {
    let (first, last) = (token_key(31).not_before_at.as_secs(), token_key(31).not_after_at.as_secs());
    for (issued, refused) in [(first - 1, true), (first, false), (last, false), (last + 1, true)] {
        let token = sign_token(&issued_at(issued), 31);
        assert_eq!(refusal(&token), refused.then_some(TokenRefusal::OutsideKeyWindow), "{issued}");
    }
}

#[test]
fn a_stored_token_does_not_die_with_its_key() {
    // Nothing in this module knows what time it is; long after the key's window the token opens as before.
    let reopened = reopen_stored(&token(), &keyring(), &expected()).unwrap();
    assert_eq!(*reopened.claims(), claims());
    // Nor does a keyring that raises the epoch kill it while its key is still listed.
    let raised = keyring_of(&KeyringDocument { min_epoch: 2, ..keyring_document() });
    assert!(reopen_stored(&token(), &raised, &expected()).is_ok());
}

#[test]
fn revoked_key() {
    let newer = KeyringDocument { version: 6, keys: [token_key(34)].to_vec(), ..keyring_document() };
    let verdict = verify_token(&token(), &keyring_of(&newer), &expected(), None, None);
    assert_eq!(verdict.unwrap_err(), TokenRefusal::UnknownKey);
}

#[test]
fn endless_data() {
    for bytes in [[0xd2; 4097].to_vec(), [0x9f; 1 << 20].to_vec()] {
        assert_eq!(refusal(&bytes), Some(TokenRefusal::Length));
    }
    // The longest message allowed is read to its end and no further.
    assert_eq!(refusal(&[0xd2; 4096]), Some(TokenRefusal::Shape));
}

#[test]
fn nesting_and_length_bombs() {
    // In the container: lengths and counts that promise more than there is.
    for bomb in [
        "d2845bffffffffffffffff",
        "d29bffffffffffffffff",
        "d2bbffffffffffffffff",
        "d28440a05bffffffffffffffff",
        "d28440a07bffffffffffffffff",
    ] {
        assert_eq!(refusal(&unhex(bomb)), Some(TokenRefusal::Shape), "{bomb}");
    }
    // In the claims, behind a signature that is good.
    let deep = [0x81; 4000].to_vec();
    let wide = unhex("9bffffffffffffffff00");
    let maps = [0xa1; 4000].to_vec();
    let promised = unhex("a1015bffffffffffffffff");
    for bomb in [deep, wide, maps, promised] {
        let header = parts(&token())[0].clone();
        assert!(matches!(
            refusal(&sign_parts(header, bomb)),
            Some(TokenRefusal::ClaimsEncoding | TokenRefusal::Length)
        ));
    }
}

#[test]
fn duplicate_and_non_canonical_encodings() {
    use TokenRefusal::{ClaimsEncoding, ClaimsMalformed};
    let issued = hex(&u32::to_be_bytes(1_800_000_000));
    let ends = hex(&u32::to_be_bytes(1_800_604_800));
    let payload = hex(&parts(&token())[1]);
    assert!(payload.starts_with("a60174"));
    let edit = |from: &str, to: &str| {
        assert_eq!(payload.matches(from).count(), 1, "{from}");
        unhex(&payload.replace(from, to))
    };
    let (expires, issues) = (alloc::format!("041a{ends}"), alloc::format!("061a{issued}"));
    let domain_text = &payload[4..4 + 2 + 40];
    for (what, bytes, cause) in [
        (
            "repeated exp",
            with_pairs(edit(&expires, &alloc::format!("{expires}{expires}")), 0xa7),
            ClaimsEncoding,
        ),
        (
            "unsorted keys",
            edit(&alloc::format!("{expires}{issues}"), &alloc::format!("{issues}{expires}")),
            ClaimsEncoding,
        ),
        ("trailing byte", unhex(&alloc::format!("{payload}00")), ClaimsEncoding),
        ("long form of a key", edit(&issues, &alloc::format!("18{issues}")), ClaimsEncoding),
        ("long form of a time", edit(&issues, &alloc::format!("061b00000000{issued}")), ClaimsEncoding),
        (
            "long form of a length",
            edit(domain_text, &alloc::format!("78{domain_text}").replace("7874", "7814")),
            ClaimsEncoding,
        ),
        ("indefinite map", unhex(&alloc::format!("bf{}ff", &payload[2..])), ClaimsEncoding),
        ("tagged time", edit(&issues, &alloc::format!("06c11a{issued}")), ClaimsEncoding),
        ("time as a float", edit(&issues, "06fb41dad27480000000"), ClaimsEncoding),
        ("undefined for null", edit("000b1a", "000bf71a"), ClaimsEncoding),
        ("text for a time", edit(&issues, "066130"), ClaimsMalformed),
        ("negative time", edit(&issues, "0620"), ClaimsMalformed),
        (
            "an unknown claim",
            with_pairs(edit(&issues, &alloc::format!("0500{issues}")), 0xa7),
            ClaimsMalformed,
        ),
        ("a claim missing", with_pairs(edit(&issues, ""), 0xa5), ClaimsMalformed),
        (
            "a nonce of seven bytes",
            edit(&alloc::format!("0a50{}", "a5".repeat(16)), &alloc::format!("0a47{}", "a5".repeat(7))),
            ClaimsMalformed,
        ),
        ("an unknown state", edit("05010682", "05040682"), ClaimsMalformed),
        ("an unknown finding", edit("0682810183", "0682810683"), ClaimsMalformed),
        ("a finding with a part too many", edit("0682810183", "068282010083"), ClaimsMalformed),
        ("a shortfall of none", edit("8302011903e8", "83020100"), ClaimsMalformed),
        ("a product zero", edit("8302011903e8", "8302001903e8"), ClaimsMalformed),
    ] {
        let header = parts(&token())[0].clone();
        assert_eq!(refusal(&sign_parts(header, bytes)), Some(cause), "{what}");
    }
}

#[test]
fn signature_malleability_and_small_order_keys() {
    // S + L verifies wherever S does unless the verifier is strict (RFC 8032 §5.1.7).
    const L: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut bytes = token();
    let scalar = bytes.len() - 32;
    let mut carry = 0;
    for (byte, add) in bytes[scalar..].iter_mut().zip(L) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(refusal(&bytes), Some(TokenRefusal::Signature));
    // The points of small order, in every encoding that decodes, become no key (the list of `speccheck` and RFC 7748).
    for weak in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        let key: [u8; 32] = unhex(weak).try_into().unwrap();
        assert_eq!(PublicKey::from_bytes(&key), Err(PublicKeyError), "{weak}");
    }
    // So does a good point in a second encoding: y = 3 + p.
    let second: [u8; 32] = unhex(&alloc::format!("f0{}7f", "ff".repeat(30))).try_into().unwrap();
    assert_eq!(PublicKey::from_bytes(&second), Err(PublicKeyError));
}

#[test]
fn equivocation() {
    let other = Claims { findings: [Finding::TermEnded].to_vec(), ..claims() };
    let held = mark_of(&token());
    assert_eq!(refusal_holding(&sign_token(&other, 31), &held), Some(TokenRefusal::Equivocation));
    // Nobody without a key can raise that alarm.
    let mut altered = token();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(refusal_holding(&altered, &held), Some(TokenRefusal::Signature));
}

#[test]
fn two_clouds_at_once() {
    // Two clouds on copies of one database give out the same sequence for different states, or one lags behind.
    let (ours, theirs) = (token(), sign_token(&Claims { group: None, ..claims() }, 31));
    assert_eq!(refusal_holding(&theirs, &mark_of(&ours)), Some(TokenRefusal::Equivocation));
    assert_eq!(refusal_holding(&ours, &mark_of(&sign_token(&later(1), 31))), Some(TokenRefusal::Rollback));
}

#[test]
fn restored_cloud_database() {
    // A cloud on last month's backup whose sequence did not come from the clock only makes what devices refuse.
    let mut stale = claims();
    stale.version.seq -= DAY_SECS * 1000;
    assert_eq!(refusal_holding(&sign_token(&stale, 31), &mark_of(&token())), Some(TokenRefusal::Rollback));
    // As the sequence is at least the clock's milliseconds, the first honest token is newer by itself.
    let healed = sign_token(&later(60), 31);
    assert_eq!(refusal_holding(&healed, &mark_of(&token())), None);
}

#[test]
fn wrong_clock() {
    // An issuer's clock that lost its battery, or ran ahead, takes what it issues out of its key's window ...
    for secs in [0, ISSUED_SECS - 11 * DAY_SECS, ISSUED_SECS + 21 * DAY_SECS, 2 * ISSUED_SECS] {
        assert_eq!(
            refusal(&sign_token(&issued_at(secs), 31)),
            Some(TokenRefusal::OutsideKeyWindow),
            "{secs}"
        );
    }
    // ... and one that is wrong within it is bounded by what comes after: the next honest token is newer within a day.
    let ahead = mark_of(&sign_token(&later(DAY_SECS), 31));
    assert_eq!(refusal_holding(&sign_token(&later(DAY_SECS + 1), 31), &ahead), None);
    // Instants that contradict one another are refused, whichever clock was wrong.
    let lease_ends = [&[0x04, 0x1a][..], &(1_800_604_800_u32).to_be_bytes()].concat();
    let of_1970 = [0x04, 0x00];
    assert_eq!(refusal(&sign_edited(&lease_ends, &of_1970)), Some(TokenRefusal::TimesUnordered));
}

#[test]
fn malformed_content() {
    // A part left out is not taken for a default, least of all for "never".
    let [header, payload, _] = parts(&token());
    let offline_lock = [&[0x08, 0x1a][..], &(1_803_456_000_u32).to_be_bytes()].concat();
    let license = replace(&payload, &[0x70, 0xab, 0x01], &[0x70, 0xaa, 0x01]);
    let without = replace(&license, &offline_lock, &[]);
    assert_eq!(refusal(&sign_parts(header.clone(), without)), Some(TokenRefusal::ClaimsMalformed));
    // Nor is a byte string taken for the text it spells, though a lenient decoder would.
    let bytes = replace(&payload, &[0x01, 0x74], &[0x01, 0x54]);
    assert_eq!(refusal(&sign_parts(header, bytes)), Some(TokenRefusal::ClaimsMalformed));
}

#[test]
fn cloned_disk() {
    // A copy of a device's disk is the same device: it opens what is stored, and takes the same next token.
    let (original, clone) = (mark_of(&token()), mark_of(&token()));
    let next = sign_token(&later(60), 31);
    assert_eq!((refusal_holding(&next, &original), refusal_holding(&next, &clone)), (None, None));
    // It cannot become another device, whose tokens name that other one ...
    let other = Expected { device: "dev-clone".parse().unwrap(), ..expected() };
    let opened = reopen_stored(&token(), &keyring(), &other);
    assert_eq!(opened.unwrap_err(), TokenRefusal::WrongDevice);
    // ... and an answer to the question of one proves nothing to the other.
    let asked = Nonce::new(&[0x77; 16]).unwrap();
    let accepted = verify_token(&token(), &keyring(), &expected(), None, Some(&asked)).unwrap();
    assert!(!accepted.token().proves_freshness());
}

#[test]
fn restored_state_file() {
    // The state file of last week opens (it is signed), and the first token of today replaces it.
    let old = reopen_stored(&token(), &keyring(), &expected()).unwrap();
    let today = sign_token(&later(7 * DAY_SECS), 31);
    assert_eq!(refusal_holding(&today, &old.held()), None);
    // Another device's state file does not open at all.
    let copied = Claims { device: "dev-next-door".parse().unwrap(), ..claims() };
    assert_eq!(
        reopen_stored(&sign_token(&copied, 31), &keyring(), &expected()).unwrap_err(),
        TokenRefusal::WrongDevice
    );
}
