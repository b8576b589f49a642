//! `coterm log`: the transactions of an organization, or of the platform: who, when, what, before and after (domain T1).

mod chain;
mod subject;
mod words;

use super::prelude::*;
use crate::output::Format;
use coterm_shared::licensing::Event;
use coterm_shared::platform::PlatformEvent;
use coterm_shared::time::Timestamp;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use subject::Names;

#[derive(Subcommand, Debug)]
pub(crate) enum LogCommand {
    /// List the transactions: who, when, what, and a group's date and capacity before and after
    #[command(after_help = examples())]
    List {
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        stream: StreamArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write the transactions into a new file, complete, as CSV: for a spreadsheet, and to verify without the server
    Export {
        /// The file to make; it must not exist
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        stream: StreamArgs,
    },
    /// Recompute the hash chain of the log; a fault ends with exit status 1
    #[command(after_help = VERIFY)]
    Verify {
        /// Verify this export instead, on this machine: no server, no token
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// With --file: look also whether the server's log still has the file's entries, and how many came after them
        #[arg(long, requires = "file")]
        compare: bool,
        #[command(flatten)]
        stream: StreamArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const EXAMPLES: &str = "\
Examples:
  coterm log list --since 7d --group North          what happened to a group this week
  coterm log list --event key-claimed --actor ada   which keys a person claimed
  coterm log list --subject cam-1 -o json           all about a device, for a program";

/// The examples, and the events there are.
fn examples() -> String {
    let own: Vec<&str> = Event::all_names().collect();
    format!(
        "{EXAMPLES}\n\nEvents:\n{}\n\nEvents of --platform:\n{}",
        lines_of(&own),
        lines_of(PlatformEvent::NAMES)
    )
}

/// Names in lines that fit a terminal.
fn lines_of(names: &[&str]) -> String {
    let lines = names.chunks(4).map(|names| format!("  {}", names.join(" ")));
    lines.collect::<Vec<_>>().join("\n")
}

const VERIFY: &str = "\
Every entry holds the hash of the entry before it. An entry that was altered, taken out or put in does not fit. Of a
file, every column of every line is computed again; one with gaps, as a filter leaves them, cannot be verified.
Who can rewrite the whole log can rewrite all hashes: keep exports elsewhere, and compare them:
  coterm log export --out log.csv
  coterm log verify --file log.csv --compare";

/// Which transactions
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only those that name this group, by id or name
    #[arg(long)]
    group: Option<String>,
    /// Only those about this: the id or name of a group, site, device, model or order, or the end of a key's code
    #[arg(long)]
    subject: Option<String>,
    /// Only those at or after this: 2027-05-01T00:00:00Z, 2027-05-01 (UTC), or 7d, 12h, 30m ago by this machine's clock
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    since: Option<Timestamp>,
    /// Only those before this, written alike
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<Timestamp>,
    /// Only this event, such as key-claimed
    #[arg(long, alias = "operation")]
    event: Option<String>,
    /// Only those of this actor: the name or the id of an API token
    #[arg(long)]
    actor: Option<String>,
    /// Only those of this request, by the id that errors and answers carry
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

/// Whose log
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct StreamArgs {
    /// The platform's log (keys issued, prices, models) instead of the organization's (vendor)
    #[arg(long)]
    platform: bool,
}

impl StreamArgs {
    /// The path of the log, and what follows it.
    fn path(self, context: &Context, rest: &str) -> Result<String, Failure> {
        let path = format!("/transactions{rest}");
        if self.platform { Ok(format!("/api/v1{path}")) } else { context.path(&path) }
    }
}

impl FilterArgs {
    /// The condition that may leave out entries between others; the conditions of time leave none out.
    fn leaves_out(&self) -> Option<&'static str> {
        let given = [
            ("--group", &self.group),
            ("--subject", &self.subject),
            ("--event", &self.event),
            ("--actor", &self.actor),
            ("--request", &self.request),
        ];
        given.into_iter().find_map(|(option, value)| value.is_some().then_some(option))
    }

    /// The path of the transactions that are wanted.
    fn path(&self, context: &Context, stream: StreamArgs, format: &str) -> Result<String, Failure> {
        let group = self.group.as_ref().map(|named| context.group(named)).transpose()?;
        let (since, until) = (self.since.map(|at| at.to_string()), self.until.map(|at| at.to_string()));
        let conditions = [
            ("group", &group),
            ("subject", &self.subject),
            ("since", &since),
            ("until", &until),
            ("event", &self.event),
            ("actor", &self.actor),
            ("request", &self.request),
        ];
        let given = conditions.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let query: String = given.map(|(name, value)| format!("&{name}={}", part(value))).collect();
        stream.path(context, &format!("?format={format}{query}"))
    }
}

/// An instant as people write it.
fn instant(text: &str) -> Result<Timestamp, String> {
    const WRITE: &str = "write an instant such as 2027-05-01T00:00:00Z, a day such as 2027-05-01, or how long ago: 7d, 12h, 30m";
    let unit = [('d', 86_400), ('h', 3600), ('m', 60)].into_iter().find(|(unit, _)| text.ends_with(*unit));
    if let Some((unit, secs)) = unit {
        let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| WRITE)?;
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "this machine's clock is wrong")?;
        return Ok(Timestamp::from_secs_clamped(now.as_secs().saturating_sub(number.saturating_mul(secs))));
    }
    let day = text.len() == 10 && !text.contains(':');
    let text = if day { format!("{text}T00:00:00Z") } else { text.to_owned() };
    text.parse().map_err(|_| String::from(WRITE))
}

