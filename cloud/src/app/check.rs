//! `check` and `migrate`: what an operator wants to know before starting, one line each, changing nothing.

use super::mqtt::authorities;
use super::{DATABASE_FILE, StartError, ends, open_data_dir, trust_policy, vault};
use crate::alarms::Condition;
use crate::config::{Config, Mqtt};
use crate::notify::Mail;
use crate::notify::webhook::authorities as authorities_of_webhooks;
use crate::signer::Status;
use crate::space;
use crate::store::Reads;
use crate::store::sqlite::{SqliteStore, is_owned};
use coterm_certs::{FileState, Identity, Pki, Time};
use coterm_shared::time::Timestamp;
use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What one check came to: what was looked at, and what is found or what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was looked at.
    pub subject: &'static str,
    /// What is the case, or what is wrong and what to do.
    pub finding: Result<String, String>,
}

/// Looks at everything the daemon needs; opens no database for writing and makes no file.
#[must_use]
pub fn check(config: &Config, now: Timestamp) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut add = |subject, finding| outcomes.push(Outcome { subject, finding });
    add("configuration", Ok(String::from("complete")));
    let fresh = !config.data_dir.exists();
    add("data directory", data_dir(config, fresh));
    add("free space", free_space(&config.data_dir));
    if !fresh {
        add("database", database(config));
        add("keys", keys(config, now));
        certificates(config, now, &mut add);
    }
    add("http.listen", port(config, config.http.listen));
    if let Some(enrolment) = &config.enrolment {
        add("enrolment.listen", port(config, enrolment.listen));
    }
    if let Some(file) = &config.notify.ca_file {
        let found =
            authorities_of_webhooks(file).map(|all| format!("{} authority certificate(s)", all.len()));
        add("notify.ca_file", found);
    }
    if let Some(mail) = &config.mail {
        add("smtp", Mail::check(mail).map(|()| format!("{} answers", mail.host)));
    }
    match &config.mqtt {
        Mqtt::Embedded(mqtt) => add("mqtt.embedded.listen", port(config, mqtt.listen)),
        Mqtt::External(mqtt) => {
            let identity = Identity::load(&mqtt.certificate_file, &mqtt.key_file);
            let identity = identity.map(|identity| format!("our certificate ends {}", identity.ends_at()));
            add("external broker", identity.map_err(|error| error.to_string()));
            let ca = authorities(mqtt).map(|(all, _)| format!("{} authority certificate(s)", all.len()));
            add("external broker", ca.map_err(|error| error.to_string()));
        }
    }
    outcomes
}

fn data_dir(config: &Config, fresh: bool) -> Result<String, String> {
    let path = &config.data_dir;
    if fresh {
        return Ok(format!("{} will be made at the first start", path.display()));
    }
    let metadata = fs::metadata(path)
        .map_err(|source| StartError::DataDir { path: path.clone(), source }.to_string())?;
    if !metadata.is_dir() {
        return Err(format!("{} is not a directory: set data_dir to one, or to a new name", path.display()));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(StartError::DataDirOpen { path: path.clone(), mode }.to_string());
    }
    if rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_err() {
        return Err(format!(
            "{} cannot be written by this user: run as its owner, or change the owner",
            path.display()
        ));
    }
    Ok(path.display().to_string())
}

/// Free space below which the journal of one large change may not fit: a start could work, and the first import fail.
const LEAST_FREE: u64 = 256 << 20;

/// The room on the disk of the data directory, or of the nearest directory above it that exists.
fn free_space(data_dir: &Path) -> Result<String, String> {
    let absolute = std::path::absolute(data_dir).map_err(|error| error.to_string())?;
    let there = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free = space::free(there).map_err(|error| format!("{}: {error}", there.display()))?;
    let words = format!("{} MiB at {}", free >> 20, there.display());
    if free < LEAST_FREE {
        return Err(format!(
            "only {words}, and at least {} MiB are wanted: free some, or move data_dir to another disk",
            LEAST_FREE >> 20
        ));
    }
    Ok(words)
}

fn database(config: &Config) -> Result<String, String> {
    let path = config.data_dir.join(DATABASE_FILE);
    if !path.exists() {
        return Ok(format!("{} will be made at the first start", path.display()));
    }
    let reader = SqliteStore::open_reader(&path).map_err(|error| error.to_string())?;
    let streams = reader.streams().map_err(|error| error.to_string())?;
    let organizations = streams.iter().filter(|stream| stream.organization().is_some()).count();
    Ok(format!("{}, {organizations} organization(s)", path.display()))
}

fn keys(config: &Config, now: Timestamp) -> Result<String, String> {
    match Status::of(&config.data_dir, trust_policy(config), vault(config), now) {
        Ok(Some(status)) => {
            let conditions = status.conditions(config.tokens.lease).into_iter();
            let faults: Vec<String> = conditions
                .filter(|condition| status.is_fault(condition))
                .map(|condition| in_words(&condition))
                .collect();
            if !faults.is_empty() {
                return Err(faults.join("; "));
            }
            let signs = status.token_keys.iter().find(|key| key.signs).map_or("none", |key| key.kid.as_str());
            Ok(format!(
                "root {}, keyring {} with {} token key(s), signing with {signs}; see `coterm-cloud keys status`",
                status.root_version,
                status.keyring_version,
                status.token_keys.len(),
            ))
        }
        Ok(None) => Ok(String::from("will be made at the first start")),
        Err(error) => Err(error.to_string()),
    }
}

/// An alarm in one sentence.
fn in_words(condition: &Condition) -> String {
    format!("{}: {}; {}", condition.code, condition.sentence, condition.code.hint())
}

fn certificates(config: &Config, now: Timestamp, add: &mut impl FnMut(&'static str, Result<String, String>)) {
    let dir = config.data_dir.join("pki");
    if !dir.join("ca.crt").exists() {
        add("certificates", Ok(String::from("will be made at the first start")));
        return;
    }
    match Pki::open_or_create(&dir, move || Time::Sure(now)) {
        Ok(pki) => {
            for file in pki.files() {
                match file.state {
                    FileState::EndsAt(at) => add(file.name, Ok(format!("ends {at}"))),
                    FileState::Missing => {}
                    FileState::Unusable(reason) => add(file.name, Err(reason)),
                }
            }
            for condition in ends::conditions(config, &pki, now) {
                add("certificates", Err(in_words(&condition)));
            }
        }
        Err(error) => add("certificates", Err(error.to_string())),
    }
}

fn port(config: &Config, address: SocketAddr) -> Result<String, String> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(format!("{address} is free")),
        // Only asked now: the look at the lock must not be in the way of a daemon that starts.
        Err(error)
            if error.kind() == ErrorKind::AddrInUse && is_owned(&config.data_dir.join(DATABASE_FILE)) =>
        {
            Ok(format!("{address} is in use, by the running daemon"))
        }
        Err(error) => Err(format!("{address} cannot be listened on: {error}; choose another address")),
    }
}

/// Brings the database to the schema of this program, making it if need be.
///
/// # Errors
/// The data directory or the database cannot be used; a running daemon has to be stopped first.
pub fn migrate(config: &Config) -> Result<String, StartError> {
    open_data_dir(&config.data_dir)?;
    let path = config.data_dir.join(DATABASE_FILE);
    SqliteStore::open(&path)?;
    Ok(format!("{} has the schema of this program", path.display()))
}
