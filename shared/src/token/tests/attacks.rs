//! The attacks of token §6 that this module decides, each in a test of its name, and a table of every refusal.

use super::support::*;
use crate::token::*;

/// What a device with the usual keyring makes of these bytes, holding nothing yet.
fn refusal(bytes: &[u8]) -> Option<TokenRefusal> {
    verify_token(bytes, &keyring(), &expected(), None, None).err()
}

#[test]
fn an_honest_token_is_accepted_and_says_what_was_said() {
    let Accepted::Newer(token) = verify_token(&token(), &keyring(), &expected(), None, None).unwrap() else {
        panic!("nothing was held")
    };
    assert_eq!(*token.claims(), claims());
    assert!(!token.proves_freshness());
    assert_eq!(refusal(b""), Some(TokenRefusal::Length));
}
