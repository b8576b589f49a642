//! `coterm held`: operations that wait for the vendor (domain E6).

use super::prelude::*;
use crate::preview::describe;

#[derive(Subcommand, Debug)]
pub(crate) enum HeldCommand {
    /// List the operations of an organization that wait, and those decided lately
    List {
        /// What waits in every organization instead (vendor)
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show an operation that waits, and what it would do now
    Show {
        /// Its id
        held: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Approve an operation: it is decided anew and carried out (vendor, and not who asked for it)
    Approve {
        /// Its id
        held: String,
        /// With --yes: the digest of what was looked at, as `coterm held show -o json` gives it
        #[arg(long, value_name = "DIGEST")]
        digest: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Drop an operation (vendor)
    Reject {
        /// Its id
        held: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take back an operation you asked for
    Withdraw {
        /// Its id
        held: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("OPERATION", "/operation"),
    ("ASKED BY", "/by/name"),
    ("STATE", "/state"),
    ("DEVICES", "/devices"),
    ("OF", "/of"),
    ("HELD AT", "/held_at"),
    ("DROPPED AT", "/expires_at"),
    ("DECIDED BY", "/decided_by/name"),
    ("WHAT", "/sentence"),
];

const ALL: &[Column] = &[
    ("ORGANIZATION", "/organization"),
    ("NAME", "/organization_name"),
    ("ID", "/held/id"),
    ("OPERATION", "/held/operation"),
    ("ASKED BY", "/held/by/name"),
    ("DEVICES", "/held/devices"),
    ("OF", "/held/of"),
    ("HELD AT", "/held/held_at"),
    ("DROPPED AT", "/held/expires_at"),
];

pub(crate) fn run(context: &Context, command: HeldCommand) -> Result<(), Failure> {
    match command {
        HeldCommand::List { all: true, output } => {
            output::list(output, ALL, context.client.list("/api/v1/platform/held")?)
        }
        HeldCommand::List { all: false, output } => {
            output::list(output, COLUMNS, context.client.list(&context.path("/held")?)?)
        }
        HeldCommand::Show { held, output } => {
            let found = context.client.get(&context.path(&format!("/held/{}", part(&held)))?)?.body;
            output::one(output, COLUMNS, &found)?;
            match (found.get("preview"), found.get("refused")) {
                (Some(preview), _) => {
                    output::note(format!("Approved now:\n{}", describe(preview, true)));
                }
                (None, Some(refused)) => {
                    output::note(format!("Approved now it would be refused: {}", text(refused, "detail")))
                }
                (None, None) => {}
            }
            Ok(())
        }
        HeldCommand::Approve { held, digest, change, output } => {
            let path = context.path(&format!("/held/{}/approve", part(&held)))?;
            let request = Change { method: Method::POST, path: &path, body: None, ask: Ask::First };
            show(context.client.change_seen(&request, change, output, digest)?, output, COLUMNS)
        }
        HeldCommand::Reject { held, change, output } => decide(context, &held, "reject", change, output),
        HeldCommand::Withdraw { held, change, output } => decide(context, &held, "withdraw", change, output),
    }
}

fn decide(
    context: &Context,
    held: &str,
    verb: &str,
    change: ChangeArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let path = context.path(&format!("/held/{}/{verb}", part(held)))?;
    let request = Change { method: Method::POST, path: &path, body: None, ask: Ask::No };
    show(context.client.change(&request, change, output)?, output, COLUMNS)
}
