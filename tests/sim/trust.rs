//! Keys and documents of the simulated deployment: a root, keyrings, token keys that rotate.

use crate::planted::Planted;
use coterm_cloud::reconcile::TokenKeys;
use coterm_cloud::signer::{Documents, SignError, Signer, TrustError};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{
    KeyUse, Keyring, KeyringDocument, Kid, PublicKey, Role, Root, RootDocument, TokenKey, TrustDomain,
    UnsignedDocument,
};
use ed25519_dalek::{Signer as _, SigningKey};
use std::sync::{Arc, LazyLock, Mutex};

/// The name of the deployment.
pub fn domain() -> TrustDomain {
    "sim.coterm.test".parse().expect("a name")
}

/// Every key there may ever be, by its seed: making one takes longer than signing with it.
static KEYS: LazyLock<Vec<(SigningKey, PublicKey)>> = LazyLock::new(|| {
    (0..=u8::MAX)
        .map(|seed| {
            let secret = SigningKey::from_bytes(&[seed; 32]);
            let public = PublicKey::from_bytes(secret.verifying_key().as_bytes()).expect("not weak");
            (secret, public)
        })
        .collect()
});

fn secret(seed: u8) -> &'static SigningKey {
    &KEYS[usize::from(seed)].0
}

fn public(seed: u8) -> PublicKey {
    KEYS[usize::from(seed)].1.clone()
}

fn sign(unsigned: &UnsignedDocument, seeds: &[u8]) -> Vec<u8> {
    let signatures: Vec<(Kid, [u8; 64])> = seeds
        .iter()
        .map(|seed| {
            let kid = public(*seed).kid();
            (kid, secret(*seed).sign(&unsigned.to_be_signed(kid)).to_bytes())
        })
        .collect();
    unsigned.attach(&signatures)
}

/// A key that signs tokens.
#[derive(Debug)]
pub struct Key {
    secret: &'static SigningKey,
    public: PublicKey,
}

impl Key {
    /// The key of this seed.
    pub fn of(seed: u8) -> Key {
        Key { secret: secret(seed), public: public(seed) }
    }
}

impl Signer for Key {
    fn kid(&self) -> Kid {
        self.public.kid()
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.secret.sign(message).to_bytes())
    }
}

/// The office that makes documents: what a daemon's trust directory holds.
#[derive(Debug)]
pub struct Office {
    roots: Vec<Root>,
    /// The seeds of the keys that sign roots and keyrings.
    root_key: u8,
    keyring_key: u8,
    listed: Vec<u8>,
    /// Every key that has signed; the last one signs.
    signed: Vec<u8>,
    next_seed: u8,
    keyring: Keyring,
    /// The key is out of reach.
    pub gone: bool,
    /// The bug that was put in.
    pub planted: Option<Planted>,
}

/// The office as the daemons see it.
#[derive(Clone, Debug)]
pub struct Keys(pub Arc<Mutex<Office>>);

const FIRST_TOKEN_KEY: u8 = 100;
/// How long a token key signs behind the keyring that lists it.
pub const KEY_LASTS: Seconds = Seconds::days(300);

impl Office {
    /// A fresh installation.
    pub fn found(now: Timestamp) -> Office {
        let (root_key, keyring_key) = (1, 50);
        let role = |seed| Role::new(1, vec![public(seed)]).expect("a role");
        let document = RootDocument {
            trust_domain: domain(),
            version: 1,
            root: role(root_key),
            keyring: role(keyring_key),
        };
        let root = Root::pinned(&sign(&document.unsigned(), &[root_key])).expect("a root");
        let listed = vec![FIRST_TOKEN_KEY];
        let keyring = keyring(&root, keyring_key, None, 1, &listed, now);
        Office {
            roots: vec![root],
            root_key,
            keyring_key,
            listed,
            signed: vec![FIRST_TOKEN_KEY],
            next_seed: FIRST_TOKEN_KEY + 1,
            keyring,
            gone: false,
            planted: None,
        }
    }

    /// What new devices are given to pin.
    pub fn first_root(&self) -> &[u8] {
        self.roots[0].bytes()
    }

