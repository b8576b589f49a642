//! What a device is answered.
//!
//! **Method.** Everything a device may become is decided by its organization's rules and is on disk before a certificate
//! is made: a crash in between costs the device a second question, with the same code and key, and nothing else. A
//! certificate is revoked as soon as its successor was used, not as soon as that was made. Codes of which a stranger could
//! learn something are refused in one and the same sentence, wherever the reason was found.

use super::rates::Rates;
use crate::books::{Books, BooksError, Change, Request as Ask};
use crate::http::BrokerAddress;
use crate::ports::Owners;
use crate::signer::{Signer, Trust, TrustError};
use coterm_certs::{CertificateFacts, CertificationRequest, Pki};
use coterm_shared::enrolment::code::{ClaimHash, KeyPrint, RootPin};
use coterm_shared::id::{DeviceId, OrganizationId};
use coterm_shared::licensing::{
    ClaimState, Command, DeviceState, Enrol, EnrolmentCommand, RefusalCode, Refusals, Retirement,
};
use coterm_shared::time::Seconds;
use coterm_shared::token::{
    Binding, Body, BrokerPlace, EnrolRequest, Enrolled, Hello, HelloAnswer, Refused, RenewRequest, Request,
    UnsignedAnswer, Wait,
};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::Notify;

/// Wrong tries from one address in a minute.
const MAX_WRONG: u32 = 20;
/// Questions with one code in a minute: a device that waits asks every [`WAIT_SECS`].
const MAX_OF_A_CODE: u32 = 20;
/// Renewals of one device in a minute.
const MAX_OF_A_DEVICE: u32 = 6;
/// When a device that waits should ask again.
const WAIT_SECS: u32 = 15;
/// When to come again if the cloud is busy.
const BUSY_SECS: u32 = 10;

/// What certificates are made.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a device's certificate is good for.
    pub life: Seconds,
    /// Whether everything is quicker, for a show.
    pub demonstration: bool,
}

/// Who asks, and on which connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// What the certificate says that the connection was made with.
    pub(super) certificate: Option<CertificateFacts>,
    /// The hash of the certificate the listener showed.
    pub(super) server: [u8; 32],
}

/// Answers devices.
pub struct Desk {
    books: Books,
    trust: Arc<Trust>,
    pki: Pki,
    owners: Arc<dyn Owners>,
    broker: BrokerAddress,
    /// Told when certificates were revoked.
    revoked: Arc<Notify>,
    policy: Policy,
    wrong: Rates<IpAddr>,
    codes: Rates<ClaimHash>,
    devices: Rates<DeviceId>,
}

/// A refusal on its way to the device.
fn no(code: &str, message: &str, hint: &str) -> Body {
    let (code, message, hint) = (code.to_owned(), message.to_owned(), hint.to_owned());
    Body::Refused(Refused { code, message, hint, retry_secs: None })
}

fn later(secs: u32) -> Body {
    Body::Refused(Refused {
        code: String::from("TRY_LATER"),
        message: String::from("too much was asked at once"),
        hint: String::from("nothing is wrong with the device; ask again later"),
        retry_secs: Some(secs),
    })
}

fn failed(what: &dyn std::fmt::Display) -> Body {
    tracing::error!(code = "ENROLMENT_FAILED", error = %what, "a device could not be answered");
    Body::Refused(Refused {
        code: String::from("CLOUD_FAILED"),
        message: String::from("the cloud could not answer"),
        hint: String::from(
            "ask again; if it stays so, the operator of the cloud finds the reason in its log",
        ),
        retry_secs: Some(BUSY_SECS),
    })
}

/// The one refusal of a code, whatever is wrong with it.
fn unusable() -> Body {
    no(
        RefusalCode::ClaimCodeNotUsable.as_str(),
        "this claim code cannot be used by this device",
        "check the code and ask who gave it for a new one; a device that was in use elsewhere must be retired there",
    )
}

