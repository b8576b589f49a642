//! Signing through files: drafts, signatures, and what they say in words.
//!
//! **Problem.** A root key is worth nothing if it has to visit the daemon to sign; and a person who signs has to know what.
//! **Method.** A draft is a small text file with the unsigned document and the root before it. It is carried to where a
//! key is, shown there in words, and signed; the signature is a smaller text file that is carried back. Whoever puts
//! them together can cheat nobody: what counts is checked again where the document is installed, and on every device.
//! **Deliberately absent:** secrets in any of these files, and any need for a database, a daemon or a network.

use super::{SignError, Signer, TrustError};
use coterm_shared::token::{
    KeyUse, KeyringDocument, Kid, PublicKey, Role, Root, RootDocument, TrustRefusal, UnsignedDocument,
    signatures,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Which document a draft is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A root.
    Root,
    /// A keyring.
    Keyring,
}

/// A document that lacks nothing but signatures, as its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The format of the file, 1.
    coterm_draft: u32,
    /// Which document.
    pub kind: Kind,
    /// The unsigned document, in hexadecimal.
    document: String,
    /// The root under which it is made, in hexadecimal; absent for the first root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    under: Option<String>,
}

/// One signature, as its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureFile {
    /// The format of the file, 1.
    coterm_signature: u32,
    /// SHA-256 of the unsigned document, in hexadecimal.
    document: String,
    /// The id of the key.
    kid: String,
    /// The signature, in hexadecimal.
    signature: String,
}

/// What is wrong with a draft, a signature, or what they are to become.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// Not a draft.
    #[error("this is not a draft that `coterm-cloud keys` made: {0}; take the file as it was written")]
    NotADraft(String),
    /// Not a signature file.
    #[error(
        "this is not a signature that `coterm-cloud keys sign` made: {0}; take the file as it was written"
    )]
    NotASignature(String),
    /// The document is one no device would take.
    #[error("the document in the draft would be refused by devices: {0}; make a new draft")]
    Refused(TrustRefusal),
    /// A signature for something else.
    #[error("the signature by {kid} is for another document; sign this draft with that key")]
    OtherDocument {
        /// The key.
        kid: String,
    },
    /// A key nobody names.
    #[error("the key {kid} is named neither by this document nor by the root before it; take one of: {keys}")]
    NotNamed {
        /// The key.
        kid: String,
        /// Those that are.
        keys: String,
    },
    /// A signature that does not fit.
    #[error("the signature by {kid} does not fit; sign this draft with that key again")]
    Signature {
        /// The key.
        kid: String,
    },
    /// Too few.
    #[error("signatures are missing: {0}; sign the draft with more keys and assemble again")]
    TooFew(String),
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What a draft says, read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Root(RootDocument),
    Keyring(KeyringDocument),
}

/// A draft that was read and is one.
#[derive(Clone, Debug)]
pub struct OpenDraft {
    unsigned: UnsignedDocument,
    content: Content,
    under: Option<Root>,
}

/// How far a role has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which role, in words.
    pub role: String,
    /// How many of its keys have signed.
    pub signed: usize,
    /// How many must.
    pub threshold: u8,
    /// Those of its keys that have not.
    pub missing: Vec<String>,
}

impl Draft {
    /// The draft of a root that follows `under`, or of the first.
    #[must_use]
    pub fn root(document: &RootDocument, under: Option<&Root>) -> Draft {
        Draft::new(Kind::Root, &document.unsigned(), under)
    }

    /// The draft of a keyring made under this root.
    ///
    /// # Errors
    /// What a device would refuse whoever signs it.
    pub fn keyring(document: &KeyringDocument, under: &Root) -> Result<Draft, TrustRefusal> {
        Ok(Draft::new(Kind::Keyring, &document.unsigned()?, Some(under)))
    }

