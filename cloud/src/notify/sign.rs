//! Standard Webhooks: how a receiver knows that a request is ours, unaltered, and new.
//!
//! The signature is HMAC-SHA256 over `id.timestamp.body` with the secret of the endpoint, as `v1,` and base64 in the header
//! `webhook-signature`; during a rotation there is one for each secret, apart by a space.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret begins with as text.
const PREFIX: &str = "whsec_";
/// Bytes of a fresh secret.
const BYTES: usize = 32;

/// A fresh secret.
///
/// # Errors
/// If the system has no randomness.
pub fn fresh() -> Result<Vec<u8>, getrandom::Error> {
    let mut secret = vec![0; BYTES];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

/// A secret as it is shown once.
#[must_use]
pub fn reveal(secret: &[u8]) -> String {
    format!("{PREFIX}{}", STANDARD.encode(secret))
}

/// The value of `webhook-signature` with these secrets, the newest first.
#[must_use]
pub fn signature<'a>(
    secrets: impl Iterator<Item = &'a [u8]>,
    id: &str,
    timestamp: u64,
    body: &[u8],
) -> String {
    let each = secrets.filter_map(|secret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries (github.com/standard-webhooks/standard-webhooks, MIT license).
    #[test]
    fn n1_the_signature_is_that_of_standard_webhooks() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let sign = |secrets: &[&[u8]]| {
            let body = br#"{"test": 2432232314}"#;
            signature(secrets.iter().copied(), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
        };
        let expect = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(&[&secret]), expect);
        let both = sign(&[&[7; 24], &secret]);
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.ends_with(expect), "while a secret is rotated both sign");
        assert_eq!(reveal(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        assert_ne!(fresh().unwrap(), fresh().unwrap());
    }
}
