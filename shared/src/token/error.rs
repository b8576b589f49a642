//! Why a token, a keyring or a root is refused: two closed lists with stable codes.
//!
//! A refusal changes nothing on the device but a counter and one report, so all it owes anyone is its cause. Codes and
//! numbers are a registry: never reused, never renumbered. **Deliberately absent:** the refused bytes, and anything
//! copied out of them; what is not verified is not repeated.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! refusals {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $number:literal $code:literal step $step:literal $sentence:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $code, "`: ", $sentence, ".")] $variant,)+
        }

        impl $name {
            /// Every refusal, in the order of the checks.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Its stable code, as reports and logs carry it.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)+ }
            }

            /// Its number in the registry.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $($name::$variant => $number,)+ }
            }

            /// The step of the verification that refuses.
            #[must_use]
            pub const fn step(self) -> u8 {
                match self { $($name::$variant => $step,)+ }
            }

            /// What happened and what to do about it, in one sentence without a full stop.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $($name::$variant => $sentence,)+ }
            }

            /// The refusal with this code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|refusal| refusal.code() == code)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.sentence())
            }
        }

        impl core::error::Error for $name {}

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.code())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let code = String::deserialize(deserializer)?;
                $name::from_code(&code).ok_or_else(|| de::Error::custom("not the code of a refusal"))
            }
        }
    };
}

refusals! {
    /// Why bytes are not a token this device may believe (token §4, steps 1 to 9).
    TokenRefusal {
        Length = 1 "LENGTH" step 1 "the message is empty or longer than 4096 bytes; something else publishes on the token topic";
        Shape = 2 "SHAPE" step 2 "the message is not a tagged COSE_Sign1 of four parts with an empty unprotected header; something else publishes on the token topic";
        Header = 3 "HEADER" step 3 "the protected header is not exactly algorithm, key id and type in deterministic encoding; the issuer is not a Coterm cloud of this version";
        Algorithm = 4 "ALGORITHM" step 3 "the algorithm is not Ed25519 (-19); the issuer is not a Coterm cloud of this version";
        ContentType = 5 "CONTENT_TYPE" step 3 "the signed document is not a license state; a keyring or another document was sent in its place";
        UnknownKey = 6 "UNKNOWN_KEY" step 4 "no key of the keyring has this key id; deliver the newest keyring, or the key was revoked";
        KeyUse = 7 "KEY_USE" step 4 "the keyring does not allow this key to sign license states; sign with a key made for them";
        KeyOrganization = 8 "KEY_ORGANIZATION" step 4 "the keyring binds this key to another organization; sign with a key of this device's organization";
        Signature = 9 "SIGNATURE" step 5 "the signature does not fit; the message was altered or forged";
        ClaimsEncoding = 10 "CLAIMS_ENCODING" step 6 "the claims are not deterministic CBOR; the issuer's encoder is at fault";
        ClaimsMalformed = 11 "CLAIMS_MALFORMED" step 6 "the claims lack a part, have one too many or hold a value out of range; the issuer's encoder is at fault";
        ProfileVersion = 12 "PROFILE_VERSION" step 6 "the license state has a profile version this program does not know; update the agent";
        TimesUnordered = 13 "TIMES_UNORDERED" step 6 "the instants contradict each other; the issuer is at fault";
        WrongIssuer = 14 "WRONG_ISSUER" step 7 "the token comes from another trust domain; compare trust_domain in the agent's and the cloud's configuration";
        WrongDevice = 15 "WRONG_DEVICE" step 7 "the token is for another device; a message was misrouted or replayed";
        WrongOrganization = 16 "WRONG_ORGANIZATION" step 7 "the token is of another organization; after a change of owner the device is enrolled anew";
        OutsideKeyWindow = 17 "OUTSIDE_KEY_WINDOW" step 8 "the token was issued outside its key's validity; rotate the signing key or set the issuer's clock";
        SequenceOffTime = 18 "SEQUENCE_OFF_TIME" step 8 "the sequence is more than a day away from the time of issue; the issuer's clock jumped or its key is abused";
        EpochRevoked = 19 "EPOCH_REVOKED" step 9 "the token's epoch is below the keyring's; the issuer has to continue in the keyring's epoch";
        EpochUnknown = 20 "EPOCH_UNKNOWN" step 9 "the token's epoch is above the keyring's; deliver the newest keyring first";
        Rollback = 21 "ROLLBACK" step 9 "the device holds a newer token; an old message was replayed or the issuer works on an old database";
        Equivocation = 22 "EQUIVOCATION" step 9 "two different tokens carry the same version; two issuers are at work or a key is abused, look into it now";
    }
}

refusals! {
    /// Why bytes are not a root or a keyring this device may believe (token §3).
    TrustRefusal {
        Length = 1 "TRUST_LENGTH" step 1 "the document is empty or longer than 16384 bytes";
        Shape = 2 "TRUST_SHAPE" step 2 "the document is not a tagged COSE_Sign with 1 to 32 signatures in ascending order of distinct key ids";
        Header = 3 "TRUST_HEADER" step 3 "a protected header is not exactly what this kind of document has; it was not made by Coterm of this version";
        ContentType = 4 "TRUST_CONTENT_TYPE" step 3 "the document is of another kind; root and keyring may be exchanged";
        Encoding = 5 "TRUST_ENCODING" step 4 "the content is not deterministic CBOR";
        Malformed = 6 "TRUST_MALFORMED" step 4 "the content lacks a part, has one too many or holds a value out of range";
        ProfileVersion = 7 "TRUST_PROFILE_VERSION" step 4 "the document has a profile version this program does not know; update it";
        BadKey = 8 "TRUST_BAD_KEY" step 4 "a key is weak, is not a point of the curve in its one encoding, or does not have the key id stated";
        KeyOrder = 9 "TRUST_KEY_ORDER" step 4 "keys are listed twice or out of order";
        Threshold = 10 "TRUST_THRESHOLD" step 4 "a threshold is zero or higher than the number of its keys";
        KeyWindow = 11 "TRUST_KEY_WINDOW" step 4 "a key ends before it begins";
        WrongTrustDomain = 12 "TRUST_WRONG_TRUST_DOMAIN" step 5 "the document is of another trust domain; each deployment has its own root";
        NotNext = 13 "TRUST_NOT_NEXT" step 6 "a root is followed only by the version right after it; apply the versions between in order";
        Signature = 14 "TRUST_SIGNATURE" step 7 "a signature by a known key does not fit; the document was altered";
        TooFewSignatures = 15 "TRUST_TOO_FEW_SIGNATURES" step 7 "fewer distinct keys signed than the threshold asks for";
        Rollback = 16 "TRUST_ROLLBACK" step 8 "a newer keyring is held already; an old one was replayed";
        Equivocation = 17 "TRUST_EQUIVOCATION" step 8 "two different keyrings carry the same version; a keyring key is abused, look into it now";
        EpochLowered = 18 "TRUST_EPOCH_LOWERED" step 8 "a newer keyring must not lower the minimum epoch";
    }
}
