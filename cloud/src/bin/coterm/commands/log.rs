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
        output: OutputArgs,
    },
    /// Recompute the hash chain of the log; a fault ends with exit status 1
    Verify {
        #[command(flatten)]
        output: OutputArgs,
    },
}

const COLUMNS: &[Column] = &[
    ("SEQ", "/seq"),
    ("AT", "/at"),
    ("ACTOR", "/actor"),
    ("EVENT", "/event/type"),
    ("REQUEST", "/request_id"),
];

const VERDICT: &[Column] =
    &[("INTACT", "/intact"), ("ENTRIES", "/entries"), ("HASH", "/hash"), ("FAULT", "/fault")];

pub(crate) fn run(context: &Context, command: LogCommand) -> Result<(), Failure> {
    match command {
        LogCommand::List { csv: true, output: _ } => {
            output::print(context.client.text(&context.path("/transactions?format=csv")?)?.trim_end())
        }
        LogCommand::List { csv: false, output } => {
            output::list(output, COLUMNS, context.client.list(&context.path("/transactions")?)?)
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
