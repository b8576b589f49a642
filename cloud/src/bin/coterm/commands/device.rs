//! `coterm device`: devices, and what they need to run.

use super::prelude::*;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use zeroize::Zeroizing;

#[derive(Subcommand, Debug)]
pub(crate) enum DeviceCommand {
    /// Claim a device into a site; from then on it uses licenses
    Claim {
        /// Its id: 1 to 64 of A-Z a-z 0-9 _ -
        device: String,
        /// Where it is, by id or name
        #[arg(long)]
        site: String,
        /// Its model, as in the catalog
        #[arg(long)]
        model: String,
        /// Start with a trial of so many days; until it ends the device uses no licenses
        #[arg(long, value_name = "DAYS", conflicts_with = "trial_secs")]
        trial_days: Option<u64>,
        /// The same in seconds
        #[arg(long, value_name = "SECONDS")]
        trial_secs: Option<u64>,
        /// Of a door controller: how many of its doors are configured
        #[arg(long, value_name = "NUMBER")]
        doors: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the devices
    List {
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a device: what it should do, and what it said last
    Show {
        /// Its id
        device: String,
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move a device to another site
    Move {
        /// Its id
        device: String,
        /// Where to, by id or name
        #[arg(long)]
        site: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End a device's trial now; from then on it uses licenses
    Convert {
        /// Its id
        device: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Replace a device by another at the same site in one step; the old one cannot come back
    Replace {
        /// The device that goes
        device: String,
        /// The id of the device that comes
        #[arg(long, value_name = "DEVICE")]
        by: String,
        /// Its model, as in the catalog
        #[arg(long)]
        model: String,
        /// Of a door controller: how many of its doors are configured; as many as the old one's without it
        #[arg(long, value_name = "NUMBER")]
        doors: Option<u64>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say how many doors of a door controller are configured; what it uses follows if the organization counts by them
    #[command(after_help = "What counts is a setting: coterm org settings --door-units configured\n\
        Where models count, the number is kept, and counts once the setting says so.\n\n\
        Example: coterm device doors acc-1 3")]
    Doors {
        /// The id of the door controller
        device: String,
        /// Its configured doors, from 1 to the units of its model
        #[arg(value_name = "NUMBER")]
        doors: u64,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Report a device stolen: it is retired, and cannot be claimed any more, here or elsewhere
    #[command(
        after_help = "It uses no licenses from now on, and gets no certificate any more. Who tries to claim it is\n\
        told that it was reported stolen and whom to contact. Its management locks when it is told, at\n\
        once or on reconnecting, and later it stops; offline it follows its last token (G10).\n\
        This cannot be taken back; a device that is found again takes the vendor's support."
    )]
    Stolen {
        /// Its id
        device: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Retire a device; it uses no licenses any more
    Retire {
        /// Its id
        device: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Make a device's certificate and write everything coterm-agent needs into a new directory; older certificates of
    /// the device no longer connect
    Provision {
        /// Its id
        device: String,
        /// The directory to write; it must not exist or be empty
        #[arg(short = 'o', long = "out", value_name = "DIR")]
        out: PathBuf,
    },
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("SITE", "/site_name"),
    ("GROUP", "/group_name"),
    ("MODEL", "/model"),
    ("PRODUCT", "/product"),
    ("UNITS", "/units"),
    ("CLAIM", "/state"),
    ("ENFORCEMENT", "/enforcement"),
    ("CONNECTED", "/status/connected"),
    ("MODE", "/status/mode"),
    ("LAST SEEN", "/status/last_seen_at"),
];

const SHOW: &[Column] = &[
    ("ID", "/id"),
    ("SITE", "/site_name"),
    ("GROUP", "/group_name"),
    ("MODEL", "/model"),
    ("PRODUCT", "/product"),
    ("UNITS", "/units"),
    ("UNITS OF ITS MODEL", "/model_units"),
    ("CONFIGURED DOORS", "/doors"),
    ("CLAIM", "/state"),
    ("CLAIMED", "/claimed_at"),
    ("TRIAL ENDS", "/ends_at"),
    ("OUT OF USE SINCE", "/at"),
    ("WHY", "/why"),
    ("REPLACED BY", "/by"),
    ("ENFORCEMENT", "/enforcement"),
    ("GRACE BEGINS", "/schedule/grace_begins_at"),
    ("MANAGEMENT LOCKS", "/schedule/lock_at"),
    ("DEVICE STOPS", "/schedule/stop_at"),
    ("AHEAD", "/next"),
    ("HELD AND FROZEN", "/safety/sentences"),
    ("CONNECTED", "/status/connected"),
    ("LAST SEEN", "/status/last_seen_at"),
    ("MODE", "/status/mode"),
    ("STATE ON THE DEVICE", "/status/state"),
    ("REASONS", "/status/reasons"),
    ("TOKEN HELD", "/status/held"),
    ("TOKEN ISSUED", "/status/issued/version"),
    ("TOKEN ISSUED AT", "/status/issued/issued_at"),
    ("LEASE ENDS", "/status/issued/lease_ends_at"),
    ("UP TO DATE", "/status/up_to_date"),
    ("LAST REFUSAL", "/status/last_refusal"),
    ("AGENT", "/status/agent_version"),
    ("QUARANTINED", "/status/quarantined"),
];

pub(crate) fn run(context: &Context, command: DeviceCommand) -> Result<(), Failure> {
    match command {
        DeviceCommand::Claim { device, site, model, trial_days, trial_secs, doors, change, output } => {
            let site = context.site(&site)?;
            let body = json!({ "id": device, "site": site, "model": model,
                "trial_days": trial_days, "trial_secs": trial_secs, "doors": doors });
            post(context, "/devices", Some(body), change, output)
        }
        DeviceCommand::Move { device, site, change, output } => {
            let body = json!({ "site": context.site(&site)? });
            post(context, &verb(&device, "move"), Some(body), change, output)
        }
        DeviceCommand::Convert { device, change, output } => {
            post(context, &verb(&device, "convert"), None, change, output)
        }
        DeviceCommand::Replace { device, by, model, doors, change, output } => {
            let body = json!({ "id": by, "model": model, "doors": doors });
            post(context, &verb(&device, "replace"), Some(body), change, output)
        }
        DeviceCommand::Doors { device, doors, change, output } => {
            post(context, &verb(&device, "doors"), Some(json!({ "doors": doors })), change, output)
        }
        DeviceCommand::Stolen { device, change, output } => {
            post(context, &verb(&device, "stolen"), None, change, output)
        }
        DeviceCommand::List { at, output } => {
            output::list(output, COLUMNS, at.list(context, &context.path("/devices")?)?)
        }
        DeviceCommand::Show { device, at, output } => {
            let path = context.path(&format!("/devices/{}", part(&device)))?;
            output::one(output, SHOW, &at.get(context, &path)?)
        }
        DeviceCommand::Retire { device, change, output } => {
            post(context, &verb(&device, "retire"), None, change, output)
        }
        DeviceCommand::Provision { device, out } => provision(context, &device, &out),
    }
}

/// The path of something that is done to a device.
fn verb(device: &str, verb: &str) -> String {
    format!("/devices/{}/{verb}", part(device))
}

fn post(
    context: &Context,
    rest: &str,
    body: Option<Value>,
    change: ChangeArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let path = context.path(rest)?;
    let request = Change { method: Method::POST, path: &path, body, ask: Ask::First };
    show(context.client.change(&request, change, output)?, output, SHOW)
}

fn provision(context: &Context, device: &str, out: &Path) -> Result<(), Failure> {
    // The directory is made first: a certificate that cannot be kept must not be issued.
    let made = fresh_directory(out)?;
    let done = fill(context, device, out);
    if done.is_err() {
        for directory in &made {
            // It may hold part of the files by now, and is then left for a person to look at.
            let _kept = std::fs::remove_dir(directory);
        }
    }
    done
}

fn fill(context: &Context, device: &str, out: &Path) -> Result<(), Failure> {
    let path = context.path(&format!("/devices/{}/provision", part(device)))?;
    let answer = context.client.send(Method::POST, &path, None, &[])?.body;
    let files = answer.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
    if files.is_empty() {
        return Err(Failure::internal("the server sent no files"));
    }
    for file in &files {
        let name = text(file, "name");
        if !is_plain_name(&name) {
            return Err(Failure::internal(format!("the server sent a file with the name {name:?}; stopped")));
        }
        let content = match file.get("text").and_then(Value::as_str) {
            Some(text) => Zeroizing::new(text.as_bytes().to_vec()),
            None => Zeroizing::new(base64_decode(&text(file, "base64"))?),
        };
        let target = out.join(&name);
        coterm_certs::create_secret_file(&target, &content).map_err(Failure::internal)?;
        output::print(&target.display().to_string())?;
    }
    let replaced = answer.pointer("/certificate/replaced").and_then(Value::as_u64).unwrap_or(0);
    if replaced > 0 {
        output::note(format!(
            "Revoked {replaced} older certificate(s) of {device}: only this directory lets it connect now."
        ));
    }
    output::note("Bring this directory to the device, then: coterm-agent run --config agent.toml");
    Ok(())
}

/// Makes the directory and tells which directories that took, the deepest first; none if it is there already, empty.
fn fresh_directory(out: &Path) -> Result<Vec<PathBuf>, Failure> {
    let name = out.display();
    match std::fs::read_dir(out) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let text =
                    format!("NOT_EMPTY: {name} is not empty; give a directory that does not exist yet");
                return Err(Failure::new(Exit::Conflict, text));
            }
            Ok(Vec::new())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
            let made = out.ancestors().take_while(missing).map(Path::to_path_buf).collect();
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(out)
                .map(|()| made)
                .map_err(|error| Failure::internal(format!("cannot make {name}: {error}")))
        }
        Err(error) => Err(Failure::internal(format!("cannot use {name}: {error}"))),
    }
}

/// One file name: nothing that leaves the directory.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.starts_with('.')
}

fn base64_decode(text: &str) -> Result<Vec<u8>, Failure> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_the_directory() {
        assert!(is_plain_name("agent.toml"));
        for bad in ["", ".", "..", "../x", "a/b", "/etc/passwd", ".bashrc"] {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fresh_directory(dir.path()).unwrap();
        let deep = dir.path().join("new/deep");
        assert_eq!(
            fresh_directory(&deep).unwrap(),
            [deep, dir.path().join("new")],
            "what a failure takes back"
        );
        assert_eq!(fresh_directory(dir.path()).unwrap_err().exit, Exit::Conflict);
    }
}
