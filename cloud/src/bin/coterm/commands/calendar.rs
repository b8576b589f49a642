//! `coterm calendar`: the dates that lie ahead.

use super::ahead::instant;
use super::prelude::*;
use crate::client::encode;
use coterm_shared::time::Timestamp;

/// The dates that lie ahead: terms, renewals, countdowns, trials, locks, stops
#[derive(Args, Debug)]
#[command(
    after_help = "Examples: coterm calendar --until +90d\n          coterm calendar --ics > licenses.ics\n\n\
    The dates are those of the books if nothing else happens. For a calendar program that subscribes, put the file where it \
    can read it, with a timer\nthat writes it anew; the server wants an API token in a header and takes none in an address."
)]
pub(crate) struct CalendarArgs {
    /// None after this: 2027-05-01T00:00:00Z, 2027-05-01 (UTC), or +30d, +12h, +30m from now by this machine's clock
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    until: Option<Timestamp>,
    /// As a calendar (iCalendar, RFC 5545)
    #[arg(long)]
    ics: bool,
    #[command(flatten)]
    output: OutputArgs,
}

const COLUMNS: &[Column] =
    &[("WHEN", "/at"), ("WHAT", "/kind"), ("OF", "/name"), ("WHAT HAPPENS", "/sentence")];

pub(crate) fn run(context: &Context, args: &CalendarArgs) -> Result<(), Failure> {
    let until = args.until.map(|at| format!("until={}", encode(&at.to_string())));
    let format = args.ics.then(|| String::from("format=ics"));
    let query: Vec<String> = until.into_iter().chain(format).collect();
    let path = context.path(&format!("/calendar?{}", query.join("&")))?;
    let path = path.trim_end_matches('?');
    if args.ics {
        return context.client.copy(path, &mut std::io::stdout().lock()).map(drop);
    }
    let mut answer = context.client.get(path)?.body;
    if answer.get("more").and_then(Value::as_bool) == Some(true) {
        output::note("There are more dates; only the first are shown. Use --until.");
    }
    match answer.get_mut("dates").map(Value::take) {
        Some(Value::Array(dates)) => output::list(args.output, COLUMNS, dates),
        Some(_) | None => output::list(args.output, COLUMNS, Vec::new()),
    }
}
