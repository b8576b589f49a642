//! `coterm contact`, `coterm webhook`, `coterm notice`: who is told, and what was told.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum ContactCommand {
    /// Mail the notices of the organization to an address
    Add {
        /// The mail address
        address: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the mail addresses
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Mail nothing more to an address
    Remove {
        /// The address, or its id
        contact: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum WebhookCommand {
    /// Send the notices of the organization to a URL; the secret that signs them is shown once
    Add {
        /// The URL, https
        url: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the webhooks; the secrets are never shown again
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send nothing more to a URL
    Remove {
        /// The URL, or its id
        webhook: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Make a new secret; requests are signed with the old one too for a day
    Rotate {
        /// The URL, or its id
        webhook: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum NoticeCommand {
    /// List what was told, the newest first, with the deliveries of each
    List {
        /// Only those with a delivery that was given up
        #[arg(long)]
        dead: bool,
        /// Of all organizations (vendor)
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Deliver a notice again where it was given up or dropped
    Redeliver {
        /// Its id, as in `coterm notice list`; without one, all that were given up
        notice: Option<String>,
        /// Only there, by address or id, also if it was delivered
        #[arg(long, value_name = "ENDPOINT", requires = "notice")]
        endpoint: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send a test notice to an address or URL
    Test {
        /// The address or URL, or its id; without one, all of the organization
        endpoint: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const CONTACTS: &[Column] =
    &[("ID", "/id"), ("ADDRESS", "/address"), ("SINCE", "/created_at"), ("BY", "/created_by")];
const WEBHOOKS: &[Column] = &[
    ("ID", "/id"),
    ("URL", "/address"),
    ("SINCE", "/created_at"),
    ("BY", "/created_by"),
    ("SECRET", "/secret"),
];
const WEBHOOK_LIST: &[Column] = WEBHOOKS.split_at(4).0;
const NOTICES: &[Column] = &[
    ("MADE AT", "/made_at"),
    ("KIND", "/kind"),
    ("TITLE", "/title"),
    ("TO", "/delivery/address"),
    ("STATE", "/delivery/state"),
    ("ATTEMPTS", "/delivery/attempts"),
    ("NEXT", "/delivery/next_at"),
    ("ERROR", "/delivery/error"),
    ("ID", "/id"),
];
const MADE: &[Column] = &[("ID", "/id"), ("KIND", "/kind"), ("TITLE", "/title")];
const AGAIN: &[Column] = &[("DELIVERIES", "/deliveries")];
const NOW: ChangeArgs = ChangeArgs { yes: true, dry_run: false };

pub(crate) fn contact(context: &Context, command: ContactCommand) -> Result<(), Failure> {
    match command {
        ContactCommand::Add { address, output } => add(context, "email", &address, output, CONTACTS),
        ContactCommand::List { output } => output::list(output, CONTACTS, endpoints(context, Some("email"))?),
        ContactCommand::Remove { contact, output } => remove(context, Some("email"), &contact, output),
    }
}

pub(crate) fn webhook(context: &Context, command: WebhookCommand) -> Result<(), Failure> {
    match command {
        WebhookCommand::Add { url, output } => {
            add(context, "webhook", &url, output, WEBHOOKS)?;
            output::note("The secret is shown this once: the receiver checks signatures with it.");
            Ok(())
        }
        WebhookCommand::List { output } => {
            output::list(output, WEBHOOK_LIST, endpoints(context, Some("webhook"))?)
        }
        WebhookCommand::Remove { webhook, output } => remove(context, Some("webhook"), &webhook, output),
        WebhookCommand::Rotate { webhook, output } => {
            let found = find(context, Some("webhook"), &webhook)?;
            let path = context.path(&format!("/endpoints/{}/rotate", part(&text(&found, "id"))))?;
            post(context, &path, None, output, WEBHOOKS)?;
            output::note("The secret is shown this once. The old one signs for a day more.");
            Ok(())
        }
    }
}

pub(crate) fn notice(context: &Context, command: NoticeCommand) -> Result<(), Failure> {
    match command {
        NoticeCommand::List { dead, all, output } => {
            output::list(output, NOTICES, apart(told(context, dead, all)?))
        }
        NoticeCommand::Redeliver { notice: Some(notice), endpoint, output } => {
            let endpoint = endpoint.map(|named| find(context, None, &named)).transpose()?;
            let body = json!({ "endpoint": endpoint.map(|found| text(&found, "id")) });
            let path = context.path(&format!("/notices/{}/redeliver", part(&notice)))?;
            post(context, &path, Some(body), output, AGAIN)
        }
        NoticeCommand::Redeliver { notice: None, output, .. } => {
            let dead = told(context, true, false)?;
            if dead.is_empty() {
                output::note("Nothing was given up.");
            }
            for notice in dead {
                let path = context.path(&format!("/notices/{}/redeliver", part(&text(&notice, "id"))))?;
                post(context, &path, Some(json!({})), output, AGAIN)?;
            }
            Ok(())
        }
        NoticeCommand::Test { endpoint, output } => {
            let to = match endpoint {
                Some(named) => vec![find(context, None, &named)?],
                None => endpoints(context, None)?,
            };
            if to.is_empty() {
                let told =
                    "NO_ENDPOINT: nobody is told of this organization yet.\n  coterm contact add ADDRESS";
                return Err(Failure::new(Exit::NotFound, told));
            }
            for endpoint in to {
                let path = context.path(&format!("/endpoints/{}/test", part(&text(&endpoint, "id"))))?;
                post(context, &path, None, output, MADE)?;
            }
            Ok(())
        }
    }
}

fn post(
    context: &Context,
    path: &str,
    body: Option<Value>,
    output: OutputArgs,
    columns: &[Column],
) -> Result<(), Failure> {
    let request = Change { method: Method::POST, path, body, ask: Ask::No };
    show(context.client.change(&request, NOW, output)?, output, columns)
}

fn add(
    context: &Context,
    kind: &str,
    address: &str,
    output: OutputArgs,
    columns: &[Column],
) -> Result<(), Failure> {
    let body = json!({ "kind": kind, "address": address });
    post(context, &context.path("/endpoints")?, Some(body), output, columns)
}

fn remove(context: &Context, kind: Option<&str>, named: &str, output: OutputArgs) -> Result<(), Failure> {
    let found = find(context, kind, named)?;
    let path = context.path(&format!("/endpoints/{}", part(&text(&found, "id"))))?;
    let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::No };
    show(context.client.change(&request, NOW, output)?, output, CONTACTS)
}

fn endpoints(context: &Context, kind: Option<&str>) -> Result<Vec<Value>, Failure> {
    let all = context.client.list(&context.path("/endpoints")?)?;
    Ok(all.into_iter().filter(|one| kind.is_none_or(|kind| text(one, "kind") == kind)).collect())
}

/// The endpoint with this id or address.
fn find(context: &Context, kind: Option<&str>, named: &str) -> Result<Value, Failure> {
    let mut all = endpoints(context, kind)?.into_iter();
    let found = all.find(|one| text(one, "id") == named || text(one, "address") == named);
    found.ok_or_else(|| {
        let told = format!(
            "NOT_FOUND: there is no address or URL {named:?} here.\n  coterm contact list; coterm webhook list"
        );
        Failure::new(Exit::NotFound, told)
    })
}

fn told(context: &Context, dead: bool, all: bool) -> Result<Vec<Value>, Failure> {
    let path = if all { String::from("/api/v1/notices") } else { context.path("/notices")? };
    context.client.list(&format!("{path}?dead={dead}"))
}

/// A row for each delivery, and one for a notice that goes nowhere.
fn apart(notices: Vec<Value>) -> Vec<Value> {
    let rows = notices.into_iter().flat_map(|notice| {
        let deliveries = notice.get("deliveries").and_then(Value::as_array).cloned().unwrap_or_default();
        let deliveries =
            if deliveries.is_empty() { vec![json!({ "state": "nobody is told" })] } else { deliveries };
        deliveries.into_iter().map(move |delivery| {
            let mut row = notice.clone();
            if let Some(fields) = row.as_object_mut() {
                fields.remove("deliveries");
                fields.insert(String::from("delivery"), delivery);
            }
            row
        })
    });
    rows.collect()
}
