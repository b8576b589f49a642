//! Claim codes: what a device is given once, to find its cloud and to be let in.
//!
//! A code is 110 random bits (the secret) and the first 130 bits of the SHA-256 of the root document (the pin), in
//! Crockford's base 32 with two check symbols: 50 symbols, printed in ten groups of five. The pin is no secret: it says
//! which cloud the secret may be shown to. The check symbols are the number modulo 1019, a prime: they catch every wrong
//! symbol and every two that were swapped, and are letters and digits like the rest, so a code needs no quotes in a shell.
//! Reading is forgiving (case, `O`, `I`, `L`, spaces, hyphens); printing has one form. **Deliberately absent:** randomness.

use crate::licensing::{Refusal, RefusalCode};
use crate::platform::code::{CodeHash, printed, value_of};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Symbols of the pin: 130 bits.
const PIN: usize = 26;
/// Symbols of the secret: 110 bits.
const SECRET: usize = 22;
const BODY: usize = PIN + SECRET;
const CHECK: usize = 2;
const MODULUS: u32 = 1019;

/// Which root a code was made under: the first 130 bits of the SHA-256 of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootPin([u8; PIN]);

impl RootPin {
    /// The pin of a root document.
    #[must_use]
    pub fn of(root: &[u8]) -> RootPin {
        let digest: [u8; 32] = Sha256::digest(root).into();
        RootPin(symbols(&digest))
    }

    /// Its symbols, each 0 to 31, as an enrolment message carries them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PIN] {
        &self.0
    }

    /// The pin with these symbols.
    #[must_use]
    pub fn from_bytes(bytes: [u8; PIN]) -> Option<RootPin> {
        bytes.iter().all(|symbol| *symbol < 32).then_some(RootPin(bytes))
    }
}

/// The secret half of a code. Debug output hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimSecret([u8; SECRET]);

impl ClaimSecret {
    /// Its symbols, each 0 to 31, as an enrolment message carries them.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SECRET] {
        &self.0
    }

    /// The secret with these symbols.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SECRET]) -> Option<ClaimSecret> {
        bytes.iter().all(|symbol| *symbol < 32).then_some(ClaimSecret(bytes))
    }

    /// What the books know of it.
    #[must_use]
    pub fn hash(&self) -> ClaimHash {
        let mut hasher = Sha256::new();
        hasher.update(b"coterm claim code\0");
        hasher.update(self.0);
        ClaimHash(CodeHash(hasher.finalize().into()))
    }
}

impl fmt::Debug for ClaimSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimSecret(hidden)")
    }
}

/// The hash under which a claim code is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClaimHash(CodeHash);

impl ClaimHash {
    /// The hash of nothing, where none is meant.
    pub(crate) const NONE: ClaimHash = ClaimHash(CodeHash([0; 32]));
}

/// The SHA-256 of a device's public key (SubjectPublicKeyInfo, DER).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPrint(CodeHash);

impl KeyPrint {
    /// The print of a public key.
    #[must_use]
    pub fn of(public_key_der: &[u8]) -> KeyPrint {
        KeyPrint(CodeHash(Sha256::digest(public_key_der).into()))
    }
}

impl fmt::Display for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A claim code, parsed and checked. Debug output is masked: a code is a secret until it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimText {
    pin: RootPin,
    secret: ClaimSecret,
}

impl ClaimText {
    /// The code for this root with 110 of these 112 random bits.
    #[must_use]
    pub fn new(pin: RootPin, random: [u8; 14]) -> ClaimText {
        ClaimText { pin, secret: ClaimSecret(symbols(&random)) }
    }

    /// Reads a code as a person typed it.
    ///
    /// # Errors
    /// `CLAIM_CODE_MALFORMED` if its length, alphabet or check symbols are wrong.
    pub fn parse(text: &str) -> Result<ClaimText, Refusal> {
        let malformed = |what: &str| {
            Refusal::new(
                RefusalCode::ClaimCodeMalformed,
                format!("this is not a claim code: {what}"),
                "copy it as it was given: ten groups of five letters and digits",
            )
            .at("code")
        };
        let kept: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
            .map(|byte| byte.to_ascii_uppercase())
            .take(BODY + CHECK + 1)
            .collect();
        if kept.len() != BODY + CHECK {
            return Err(malformed("it does not have 50 characters"));
        }
        let values: Option<Vec<u8>> = kept.iter().map(|byte| value_of(*byte)).collect();
        let values = values.ok_or_else(|| malformed("it has a character no claim code has"))?;
        let (body, check) = values.split_at(BODY);
        if check != check_of(body) {
            return Err(malformed("its check characters do not fit; probably a typing mistake"));
        }
        let (pin, secret) = body.split_at(PIN);
        match (pin.try_into(), secret.try_into()) {
            (Ok(pin), Ok(secret)) => Ok(ClaimText { pin: RootPin(pin), secret: ClaimSecret(secret) }),
            (Ok(_) | Err(_), _) => Err(malformed("it does not have 50 characters")),
        }
    }

