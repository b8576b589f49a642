//! License key codes (domain K1): random, readable aloud, and safe to mistype.
//!
//! A code is 125 random bits in Crockford's base 32 (25 symbols) and one check symbol, printed in groups of five with
//! the check symbol at the end: `XXXXX-XXXXX-XXXXX-XXXXX-XXXXX-C`. The check symbol is Crockford's: the number modulo
//! 37. Reading is forgiving (case, `O`, `I`, `L`, spaces, hyphens); printing has one form. **Deliberately absent:**
//! randomness, and any meaning inside the code.

use crate::licensing::{Refusal, RefusalCode};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The five extra check symbols of Crockford's alphabet, for remainders 32 to 36.
const CHECK_EXTRA: &[u8; 5] = b"*~$=U";
const SYMBOLS: usize = 25;

/// A license key code, parsed and checked. Debug output is masked: a code is a secret until it is claimed.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyCode {
    symbols: [u8; SYMBOLS],
}

impl KeyCode {
    /// The code made of 125 of these 128 random bits.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> KeyCode {
        let mut number = u128::from_be_bytes(random) >> 3;
        let mut symbols = [0_u8; SYMBOLS];
        for symbol in symbols.iter_mut().rev() {
            *symbol = u8::try_from(number % 32).unwrap_or(0);
            number /= 32;
        }
        KeyCode { symbols }
    }

    /// Reads a code as a person typed it.
    ///
    /// # Errors
    /// `KEY_CODE_MALFORMED` if its length, alphabet or check symbol is wrong.
    pub fn parse(text: &str) -> Result<KeyCode, Refusal> {
        let malformed = |what: &str| {
            Refusal::new(
                RefusalCode::KeyCodeMalformed,
                format!("this is not a license key: {what}"),
                "copy it from the order mail: five groups of five characters and a check character",
            )
            .at("code")
        };
        let kept: Vec<u8> = text
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-')
            .map(|byte| byte.to_ascii_uppercase())
            .take(SYMBOLS + 2)
            .collect();
        let (check, body) = kept.split_last().ok_or_else(|| malformed("it is empty"))?;
        let body: &[u8; SYMBOLS] =
            body.try_into().map_err(|_| malformed("it does not have 25 characters and a check character"))?;
        let mut symbols = [0_u8; SYMBOLS];
        for (symbol, byte) in symbols.iter_mut().zip(body) {
            *symbol = value_of(*byte).ok_or_else(|| malformed("it has a character no license key has"))?;
        }
        let code = KeyCode { symbols };
        if code.check_symbol() == *check {
            Ok(code)
        } else {
            Err(malformed("its check character does not fit; probably a typing mistake"))
        }
    }

    /// The code as printed.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(SYMBOLS + 6);
        for (index, symbol) in self.symbols.iter().enumerate() {
            if index > 0 && index % 5 == 0 {
                text.push('-');
            }
            text.push(printed(*symbol));
        }
        text.push('-');
        text.push(char::from(self.check_symbol()));
        text
    }

    /// Its last five symbols, by which people recognise it.
    #[must_use]
    pub fn tail(&self) -> String {
        self.symbols.iter().skip(SYMBOLS - 5).map(|symbol| printed(*symbol)).collect()
    }

    /// What the store knows of it: SHA-256 of the symbols.
    #[must_use]
    pub fn hash(&self) -> CodeHash {
        let mut hasher = Sha256::new();
        hasher.update(b"coterm license key\0");
        hasher.update(self.symbols);
        CodeHash(hasher.finalize().into())
    }

    fn check_symbol(&self) -> u8 {
        let remainder = self.symbols.iter().fold(0_u32, |sum, symbol| (sum * 32 + u32::from(*symbol)) % 37);
        let index = usize::try_from(remainder).unwrap_or(0);
        ALPHABET.iter().chain(CHECK_EXTRA).nth(index).copied().unwrap_or(b'0')
    }
}

impl fmt::Debug for KeyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.tail()))
    }
}

/// How a code is shown in lists and logs: all but its last five symbols hidden.
#[must_use]
pub fn masked(tail: &str) -> String {
    format!("*****-*****-*****-*****-{tail}")
}

pub(crate) fn printed(symbol: u8) -> char {
    ALPHABET.get(usize::from(symbol)).copied().map_or('0', char::from)
}

pub(crate) fn value_of(byte: u8) -> Option<u8> {
    let read = match byte {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    ALPHABET.iter().position(|symbol| *symbol == read).and_then(|index| u8::try_from(index).ok())
}

/// The hash under which a code is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeHash(pub(crate) [u8; 32]);

impl fmt::Display for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CodeHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CodeHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut hash = [0_u8; 32];
        let digits = text.as_bytes().chunks_exact(2);
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(de::Error::custom("not a hash of 64 hexadecimal digits"));
        }
        for (byte, pair) in hash.iter_mut().zip(digits) {
            let pair = core::str::from_utf8(pair).map_err(de::Error::custom)?;
            *byte = u8::from_str_radix(pair, 16).map_err(de::Error::custom)?;
        }
        Ok(CodeHash(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = KeyCode::from_random([0x5a; 16]);
        let printed = code.reveal();
        let sloppy = printed.to_lowercase().replace('-', " ").replace('1', "l").replace('0', "o");
        assert_eq!(KeyCode::parse(&sloppy).unwrap(), code);
        assert!(!format!("{code:?}").contains(&printed[..5]));
    }

    #[test]
    fn malformed_codes_are_refused() {
        let printed = KeyCode::from_random([9; 16]).reveal();
        for bad in ["", "-", "ABC", &printed[..printed.len() - 2], &format!("{printed}A"), "ÄÄÄÄÄ-ÄÄÄÄÄ"]
        {
            assert_eq!(KeyCode::parse(bad).unwrap_err().code, RefusalCode::KeyCodeMalformed, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_single_typing_mistake_is_caught(random: [u8; 16], at in 0..25_usize, by in 1..32_u8) {
            let code = KeyCode::from_random(random);
            prop_assert_eq!(KeyCode::parse(&code.reveal()).unwrap(), code.clone());
            let mut wrong = code.clone();
            wrong.symbols[at] = (wrong.symbols[at] + by) % 32;
            let mut text = wrong.reveal();
            text.pop();
            text.push(char::from(code.check_symbol()));
            prop_assert!(KeyCode::parse(&text).is_err());
        }
    }
}
