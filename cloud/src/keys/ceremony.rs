//! The part of `coterm-cloud keys` that runs where the keys are: on a machine without daemon, database or network.

use super::{Sure, show};
use crate::signer::ceremony::{Draft, OpenDraft, SignatureFile, signed_by};
use crate::signer::{Signer, SoftwareKey, public_key_pem};
use anyhow::{Context, bail};
use coterm_certs::{create_secret_file, read_bounded_file};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Says what a draft says, asks, and signs it.
pub(super) fn sign(draft: &Path, key: &Path, out: Option<&Path>, sure: Sure) -> anyhow::Result<()> {
    let open = read_draft(draft)?;
    let signer = SoftwareKey::read(key)?;
    let mut stderr = std::io::stderr().lock();
    for line in open.words() {
        writeln!(stderr, "{line}")?;
    }
    writeln!(stderr, "You sign it with the key {}.", signer.kid())?;
    drop(stderr);
    // Before anybody is asked: a key that counts for nothing is a wrong key.
    let signature = open.sign(&signer)?;
    sure.go()?;
    let path = out.map_or_else(|| beside(draft, &format!("{}.sig.json", signer.kid())), Path::to_path_buf);
    create(&path, signature.to_text().as_bytes())?;
    show::line(&format!("Signature: {}", path.display()))
}

/// Puts a draft and signatures together.
pub(super) fn assemble(draft: &Path, signatures: &[PathBuf], out: Option<&Path>) -> anyhow::Result<()> {
    let open = read_draft(draft)?;
    let mut files = Vec::new();
    for path in signatures {
        let text = text(path)?;
        files.push(SignatureFile::read(&text).with_context(|| path.display().to_string())?);
    }
    let (bytes, progress) = open.assemble(&files)?;
    for role in &progress {
        show::line(&role.to_string())?;
    }
    if !progress.iter().all(crate::signer::ceremony::Progress::is_enough) {
        bail!(
            "signatures are missing, nothing is written: sign the draft with more of these keys and assemble again"
        );
    }
    let path = out.map_or_else(|| draft.with_file_name(format!("{}.cose", open.name())), Path::to_path_buf);
    create(&path, &bytes)?;
    let install = if open.name().starts_with("root") { "install-root" } else { "install-keyring" };
    show::line(&format!("Document: {}", path.display()))?;
    show::line(&format!("Next: `coterm-cloud keys {install} {}` where the daemon is.", path.display()))
}

/// Makes a key for an offline role.
pub(super) fn generate(file: &Path) -> anyhow::Result<()> {
    let key = SoftwareKey::generate()?;
    let public = beside(file, "pub");
    if public.exists() {
        bail!("{} exists already and is left as it is: choose another name", public.display());
    }
    key.create(file)?;
    create(&public, public_key_pem(key.public_key())?.as_bytes())?;
    show::line(&format!("Key {}: {} (keep it offline, and a copy elsewhere)", key.kid(), file.display()))?;
    show::line(&format!("Public half: {} (name it with --root-key or --keyring-key)", public.display()))
}

/// A finished document, with who signed it said.
pub(super) fn document(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read_bounded_file(path)?;
    let signers = signed_by(&bytes).with_context(|| path.display().to_string())?;
    show::line(&format!("Signed by {}.", signers.join(", ")))?;
    Ok(bytes)
}

/// A new file: nothing that somebody signed or carried is ever overwritten.
pub(super) fn create(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    Ok(create_secret_file(path, content)?)
}

fn read_draft(path: &Path) -> anyhow::Result<OpenDraft> {
    Draft::read(&text(path)?).with_context(|| path.display().to_string())
}

fn text(path: &Path) -> anyhow::Result<String> {
    let bytes = read_bounded_file(path)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not text", path.display()))
}

/// The file's name with something more at its end.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".{more}"));
    path.with_file_name(name)
}