    /// The code as printed.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(60);
        for (index, symbol) in self.values().into_iter().enumerate() {
            if index > 0 && index % 5 == 0 {
                text.push('-');
            }
            text.push(printed(symbol));
        }
        text
    }

    /// Its last five symbols, by which people recognise it; 85 secret bits are left.
    #[must_use]
    pub fn tail(&self) -> String {
        self.values().into_iter().skip(BODY + CHECK - 5).map(printed).collect()
    }

    /// Which root it was made under.
    #[must_use]
    pub const fn pin(&self) -> &RootPin {
        &self.pin
    }

    /// What is shown to that cloud alone.
    #[must_use]
    pub const fn secret(&self) -> &ClaimSecret {
        &self.secret
    }

    fn values(&self) -> Vec<u8> {
        let mut values: Vec<u8> = self.pin.0.iter().chain(&self.secret.0).copied().collect();
        let check = check_of(&values);
        values.extend(check);
        values
    }
}

impl fmt::Debug for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.tail()))
    }
}

/// How a claim code is shown in lists and logs: all but its last five symbols hidden.
#[must_use]
pub fn masked(tail: &str) -> String {
    format!("*****-...-{tail}")
}

/// The first `5 * N` bits of these bytes, five at a time.
fn symbols<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (index, symbol) in out.iter_mut().enumerate() {
        let bit = index * 5;
        let pair = [bit / 8, bit / 8 + 1].map(|at| u16::from(bytes.get(at).copied().unwrap_or(0)));
        let [high, low] = pair;
        let shifted = ((high << 8) | low) >> (11 - bit % 8);
        *symbol = u8::try_from(shifted & 31).unwrap_or(0);
    }
    out
}

fn check_of(body: &[u8]) -> [u8; CHECK] {
    let rest = body.iter().fold(0_u32, |sum, symbol| (sum * 32 + u32::from(*symbol)) % MODULUS);
    [rest / 32, rest % 32].map(|symbol| u8::try_from(symbol).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(random: [u8; 14]) -> ClaimText {
        ClaimText::new(RootPin::of(b"a root"), random)
    }

    #[test]
    fn a_code_is_read_as_people_type_it_and_hides_in_logs() {
        let code = code([0x5a; 14]);
        let printed = code.reveal();
        assert_eq!((printed.len(), printed.matches('-').count()), (59, 9));
        assert!(printed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "no quotes are needed");
        let sloppy = printed.to_lowercase().replace('-', " ").replace('1', "l").replace('0', "o");
        assert_eq!(ClaimText::parse(&sloppy).unwrap(), code);
        assert_eq!(*code.pin(), RootPin::of(b"a root"));
        let shown = format!("{code:?} {:?}", code.secret());
        assert!(printed.split('-').take(9).all(|group| !shown.contains(group)), "{shown}");
    }

    #[test]
    fn malformed_codes_are_refused() {
        let printed = code([9; 14]).reveal();
        for bad in [
            "",
            "-",
            "ABC",
            &printed[..58],
            &format!("{printed}A"),
            &printed.replace('-', "U"),
            "ÄÄÄÄÄ-ÄÄÄÄÄ",
        ] {
            assert_eq!(ClaimText::parse(bad).unwrap_err().code, RefusalCode::ClaimCodeMalformed, "{bad}");
        }
    }

    #[test]
    fn another_root_is_another_pin_and_another_secret_another_hash() {
        assert_ne!(RootPin::of(b"a root"), RootPin::of(b"another"));
        assert_ne!(code([1; 14]).secret().hash(), code([2; 14]).secret().hash());
        assert!(RootPin::from_bytes([32; PIN]).is_none() && ClaimSecret::from_bytes([32; SECRET]).is_none());
    }

    proptest! {
        #[test]
        fn every_single_typing_mistake_and_every_swap_is_caught(random: [u8; 14], at in 0..50_usize, to in 0..50_usize, by in 1..32_u8) {
            let code = code(random);
            let values = code.values();
            let text = |values: &[u8]| values.iter().map(|value| printed(*value)).collect::<String>();
            prop_assert_eq!(ClaimText::parse(&text(&values)).unwrap(), code);
            let mut wrong = values.clone();
            wrong[at] = (wrong[at] + by) % 32;
            prop_assert!(ClaimText::parse(&text(&wrong)).is_err());
            let mut swapped = values.clone();
            swapped.swap(at, to);
            prop_assert!(swapped == values || ClaimText::parse(&text(&swapped)).is_err());
        }
    }
}
