//! `coterm import` and `coterm export`: many things at once, as CSV files.

use super::prelude::*;
use crate::change::{confirm, fresh_key};
use crate::output::Progress;
use coterm_cloud::imports::Kind;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The most bad lines that are printed; all of them are in the report.
const SHOWN: usize = 20;

#[derive(Subcommand, Debug)]
pub(crate) enum ImportCommand {
    /// Import license groups
    Groups(ImportArgs),
    /// Import sites and sub-sites
    Sites(ImportArgs),
    /// Import devices into sites that are there
    Devices(ImportArgs),
    /// Import orders of the past, whose keys are claimed at once (vendor)
    Orders(ImportArgs),
    /// Print a file to begin with
    #[command(after_help = "Example: coterm import template devices > devices.csv")]
    Template {
        /// groups, sites, devices or orders
        kind: Kind,
    },
}

/// What is imported
#[derive(Args, Debug)]
#[command(
    after_help = "One bad line, and nothing of the file is imported: correct what is listed and import it again. What an \
    earlier\nimport brought is refused as a duplicate. The first line names the columns: see coterm import template."
)]
pub(crate) struct ImportArgs {
    /// The file: CSV in UTF-8
    file: PathBuf,
    /// Write every bad line into this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where an organization is exported to
#[derive(Args, Debug)]
#[command(
    after_help = "Writes groups.csv, sites.csv, orders.csv and devices.csv, which coterm import reads in this order; \
    organization.json,\nwith its settings and those of its groups; and transactions.csv, its log. Codes of keys are not in it: \
    they are secrets.\n\nExample: coterm export --org Acme --to acme"
)]
pub(crate) struct ExportArgs {
    /// The directory, which is created; what is in it is not overwritten
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

const COLUMNS: &[Column] =
    &[("KIND", "/kind"), ("LINES", "/lines"), ("IMPORTED", "/imported"), ("ONLY LOOKED AT", "/dry_run")];

pub(crate) fn import(
    context: impl FnOnce() -> Result<Context, Failure>,
    command: ImportCommand,
) -> Result<(), Failure> {
    let (kind, args) = match command {
        ImportCommand::Groups(args) => (Kind::Groups, args),
        ImportCommand::Sites(args) => (Kind::Sites, args),
        ImportCommand::Devices(args) => (Kind::Devices, args),
        ImportCommand::Orders(args) => (Kind::Orders, args),
        ImportCommand::Template { kind } => return output::print(kind.template().trim_end()),
    };
    let context = context()?;
    let path = context.path(&format!("/imports/{}", kind.name()))?;
    let send = |path: &str| {
        let file = File::open(&args.file)
            .map_err(|error| Failure::internal(format!("cannot read {}: {error}", args.file.display())))?;
        let sent = context.client.upload(path, file, &fresh_key()?);
        sent.map_err(|failure| reported(failure, args.report.as_deref()))
    };
    if args.change.dry_run || !args.change.yes {
        output::note("Reading and deciding; nothing is written yet.");
        let looked = send(&format!("{path}?dry_run=true"))?;
        if args.change.dry_run {
            return output::one(args.output, COLUMNS, &looked.body);
        }
        output::note(crate::preview::describe(&looked.body, true));
        let count = looked.body.get("imported").and_then(Value::as_u64).unwrap_or(0);
        confirm(
            &format!("Import {count} {}?", kind.name()),
            "Pass --yes to import without asking, or --dry-run to look.",
        )?;
    }
    let done = send(&path)?;
    output::one(args.output, COLUMNS, &done.body)
}

/// A failure with its bad lines: a few for people, all of them for the report.
fn reported(failure: Failure, report: Option<&Path>) -> Failure {
    let Some(problem) = failure.problem else { return failure };
    let none = Vec::new();
    let errors = problem.get("errors").and_then(Value::as_array).unwrap_or(&none);
    if errors.is_empty() {
        return Failure { problem: Some(problem), ..failure };
    }
    let of = |error: &Value, name: &str| error.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    // As the file has them, whatever they are about.
    let mut errors: Vec<&Value> = errors.iter().collect();
    errors.sort_by_key(|error| line_of(&of(error, "field")));
    let mut text: Vec<String> = errors
        .iter()
        .take(SHOWN)
        .map(|error| {
            let place = place(&of(error, "field"));
            let hint = of(error, "hint");
            let hint = if hint.is_empty() { hint } else { format!("\n  {hint}") };
            format!("{place}{}: {}{hint}", of(error, "code"), of(error, "message"))
        })
        .collect();
    if errors.len() > SHOWN {
        text.push(format!("... and {} more.", errors.len().saturating_sub(SHOWN)));
    }
    match report {
        Some(path) => match fs::write(path, format!("{problem:#}\n")) {
            Ok(()) => text.push(format!("All of them are in {}.", path.display())),
            Err(error) => text.push(format!("The report cannot be written to {}: {error}", path.display())),
        },
        None if errors.len() > SHOWN => {
            text.push(String::from("Pass --report FILE to have all of them in a file."));
        }
        None => {}
    }
    text.push(String::from("Nothing of the file was imported."));
    Failure { text: text.join("\n"), problem: None, exit: failure.exit }
}

/// The line a field is of.
fn line_of(field: &str) -> u64 {
    let line = field.strip_prefix("lines[").and_then(|rest| rest.split_once(']'));
    line.and_then(|(line, _)| line.parse().ok()).unwrap_or(u64::MAX)
}

/// `lines[17].site` as people say it.
fn place(field: &str) -> String {
    let Some((line, rest)) = field.strip_prefix("lines[").and_then(|rest| rest.split_once(']')) else {
        return String::new();
    };
    match rest.strip_prefix('.') {
        Some(column) => format!("line {line}, {column}: "),
        None => format!("line {line}: "),
    }
}

pub(crate) fn export(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    let broken = |path: &Path| {
        let name = path.display().to_string();
        move |error: std::io::Error| Failure::internal(format!("cannot write {name}: {error}"))
    };
    fs::create_dir_all(&args.to).map_err(broken(&args.to))?;
    let new = |name: &str| {
        let path = args.to.join(name);
        File::create_new(&path).map_err(broken(&path))
    };
    let mut progress = Progress::of("files");
    let mut written = 0;
    for kind in Kind::ALL {
        let mut file = new(&format!("{}.csv", kind.name()))?;
        context.client.copy(&context.path(&format!("/exports/{}", kind.name()))?, &mut file)?;
        written += 1;
        progress.at(written);
    }
    let mut log = new("transactions.csv")?;
    context.client.copy(&context.path("/transactions?format=csv")?, &mut log)?;
    let organization = context.client.get(&context.path("")?)?.body;
    let groups = context.client.list(&context.path("/groups")?)?;
    let all = json!({ "organization": organization, "groups": groups });
    let file = new("organization.json")?;
    serde_json::to_writer_pretty(file, &all).map_err(Failure::internal)?;
    drop(progress);
    output::note(format!("Exported to {}.", args.to.display()));
    Ok(())
}
