//! `coterm-cloud keys`: the operator rotates, revokes and recovers, and no device has to be touched.
//!
//! **Problem.** On the worst night of an installation somebody has to do the right thing with its keys, perhaps without the
//! daemon, the network or the person who knows. **Method.** Commands that work on the files of the data directory, with
//! the daemon running or not ([`Office`]); what needs keys that are kept elsewhere becomes a draft that is signed where
//! they are ([`ceremony`](crate::signer::ceremony)). Each says what it did and what comes next. **Deliberately absent:**
//! a way to do any of this over the network: who may change keys is who may read the data directory.

mod ceremony;
mod show;

use crate::app::{open_data_dir, trust_policy, vault};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigFindings};
use crate::signer::ceremony::Draft;
use crate::signer::{
    Drafted, Exported, Installed, KeyringChange, Office, RootPlan, TrustError, read_public_key,
};
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use coterm_shared::time::Timestamp;
use coterm_shared::token::{Kid, PublicKey};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make root and keyring; the daemon's first start does the same. With public keys of root keys that are kept
    /// offline, the first root is a draft for them to sign
    Init(InitArgs),
    /// Show every role and key: who may sign, from when to when, what is wrong. Exit code 4 if something is
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Replace a key by a new one
    Rotate {
        /// Which: token keys rotate by themselves; a keyring or root key needs the next root
        what: Rotated,
        /// Where a draft goes.
        #[command(flatten)]
        draft: DraftFile,
        /// Whether to ask.
        #[command(flatten)]
        sure: Sure,
    },
    /// Leave a token key out of the keyring: nothing it signs counts any more; a new one is made and used at once
    Revoke {
        /// The id of the key, as `status` shows it
        #[arg(value_parser = kid)]
        kid: Kid,
        /// Raise the epoch in the same keyring: do so if the key was stolen, for it may have pushed sequences ahead
        #[arg(long)]
        raise_epoch: bool,
        /// Where a draft goes.
        #[command(flatten)]
        draft: DraftFile,
        /// Whether to ask.
        #[command(flatten)]
        sure: Sure,
    },
    /// Raise the epoch: undoes sequences that a stolen key pushed ahead; every device gets a new token and starts its
    /// time again from now
    RaiseEpoch {
        /// Where a draft goes.
        #[command(flatten)]
        draft: DraftFile,
        /// Whether to ask.
        #[command(flatten)]
        sure: Sure,
    },
    /// Write the public documents, every root and the keyring, into a directory
    Export {
        /// The directory; made if it is not there
        dir: PathBuf,
    },
    /// Draft the next root, to be signed where the root keys are
    DraftRoot(RootArgs),
    /// Draft the next keyring, to be signed where the keyring keys are
    DraftKeyring {
        /// Put a new token key into it that signs at once
        #[arg(long)]
        rotate_token: bool,
        /// Leave this token key out; may be repeated
        #[arg(long, value_name = "KID", value_parser = kid)]
        revoke: Vec<Kid>,
        /// Raise the epoch
        #[arg(long)]
        raise_epoch: bool,
        /// Where a draft goes.
        #[command(flatten)]
        draft: DraftFile,
    },
    /// Say what a draft says in words, and sign it; needs no daemon, no database and no configuration
    Sign {
        /// The draft
        draft: PathBuf,
        /// The private key (PKCS#8 in PEM, mode 0600)
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where to write the signature; beside the draft if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Whether to ask.
        #[command(flatten)]
        sure: Sure,
    },
    /// Put a draft and its signatures together; needs no daemon, no database and no configuration
    Assemble {
        /// The draft
        draft: PathBuf,
        /// The signatures
        #[arg(required = true)]
        signatures: Vec<PathBuf>,
        /// Where to write the document; beside the draft if not given
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Check a signed root as devices do, by the thresholds of the root before and its own, and put it in force
    InstallRoot {
        /// The document
        file: PathBuf,
    },
    /// Check a signed keyring as devices do and put it in force
    InstallKeyring {
        /// The document
        file: PathBuf,
    },
    /// Make a key for an offline role: FILE with the private half, FILE.pub with the public one; needs no daemon
    GenerateRootKey {
        /// The file of the private half, mode 0600; it must not exist
        file: PathBuf,
    },
}

