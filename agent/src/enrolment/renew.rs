//! A new certificate before the old one ends, beside the running daemon.
//!
//! At two thirds of a certificate's life, by trusted time, the device asks for a new one with the one it has; also for a
//! while after its end. The new certificate is on disk before it is used, and the cloud is told when it was: only then is
//! the old one revoked. What fails is tried again, ever more rarely; the device goes on with what it has.

use super::join::certification_request;
use super::place::pem;
use super::talk::{Server, Talk};
use super::{ExchangeError, nonce};
use crate::commands::certificate::{Validity, validity};
use crate::config::{Broker, Config, Enrolment};
use crate::files;
use crate::mqtt::tls::{self, TrustedNow};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{Answer, Binding, Body, Hello, HelloAnswer, Keyring, RenewRequest, Request, Root};
use rcgen::KeyPair;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Renewed {
    /// There is a new certificate on disk, and the cloud knows that it is used.
    Certificate,
    /// Only that was still to be said.
    Confirmed,
}

/// Renewal as it stands.
#[derive(Debug)]
pub(crate) struct Renewal {
    what: Option<(Broker, Enrolment)>,
    attempt: Option<Receiver<Result<Renewed, ExchangeError>>>,
    /// Not before.
    next: Instant,
    pause: Duration,
    /// Between 0 and 1 in 256ths: devices made on one day do not all come on one day.
    jitter: u64,
}

/// The file beside a certificate that says: the cloud was not told yet that it is used.
fn unconfirmed(broker: &Broker) -> PathBuf {
    let mut name = broker.certificate_file.clone().into_os_string();
    name.push(".unconfirmed");
    PathBuf::from(name)
}

/// When a certificate is to be renewed: at two thirds of its life, or up to a twelfth of it later.
fn due_at(validity: Validity, jitter: u64) -> Timestamp {
    let life = validity.ends_at.since(validity.starts_at).0;
    let late = (life / 12).saturating_mul(jitter) / 256;
    validity.starts_at.saturating_add(Seconds((life - life / 3).saturating_add(late)))
}

impl Renewal {
    pub(crate) fn new(config: &Config, random: u32) -> Renewal {
        let what = config.enrolment.clone().map(|enrolment| (config.broker.clone(), enrolment));
        let jitter = u64::from(random % 256);
        Renewal { what, attempt: None, next: Instant::now(), pause: Duration::ZERO, jitter }
    }

    /// Looks at what came of the attempt under way, and begins one if it is time. Never waits.
    pub(crate) fn look(&mut self, root: Root, keyring: Option<Keyring>, now: Timestamp) -> Option<Renewed> {
        let (broker, enrolment) = self.what.as_ref()?;
        if let Some(attempt) = &self.attempt {
            let ended = match attempt.try_recv() {
                Ok(ended) => ended,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(ExchangeError::Key("the attempt crashed".to_owned())),
            };
            self.attempt = None;
            return match ended {
                Ok(renewed) => {
                    self.pause = Duration::ZERO;
                    Some(renewed)
                }
                Err(error) => {
                    let short = Duration::from_secs(error.retry_secs().unwrap_or(60).clamp(1, 600));
                    self.pause = self.pause.saturating_mul(2).clamp(short, LONGEST_PAUSE);
                    let jittered =
                        self.pause.saturating_mul(u32::try_from(128 + self.jitter).unwrap_or(256)) / 256;
                    self.next = Instant::now() + jittered;
                    tracing::warn!(
                        retry_in_secs = jittered.as_secs(),
                        "the certificate was not renewed: {error}"
                    );
                    None
                }
            };
        }
        if Instant::now() < self.next {
            return None;
        }
        let unconfirmed = unconfirmed(broker).exists();
        let present = tls::certificates(&broker.certificate_file).ok()?;
        let validity = validity(present.first()?)?;
        if !unconfirmed && now < due_at(validity, self.jitter) {
            return None;
        }
        let keyring = keyring?;
        let (broker, enrolment) = (broker.clone(), enrolment.clone());
        let (tell, hear) = channel();
        let attempt = std::thread::Builder::new().name("renewal".to_owned()).spawn(move || {
            let trust = Trust { root, keyring, now };
            // Nobody listens if the agent ends meanwhile; then the next start finds what is on disk.
            let _ = tell.send(attempt(&broker, &enrolment, &trust, unconfirmed));
        });
        match attempt {
            Ok(_) => self.attempt = Some(hear),
            Err(error) => {
                tracing::warn!(%error, "no thread for the renewal of the certificate");
                self.next = Instant::now() + LONGEST_PAUSE;
            }
        }
        None
    }
}

