//! Changing something: previewed, shown, confirmed, applied to exactly what was shown.

use crate::client::{Answer, Client};
use crate::failure::{Exit, Failure};
use crate::output::{self, OutputArgs, paint};
use crate::preview::describe;
use clap::Args;
use serde_json::Value;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;
use ureq::http::Method;

/// The default color; it is bold all the same.
const BOLD: u8 = 39;

/// Before a request is repeated, once.
const PAUSE: Duration = Duration::from_secs(1);

/// How a change is confirmed
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ChangeArgs {
    /// Apply without asking (for scripts)
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Whether a person is asked before the change is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It may move a date, a capacity or a verdict.
    First,
    /// It moves none of them.
    No,
}

/// One change, as a request.
pub(crate) struct Change<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) ask: Ask,
}

impl Client {
    /// Does what `change` says, as `args` says. `None` if it was only to be shown, which then has been done.
    pub(crate) fn change(
        &self,
        change: &Change<'_>,
        args: ChangeArgs,
        output: OutputArgs,
    ) -> Result<Option<Answer>, Failure> {
        self.change_seen(change, args, output, None)
    }

    /// The same, with the digest of a preview that was looked at before, if nothing is asked now.
    pub(crate) fn change_seen(
        &self,
        change: &Change<'_>,
        args: ChangeArgs,
        output: OutputArgs,
        digest: Option<String>,
    ) -> Result<Option<Answer>, Failure> {
        let body = change.body.as_ref();
        let mut seen = digest.map(|digest| ("preview-digest", digest));
        if args.dry_run || (change.ask == Ask::First && !args.yes) {
            let path = format!("{}?dry_run=true", change.path);
            let preview = self.send(change.method.clone(), &path, body, &[])?;
            if args.dry_run {
                output::preview(output, &describe(&preview.body, false), &preview.body)?;
                return Ok(None);
            }
            output::note(describe(&preview.body, true));
            confirm("Apply?", "Pass --yes to apply without asking, or --dry-run to look.")?;
            seen = seen_in(preview);
        }
        let key = fresh_key()?;
        let mut headers = vec![("idempotency-key", key.as_str())];
        // What is applied is what was shown: if any of it has changed meanwhile, the server says so.
        headers.extend(seen.as_ref().map(|(name, value)| (*name, value.as_str())));
        let first = self.send(change.method.clone(), change.path, body, &headers);
        let answer = match first {
            // The answer may have been lost after the change was made; the key makes asking again harmless.
            Err(failure) if failure.exit == Exit::Unavailable => {
                std::thread::sleep(PAUSE);
                self.send(change.method.clone(), change.path, body, &headers)?
            }
            other => other?,
        };
        match answer.body.pointer("/held/sentence").and_then(Value::as_str) {
            // Scripts must not take it for done.
            Some(sentence) => Err(Failure::new(Exit::Held, format!("OPERATION_HELD: {sentence}"))),
            None => Ok(Some(answer)),
        }
    }
}

/// The condition that what a preview showed is still so: its digest, which changes elsewhere do not touch, or else the
/// version of the whole organization.
fn seen_in(preview: Answer) -> Option<(&'static str, String)> {
    let digest = preview.body.get("digest").and_then(Value::as_str).map(str::to_owned);
    digest.map(|digest| ("preview-digest", digest)).or(preview.etag.map(|etag| ("if-match", etag)))
}

/// A name for one request, so that a repetition is recognised.
pub(crate) fn fresh_key() -> Result<String, Failure> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(Failure::internal)?;
    Ok(uuid::Uuid::from_bytes(bytes).simple().to_string())
}

/// Asks a person, who has to say yes; `unasked` says what to do where there is none.
pub(crate) fn confirm(question: &str, unasked: &str) -> Result<(), Failure> {
    let declined = |text: String| Err(Failure::new(Exit::Declined, text));
    if !std::io::stdin().is_terminal() {
        return declined(format!("NOT_CONFIRMED: nothing was changed; there is nobody to ask.\n  {unasked}"));
    }
    let mut stderr = std::io::stderr().lock();
    let _unseen = write!(stderr, "{} [y/N] ", paint(BOLD, question)).and_then(|()| stderr.flush());
    drop(stderr);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).map_err(Failure::internal)?;
    if read == 0 {
        // The end of input leaves the cursor behind the question.
        output::note("");
    }
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        declined(String::from("NOT_CONFIRMED: nothing was changed."))
    }
}
