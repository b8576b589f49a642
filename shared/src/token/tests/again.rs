//! A token that was verified and could not be kept is judged again as its bytes would be, without its signature where that
//! has nothing new to say.

use super::signatures_checked;
use super::support::*;
use crate::id::OrganizationId;
use crate::time::DAY_SECS;
use crate::token::*;

/// Token §4: whatever changed since: what is held, what was asked, the keyring, the device itself.
#[test]
fn a_verified_token_is_judged_again_as_its_bytes_would_be() {
    let Ok(Accepted::Newer(token)) = verify_token(&token(), &keyring(), &expected(), None, None) else {
        panic!("an honest token")
    };
    let (asked, own) = (Nonce::new(&[7; 16]).unwrap(), claims().nonce.unwrap());
    let other = sign_token(&Claims { nonce: None, ..claims() }, 31);
    let marks = [
        None,
        Some(mark_of(&sign_token(&later(1), 31))),
        Some(mark_of(token.bytes())),
        Some(mark_of(&other)),
    ];
    let with = |key: TokenKey| keyring_of(&KeyringDocument { keys: [key].to_vec(), ..keyring_document() });
    let known = token_key(31);
    // Whether the key is listed as it was.
    let keyrings = [
        (keyring(), true),
        (with(known.clone()), true),
        (keyring_of(&KeyringDocument { min_epoch: 2, version: 6, ..keyring_document() }), true),
        (with(token_key(34)), false),
        (with(TokenKey { not_after_at: at(ISSUED_SECS + 21 * DAY_SECS), ..known.clone() }), false),
        (with(TokenKey { not_after_at: at(ISSUED_SECS - 1), ..known.clone() }), false),
        (with(TokenKey { key_use: KeyUse::from_number(2), ..known.clone() }), false),
        (with(TokenKey { organization: Some(OrganizationId::from_bytes([9; 16])), ..known }), false),
    ];
    let devices = [
        expected(),
        Expected { device: "cam-2".parse().unwrap(), ..expected() },
        Expected { organization: OrganizationId::from_bytes([9; 16]), ..expected() },
        Expected { trust_domain: "other.example.com".parse().unwrap(), ..expected() },
    ];
    for (keyring, listed) in &keyrings {
        for device in &devices {
            for held in &marks {
                for nonce in [None, Some(&asked), Some(&own)] {
                    let afresh = verify_token(token.bytes(), keyring, device, held.as_ref(), nonce);
                    let before = signatures_checked();
                    let again = verify_again(&token, keyring, device, held.as_ref(), nonce);
                    assert_eq!(again, afresh, "{keyring:?} {device:?} {held:?} {nonce:?}");
                    if *listed && *device == expected() {
                        assert_eq!(signatures_checked(), before, "its signature is as good as it was");
                    }
                }
            }
        }
    }
}