    fn new(kind: Kind, unsigned: &UnsignedDocument, under: Option<&Root>) -> Draft {
        let document = hex(unsigned.payload());
        Draft { coterm_draft: 1, kind, document, under: under.map(|root| hex(root.bytes())) }
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// It is no draft, or its document is one no device would take.
    pub fn read(text: &str) -> Result<OpenDraft, CeremonyError> {
        let not = |what: &str| CeremonyError::NotADraft(what.to_owned());
        let draft: Draft = serde_json::from_str(text).map_err(|error| not(&error.to_string()))?;
        if draft.coterm_draft != 1 {
            return Err(not("it has another format; use the coterm-cloud that made it"));
        }
        let payload = unhex(&draft.document).ok_or_else(|| not("the document is not hexadecimal"))?;
        let under = match &draft.under {
            Some(under) => {
                let bytes = unhex(under).ok_or_else(|| not("the root is not hexadecimal"))?;
                Some(Root::pinned(&bytes).map_err(CeremonyError::Refused)?)
            }
            None => None,
        };
        let (unsigned, content) = match draft.kind {
            Kind::Root => {
                let document = RootDocument::read(&payload).map_err(CeremonyError::Refused)?;
                (document.unsigned(), Content::Root(document))
            }
            Kind::Keyring => {
                let document = KeyringDocument::read(&payload).map_err(CeremonyError::Refused)?;
                (document.unsigned().map_err(CeremonyError::Refused)?, Content::Keyring(document))
            }
        };
        let fits = match (&content, &under) {
            (Content::Root(root), Some(under)) => {
                under.trust_domain() == &root.trust_domain
                    && under.version().checked_add(1) == Some(root.version)
            }
            (Content::Root(root), None) => root.version == 1,
            (Content::Keyring(keyring), Some(under)) => under.trust_domain() == &keyring.trust_domain,
            (Content::Keyring(_), None) => false,
        };
        if !fits {
            return Err(not("its document does not follow the root in it"));
        }
        Ok(OpenDraft { unsigned, content, under })
    }

    /// Its file's content.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }
}

impl OpenDraft {
    /// What is signed, in words. All but the comparison with the root before follows from the bytes that are signed;
    /// the comparison is as true as that root, whose fingerprint is said.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut lines = match &self.content {
            Content::Root(root) => self.root_words(root),
            Content::Keyring(keyring) => keyring_words(keyring),
        };
        lines.push(format!("Its fingerprint (SHA-256): {}", grouped(&self.digest())));
        lines
    }

    fn root_words(&self, root: &RootDocument) -> Vec<String> {
        let mut lines =
            vec![format!("This is root {} of the trust domain {}.", root.version, root.trust_domain)];
        lines.push(format!("{} must sign the root after it.", role_words(&root.root)));
        lines.push(format!(
            "{} must sign keyrings, which name the keys of tokens.",
            role_words(&root.keyring)
        ));
        match &self.under {
            None => {
                lines.push(String::from("It is the first: devices are given it when they are provisioned."))
            }
            Some(under) => {
                let before = under.document();
                lines.push(format!(
                    "It follows root {}, whose fingerprint is {}.",
                    before.version,
                    grouped(&Sha256::digest(under.bytes()).into())
                ));
                lines.extend(changes("the next root", &before.root, &root.root));
                lines.extend(changes("keyrings", &before.keyring, &root.keyring));
            }
        }
        lines
    }

    /// Signs it.
    ///
    /// # Errors
    /// The key is named nowhere, so its signature would count for nothing; or it does not sign.
    pub fn sign(&self, signer: &dyn Signer) -> Result<SignatureFile, CeremonyError> {
        if !self.named().contains_key(&signer.kid()) {
            return Err(self.not_named(signer.kid()));
        }
        let signature = signer.sign(&self.unsigned.to_be_signed(signer.kid()))?;
        Ok(SignatureFile {
            coterm_signature: 1,
            document: hex(&self.digest()),
            kid: signer.kid().to_string(),
            signature: hex(&signature),
        })
    }

    /// The document with these signatures, and how far each role has signed.
    ///
    /// # Errors
    /// A signature is for another document, by a key nobody names, or does not fit.
    pub fn assemble(&self, files: &[SignatureFile]) -> Result<(Vec<u8>, Vec<Progress>), CeremonyError> {
        let named = self.named();
        let mut signed: BTreeMap<Kid, [u8; 64]> = BTreeMap::new();
        for file in files {
            let (kid, signature) = file.checked(&hex(&self.digest()))?;
            let key = named.get(&kid).ok_or_else(|| self.not_named(kid))?;
            if !key.verifies(&self.unsigned.to_be_signed(kid), &signature) {
                return Err(CeremonyError::Signature { kid: kid.to_string() });
            }
            signed.insert(kid, signature);
        }
        let signatures: Vec<(Kid, [u8; 64])> = signed.into_iter().collect();
        let progress = self
            .roles()
            .into_iter()
            .map(|(role, keys)| {
                let has_signed = |key: &&PublicKey| signatures.iter().any(|(kid, _)| *kid == key.kid());
                Progress {
                    role,
                    signed: keys.keys().iter().filter(has_signed).count(),
                    threshold: keys.threshold(),
                    missing: keys
                        .keys()
                        .iter()
                        .filter(|key| !has_signed(key))
                        .map(|key| key.kid().to_string())
                        .collect(),
                }
            })
            .collect();
        Ok((self.unsigned.attach(&signatures), progress))
    }

    /// What to call its file.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.content {
            Content::Root(root) => format!("root-{}", root.version),
            Content::Keyring(keyring) => format!("keyring-{}", keyring.version),
        }
    }

    /// The roles that must sign it.
    fn roles(&self) -> Vec<(String, &Role)> {
        let before = self.under.as_ref().map(Root::document);
        match &self.content {
            Content::Root(root) => before
                .map(|before| (format!("root keys of root {}", before.version), &before.root))
                .into_iter()
                .chain([(format!("root keys of root {}", root.version), &root.root)])
                .collect(),
            Content::Keyring(_) => before
                .map(|before| (format!("keyring keys of root {}", before.version), &before.keyring))
                .into_iter()
                .collect(),
        }
    }

    fn named(&self) -> BTreeMap<Kid, PublicKey> {
        self.roles().iter().flat_map(|(_, role)| role.keys()).map(|key| (key.kid(), key.clone())).collect()
    }

    fn not_named(&self, kid: Kid) -> CeremonyError {
        let keys: Vec<String> = self.named().keys().map(Kid::to_string).collect();
        CeremonyError::NotNamed { kid: kid.to_string(), keys: keys.join(", ") }
    }

    fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.unsigned.payload()).into()
    }
}