/// Whose key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rotated {
    /// The key that signs tokens.
    Token,
    /// The key that signs keyrings.
    Keyring,
    /// The key that signs roots.
    Root,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    roles: RoleArgs,
    /// Where a draft goes.
    #[command(flatten)]
    draft: DraftFile,
}

/// Options of `draft-root`.
#[derive(Debug, Args)]
pub struct RootArgs {
    #[command(flatten)]
    roles: RoleArgs,
    /// Make a new root key here, instead of the others or besides those given
    #[arg(long)]
    new_root_key: bool,
    /// Make a new keyring key here, instead of the others or besides those given
    #[arg(long)]
    new_keyring_key: bool,
    /// Where a draft goes.
    #[command(flatten)]
    draft: DraftFile,
}

/// Who may sign what.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// The public key of a root key; name all of them
    #[arg(long = "root-key", value_name = "PUB")]
    root_keys: Vec<PathBuf>,
    /// How many root keys must sign
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    root_threshold: Option<u8>,
    /// The public key of a keyring key that is kept elsewhere; name all of them
    #[arg(long = "keyring-key", value_name = "PUB")]
    keyring_keys: Vec<PathBuf>,
    /// How many keyring keys must sign
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    keyring_threshold: Option<u8>,
}

/// Where drafts go.
#[derive(Debug, Args)]
pub struct DraftFile {
    /// Where to write the draft, if one is needed; in the working directory if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Whether to ask.
#[derive(Clone, Copy, Debug, Args)]
pub struct Sure {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Why it was not done.
#[derive(Debug)]
pub enum KeysFailure {
    /// The configuration is wrong.
    Config(ConfigFindings),
    /// Something is wrong with keys, files or the command.
    Failed(anyhow::Error),
    /// `status` found something, which it has said.
    Found,
}

impl From<anyhow::Error> for KeysFailure {
    fn from(error: anyhow::Error) -> KeysFailure {
        KeysFailure::Failed(error)
    }
}

impl From<TrustError> for KeysFailure {
    fn from(error: TrustError) -> KeysFailure {
        KeysFailure::Failed(error.into())
    }
}

/// Does what was asked. The configuration is loaded only by what needs it.
///
/// # Errors
/// Why it was not done; nothing changed then.
pub fn run(
    command: &KeysCommand,
    load: impl FnOnce() -> Result<Config, ConfigFindings>,
) -> Result<(), KeysFailure> {
    match command {
        KeysCommand::Sign { draft, key, out, sure } => {
            return Ok(ceremony::sign(draft, key, out.as_deref(), *sure)?);
        }
        KeysCommand::Assemble { draft, signatures, out } => {
            return Ok(ceremony::assemble(draft, signatures, out.as_deref())?);
        }
        KeysCommand::GenerateRootKey { file } => return Ok(ceremony::generate(file)?),
        KeysCommand::Init(_)
        | KeysCommand::Status { .. }
        | KeysCommand::Rotate { .. }
        | KeysCommand::Revoke { .. }
        | KeysCommand::RaiseEpoch { .. }
        | KeysCommand::Export { .. }
        | KeysCommand::DraftRoot(_)
        | KeysCommand::DraftKeyring { .. }
        | KeysCommand::InstallRoot { .. }
        | KeysCommand::InstallKeyring { .. } => {}
    }
    let config = load().map_err(KeysFailure::Config)?;
    let makes =
        matches!(command, KeysCommand::Init(_) | KeysCommand::DraftRoot(_) | KeysCommand::InstallRoot { .. });
    if makes {
        open_data_dir(&config.data_dir).map_err(anyhow::Error::from)?;
    } else if !config.data_dir.join("trust").exists() {
        return Err(TrustError::NoChain.into());
    }
    let office = Office::open(&config.data_dir, trust_policy(&config), vault(&config));
    in_office(command, &office, &config, SystemClock.now())
}

fn in_office(
    command: &KeysCommand,
    office: &Office,
    config: &Config,
    now: Timestamp,
) -> Result<(), KeysFailure> {
    match command {
        KeysCommand::Init(InitArgs { roles, draft }) => init(office, roles, draft, now)?,
        KeysCommand::Status { json } => {
            let status = office.status(now)?;
            let conditions = status.conditions(config.tokens.lease);
            show::status(&status, &conditions, *json)?;
            if conditions.iter().any(|condition| status.is_fault(condition)) {
                return Err(KeysFailure::Found);
            }
        }
        KeysCommand::Rotate { what, draft, sure } => match what {
            Rotated::Token => {
                let change = KeyringChange { replace: true, ..KeyringChange::default() };
                sure.ask(&["A new token key is made and used at once; the others end now."], now)?;
                told(office.next_keyring(&change, now)?, draft)?;
            }
            Rotated::Keyring => {
                let plan = RootPlan { new_keyring_key: true, ..RootPlan::default() };
                sure.ask(&["The next root names a new keyring key instead of the present ones."], now)?;
                told(office.next_root(&plan, now)?, draft)?;
            }
            Rotated::Root => {
                let role = office.status(now)?.root_role;
                if role.keys.len() != 1 || !role.is_online() {
                    // One key kept here in the place of those would undo what they were made for.
                    return Err(anyhow::anyhow!(
                        "ROOT_KEPT_ELSEWHERE: root has {} keys, of which {} must sign, and {} are here. Nothing was changed.\n  \
                         Name the keys of the next root: `coterm-cloud keys draft-root --root-key PUB ... --root-threshold N`.",
                        role.keys.len(),
                        role.threshold,
                        role.here()
                    )
                    .into());
                }
                let plan = RootPlan { new_root_key: true, ..RootPlan::default() };
                sure.ask(
                    &["The next root names a new root key, kept here, instead of the present ones."],
                    now,
                )?;
                told(office.next_root(&plan, now)?, draft)?;
            }
        },
        KeysCommand::Revoke { kid, raise_epoch, draft, sure } => {
            let change = KeyringChange { revoke: vec![*kid], replace: false, raise_epoch: *raise_epoch };
            let what = format!(
                "What the token key {kid} signed or signs counts no more for any device with the next keyring."
            );
            let lines = [what.as_str(), EPOCH];
            sure.ask(if *raise_epoch { &lines } else { &lines[..1] }, now)?;
            told(office.next_keyring(&change, now)?, draft)?;
        }
        KeysCommand::RaiseEpoch { draft, sure } => {
            let change = KeyringChange { raise_epoch: true, ..KeyringChange::default() };
            sure.ask(&[EPOCH], now)?;
            told(office.next_keyring(&change, now)?, draft)?;
        }
        KeysCommand::Export { dir } => export(office, dir)?,
        KeysCommand::DraftRoot(args) => {
            let plan = RootPlan {
                new_root_key: args.new_root_key,
                new_keyring_key: args.new_keyring_key,
                ..args.roles.plan()?
            };
            write_draft(&office.draft_root(&plan)?, &args.draft)?;
        }
        KeysCommand::DraftKeyring { rotate_token, revoke, raise_epoch, draft } => {
            let change =
                KeyringChange { replace: *rotate_token, revoke: revoke.clone(), raise_epoch: *raise_epoch };
            let with_key = *rotate_token || !revoke.is_empty();
            write_draft(&office.draft_keyring(&change, with_key, now)?, draft)?;
        }
        KeysCommand::InstallRoot { file } => done(&office.install_root(&ceremony::document(file)?, now)?)?,
        KeysCommand::InstallKeyring { file } => {
            done(&office.install_keyring(&ceremony::document(file)?, now)?)?;
        }
        KeysCommand::Sign { .. } | KeysCommand::Assemble { .. } | KeysCommand::GenerateRootKey { .. } => {}
    }
    Ok(())
}

/// What raising the epoch means.
const EPOCH: &str =
    "The epoch is raised: every device gets a new token, and starts its time again from the instant below.";

fn init(office: &Office, roles: &RoleArgs, draft: &DraftFile, now: Timestamp) -> anyhow::Result<()> {
    let plan = roles.plan()?;
    if plan.root_keys.is_none() && plan.keyring_keys.is_none() {
        if plan.root_threshold.is_some() || plan.keyring_threshold.is_some() {
            bail!("a threshold needs the keys it counts: name them with --root-key or --keyring-key");
        }
        return done(&office.init(now)?);
    }
    if office.export().is_ok() {
        bail!("there are keys already: `coterm-cloud keys draft-root` makes the next root");
    }
    write_draft(&office.draft_root(&plan)?, draft)
}

fn export(office: &Office, dir: &Path) -> anyhow::Result<()> {
    let Exported { roots, keyring } = office.export()?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let files = roots.into_iter().map(|(version, bytes)| (format!("root-{version}.cose"), bytes));
    for (name, bytes) in files.chain([(String::from("keyring.cose"), keyring)]) {
        let path = dir.join(name);
        coterm_certs::replace_file(&path, &bytes, 0o644)?;
        show::line(&path.display().to_string())?;
    }
    Ok(())
}

impl RoleArgs {
    fn plan(&self) -> anyhow::Result<RootPlan> {
        let read = |files: &[PathBuf]| -> anyhow::Result<Option<Vec<PublicKey>>> {
            let keys: Result<Vec<PublicKey>, TrustError> =
                files.iter().map(|file| read_public_key(file)).collect();
            let keys = keys?;
            Ok((!keys.is_empty()).then_some(keys))
        };
        Ok(RootPlan {
            root_keys: read(&self.root_keys)?,
            root_threshold: self.root_threshold,
            keyring_keys: read(&self.keyring_keys)?,
            keyring_threshold: self.keyring_threshold,
            ..RootPlan::default()
        })
    }
}

/// Says what became of a change; a draft is written where the operator wants it.
fn told(drafted: Drafted, file: &DraftFile) -> anyhow::Result<()> {
    match drafted {
        Drafted::Done(installed) => done(&installed),
        Drafted::Draft(draft) => {
            show::line("Not in force yet: the keys that must sign are kept elsewhere.")?;
            write_draft(&draft, file)
        }
    }
}

fn write_draft(draft: &Draft, file: &DraftFile) -> anyhow::Result<()> {
    let open = Draft::read(&draft.to_text())?;
    let path = file.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.draft.json", open.name())));
    ceremony::create(&path, draft.to_text().as_bytes())?;
    for line in open.words() {
        show::line(&line)?;
    }
    let progress = open.assemble(&[])?.1;
    for role in &progress {
        show::line(&format!("Needed: {} of the {}: {}", role.threshold, role.role, role.missing.join(", ")))?;
    }
    show::line(&format!("Draft: {}", path.display()))?;
    show::line(
        "Next: carry it to each of those keys, `coterm-cloud keys sign DRAFT --key KEYFILE`, then `keys assemble`.",
    )
}

fn done(installed: &Installed) -> anyhow::Result<()> {
    let Installed { root, keyring, keyring_root, token_key, token_key_signs } = installed;
    if let Some(kid) = token_key {
        show::line(&match token_key_signs {
            true => format!("Tokens are signed by the new token key {kid}."),
            false => {
                format!("Announced: the token key {kid}, which signs when the present one nears its end.")
            }
        })?;
    }
    if *keyring == 0 {
        show::line(&format!("In force: root {root}. There is no keyring yet."))?;
        return show::line(
            "Next: `coterm-cloud keys draft-keyring`, sign it where its keys are, and install it.",
        );
    }
    show::line(&format!(
        "In force: root {root}, keyring {keyring}. A running daemon takes it over within a second."
    ))?;
    if keyring_root < root {
        show::line(&format!(
            "The keyring was made under root {keyring_root}: until there is one under root {root}, devices stay with that."
        ))?;
        show::line("Next: `coterm-cloud keys draft-keyring`, sign it where its keys are, and install it.")?;
    }
    Ok(())
}

impl Sure {
    /// Says what will happen and when, and asks.
    fn ask(self, what: &[&str], now: Timestamp) -> anyhow::Result<()> {
        let mut stderr = std::io::stderr().lock();
        for line in what {
            writeln!(stderr, "{line}")?;
        }
        writeln!(stderr, "This machine says it is {now}.")?;
        drop(stderr);
        self.go()
    }

    /// Asks.
    pub(crate) fn go(self) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            bail!("not done: nobody is there to be asked; add --yes if you are sure");
        }
        eprint!("Go on? [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
            Ok(())
        } else {
            Err(anyhow!("not done"))
        }
    }
}

fn kid(text: &str) -> Result<Kid, String> {
    let bytes: Option<Vec<u8>> = (text.len() == 16)
        .then(|| (0..16).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect())
        .flatten();
    let bytes = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    bytes
        .map(Kid::from_bytes)
        .ok_or_else(|| String::from("write the 16 hexadecimal digits that `keys status` shows"))
}
