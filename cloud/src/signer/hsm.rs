//! Keys in hardware, through PKCS#11: a network HSM, a USB token, a card; SoftHSM in the tests.
//!
//! **Problem.** Hardware is pulled, restarts and loses sessions, and locks itself after a few wrong PINs; and every vendor's
//! module is a shared library of its own. **Method.** One session, opened when it is needed and thrown away after any
//! error; what was asked is tried once more in a fresh one. A module that was asked for a key and does not know it may
//! have lost sight of its token, so it is started anew before it is believed, at most once a minute. A PIN that was refused is not tried again until its file says
//! something else. Keys are found by their public point, so no name in the hardware has to be kept in step with ours.
//! **Deliberately absent:** importing and exporting private keys; they are made where they stay.

use super::vault::{KeyRole, read_pin};
use super::{SignError, Signer, TrustError};
use coterm_shared::token::{Kid, PublicKey};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// `EcParams` of Ed25519: the name of the curve as a PrintableString (PKCS#11 3.0 §2.3.10).
const ED25519_PARAMS: &[u8] = b"\x13\x0cedwards25519";
/// For how long a module that was just started is believed that it does not know a key.
const BELIEVED_FOR: Duration = Duration::from_secs(60);
/// What is signed to see whether a key still works; it can be mistaken for no document.
const PROBE: &[u8] = b"coterm: is this key there?";

/// How to reach the hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsmConfig {
    /// The vendor's module, a shared library.
    pub module: PathBuf,
    /// The label of the token.
    pub token_label: String,
    /// The file with the PIN; without it the systemd credential `pkcs11.pin`.
    pub pin_file: Option<PathBuf>,
    /// Where systemd put credentials.
    pub credentials: Option<PathBuf>,
}

/// The hardware.
pub struct Hsm {
    config: HsmConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Loaded once: modules do not like to be loaded twice.
    module: Option<Pkcs11>,
    session: Option<Session>,
    started: Option<Instant>,
    /// A PIN that was refused.
    refused_pin: Option<Zeroizing<String>>,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hsm").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A private key in the hardware.
pub struct HsmKey {
    hsm: Arc<Hsm>,
    public: PublicKey,
}

impl Hsm {
    /// The hardware behind this configuration; it is not touched before it is needed.
    #[must_use]
    pub fn new(config: HsmConfig) -> Arc<Hsm> {
        Arc::new(Hsm { config, state: Mutex::default() })
    }

    /// The private half of this key, if it is in there.
    ///
    /// # Errors
    /// The hardware does not answer.
    pub fn find(self: &Arc<Hsm>, public: &PublicKey) -> Result<Option<HsmKey>, TrustError> {
        let look = || self.with_session(|session| Ok(pair_of(session, public)?.is_some()));
        let found = look()? || (self.start_anew() && look()?);
        Ok(found.then(|| HsmKey { hsm: Arc::clone(self), public: public.clone() }))
    }

    /// Makes a key that never leaves the hardware.
    ///
    /// # Errors
    /// The hardware does not answer, or does not make Ed25519 keys.
    pub fn generate(self: &Arc<Hsm>, role: KeyRole) -> Result<HsmKey, TrustError> {
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id).map_err(|error| TrustError::Randomness(error.to_string()))?;
        let label = format!("coterm {}", role.name());
        let point = self.with_session(|session| {
            let shared = [
                Attribute::Token(true),
                Attribute::KeyType(KeyType::EC_EDWARDS),
                Attribute::Id(id.to_vec()),
                Attribute::Label(label.clone().into_bytes()),
            ];
            let public = [
                shared.to_vec(),
                vec![
                    Attribute::Private(false),
                    Attribute::Verify(true),
                    Attribute::EcParams(ED25519_PARAMS.to_vec()),
                ],
            ]
            .concat();
            let private = [
                shared.to_vec(),
                vec![
                    Attribute::Private(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Sign(true),
                ],
            ]
            .concat();
            let (public, _) =
                session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &public, &private)?;
            let attributes = session.get_attributes(public, &[AttributeType::EcPoint])?;
            Ok(attributes.into_iter().find_map(|attribute| {
                if let Attribute::EcPoint(point) = attribute { Some(point) } else { None }
            }))
        })?;
        let public = point
            .and_then(|point| <[u8; 32]>::try_from(point.get(point.len().checked_sub(32)?..)?).ok())
            .and_then(|bytes| PublicKey::from_bytes(&bytes).ok())
            .ok_or_else(|| self.fault("it made a key that is none of Ed25519"))?;
        Ok(HsmKey { hsm: Arc::clone(self), public })
    }

    /// Removes a key for good; one that is not in there is removed already.
    ///
    /// # Errors
    /// The hardware does not answer.
    pub fn destroy(&self, public: &PublicKey) -> Result<(), TrustError> {
        self.with_session(|session| {
            if let Some(pair) = pair_of(session, public)? {
                session.destroy_object(pair.private)?;
                session.destroy_object(pair.public)?;
            }
            Ok(())
        })
    }

