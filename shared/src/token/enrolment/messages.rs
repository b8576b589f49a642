//! The messages: questions of a device, and the bodies of the cloud's answers.
//!
//! Every one is a deterministic CBOR map; its first key says which it is. What is not exactly one of them is refused.

use super::super::codec::{decode, encode, uint_at};
use super::super::wire::{Blob, Fixed, int_map};
use crate::enrolment::code::{ClaimSecret, RootPin};
use crate::id::{DeviceId, OrganizationId, SiteId};
use alloc::string::String;
use alloc::vec::Vec;

/// The longest question, in bytes.
pub const MAX_REQUEST_BYTES: usize = 8_192;
/// How many roots, from the one a code pins on, an answer brings at most.
pub const MAX_ROOTS: usize = 16;

/// Why bytes are none of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MESSAGE_MALFORMED: not a message of this version of the enrolment protocol; update the older side")]
pub struct MessageError;

int_map! {
    WireHello {
        req 1 => kind: u64,
        req 2 => nonce: Fixed<32>,
        opt 3 => pin: Option<Fixed<26>>,
    }
}

int_map! {
    WireEnrol {
        req 1 => kind: u64,
        req 2 => nonce: Fixed<32>,
        req 3 => secret: Fixed<22>,
        req 4 => csr: Blob,
        opt 5 => device: Option<DeviceId>,
    }
}

int_map! {
    WireRenew {
        req 1 => kind: u64,
        req 2 => nonce: Fixed<32>,
        req 3 => csr: Blob,
    }
}

int_map! {
    WireConfirm {
        req 1 => kind: u64,
        req 2 => nonce: Fixed<32>,
    }
}

int_map! {
    WireHelloAnswer {
        req 1 => signed: Blob,
        req 2 => keyring: Blob,
        req 3 => roots: Vec<Blob>,
    }
}

int_map! {
    WireEnrolled {
        req 1 => kind: u64,
        req 2 => device: DeviceId,
        req 3 => organization: Fixed<16>,
        req 4 => chain: Vec<Blob>,
        req 5 => enrolment_ca: Blob,
        opt 6 => site: Option<Fixed<16>>,
        opt 7 => broker: Option<WireBroker>,
        opt 8 => product: Option<u16>,
    }
}

int_map! {
    WireBroker {
        req 1 => host: String,
        req 2 => port: u16,
        req 3 => server_name: String,
        req 4 => authorities: String,
    }
}

int_map! {
    WireWait {
        req 1 => kind: u64,
        req 2 => secs: u32,
        req 3 => device: DeviceId,
    }
}

int_map! {
    WireRefused {
        req 1 => kind: u64,
        req 2 => code: String,
        req 3 => message: String,
        req 4 => hint: String,
        opt 5 => retry_secs: Option<u32>,
    }
}

int_map! {
    WireDone {
        req 1 => kind: u64,
    }
}

/// The tables of this file, for the test that compares them with the CDDL.
#[cfg(test)]
pub(super) const TABLES: [(&str, &[super::super::wire::Row]); 10] = [
    ("hello", WireHello::ROWS),
    ("enrol", WireEnrol::ROWS),
    ("renew", WireRenew::ROWS),
    ("confirm", WireConfirm::ROWS),
    ("hello-answer", WireHelloAnswer::ROWS),
    ("enrolled", WireEnrolled::ROWS),
    ("broker-place", WireBroker::ROWS),
    ("wait", WireWait::ROWS),
    ("refused", WireRefused::ROWS),
    ("done", WireDone::ROWS),
];

/// A device's first words: who are you, on this connection?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Fresh random bytes.
    pub nonce: [u8; 32],
    /// The root the device's claim code pins; a device that is enrolled has none to name.
    pub pin: Option<RootPin>,
}

/// A device with a claim code.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolRequest {
    /// Fresh random bytes.
    pub nonce: [u8; 32],
    /// The secret of its code.
    pub secret: ClaimSecret,
    /// A certification request (PKCS #10, DER), signed by the device's key.
    pub csr: Vec<u8>,
    /// Who it is, if it knows.
    pub device: Option<DeviceId>,
}