impl Desk {
    /// A desk that decides by these books and signs by this chain of trust.
    #[must_use]
    pub fn new(
        books: Books,
        trust: Arc<Trust>,
        pki: Pki,
        owners: Arc<dyn Owners>,
        broker: BrokerAddress,
        revoked: Arc<Notify>,
        policy: Policy,
    ) -> Desk {
        let (wrong, codes, devices) =
            (Rates::new(MAX_WRONG), Rates::new(MAX_OF_A_CODE), Rates::new(MAX_OF_A_DEVICE));
        Desk { books, trust, pki, owners, broker, revoked, policy, wrong, codes, devices }
    }

    /// The bytes that answer a question.
    pub(super) async fn answer(&self, request: Request, peer: &Peer) -> Result<Vec<u8>, TrustError> {
        let binding = Binding { nonce: request.nonce(), server: peer.server };
        let body = match request {
            Request::Hello(hello) => return self.hello(&hello, &binding).await,
            Request::Enrol(request) => self.enrol(request, peer).await,
            Request::Renew(request) => self.renew(request, peer).await,
            Request::Confirm { .. } => self.confirm(peer).await,
        };
        self.sign(&binding, &body).await
    }

    async fn hello(&self, hello: &Hello, binding: &Binding) -> Result<Vec<u8>, TrustError> {
        // The signer first: making its key may make a new keyring.
        let signed = self.sign(binding, &Body::Done).await?;
        let newest = self.trust.root();
        let roots = match &hello.pin {
            Some(pin) => self.trust.roots_since(|root| RootPin::of(root) == *pin),
            None => Vec::new(),
        };
        // A pin of nobody's is answered like any other: the device sees that this is not its cloud.
        let roots = if roots.is_empty() { vec![newest.bytes().to_vec()] } else { roots };
        Ok(HelloAnswer { signed, keyring: self.trust.keyring().bytes().to_vec(), roots }.encode())
    }

    async fn sign(&self, binding: &Binding, body: &Body) -> Result<Vec<u8>, TrustError> {
        let (trust, now) = (Arc::clone(&self.trust), self.books.now());
        // It may write files, once in a while.
        let signer = tokio::task::spawn_blocking(move || trust.enrolment_signer(now)).await;
        let signer: Arc<dyn Signer> = signer.map_err(|_| TrustError::EnrolmentKey)??;
        let domain = self.trust.root().trust_domain().clone();
        let unsigned = UnsignedAnswer::new(&domain, binding, now, body.encode(), signer.kid());
        Ok(unsigned.attach(signer.sign(&unsigned.to_be_signed())?))
    }

