//! `coterm token`: API tokens.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Create an API token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// vendor, org-admin or org-viewer
        #[arg(long)]
        role: String,
        /// When it stops working by itself, such as 2028-01-01T00:00:00Z
        #[arg(long, value_name = "INSTANT")]
        expires_at: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List API tokens; the tokens themselves are never shown again
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Revoke an API token, at once and for good
    Revoke {
        /// Its id, tok_…
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("ORGANIZATION", "/organization"),
    ("EXPIRES", "/expires_at"),
    ("REVOKED", "/revoked_at"),
    ("TOKEN", "/token"),
];

const LIST: &[Column] = COLUMNS.split_at(6).0;

pub(crate) fn run(context: &Context, command: TokenCommand) -> Result<(), Failure> {
    let now = ChangeArgs { yes: true, dry_run: false };
    match command {
        TokenCommand::Create { name, role, expires_at, output } => {
            let organization = if role == "vendor" { None } else { Some(context.organization()?) };
            let body = Some(
                json!({ "name": name, "role": role, "organization": organization, "expires_at": expires_at }),
            );
            let request = Change { method: Method::POST, path: "/api/v1/api-tokens", body, ask: Ask::No };
            show(context.client.change(&request, now, output)?, output, COLUMNS)
        }
        TokenCommand::List { output } => {
            output::list(output, LIST, context.client.list("/api/v1/api-tokens")?)
        }
        TokenCommand::Revoke { id, output } => {
            let path = format!("/api/v1/api-tokens/{}", part(&id));
            let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::No };
            show(context.client.change(&request, now, output)?, output, LIST)
        }
    }
}
