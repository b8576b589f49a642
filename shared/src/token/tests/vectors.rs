//! Vectors made by others (origins in `vectors/ORIGIN.md`), through our own wrappers.

use super::support::*;
use crate::token::codec::{CodecError, check, decode};
use crate::token::cose::{Sign, Sign1, signature, signature1};
use crate::token::*;
use alloc::string::String;
use alloc::vec::Vec;
use serde_json::Value;

const WYCHEPROOF: &str = include_str!("../../../vectors/wycheproof/ed25519_test.json");
const SPECCHECK: &str = include_str!("../../../vectors/ed25519-speccheck/cases.json");
const APPENDIX_A: &str = include_str!("../../../vectors/cbor/appendix_a.json");

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// Whether our wrapper takes the key and the signature.
fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (key.try_into(), signature.try_into()) else { return false };
    PublicKey::from_bytes(key).is_ok_and(|key| key.verifies(message, signature))
}

#[test]
fn wycheproof_ed25519() {
    let (mut valid, mut invalid) = (0, 0);
    for group in parse(WYCHEPROOF)["testGroups"].as_array().unwrap() {
        let key = unhex(group["publicKey"]["pk"].as_str().unwrap());
        for test in group["tests"].as_array().unwrap() {
            let of = |name: &str| unhex(test[name].as_str().unwrap());
            let expected = match test["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                other => panic!("result {other}"),
            };
            assert_eq!(verifies(&key, &of("msg"), &of("sig")), expected, "test {}", test["tcId"]);
            *(if expected { &mut valid } else { &mut invalid }) += 1;
        }
    }
    assert_eq!((valid, invalid), (88, 63));
}

#[test]
fn speccheck_accepts_only_number_3() {
    let accepted: Vec<usize> = parse(SPECCHECK)
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
        .filter(|(_, case)| {
            let of = |name: &str| unhex(case[name].as_str().unwrap());
            verifies(&of("pub_key"), &of("message"), &of("signature"))
        })
        .map(|(number, _)| number)
        .collect();
    assert_eq!(accepted, [3]);
}

#[test]
fn cose_eddsa_sig_01_signs_what_we_would() {
    let vector = parse(include_str!("../../../vectors/cose-wg-examples/eddsa-examples/eddsa-sig-01.json"));
    let ours = signature1(&unhex("a201270300"), b"This is the content.");
    assert_eq!(ours, unhex(vector["intermediates"]["ToBeSign_hex"].as_str().unwrap()));
    let token = unhex(vector["output"]["cbor"].as_str().unwrap());
    let key = unhex(vector["input"]["sign0"]["key"]["x_hex"].as_str().unwrap());
    assert!(verifies(&key, &ours, &token[token.len() - 64..]));
}

#[test]
fn cose_eddsa_01_signs_what_we_would() {
    let vector = parse(include_str!("../../../vectors/cose-wg-examples/eddsa-examples/eddsa-01.json"));
    let ours = signature(&unhex("a10300"), &unhex("a10127"), b"This is the content.");
    let signer = &vector["intermediates"]["signers"][0];
    assert_eq!(ours, unhex(signer["ToBeSign_hex"].as_str().unwrap()));
}

#[test]
fn foreign_cose_messages_are_refused() {
    use TokenRefusal::{Header, Shape};
    macro_rules! example {
        ($path:literal) => {
            ($path, include_str!(concat!("../../../vectors/cose-wg-examples/", $path, ".json")))
        };
    }
    for ((path, json), cause) in [
        (example!("eddsa-examples/eddsa-01"), Shape),
        (example!("eddsa-examples/eddsa-02"), Shape),
        // An unprotected header.
        (example!("eddsa-examples/eddsa-sig-01"), Shape),
        (example!("eddsa-examples/eddsa-sig-02"), Shape),
        (example!("sign1-tests/sign-pass-01"), Shape),
        (example!("sign1-tests/sign-pass-02"), Shape),
        (example!("sign1-tests/sign-pass-03"), Shape),
        (example!("sign1-tests/sign-fail-01"), Shape),
        (example!("sign1-tests/sign-fail-02"), Shape),
        (example!("sign1-tests/sign-fail-03"), Shape),
        (example!("sign1-tests/sign-fail-04"), Shape),
        (example!("sign1-tests/sign-fail-06"), Shape),
        (example!("sign1-tests/sign-fail-07"), Shape),
        // RFC 8392 appendix A: a CWT of the right shape with another header, a MAC, and encrypted ones.
        (example!("CWT/A_3"), Header),
        (example!("CWT/A_4"), Shape),
        (example!("CWT/A_5"), Shape),
        (example!("CWT/A_6"), Shape),
        (example!("CWT/A_7"), Shape),
    ] {
        let bytes = unhex(parse(json)["output"]["cbor"].as_str().unwrap());
        assert_eq!(refusal(&bytes), Some(cause), "{path}");
        assert!(Sign::parse(&bytes, KEYRING_TYPE).is_err(), "{path}");
    }
    // RFC 8392 appendix A.3 is deterministic CBOR in its container all the same.
    let signed = parse(include_str!("../../../vectors/cose-wg-examples/CWT/A_3.json"));
    let bytes = unhex(signed["output"]["cbor"].as_str().unwrap());
    let signed1 = Sign1::parse(&bytes).unwrap();
    assert_eq!(check(signed1.payload), Ok(()));
    assert_eq!(signed1.to_be_signed(), unhex(signed["intermediates"]["ToBeSign_hex"].as_str().unwrap()));
}