    async fn enrol(&self, request: EnrolRequest, peer: &Peer) -> Body {
        if let Some(secs) = self.wrong.wait(&peer.address) {
            return later(secs);
        }
        let csr = match CertificationRequest::from_der(&request.csr) {
            Ok(csr) => csr,
            Err(error) => {
                self.wrong.count(&peer.address);
                return no(
                    "BAD_CERTIFICATION_REQUEST",
                    &error.to_string(),
                    "make the request with a key of the device",
                );
            }
        };
        let hash = request.secret.hash();
        let Some(organization) = self.whose(&hash) else {
            self.wrong.count(&peer.address);
            tracing::info!(from = %peer.address, "a device showed a claim code nobody made");
            return unusable();
        };
        if let Some(secs) = self.codes.wait(&hash) {
            return later(secs);
        }
        self.codes.count(&hash);
        let Some(fresh) = fresh_device() else { return failed(&"no randomness") };
        let key = KeyPrint::of(csr.public_key_der());
        let ask = Enrol { hash, device: request.device, fresh, key };
        let command = Command::Enrolment(EnrolmentCommand::Enrol(Box::new(ask)));
        let change = Change::Organization { id: organization, command };
        let actor = format!("a device with key {} from {}", key, peer.address);
        let committed = match self.books.execute(Ask::new(actor, fresh_name(), change)).await {
            Ok(committed) => committed,
            Err(BooksError::Refused(refusals)) => {
                self.wrong.count(&peer.address);
                // Who asked with which code: an attempt with a stolen one can be traced, and the device is told none of it.
                let books = self.books.organization(organization);
                let code = books.as_ref().and_then(|books| books.enrolment().code_by_hash(&hash));
                tracing::info!(
                    %organization, code = code.map(|code| code.id.to_string()), state = ?code.map(|code| &code.state),
                    %key, from = %peer.address, reason = %refusals, "a device was not enrolled"
                );
                return refused(&refusals);
            }
            Err(BooksError::Busy | BooksError::Closed) => return later(BUSY_SECS),
            Err(error) => return failed(&error),
        };
        if let Some(held) = &committed.held {
            // Claimed it would put its group over capacity, and very many devices with it: the vendor decides (domain E6).
            tracing::info!(%organization, held = %held.operation.id, %key, "a device waits for the vendor's approval");
            return Body::Refused(Refused {
                code: String::from("OPERATION_HELD"),
                message: String::from(
                    "the license group has no room for this device: the vendor has to approve its claim",
                ),
                hint: String::from("nothing is wrong with the device; it asks again by itself"),
                retry_secs: Some(WAIT_SECS),
            });
        }
        let code = committed.organization.as_ref().and_then(|books| books.enrolment().code_by_hash(&hash));
        let Some(code) = code else { return failed(&"a code that was just used is gone") };
        match &code.state {
            ClaimState::Used { device, .. } => {
                let enrolled = self.certified(device.clone(), organization, csr, None).await;
                enrolled.map_or_else(
                    |body| body,
                    |enrolled| {
                        Body::Enrolled(Enrolled {
                            site: Some(code.site),
                            product: Some(code.product.number()),
                            ..enrolled
                        })
                    },
                )
            }
            ClaimState::Pending { device, .. } => {
                let secs = if self.policy.demonstration { 1 } else { WAIT_SECS };
                Body::Wait(Wait { secs, device: device.clone() })
            }
            ClaimState::Open | ClaimState::Denied { .. } | ClaimState::Revoked { .. } => unusable(),
        }
    }

    /// Which organization issued this code.
    fn whose(&self, hash: &ClaimHash) -> Option<OrganizationId> {
        self.books.organizations().into_iter().find(|id| {
            self.books.organization(*id).is_some_and(|books| books.enrolment().code_by_hash(hash).is_some())
        })
    }

    async fn renew(&self, request: RenewRequest, peer: &Peer) -> Body {
        let (facts, device, organization) = match self.known(peer).await {
            Ok(known) => known,
            Err(body) => return body,
        };
        if let Some(secs) = self.devices.wait(&device) {
            return later(secs);
        }
        self.devices.count(&device);
        match CertificationRequest::from_der(&request.csr) {
            Ok(csr) => {
                let renewed = self.certified(device, organization, csr, Some(facts)).await;
                renewed.map_or_else(|body| body, Body::Enrolled)
            }
            Err(error) => no(
                "BAD_CERTIFICATION_REQUEST",
                &error.to_string(),
                "make the request with a key of the device",
            ),
        }
    }

    async fn confirm(&self, peer: &Peer) -> Body {
        let (facts, device, _) = match self.known(peer).await {
            Ok(known) => known,
            Err(body) => return body,
        };
        let (pki, name) = (self.pki.clone(), device.clone());
        match tokio::task::spawn_blocking(move || pki.keep_only(&name, &facts.serial)).await {
            Ok(Ok(replaced)) => {
                if replaced > 0 {
                    tracing::info!(%device, replaced, "a new certificate was used for the first time; older ones are revoked");
                    self.revoked.notify_one();
                }
                Body::Done
            }
            Ok(Err(error)) => failed(&error),
            Err(error) => failed(&error),
        }
    }