/// A device with a certificate, on a connection made with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewRequest {
    /// Fresh random bytes.
    pub nonce: [u8; 32],
    /// A certification request (PKCS #10, DER), by the same key or a new one.
    pub csr: Vec<u8>,
}

/// What a device asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// Who is the cloud?
    Hello(Hello),
    /// To be let in, or whether it was.
    Enrol(EnrolRequest),
    /// For a new certificate.
    Renew(RenewRequest),
    /// That the certificate of this connection takes the place of all older ones.
    Confirm {
        /// Fresh random bytes.
        nonce: [u8; 32],
    },
}

impl core::fmt::Debug for Request {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Request::Hello(_) => "Hello",
            Request::Enrol(_) => "Enrol",
            Request::Renew(_) => "Renew",
            Request::Confirm { .. } => "Confirm",
        })
    }
}

impl Request {
    /// The nonce its answer must name.
    #[must_use]
    pub const fn nonce(&self) -> [u8; 32] {
        match self {
            Request::Hello(Hello { nonce, .. })
            | Request::Enrol(EnrolRequest { nonce, .. })
            | Request::Renew(RenewRequest { nonce, .. })
            | Request::Confirm { nonce } => *nonce,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Request::Hello(Hello { nonce, pin }) => encode(&WireHello {
                kind: 1,
                nonce: Fixed(*nonce),
                pin: pin.map(|pin| Fixed(*pin.as_bytes())),
            }),
            Request::Enrol(EnrolRequest { nonce, secret, csr, device }) => encode(&WireEnrol {
                kind: 2,
                nonce: Fixed(*nonce),
                secret: Fixed(*secret.as_bytes()),
                csr: Blob(csr.clone()),
                device: device.clone(),
            }),
            Request::Renew(RenewRequest { nonce, csr }) => {
                encode(&WireRenew { kind: 3, nonce: Fixed(*nonce), csr: Blob(csr.clone()) })
            }
            Request::Confirm { nonce } => encode(&WireConfirm { kind: 4, nonce: Fixed(*nonce) }),
        }
        .unwrap_or_default()
    }

    /// Reads a question.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Request, MessageError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(MessageError);
        }
        match uint_at(bytes, &[1]) {
            Some(1) => {
                let wire: WireHello = decode(bytes).map_err(|_| MessageError)?;
                let pin = match wire.pin {
                    Some(pin) => Some(RootPin::from_bytes(pin.0).ok_or(MessageError)?),
                    None => None,
                };
                Ok(Request::Hello(Hello { nonce: wire.nonce.0, pin }))
            }
            Some(2) => {
                let wire: WireEnrol = decode(bytes).map_err(|_| MessageError)?;
                let secret = ClaimSecret::from_bytes(wire.secret.0).ok_or(MessageError)?;
                let (nonce, csr, device) = (wire.nonce.0, wire.csr.0, wire.device);
                Ok(Request::Enrol(EnrolRequest { nonce, secret, csr, device }))
            }
            Some(3) => {
                let wire: WireRenew = decode(bytes).map_err(|_| MessageError)?;
                Ok(Request::Renew(RenewRequest { nonce: wire.nonce.0, csr: wire.csr.0 }))
            }
            Some(4) => {
                let wire: WireConfirm = decode(bytes).map_err(|_| MessageError)?;
                Ok(Request::Confirm { nonce: wire.nonce.0 })
            }
            Some(_) | None => Err(MessageError),
        }
    }
}

/// What comes back for a hello: an answer, and by what to verify it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloAnswer {
    /// An answer with the body [`Body::Done`].
    pub signed: Vec<u8>,
    /// The keyring, which verifies under the last of the roots.
    pub keyring: Vec<u8>,
    /// The root the device named and those after it, in order, at most [`MAX_ROOTS`]; the newest alone if it named none.
    pub roots: Vec<Vec<u8>>,
}

impl HelloAnswer {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let roots = self.roots.iter().cloned().map(Blob).collect();
        let wire =
            WireHelloAnswer { signed: Blob(self.signed.clone()), keyring: Blob(self.keyring.clone()), roots };
        encode(&wire).unwrap_or_default()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<HelloAnswer, MessageError> {
        let wire: WireHelloAnswer = decode(bytes).map_err(|_| MessageError)?;
        if !(1..=MAX_ROOTS).contains(&wire.roots.len()) {
            return Err(MessageError);
        }
        let roots = wire.roots.into_iter().map(|root| root.0).collect();
        Ok(HelloAnswer { signed: wire.signed.0, keyring: wire.keyring.0, roots })
    }
}

