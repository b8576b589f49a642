//! `coterm export`: all that an organization owns, as files; and its settings, read back.
//!
//! **Deliberately absent:** secrets (codes of keys, tokens, certificates), and whom notices go to, which is no part of the
//! books (decision 0017).

use super::prelude::*;
use crate::progress::Progress;
use coterm_cloud::imports::Kind;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Where an organization is exported to
#[derive(Args, Debug)]
#[command(
    after_help = "Writes organization.json, with its settings and those of its groups, groups.csv, sites.csv, orders.csv and \
    devices.csv,\nwhich coterm import reads in this order; and transactions.csv, its log, which nobody reads in again: what \
    happened there happened\nthere, and coterm log verify proves it. Codes of keys are not in it: they are secrets.\n\n\
    Examples:\n  coterm export --org Acme --to acme\n  coterm export --org Acme --to acme.tar"
)]
pub(crate) struct ExportArgs {
    /// The directory, which is created, what is in it not overwritten; or one file, if it is called *.tar
    #[arg(long, value_name = "DIR|FILE.tar")]
    to: PathBuf,
}

pub(crate) fn export(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    let to = &args.to;
    if to.extension().is_none_or(|extension| extension != "tar") {
        fs::create_dir_all(to).map_err(broken(to))?;
        write(context, to)?;
    } else {
        // Taken first: what cannot be written is said before anything is read.
        let archive = File::create_new(to).map_err(broken(to))?;
        let packed = pack(context, to, archive);
        if packed.is_err() {
            let _half = fs::remove_file(to);
        }
        packed?;
    }
    output::note(format!("Exported to {}.", to.display()));
    Ok(())
}

fn broken(path: &Path) -> impl Fn(std::io::Error) -> Failure + use<> {
    let name = path.display().to_string();
    move |error| Failure::internal(format!("cannot write {name}: {error}"))
}

/// The directory in one file. An archive says how long each file is before it begins, so they are written beside it first.
fn pack(context: &Context, to: &Path, archive: File) -> Result<(), Failure> {
    let beside = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = tempfile::tempdir_in(beside).map_err(broken(to))?;
    write(context, files.path())?;
    let name = to.file_stem().unwrap_or_default();
    let mut archive = tar::Builder::new(archive);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.append_dir_all(name, files.path()).map_err(broken(to))?;
    archive.into_inner().and_then(|file| file.sync_all()).map_err(broken(to))
}

/// Writes all files into a directory.
fn write(context: &Context, to: &Path) -> Result<(), Failure> {
    let new = |name: &str| {
        let path = to.join(name);
        File::create_new(&path).map_err(broken(&path))
    };
    let mut progress = Progress::of("files");
    let mut written = 0;
    let organization = context.client.get(&context.path("")?)?.body;
    let groups = context.client.list(&context.path("/groups")?)?;
    let all = json!({ "organization": organization, "groups": groups });
    serde_json::to_writer_pretty(new(SETTINGS)?, &all).map_err(Failure::internal)?;
    for kind in Kind::ALL {
        let mut file = new(&format!("{}.csv", kind.name()))?;
        context.client.copy(&context.path(&format!("/exports/{}", kind.name()))?, &mut file)?;
        written += 1;
        progress.at(written);
    }
    let mut log = new("transactions.csv")?;
    context.client.copy(&context.path("/transactions?format=csv")?, &mut log)?;
    Ok(())
}

/// The file with the settings.
const SETTINGS: &str = "organization.json";

/// Settings that are read back
#[derive(Args, Debug)]
#[command(
    after_help = "Settings are changed one after the other, as by coterm org settings, coterm group settings and \
    coterm org enable-groups:\neach is shown first, and a group that is not there yet is left out (coterm import groups \
    makes it), so run it before and after\nthat. What is no setting in the file is left alone: names of organizations, \
    freezes and figures are not taken from files.\n\nExample: coterm import settings acme/organization.json --org Acme --yes"
)]
pub(crate) struct SettingsFileArgs {
    /// organization.json of an export
    file: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Changes the settings that a file has and the organization has not.
pub(crate) fn import_settings(context: &Context, args: &SettingsFileArgs) -> Result<(), Failure> {
    let unusable = |why: &str| {
        let name = args.file.display();
        Failure::new(
            Exit::Invalid,
            format!("NOT_AN_EXPORT: {name}: {why}.\n  Give {SETTINGS} as coterm export writes it."),
        )
    };
    let bytes = fs::read(&args.file)
        .map_err(|error| Failure::internal(format!("cannot read {}: {error}", args.file.display())))?;
    let file: Value = serde_json::from_slice(&bytes).map_err(|error| unusable(&error.to_string()))?;
    let settings = file.pointer("/organization/settings").filter(|settings| settings.is_object());
    let settings = settings.ok_or_else(|| unusable("it has no settings of an organization"))?;
    let groups = file.get("groups").and_then(Value::as_array).ok_or_else(|| unusable("it has no groups"))?;

    let now = context.client.get(&context.path("")?)?.body;
    let here = context.client.list(&context.path("/groups")?)?;
    let mut changes: Vec<(String, Method, String, Option<Value>)> = Vec::new();
    if flag(&file, "/organization/groups_enabled") && !flag(&now, "/groups_enabled") {
        changes.push(("license groups".into(), Method::POST, context.path("/enable-groups")?, None));
    }
    if let Some(body) = differing(settings, now.get("settings")) {
        changes.push(("the organization".into(), Method::PATCH, context.path("/settings")?, Some(body)));
    }
    for group in groups {
        let (name, default) = (text(group, "name"), flag(group, "/is_default"));
        let found = here
            .iter()
            .find(|other| if default { flag(other, "/is_default") } else { text(other, "name") == name });
        let Some(found) = found else {
            output::note(format!("There is no group `{name}` yet: its settings are left out."));
            continue;
        };
        let path = context.path(&format!("/groups/{}", part(&text(found, "id"))))?;
        if text(found, "name") != name {
            let body = Some(json!({ "name": name }));
            changes.push((format!("the name of group {name}"), Method::PATCH, path.clone(), body));
        }
        let overrides = group.get("overrides").unwrap_or(&Value::Null);
        if let Some(body) = differing(overrides, found.get("overrides")) {
            changes.push((format!("group {name}"), Method::PATCH, format!("{path}/settings"), Some(body)));
        }
    }
    if changes.is_empty() {
        output::note("All settings are as in the file.");
    }
    for (what, method, path, body) in changes {
        output::note(format!("Settings of {what}:"));
        let request = Change { method, path: &path, body, ask: Ask::First };
        let format = OutputArgs { format: output::Format::Table };
        context.client.change(&request, args.change, format)?;
    }
    Ok(())
}

fn flag(value: &Value, at: &str) -> bool {
    value.pointer(at).and_then(Value::as_bool).unwrap_or(false)
}

/// The fields of `of` that `now` has otherwise; `None` if there is none.
fn differing(of: &Value, now: Option<&Value>) -> Option<Value> {
    let differs = |name: &String, value: &Value| now.and_then(|now| now.get(name)) != Some(value);
    let fields: serde_json::Map<String, Value> = of
        .as_object()?
        .iter()
        .filter(|(name, value)| !value.is_null() && differs(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!fields.is_empty()).then_some(Value::Object(fields))
}