    fn sign(&self, public: &PublicKey, message: &[u8]) -> Result<[u8; 64], TrustError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519));
        let sign = || {
            self.with_session(|session| match pair_of(session, public)? {
                Some(pair) => session.sign(&mechanism, pair.private, message).map(Some),
                None => Ok(None),
            })
        };
        let mut signature = sign()?;
        if signature.is_none() && self.start_anew() {
            signature = sign()?;
        }
        let signature = signature.ok_or_else(|| self.fault("the key is not in it any more"))?;
        // A signature that does not verify would be refused by every device, and the books would never know why.
        <[u8; 64]>::try_from(signature)
            .ok()
            .filter(|signature| public.verifies(message, signature))
            .ok_or_else(|| self.fault("it made a signature that does not verify"))
    }

    /// Starts the module anew, unless it was just started; returns whether it was.
    fn start_anew(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = state.started.is_none_or(|at| at.elapsed() >= BELIEVED_FOR);
        if stale {
            stop(&mut state);
        }
        stale
    }

    /// Does something in a session; after an error once more in a new one.
    fn with_session<T>(&self, act: impl Fn(&Session) -> Result<T, Error>) -> Result<T, TrustError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &state.session {
            match act(session) {
                Ok(done) => return Ok(done),
                Err(error) => tracing::debug!(%error, "the PKCS#11 session is opened anew"),
            }
            state.session = None;
        }
        let session = match self.open(&mut state) {
            Ok(session) => session,
            Err(error) => {
                // Some modules see a token that came back only after they were started anew.
                stop(&mut state);
                return Err(error);
            }
        };
        let done = act(&session).map_err(|error| self.fault(&error.to_string()));
        state.session = done.is_ok().then_some(session);
        done
    }

    fn open(&self, state: &mut MutexGuard<'_, State>) -> Result<Session, TrustError> {
        let fault = |error: Error| self.fault(&error.to_string());
        let module = match &state.module {
            Some(module) => module.clone(),
            None => {
                let module = Pkcs11::new(&self.config.module).map_err(fault)?;
                match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                    Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                    Err(error) => return Err(fault(error)),
                }
                state.module = Some(module.clone());
                state.started = Some(Instant::now());
                module
            }
        };
        let slots = module.get_slots_with_token().map_err(fault)?;
        let slot = slots
            .into_iter()
            .find(|slot| {
                module
                    .get_token_info(*slot)
                    .is_ok_and(|info| info.label().trim_end() == self.config.token_label)
            })
            .ok_or_else(|| self.fault("no token with this label is there"))?;
        let session = module.open_rw_session(slot).map_err(fault)?;
        let pin = read_pin(self.config.pin_file.as_deref(), self.config.credentials.as_deref())?;
        if state.refused_pin.as_ref() == Some(&pin) {
            return Err(self.fault(
                "this PIN was refused and is not tried again, or the token would lock; correct its file",
            ));
        }
        match session.login(UserType::User, Some(&AuthPin::new(pin.as_str().into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                state.refused_pin = None;
                Ok(session)
            }
            Err(
                error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _),
            ) => {
                state.refused_pin = Some(pin);
                Err(fault(error))
            }
            Err(error) => Err(fault(error)),
        }
    }

    fn fault(&self, reason: &str) -> TrustError {
        let label = self.config.token_label.clone();
        TrustError::Hardware { label, module: self.config.module.clone(), reason: reason.to_owned() }
    }
}

/// Ends the session and the module.
fn stop(state: &mut State) {
    state.session = None;
    if let Some(module) = state.module.take() {
        // It may be gone already, together with what it spoke to.
        let _ = module.finalize();
    }
}

struct Pair {
    public: ObjectHandle,
    private: ObjectHandle,
}

/// Both halves of a key, by its public point.
fn pair_of(session: &Session, public: &PublicKey) -> Result<Option<Pair>, Error> {
    // As an OCTET STRING (PKCS#11 2.40) or as it is (3.0): modules do either.
    let wrapped = [&[0x04, 0x20], public.as_bytes().as_slice()].concat();
    for point in [wrapped, public.as_bytes().to_vec()] {
        let template = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::EcPoint(point)];
        let Some(found) = session.find_objects(&template)?.into_iter().next() else { continue };
        for attribute in session.get_attributes(found, &[AttributeType::Id])? {
            if let Attribute::Id(id) = attribute {
                let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id)];
                let private = session.find_objects(&template)?.into_iter().next();
                return Ok(private.map(|private| Pair { public: found, private }));
            }
        }
    }
    Ok(None)
}

impl Signer for HsmKey {
    fn kid(&self) -> Kid {
        self.public.kid()
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        self.hsm
            .sign(&self.public, message)
            .map_err(|error| SignError { kid: self.kid(), reason: error.to_string() })
    }

    fn check(&self) -> Result<(), SignError> {
        self.sign(PROBE).map(|_| ())
    }
}