/// Where the broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerPlace {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name in its certificate.
    pub server_name: String,
    /// The authorities that may have signed it, PEM.
    pub authorities_pem: String,
}

/// A device is let in, or has a new certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Who it is.
    pub device: DeviceId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Its certificate and what is above it but the authority, DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The authority of the enrolment listener, DER: by it the device knows the cloud when it renews.
    pub enrolment_ca: Vec<u8>,
    /// The site it was claimed into.
    pub site: Option<SiteId>,
    /// Where the broker is.
    pub broker: Option<BrokerPlace>,
    /// The product type of its model, a registry number: a hint at its class.
    pub product: Option<u16>,
}

/// The device waits for an administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// When to ask again, in seconds.
    pub secs: u32,
    /// The name it waits under.
    pub device: DeviceId,
}

/// No, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// What is wrong, in a sentence.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// When it may be tried again, in seconds, if waiting helps.
    pub retry_secs: Option<u32>,
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// It is done, or: I am who you think.
    Done,
    /// The device has a certificate.
    Enrolled(Enrolled),
    /// It waits.
    Wait(Wait),
    /// It is refused.
    Refused(Refused),
}

impl Body {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Body::Done => encode(&WireDone { kind: 1 }),
            Body::Enrolled(enrolled) => encode(&WireEnrolled {
                kind: 2,
                device: enrolled.device.clone(),
                organization: Fixed(*enrolled.organization.as_bytes()),
                chain: enrolled.chain.iter().cloned().map(Blob).collect(),
                enrolment_ca: Blob(enrolled.enrolment_ca.clone()),
                site: enrolled.site.map(|site| Fixed(*site.as_bytes())),
                broker: enrolled.broker.as_ref().map(|broker| WireBroker {
                    host: broker.host.clone(),
                    port: broker.port,
                    server_name: broker.server_name.clone(),
                    authorities: broker.authorities_pem.clone(),
                }),
                product: enrolled.product,
            }),
            Body::Wait(wait) => encode(&WireWait { kind: 3, secs: wait.secs, device: wait.device.clone() }),
            Body::Refused(refused) => encode(&WireRefused {
                kind: 4,
                code: refused.code.clone(),
                message: refused.message.clone(),
                hint: refused.hint.clone(),
                retry_secs: refused.retry_secs,
            }),
        }
        .unwrap_or_default()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`MessageError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Body, MessageError> {
        match uint_at(bytes, &[1]) {
            Some(1) => decode::<WireDone>(bytes).map(|_| Body::Done).map_err(|_| MessageError),
            Some(2) => {
                let wire: WireEnrolled = decode(bytes).map_err(|_| MessageError)?;
                if wire.chain.is_empty() || wire.chain.len() > 4 {
                    return Err(MessageError);
                }
                Ok(Body::Enrolled(Enrolled {
                    device: wire.device,
                    organization: OrganizationId::from_bytes(wire.organization.0),
                    chain: wire.chain.into_iter().map(|der| der.0).collect(),
                    enrolment_ca: wire.enrolment_ca.0,
                    site: wire.site.map(|site| SiteId::from_bytes(site.0)),
                    broker: wire.broker.map(|broker| BrokerPlace {
                        host: broker.host,
                        port: broker.port,
                        server_name: broker.server_name,
                        authorities_pem: broker.authorities,
                    }),
                    product: wire.product,
                }))
            }
            Some(3) => {
                let wire: WireWait = decode(bytes).map_err(|_| MessageError)?;
                Ok(Body::Wait(Wait { secs: wire.secs, device: wire.device }))
            }
            Some(4) => {
                let wire: WireRefused = decode(bytes).map_err(|_| MessageError)?;
                let WireRefused { code, message, hint, retry_secs, .. } = wire;
                Ok(Body::Refused(Refused { code, message, hint, retry_secs }))
            }
            Some(_) | None => Err(MessageError),
        }
    }
}