    /// The device behind the connection's certificate, if it is still one that may be served.
    async fn known(&self, peer: &Peer) -> Result<(CertificateFacts, DeviceId, OrganizationId), Body> {
        let anew = "enrol the device anew with a claim code";
        let facts = peer.certificate.clone().ok_or_else(|| {
            no("CERTIFICATE_NEEDED", "this is asked for with the device's certificate alone", anew)
        })?;
        let device = facts.common_name.parse::<DeviceId>().ok().zip(facts.organization);
        let (device, organization) =
            device.ok_or_else(|| no("CERTIFICATE_UNUSABLE", "this is no device's certificate", anew))?;
        let pki = self.pki.clone();
        let revoked = tokio::task::spawn_blocking(move || pki.revoked()).await;
        match revoked {
            Ok(Ok(revoked)) if revoked.contains(&facts.serial) => {
                return Err(no("CERTIFICATE_REVOKED", "this certificate is revoked", anew));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        }
        let record = self.books.organization(organization).and_then(|books| books.device(&device).cloned());
        let state = record.filter(|_| self.owners.is_owner(organization, &device)).map(|record| record.state);
        match state {
            Some(DeviceState::Active | DeviceState::Trial(_)) => Ok((facts, device, organization)),
            Some(DeviceState::Retired { retirement, .. }) => Err(match retirement {
                Retirement::Stolen => no(
                    RefusalCode::DeviceStolen.as_str(),
                    "this device was reported stolen",
                    "contact the vendor's support with its serial number",
                ),
                Retirement::Replaced { .. } => no(
                    RefusalCode::DeviceReplaced.as_str(),
                    "this device was replaced by another and cannot come back",
                    "return it to the vendor",
                ),
                Retirement::Retired => {
                    no(RefusalCode::DeviceRetired.as_str(), "this device is retired", anew)
                }
            }),
            None => Err(no(
                RefusalCode::DeviceNotFound.as_str(),
                "this device is not one of the organization in its certificate",
                anew,
            )),
        }
    }

    /// A certificate for a device that may have one. Without a present one it takes the place of all older ones at once.
    async fn certified(
        &self,
        device: DeviceId,
        organization: OrganizationId,
        csr: CertificationRequest,
        present: Option<CertificateFacts>,
    ) -> Result<Enrolled, Body> {
        let (pki, name, life) = (self.pki.clone(), device.clone(), self.policy.life);
        let made = tokio::task::spawn_blocking(move || {
            let certified = pki.certify(&name, organization, &csr, life)?;
            let new = &certified.facts.serial;
            let replaced = match present {
                Some(present) => pki.keep_both(&name, &present.serial, new)?,
                None => pki.keep_only(&name, new)?,
            };
            Ok::<_, coterm_certs::PkiError>((certified, replaced))
        });
        let (certified, replaced) = match made.await {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(error) => return Err(failed(&error)),
        };
        if replaced > 0 {
            self.revoked.notify_one();
        }
        let serial = certified.facts.serial.as_str();
        tracing::info!(%device, %organization, serial, ends_at = %certified.facts.ends_at, replaced, "a device was given a certificate");
        Ok(Enrolled {
            device,
            organization,
            chain: vec![certified.der],
            enrolment_ca: self.pki.ca_certificate().to_vec(),
            site: None,
            broker: Some(BrokerPlace {
                host: self.broker.host.clone(),
                port: self.broker.port,
                server_name: self.broker.server_name.clone(),
                authorities_pem: self.broker.ca_pem.clone(),
            }),
            product: None,
        })
    }
}

/// A refusal of the rules as the device may hear it: what would tell about other devices or organizations is the one
/// sentence about codes.
fn refused(refusals: &Refusals) -> Body {
    let hidden = [
        RefusalCode::ClaimCodeNotUsable,
        RefusalCode::DeviceAlreadyClaimed,
        RefusalCode::OrganizationNotFound,
    ];
    let Some(first) = refusals.all().first() else { return unusable() };
    if refusals.all().iter().any(|refusal| hidden.contains(&refusal.code)) {
        return unusable();
    }
    no(first.code.as_str(), &first.message, &first.hint)
}

fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

fn fresh_device() -> Option<DeviceId> {
    random().map(DeviceId::from_uuid_bytes)
}

/// The name of a question in the log.
fn fresh_name() -> String {
    random().map(|bytes| uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()).unwrap_or_default()
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}