    /// Every root.
    pub fn roots(&self) -> impl Iterator<Item = &Root> + '_ {
        self.roots.iter()
    }

    /// The keyring as it is.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Announces the next token key, and drops those before the present one.
    pub fn announce(&mut self, now: Timestamp) {
        let next = self.new_seed();
        self.listed = vec![self.signing(), next];
        self.publish(self.keyring.min_epoch(), now);
    }

    /// Signs with the newest key that is listed.
    pub fn activate(&mut self) {
        self.signed.push(*self.listed.last().expect("one is listed"));
    }

    /// Revokes every key and raises the epoch.
    pub fn raise_epoch(&mut self, now: Timestamp) {
        let next = self.new_seed();
        self.listed = vec![next];
        self.signed.push(next);
        self.publish(self.keyring.min_epoch() + 1, now);
    }

    /// Replaces the root's key and the keyring's.
    pub fn next_root(&mut self, now: Timestamp) {
        let (old, before) = (self.root_key, self.roots.last().expect("a root"));
        let (root_key, keyring_key) = (self.root_key + 1, self.keyring_key + 1);
        let role = |seed| Role::new(1, vec![public(seed)]).expect("a role");
        let document = RootDocument {
            trust_domain: domain(),
            version: before.version() + 1,
            root: role(root_key),
            keyring: role(keyring_key),
        };
        let root = before.update(&sign(&document.unsigned(), &[old, root_key])).expect("a root");
        self.roots.push(root);
        (self.root_key, self.keyring_key) = (root_key, keyring_key);
        self.publish(self.keyring.min_epoch(), now);
    }

    fn new_seed(&mut self) -> u8 {
        self.next_seed += 1;
        self.next_seed - 1
    }

    fn publish(&mut self, epoch: u64, now: Timestamp) {
        let root = self.roots.last().expect("a root");
        self.keyring = keyring(root, self.keyring_key, Some(&self.keyring), epoch, &self.listed, now);
    }

    fn signing(&self) -> u8 {
        *self.signed.last().expect("one signs")
    }

    /// The key that signs tokens.
    pub fn signing_key(&self) -> Key {
        Key::of(self.signing())
    }

    /// The last key that has signed and is not listed any more.
    pub fn revoked_key(&self) -> Option<Key> {
        self.signed.iter().rev().find(|seed| !self.listed.contains(seed)).copied().map(Key::of)
    }

    /// The name of the key that signs.
    pub fn signing_kid(&self) -> Kid {
        KEYS[usize::from(self.signing())].1.kid()
    }

    /// What goes out to devices.
    pub fn documents(&self) -> Documents {
        Documents {
            roots: self.roots.iter().skip(1).map(|root| (root.version(), Arc::from(root.bytes()))).collect(),
            root_version: self.roots.last().map_or(1, Root::version),
            keyring_version: self.keyring.version(),
            keyring: Arc::from(self.keyring.bytes()),
            epoch: self.keyring.min_epoch(),
        }
    }
}

fn keyring(
    root: &Root,
    signer: u8,
    before: Option<&Keyring>,
    epoch: u64,
    listed: &[u8],
    now: Timestamp,
) -> Keyring {
    let key = |seed: &u8| TokenKey {
        key: public(*seed),
        not_before_at: now.saturating_sub(Seconds::days(60)),
        not_after_at: now.saturating_add(KEY_LASTS),
        key_use: KeyUse::LICENSE_STATE,
        organization: None,
    };
    let document = KeyringDocument {
        trust_domain: domain(),
        version: before.map_or(1, |before| before.version() + 1),
        issued_at: now,
        min_epoch: epoch,
        keys: listed.iter().map(key).collect(),
    };
    let bytes = sign(&document.unsigned().expect("a keyring"), &[signer]);
    Keyring::verify(&bytes, root, before).expect("our own keyring")
}

impl TokenKeys for Keys {
    fn epoch(&self) -> u64 {
        let office = self.0.lock().expect("whole");
        if office.planted == Some(Planted::EpochIgnored) { 1 } else { office.keyring.min_epoch() }
    }

    fn keyring(&self) -> Keyring {
        self.0.lock().expect("whole").keyring.clone()
    }

    fn signer(&self) -> Result<Arc<dyn Signer>, TrustError> {
        let office = self.0.lock().expect("whole");
        if office.gone {
            return Err(TrustError::NoSigner { reason: "the smart card was pulled".to_owned() });
        }
        let old = office.planted == Some(Planted::OldKey);
        Ok(Arc::new(Key::of(if old { FIRST_TOKEN_KEY } else { office.signing() })))
    }
}
