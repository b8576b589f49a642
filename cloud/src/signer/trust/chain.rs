//! The chain of trust as it lies in the directory: every root, and the keyring with the root it was made under.

use super::super::{Documents, MAX_ROOTS, TrustError};
use super::files::Files;
use coterm_shared::token::{Keyring, Root, TrustDomain};
use std::path::PathBuf;
use std::sync::Arc;

/// Roots in order and the keyring.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Ascending without gaps, each verified by the one before; the oldest may be missing.
    older: Vec<Root>,
    newest: Root,
    pub(super) keyring: Keyring,
    /// The newest root under which the keyring verifies: the pair that devices can adopt.
    pub(super) under: Root,
}

/// What the directory holds.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one of each is ever made")]
pub(super) enum Found {
    /// Nothing yet.
    Nothing,
    /// A root, and no keyring: the first start was cut short, or a ceremony is half done.
    RootAlone(Root),
    /// All there is to have.
    Chain(Chain),
}

impl Chain {
    /// A chain that begins here.
    pub(super) fn beginning(root: Root, keyring: Keyring) -> Chain {
        Chain { older: Vec::new(), newest: root.clone(), keyring, under: root }
    }

    /// Reads and verifies everything.
    pub(super) fn read(files: &Files, domain: &TrustDomain) -> Result<Found, TrustError> {
        let path = files.root();
        let Some(bytes) = files.read(&path)? else {
            return match files.read(&files.keyring())? {
                Some(_) => Err(TrustError::Missing { path, other: files.keyring() }),
                None => Ok(Found::Nothing),
            };
        };
        let newest = document(&path, Root::pinned(&bytes))?;
        if newest.trust_domain() != domain {
            let (found, configured) = (newest.trust_domain().clone(), domain.clone());
            return Err(TrustError::OtherDomain { path, found, configured });
        }
        let older = read_older(files, &newest)?;
        let keyring_path = files.keyring();
        let Some(bytes) = files.read(&keyring_path)? else { return Ok(Found::RootAlone(newest)) };
        let under = older
            .iter()
            .chain([&newest])
            .rev()
            .find_map(|root| Some((root.clone(), Keyring::verify(&bytes, root, None).ok()?)));
        let Some((under, keyring)) = under else {
            return document(&keyring_path, Keyring::verify(&bytes, &newest, None))
                .map(|keyring| Found::Chain(Chain { under: newest.clone(), older, newest, keyring }));
        };
        Ok(Found::Chain(Chain { older, newest, keyring, under }))
    }

    /// The newest root.
    pub(super) const fn newest(&self) -> &Root {
        &self.newest
    }

    /// Whether no keyring is signed under the newest root yet.
    pub(super) fn is_behind(&self) -> bool {
        self.under.version() < self.newest.version()
    }

    /// Every root that is there, the oldest first.
    pub(super) fn roots(&self) -> impl Iterator<Item = &Root> {
        self.older.iter().chain([&self.newest])
    }

    /// The chain with this keyring, made under the newest root.
    pub(super) fn with_keyring(&self, keyring: Keyring) -> Chain {
        Chain { keyring, under: self.newest.clone(), ..self.clone() }
    }

    /// The chain with the next root; the keyring stays, and is taken under it if it verifies there.
    pub(super) fn with_root(&self, next: Root) -> Chain {
        let mut older = self.older.clone();
        older.push(self.newest.clone());
        let fits = Keyring::verify(self.keyring.bytes(), &next, None).is_ok();
        let under = if fits { next.clone() } else { self.under.clone() };
        Chain { older, newest: next, keyring: self.keyring.clone(), under }
    }

    /// What goes out to devices.
    pub(super) fn documents(&self) -> Documents {
        Documents {
            roots: self
                .roots()
                .filter(|root| root.version() > 1)
                .map(|root| (root.version(), Arc::from(root.bytes())))
                .collect(),
            root_version: self.under.version(),
            keyring_version: self.keyring.version(),
            keyring: Arc::from(self.keyring.bytes()),
            epoch: self.keyring.min_epoch(),
        }
    }
}

/// The roots before this one, as far as they are there, each checked against the one after it.
fn read_older(files: &Files, newest: &Root) -> Result<Vec<Root>, TrustError> {
    let mut older = Vec::new();
    let mut next = newest.clone();
    while older.len() < MAX_ROOTS && next.version() > 1 {
        let path = files.root_of(next.version().saturating_sub(1));
        let Some(bytes) = files.read(&path)? else { break };
        let root = document(&path, Root::pinned(&bytes))?;
        document(&path, root.update(next.bytes()))?;
        older.push(root.clone());
        next = root;
    }
    older.reverse();
    Ok(older)
}

fn document<T>(
    path: &std::path::Path,
    read: Result<T, coterm_shared::token::TrustRefusal>,
) -> Result<T, TrustError> {
    read.map_err(|refusal| TrustError::Document { path: PathBuf::from(path), refusal })
}