const COLUMNS: &[Column] = &[
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("WHO", "/who"),
    ("EVENT", "/event/type"),
    ("WHAT", "/what"),
    ("CO-TERM BEFORE", "/change/before/coterm_at"),
    ("CO-TERM AFTER", "/change/after/coterm_at"),
    ("CAPACITY BEFORE", "/change/before/capacity"),
    ("CAPACITY AFTER", "/change/after/capacity"),
];

const VERDICT: &[Column] =
    &[("INTACT", "/intact"), ("ENTRIES", "/entries"), ("HASH", "/hash"), ("FAULT", "/fault")];

/// Runs a command; `context` is asked for only where a server is needed.
pub(crate) fn run(
    context: impl FnOnce() -> Result<Context, Failure>,
    command: LogCommand,
) -> Result<(), Failure> {
    match command {
        LogCommand::List { filter, stream, output } => list(&context()?, &filter, stream, output),
        LogCommand::Export { out, filter, stream } => export(&context()?, &filter, stream, &out),
        LogCommand::Verify { file: Some(file), compare, stream, output } => {
            let mut verified = chain::verify(&file)?;
            if compare {
                chain::compare(&context()?, stream, &mut verified)?;
            }
            verified.show(output)
        }
        LogCommand::Verify { file: None, compare: _, stream, output } => {
            let context = context()?;
            let verdict = context.client.get(&stream.path(&context, "/verify")?)?.body;
            output::one(output, VERDICT, &verdict)?;
            intact(&verdict)
        }
    }
}

/// That the server's verdict on its own log is good.
fn intact(verdict: &Value) -> Result<(), Failure> {
    if verdict.get("intact") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(Failure::internal(format!(
        "LOG_DAMAGED: {}\n  Stop the daemon, keep the database as it is, and restore the last good backup.",
        text(verdict, "fault")
    )))
}

fn list(
    context: &Context,
    filter: &FilterArgs,
    stream: StreamArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let mut items = context.client.list(&filter.path(context, stream, "json")?)?;
    // What people read has words; what programs read is as the server says it.
    if matches!(output.format, Format::Table | Format::Csv) {
        let names = if stream.platform { Names::default() } else { Names::of(context)? };
        for item in &mut items {
            names.explain(item);
        }
    }
    output::list(output, COLUMNS, items)
}

fn export(context: &Context, filter: &FilterArgs, stream: StreamArgs, out: &Path) -> Result<(), Failure> {
    let name = out.display();
    let path = filter.path(context, stream, "csv")?;
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(out).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                let text = format!(
                    "FILE_EXISTS: {name} is there already; nothing was written.\n  Give another name."
                );
                Failure::new(Exit::Conflict, text)
            } else {
                Failure::internal(format!("cannot make {name}: {error}"))
            }
        })?;
    let written = context.client.copy(&path, &mut file).and_then(|bytes| {
        file.sync_all()
            .map(|()| bytes)
            .map_err(|error| Failure::internal(format!("cannot write {name}: {error}")))
    });
    match written {
        Ok(bytes) => {
            output::note(match filter.leaves_out() {
                None => format!("{name}: {bytes} bytes. To verify it: coterm log verify --file {name}"),
                Some(option) => format!(
                    "{name}: {bytes} bytes. It cannot be verified: {option} left entries out, and the hash of an entry \
                     covers the one before it. For a file that can be, export without it."
                ),
            });
            Ok(())
        }
        Err(failure) => {
            // Half a log must not be taken for a whole one.
            let _gone = std::fs::remove_file(out);
            Err(failure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_whole_as_a_day_or_as_how_long_ago() {
        let read = |text: &str| instant(text).map(|at| at.to_string());
        assert_eq!(read("2027-05-01").as_deref(), Ok("2027-05-01T00:00:00Z"));
        assert_eq!(read("2027-05-01T10:00:00+02:00").as_deref(), Ok("2027-05-01T08:00:00Z"));
        assert!(
            instant("7d").unwrap() < instant("2h").unwrap()
                && instant("2h").unwrap() < instant("1m").unwrap()
        );
        for bad in ["", "yesterday", "d", "-1d", "2027-05-01T10:00:00", "2027-13-01"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