#[test]
fn rfc_8949_appendix_a_passes_the_check_where_the_rules_allow() {
    let mut accepted: Vec<String> = Vec::new();
    for vector in parse(APPENDIX_A).as_array().unwrap() {
        let text = vector["hex"].as_str().unwrap();
        // Floats and simple values other than null start with f, tags with c or d, indefinite lengths end in 1f.
        let first = u8::from_str_radix(&text[..2], 16).unwrap();
        let forbidden = (first >> 5 == 7 && first != 0xf6)
            || first >> 5 == 6
            || text.contains("ff") && first & 0x1f == 0x1f;
        let nested_indefinite =
            ["83018202039f0405ff", "83019f0203ff820405", "826161bf61626163ff"].contains(&text);
        let expected = if forbidden || nested_indefinite { Err(CodecError::Encoding) } else { Ok(()) };
        assert_eq!(check(&unhex(text)), expected, "{text}");
        if expected.is_ok() {
            accepted.push(text.into());
        }
    }
    assert_eq!(accepted.len(), 35);
    // Of the rest, what is an array of integers also decodes, and only that.
    for text in ["83010203", "80"] {
        assert!(decode::<Vec<u64>>(&unhex(text)).is_ok());
    }
    assert_eq!(decode::<Vec<u64>>(&unhex("816161")), Err(CodecError::Malformed));
}

#[test]
fn what_rfc_8949_calls_not_well_formed_or_not_deterministic_is_refused() {
    for text in [
        "",
        "18",
        "1817",
        "19",
        "190017",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "1c",
        "1d",
        "1e",
        "1f",
        "3f",
        "41",
        "5800",
        "580161",
        "61",
        "61ff",
        "62c328",
        "7801",
        "7900",
        "81",
        "8201",
        "9800",
        "98",
        "a1",
        "a101",
        "b800",
        "a2010102",
        "a201010101",
        "a202010101",
        "a2616101016101",
        "a2190100000000",
        "c0",
        "d9d9f700",
        "e0",
        "f4",
        "f5",
        "f7",
        "f8",
        "f800",
        "f8f6",
        "f818",
        "f90000",
        "ff",
        "0000",
        "818181818100",
    ] {
        assert_eq!(check(&unhex(text)), Err(CodecError::Encoding), "{text}");
    }
    for text in ["8181818100", "a1a1a1a1000000000000", "a200000100", "a2012001", "a201012001", "f6"] {
        let refused = ["a1a1a1a1000000000000", "a2012001"].contains(&text);
        assert_eq!(check(&unhex(text)).is_err(), refused, "{text}");
    }
}

/// The key of these examples is ES256, which no device believes; what is signed is judged without it: a message that
/// passes is over the bytes we would verify, and where content or header were changed, it no longer is.
#[test]
fn cose_sign1_pass_and_fail_sign_what_we_would() {
    macro_rules! example {
        ($name:literal) => {
            ($name, include_str!(concat!("../../../vectors/cose-wg-examples/sign1-tests/", $name, ".json")))
        };
    }
    for ((name, json), over_the_same) in [
        // An empty header written as an empty map; what is received is what is verified, so this one is not ours.
        (example!("sign-pass-01"), false),
        // Signed with external data, which we never have.
        (example!("sign-pass-02"), false),
        (example!("sign-pass-03"), true),
        // Another tag; the bytes signed stay.
        (example!("sign-fail-01"), true),
        (example!("sign-fail-02"), false),
        (example!("sign-fail-03"), false),
        (example!("sign-fail-04"), false),
        (example!("sign-fail-06"), false),
        (example!("sign-fail-07"), false),
    ] {
        let vector = parse(json);
        let message = unhex(vector["output"]["cbor"].as_str().unwrap());
        let value: ciborium::Value = ciborium::from_reader(&message[..]).unwrap();
        let value = if let ciborium::Value::Tag(_, inside) = value { *inside } else { value };
        let parts = value.as_array().unwrap();
        let ours = signature1(parts[0].as_bytes().unwrap(), parts[2].as_bytes().unwrap());
        let theirs = unhex(vector["intermediates"]["ToBeSign_hex"].as_str().unwrap());
        assert_eq!(ours == theirs, over_the_same, "{name}");
    }
}
