//! `coterm token`: API tokens.

use super::prelude::*;
use crate::change::confirm;
use crate::table::block;
use clap::ValueEnum;

#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Create an API token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// What it may do
        #[arg(long, value_enum)]
        role: Role,
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
        /// Its id (tok_…), or its name
        token: String,
        /// Revoke without asking (for scripts)
        #[arg(long, short = 'y')]
        yes: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What a token may do
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Everything, in all organizations
    Vendor,
    /// Everything in one organization
    OrgAdmin,
    /// Read one organization
    OrgViewer,
    /// Read the daemon's metrics, and nobody's books
    Monitor,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Role::Vendor => "vendor",
            Role::OrgAdmin => "org-admin",
            Role::OrgViewer => "org-viewer",
            Role::Monitor => "monitor",
        }
    }
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
            let organization = match role {
                Role::Vendor | Role::Monitor => None,
                Role::OrgAdmin | Role::OrgViewer => Some(context.organization()?),
            };
            let body = Some(
                json!({ "name": name, "role": role.name(), "organization": organization, "expires_at": expires_at }),
            );
            let request = Change { method: Method::POST, path: "/api/v1/api-tokens", body, ask: Ask::No };
            show(context.client.change(&request, now, output)?, output, COLUMNS)?;
            output::note("The token is shown this once. Keep it in a file that only its user can read.");
            Ok(())
        }
        TokenCommand::List { output } => {
            output::list(output, LIST, context.client.list("/api/v1/api-tokens")?)
        }
        TokenCommand::Revoke { token, yes, output } => {
            let all = context.client.list("/api/v1/api-tokens")?;
            let found = find(&all, &token)?;
            if !yes {
                output::note(block(LIST, found));
                confirm("Revoke it, at once and for good?", "Pass --yes to revoke without asking.")?;
            }
            let path = format!("/api/v1/api-tokens/{}", part(&text(found, "id")));
            let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::No };
            match context.client.change(&request, now, output)? {
                Some(Answer { body, .. }) if !body.is_null() => output::one(output, LIST, &body),
                Some(_) | None => {
                    output::note("Revoked.");
                    Ok(())
                }
            }
        }
    }
}

/// The token with this id, or the only one in force with this name.
fn find<'a>(all: &'a [Value], named: &str) -> Result<&'a Value, Failure> {
    if let Some(token) = all.iter().find(|token| text(token, "id") == named) {
        return Ok(token);
    }
    let in_force = |token: &&Value| text(token, "name") == named && text(token, "revoked_at").is_empty();
    let found: Vec<&Value> = all.iter().filter(in_force).collect();
    match found.as_slice() {
        [only] => Ok(only),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!(
                "NOT_FOUND: there is no API token in force with the id or name {named:?}\n  coterm token list"
            ),
        )),
        several => {
            let ids = several.iter().map(|token| text(token, "id")).collect::<Vec<_>>().join(", ");
            Err(Failure::new(
                Exit::Invalid,
                format!("AMBIGUOUS: several have the name {named:?}; use an id: {ids}"),
            ))
        }
    }
}