/// What an attempt believes.
struct Trust {
    root: Root,
    keyring: Keyring,
    now: Timestamp,
}

fn attempt(
    broker: &Broker,
    enrolment: &Enrolment,
    trust: &Trust,
    only_confirm: bool,
) -> Result<Renewed, ExchangeError> {
    if only_confirm {
        confirm(broker, enrolment, trust)?;
        return Ok(Renewed::Confirmed);
    }
    let key = files::read_secret(&broker.key_file)?;
    let key = KeyPair::from_pem(&String::from_utf8_lossy(&key));
    let csr = certification_request(&key.map_err(|error| ExchangeError::Key(error.to_string()))?)?;
    let body = ask(broker, enrolment, trust, |nonce| Request::Renew(RenewRequest { nonce, csr }))?;
    let Body::Enrolled(enrolled) = body else { return Err(coterm_shared::token::MessageError.into()) };
    let chain: String = enrolled.chain.iter().map(|der| pem(der)).collect();
    files::replace_durably(&unconfirmed(broker), b"", 0o600)?;
    files::replace_durably(&broker.certificate_file, chain.as_bytes(), 0o644)?;
    // The new certificate is there, whatever becomes of the rest.
    if let Err(error) = confirm(broker, enrolment, trust) {
        tracing::warn!("the cloud was not told that the new certificate is used: {error}");
    }
    Ok(Renewed::Certificate)
}

fn confirm(broker: &Broker, enrolment: &Enrolment, trust: &Trust) -> Result<(), ExchangeError> {
    match ask(broker, enrolment, trust, |nonce| Request::Confirm { nonce })? {
        Body::Done => {
            // If it stays, it is said once more.
            let _ = std::fs::remove_file(unconfirmed(broker));
            Ok(())
        }
        Body::Enrolled(_) | Body::Wait(_) | Body::Refused(_) => {
            Err(coterm_shared::token::MessageError.into())
        }
    }
}

/// Asks one thing with the device's certificate, of a cloud that is known by its certificate and by its signature.
fn ask(
    broker: &Broker,
    enrolment: &Enrolment,
    trust: &Trust,
    request: impl FnOnce([u8; 32]) -> Request,
) -> Result<Body, ExchangeError> {
    let now = Arc::new(TrustedNow::default());
    now.set(trust.now);
    let (ca_file, server_name) = (enrolment.ca_file.clone(), enrolment.server_name.clone());
    let tls = tls::client_config(&Broker { ca_file, server_name, ..broker.clone() }, now)?;
    let server: &Server = &enrolment.server;
    let mut talk = Talk::open(server, tls)?;
    let binding = Binding { nonce: nonce()?, server: talk.certificate };
    // The keyring held may be from before the key that signs these answers: a newer one comes with the hello.
    let hello = HelloAnswer::decode(&talk.ask(&Request::Hello(Hello { nonce: binding.nonce, pin: None }))?)?;
    let keyring = Keyring::verify(&hello.keyring, &trust.root, Some(&trust.keyring))?;
    Answer::verify(&hello.signed, &keyring, &binding)?;
    let binding = Binding { nonce: nonce()?, ..binding };
    let answer = Answer::verify(&talk.ask(&request(binding.nonce))?, &keyring, &binding)?;
    match Body::decode(&answer.body)? {
        Body::Refused(refused) => Err(ExchangeError::Refused(refused)),
        body @ (Body::Done | Body::Enrolled(_) | Body::Wait(_)) => Ok(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_or_a_little_later() {
        let at = Timestamp::from_secs_clamped;
        let validity = Validity { starts_at: at(0), ends_at: at(1200) };
        assert_eq!(due_at(validity, 0), at(800));
        assert!((at(800)..at(900)).contains(&due_at(validity, 255)));
    }
}
