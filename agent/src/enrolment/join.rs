//! With a claim code: the cloud proves itself, then the code is shown.

use super::talk::{Server, Talk, anonymous};
use super::{ExchangeError, nonce};
use coterm_shared::enrolment::code::{ClaimText, RootPin};
use coterm_shared::id::DeviceId;
use coterm_shared::token::{
    Answer, Binding, Body, EnrolRequest, Enrolled, Hello, HelloAnswer, Keyring, Request, Root, TrustRefusal,
    Wait,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The device is in.
    In(Box<Admission>),
    /// An administrator has to approve it.
    Waiting(Wait),
}

/// Everything a device needs from now on.
#[derive(Debug)]
pub(crate) struct Admission {
    pub enrolled: Enrolled,
    pub root: Root,
    pub keyring: Keyring,
}

/// A certification request by this key; who the device is, the cloud decides.
pub(crate) fn certification_request(key: &KeyPair) -> Result<Vec<u8>, ExchangeError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key).map_err(|error| ExchangeError::Key(error.to_string()))?;
    Ok(request.der().to_vec())
}

/// Asks once to be let in.
pub(crate) fn join(
    server: &Server,
    code: &ClaimText,
    device: Option<DeviceId>,
    key: &KeyPair,
) -> Result<Joined, ExchangeError> {
    let tls = anonymous().map_err(|error| ExchangeError::Tls { server: server.to_string(), error })?;
    let mut talk = Talk::open(server, tls)?;
    let binding = Binding { nonce: nonce()?, server: talk.certificate };
    let hello = Request::Hello(Hello { nonce: binding.nonce, pin: Some(*code.pin()) });
    let answer = HelloAnswer::decode(&talk.ask(&hello)?)?;
    let (root, keyring) = believe(&answer, code.pin(), server)?;
    Answer::verify(&answer.signed, &keyring, &binding)?;
    // Only now is it known that whoever ends this TLS connection is the cloud the code is for.
    let binding = Binding { nonce: nonce()?, ..binding };
    let (secret, csr) = (code.secret().clone(), certification_request(key)?);
    let request = Request::Enrol(EnrolRequest { nonce: binding.nonce, secret, csr, device });
    let answer = Answer::verify(&talk.ask(&request)?, &keyring, &binding)?;
    match Body::decode(&answer.body)? {
        Body::Enrolled(enrolled) => Ok(Joined::In(Box::new(Admission { enrolled, root, keyring }))),
        Body::Wait(wait) => Ok(Joined::Waiting(wait)),
        Body::Refused(refused) => Err(ExchangeError::Refused(refused)),
        Body::Done => Err(coterm_shared::token::MessageError.into()),
    }
}

/// The newest root reached from the one the code names under which the keyring verifies.
fn believe(answer: &HelloAnswer, pin: &RootPin, server: &Server) -> Result<(Root, Keyring), ExchangeError> {
    let mut roots = answer.roots.iter();
    let first = roots.next().filter(|root| RootPin::of(root) == *pin);
    let mut root = Root::pinned(first.ok_or_else(|| ExchangeError::OtherCloud(server.to_string()))?)?;
    let mut found: Result<(Root, Keyring), TrustRefusal> =
        Keyring::verify(&answer.keyring, &root, None).map(|keyring| (root.clone(), keyring));
    for next in roots {
        root = root.update(next)?;
        if let Ok(keyring) = Keyring::verify(&answer.keyring, &root, None) {
            found = Ok((root.clone(), keyring));
        }
    }
    Ok(found?)
}