impl Progress {
    /// Whether enough have signed.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.signed >= usize::from(self.threshold)
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} of {} signatures", self.role, self.signed, self.threshold)?;
        if !self.is_enough() {
            write!(f, ", not yet by {}", self.missing.join(", "))?;
        }
        Ok(())
    }
}

impl SignatureFile {
    /// Reads a file's content.
    ///
    /// # Errors
    /// It is no signature file.
    pub fn read(text: &str) -> Result<SignatureFile, CeremonyError> {
        let file: SignatureFile =
            serde_json::from_str(text).map_err(|error| CeremonyError::NotASignature(error.to_string()))?;
        if file.coterm_signature != 1 {
            let why = "it has another format; use the coterm-cloud that made it";
            return Err(CeremonyError::NotASignature(why.to_owned()));
        }
        Ok(file)
    }

    /// Its file's content.
    #[must_use]
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default()
    }

    /// Who signed.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn checked(&self, document: &str) -> Result<(Kid, [u8; 64]), CeremonyError> {
        if self.document != document {
            return Err(CeremonyError::OtherDocument { kid: self.kid.clone() });
        }
        let not = |what: &str| CeremonyError::NotASignature(what.to_owned());
        let kid = unhex(&self.kid).and_then(|bytes| bytes.try_into().ok());
        let signature = unhex(&self.signature).and_then(|bytes| bytes.try_into().ok());
        let kid = kid.ok_or_else(|| not("the key id is not 8 bytes in hexadecimal"))?;
        Ok((
            Kid::from_bytes(kid),
            signature.ok_or_else(|| not("the signature is not 64 bytes in hexadecimal"))?,
        ))
    }
}

/// Who signed a finished document, for people; the signatures themselves are not looked at.
///
/// # Errors
/// It is no root and no keyring.
pub fn signed_by(bytes: &[u8]) -> Result<Vec<String>, TrustError> {
    let signers = signatures(bytes).map_err(CeremonyError::Refused).map_err(TrustError::from)?;
    Ok(signers.into_iter().map(|(kid, _)| kid.to_string()).collect())
}

fn role_words(role: &Role) -> String {
    let keys: Vec<String> = role.keys().iter().map(|key| key.kid().to_string()).collect();
    format!("{} of these {} key(s) ({})", role.threshold(), keys.len(), keys.join(", "))
}

fn changes(what: &str, before: &Role, after: &Role) -> Vec<String> {
    let mut lines = Vec::new();
    let missing_in = |role: &Role, key: &PublicKey| !role.keys().contains(key);
    for key in after.keys().iter().filter(|key| missing_in(before, key)) {
        lines.push(format!("NEW: {} may sign {what}.", key.kid()));
    }
    for key in before.keys().iter().filter(|key| missing_in(after, key)) {
        lines.push(format!("GONE: {} may sign {what} no more.", key.kid()));
    }
    if before.threshold() != after.threshold() {
        let (before, after) = (before.threshold(), after.threshold());
        lines.push(format!("CHANGED: {after} instead of {before} signature(s) make {what}."));
    }
    lines
}

fn keyring_words(keyring: &KeyringDocument) -> Vec<String> {
    let mut lines = vec![
        format!("This is keyring {} of the trust domain {}.", keyring.version, keyring.trust_domain),
        format!("It was made {}, and tokens must be of epoch {}.", keyring.issued_at, keyring.min_epoch),
    ];
    for key in &keyring.keys {
        let kid = key.key.kid();
        let window = format!("from {} to {}", key.not_before_at, key.not_after_at);
        let scope = key.organization.map_or(String::new(), |id| format!(", for organization {id} alone"));
        let what = if key.key_use == KeyUse::LICENSE_STATE {
            String::from("tokens")
        } else if key.key_use == KeyUse::ENROLMENT {
            String::from("answers to devices that enrol")
        } else {
            format!("what use {} is for", key.key_use.number())
        };
        lines.push(format!("{kid} may sign {what} {window}{scope}."));
    }
    if keyring.keys.is_empty() {
        lines.push(String::from("No key may sign tokens."));
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal in groups of four, to be read aloud.
fn grouped(digest: &[u8; 32]) -> String {
    let groups: Vec<String> = digest.chunks(2).map(hex).collect();
    groups.join(" ")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
