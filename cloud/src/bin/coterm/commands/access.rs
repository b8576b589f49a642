//! `coterm access`: who is kept out of what (domain E8).

use super::prelude::*;
use crate::client::encode;
use coterm_shared::licensing::access::AccessAction;
use std::io::{ErrorKind, Write};
use std::time::Duration;

#[derive(Subcommand, Debug)]
pub(crate) enum AccessCommand {
    /// Ask whether people may do something with a device, a site or the organization now, and if not, why
    #[command(after_help = "Examples: coterm access check --device cam-1 --action configure\n          \
        coterm access check --site HQ && open-the-page\n\nEnds with 9 if they may not. The answer is what the books say: a \
        device that has not heard of it yet acts on the license\nstate it holds.")]
    Check {
        #[command(flatten)]
        subject: Subject,
        /// What they want to do; without it, anything that is not always allowed
        #[arg(long, value_parser = action)]
        action: Option<AccessAction>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List everything that is closed, retired devices too; what is not listed is open
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print what is closed, then every change as it comes, as JSON lines, until interrupted
    #[command(
        after_help = "A daemon that goes away is asked again until it answers; nothing is missed meanwhile. A line has `allowed`: false when something is closed or closed for another reason, true when it is open \
        again.\nA line {\"resync\":true} says that everything closed follows once more: forget what came before."
    )]
    Watch,
}

/// What is asked about; the organization as a whole without either
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub(crate) struct Subject {
    /// A device, by id
    #[arg(long)]
    device: Option<String>,
    /// A site, by id or name
    #[arg(long)]
    site: Option<String>,
}

const CHECK: &[Column] = &[
    ("ALLOWED", "/allowed"),
    ("CODE", "/code"),
    ("WHY", "/sentence"),
    ("REASONS", "/reasons"),
    ("WHAT TO DO", "/hint"),
    ("STATE", "/state"),
    ("MODE", "/mode"),
    ("SINCE", "/since"),
    ("OPENS BY ITSELF", "/until"),
    ("CLOSES", "/closes_at"),
    ("NOTE", "/note"),
];

const LIST: &[Column] = &[
    ("KIND", "/kind"),
    ("ID", "/id"),
    ("CODE", "/code"),
    ("STATE", "/state"),
    ("SINCE", "/since"),
    ("OPENS BY ITSELF", "/until"),
    ("REASONS", "/reasons"),
];

/// Seconds that one question to the feed waits.
const WAIT_SECS: u64 = 25;
/// How long a follower waits before it asks a daemon again that does not answer: ever longer, up to this.
const PAUSE_MAX: Duration = Duration::from_secs(15);

pub(crate) fn run(context: &Context, command: AccessCommand) -> Result<(), Failure> {
    match command {
        AccessCommand::Check { subject, action, output } => {
            let mut query = Vec::new();
            query.extend(subject.device.map(|id| format!("device={}", encode(&id))));
            let site = subject.site.map(|named| context.site(&named)).transpose()?;
            query.extend(site.map(|id| format!("site={}", encode(&id))));
            query.extend(action.map(|action| format!("action={action}")));
            let path = context.path(&format!("/access?{}", query.join("&")))?;
            let answer = context.client.get(path.trim_end_matches('?'))?.body;
            output::one(output, CHECK, &answer)?;
            if answer.get("allowed").and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            Err(Failure::new(
                Exit::KeptOut,
                format!("{}: {}", text(&answer, "code"), text(&answer, "sentence")),
            ))
        }
        AccessCommand::List { output } => {
            output::list(output, LIST, context.client.list(&context.path("/access/denied")?)?)
        }
        AccessCommand::Watch => watch(context),
    }
}

fn action(text: &str) -> Result<AccessAction, String> {
    text.parse().map_err(|error: coterm_shared::licensing::access::AccessActionError| error.to_string())
}

/// Prints what is closed, and what changes; ends when nobody reads any more.
fn watch(context: &Context) -> Result<(), Failure> {
    let (list, changes) = (context.path("/access/denied")?, context.path("/access/changes")?);
    let (mut feed, mut again) = (None::<String>, false);
    // Whoever cannot be reached from the start may be somebody else; later, it is waited for.
    let mut reached = false;
    loop {
        let Some(known) = &feed else {
            // The cursor first: what changes while the list is read is told once more after it.
            let read = || {
                let start = text(&context.client.get(&changes)?.body, "feed");
                Ok((start, context.client.list(&list)?))
            };
            let (start, closed) = if reached { patiently(read)? } else { read()? };
            reached = true;
            let resync = again.then(|| json!({ "resync": true }));
            if !resync.iter().chain(&closed).try_fold(true, |reads, line| Ok(reads && say(line)?))? {
                return Ok(());
            }
            (feed, again) = (Some(start), true);
            continue;
        };
        let next = format!("{changes}?after={}&wait={WAIT_SECS}", encode(known));
        let answer = patiently(|| context.client.get(&next))?.body;
        if answer.get("resync").and_then(Value::as_bool) == Some(true) {
            feed = None;
            continue;
        }
        for change in answer.get("changes").and_then(Value::as_array).into_iter().flatten() {
            if !say(change)? {
                return Ok(());
            }
        }
        feed = Some(text(&answer, "feed"));
    }
}

/// Asks until somebody answers, and says that it waits.
fn patiently<T>(ask: impl Fn() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut pause = Duration::from_millis(500);
    let mut waiting = false;
    loop {
        match ask() {
            Err(failure) if failure.exit == Exit::Unavailable => {
                if !waiting {
                    output::note(failure.colored());
                    output::note("Asking again until it answers.");
                }
                waiting = true;
                std::thread::sleep(pause);
                pause = pause.saturating_mul(2).min(PAUSE_MAX);
            }
            other => {
                if waiting && other.is_ok() {
                    output::note("It is there again.");
                }
                return other;
            }
        }
    }
}

/// Prints a line at once; whether anybody reads it.
fn say(line: &Value) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true).map_err(Failure::internal),
    }
}
