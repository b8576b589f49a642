//! `coterm log`: the organization's transactions.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum LogCommand {
    /// List the transactions: who, when, what
    List {
        /// As CSV, for a spreadsheet
        #[arg(long, conflicts_with = "format")]
        csv: bool,
        #[command(flatten)]
        filter: FilterArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Recompute the hash chain of the log; a fault ends with exit status 1
    Verify {
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Which transactions
#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only those that name this group, by id or name
    #[arg(long)]
    group: Option<String>,
    /// Only those at or after this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    since: Option<String>,
    /// Only those before this instant (RFC 3339)
    #[arg(long, value_name = "INSTANT")]
    until: Option<String>,
    /// Only this event, such as key-claimed
    #[arg(long)]
    event: Option<String>,
    /// Only those of this actor
    #[arg(long)]
    actor: Option<String>,
}

impl FilterArgs {
    /// The path of the transactions that are wanted.
    fn path(&self, context: &Context, format: &str) -> Result<String, Failure> {
        let group = self.group.as_ref().map(|named| context.group(named)).transpose()?;
        let conditions = [
            ("group", &group),
            ("since", &self.since),
            ("until", &self.until),
            ("event", &self.event),
            ("actor", &self.actor),
        ];
        let given = conditions.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let query: String = given.map(|(name, value)| format!("&{name}={}", part(value))).collect();
        context.path(&format!("/transactions?format={format}{query}"))
    }
}

const COLUMNS: &[Column] = &[
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("ACTOR", "/actor"),
    ("EVENT", "/event/type"),
    ("CO-TERM BEFORE", "/change/before/coterm_at"),
    ("CO-TERM AFTER", "/change/after/coterm_at"),
    ("CAPACITY BEFORE", "/change/before/capacity"),
    ("CAPACITY AFTER", "/change/after/capacity"),
    ("REQUEST", "/request_id"),
];

const VERDICT: &[Column] =
    &[("INTACT", "/intact"), ("ENTRIES", "/entries"), ("HASH", "/hash"), ("FAULT", "/fault")];

pub(crate) fn run(context: &Context, command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::List { csv: true, filter, output: _ } => {
            output::print(context.client.text(&filter.path(context, "csv")?)?.trim_end())
        }
        LogCommand::List { csv: false, filter, output } => {
            output::list(output, COLUMNS, context.client.list(&filter.path(context, "json")?)?)
        }
        LogCommand::Verify { output } => {
            let verdict = context.client.get(&context.path("/transactions/verify")?)?.body;
            output::one(output, VERDICT, &verdict)?;
            if verdict.get("intact") == Some(&Value::Bool(true)) {
                return Ok(());
            }
            Err(Failure::internal(format!("LOG_DAMAGED: {}", text(&verdict, "fault"))))
        }
    }
}
