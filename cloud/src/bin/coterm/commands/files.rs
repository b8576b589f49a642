//! `coterm import`: many things at once, from CSV files.

use super::prelude::*;
use crate::change::{confirm, fresh_key};
use crate::progress::Progress;
use coterm_cloud::imports::{Kind, MAX_BYTES};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// The most bad lines that are printed; all of them are in the report.
const SHOWN: usize = 20;

/// How often the daemon is asked how far it has come.
const LOOK: Duration = Duration::from_millis(300);

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
    /// Change the settings that an export has otherwise: the organization's, its groups', and whether it has license groups
    Settings(super::export::SettingsFileArgs),
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
    /// Do not say how far it has come
    #[arg(long, short = 'q')]
    quiet: bool,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    output: OutputArgs,
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
        ImportCommand::Settings(args) => return super::export::import_settings(&context()?, &args),
        ImportCommand::Template { kind } => return output::print(kind.template().trim_end()),
    };
    let context = context()?;
    let path = context.path(&format!("/imports/{}", kind.name()))?;
    let send =
        |path: &str| send(&context, path, &args).map_err(|failure| reported(failure, args.report.as_deref()));
    if args.change.dry_run || !args.change.yes {
        if !args.quiet {
            output::note("Reading and deciding; nothing is written yet.");
        }
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

/// A file that is read, and how far.
struct Counted(File, Arc<AtomicU64>);

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(to)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Sends the file, and says how far it has come: here, and then at the daemon.
fn send(context: &Context, path: &str, args: &ImportArgs) -> Result<Answer, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::internal(format!("cannot read {}: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    let length = about.is_file().then_some(about.len());
    if length.is_some_and(|length| length > MAX_BYTES) {
        let text = format!(
            "BODY_TOO_LARGE: {} has more than {MAX_BYTES} bytes.\n  Import it in several files.",
            args.file.display()
        );
        return Err(Failure::new(Exit::Invalid, text));
    }
    let (sent, key, name) = (Arc::new(AtomicU64::new(0)), fresh_key()?, fresh_key()?);
    let counted = Counted(file, sent.clone());
    let underway = context.path("/imports")?;
    let mut progress = Progress::told(args.quiet || args.output.format != output::Format::Table);
    std::thread::scope(|scope| {
        let (done, answer) = sync_channel(1);
        let (client, key, name) = (&context.client, key.as_str(), name.as_str());
        scope.spawn(move || done.send(client.upload(path, counted, length, key, name)));
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(Failure::internal("the sender crashed")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let (sent, length) = (sent.load(Ordering::Relaxed), length.unwrap_or(0));
            let seen = if sent < length || progress.is_silent() {
                None
            } else {
                client.get(&underway).ok().and_then(|seen| phase_of(&seen.body, name))
            };
            let (what, count, of) = seen.unwrap_or(("Bytes sent", sent, length));
            progress.step(what, count, of);
        }
    })
}

/// What the daemon does with a file, and how far it has come.
fn phase_of(underway: &Value, request_id: &str) -> Option<(&'static str, u64, u64)> {
    let runs = underway.get("items")?.as_array()?;
    let run = runs.iter().find(|run| text(run, "request_id") == request_id)?;
    let count = |name: &str| run.get(name).and_then(Value::as_u64).unwrap_or(0);
    match text(run, "phase").as_str() {
        "reading" => Some(("Lines read", count("lines"), 0)),
        "checking" => Some(("Lines checked", count("decided"), count("lines"))),
        "writing" => Some(("Lines being written, all at once", count("lines"), 0)),
        _ => None,
    }
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
        Some(path) => match fs::write(path, format!("{:#}\n", report_of(&errors))) {
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

/// Every bad line, as programs read it.
fn report_of(errors: &[&Value]) -> Value {
    let line = |error: &&Value| {
        let field = text(error, "field");
        let number = line_of(&field);
        json!({
            "line": (number != u64::MAX).then_some(number),
            "column": field.split_once("].").map(|(_, column)| column),
            "code": text(error, "code"),
            "message": text(error, "message"),
            "hint": text(error, "hint"),
        })
    };
    json!({ "lines": errors.iter().map(line).collect::<Vec<_>>() })
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
