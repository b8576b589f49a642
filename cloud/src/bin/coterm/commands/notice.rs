//! `coterm contact`, `coterm webhook`, `coterm notice`: who is told, and what was told.

use super::prelude::*;

/// Who is meant.
#[derive(Args, Debug, Clone, Copy)]
pub(crate) struct WhoseArgs {
    /// Of the vendor, who is told what waits for approval, instead of an organization (vendor)
    #[arg(long)]
    vendor: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ContactCommand {
    /// Mail the notices of the organization to an address
    Add {
        /// The mail address
        address: String,
        #[command(flatten)]
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the mail addresses
    List {
        #[command(flatten)]
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Mail nothing more to an address
    Remove {
        /// The address, or its id
        contact: String,
        #[command(flatten)]
        whose: WhoseArgs,
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
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the webhooks; the secrets are never shown again
    List {
        #[command(flatten)]
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send nothing more to a URL
    Remove {
        /// The URL, or its id
        webhook: String,
        #[command(flatten)]
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Make a new secret; requests are signed with the old one too for a day
    Rotate {
        /// The URL, or its id
        webhook: String,
        #[command(flatten)]
        whose: WhoseArgs,
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
        whose: WhoseArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Send a test notice to an address or URL
    Test {
        /// The address or URL, or its id; without one, all of them
        endpoint: Option<String>,
        #[command(flatten)]
        whose: WhoseArgs,
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
        ContactCommand::Add { address, whose, output } => {
            add(context, whose, ("email", &address), output, CONTACTS)
        }
        ContactCommand::List { whose, output } => {
            output::list(output, CONTACTS, endpoints(context, whose, Some("email"))?)
        }
        ContactCommand::Remove { contact, whose, output } => {
            remove(context, whose, (Some("email"), &contact), output)
        }
    }
}

pub(crate) fn webhook(context: &Context, command: WebhookCommand) -> Result<(), Failure> {
    match command {
        WebhookCommand::Add { url, whose, output } => {
            add(context, whose, ("webhook", &url), output, WEBHOOKS)?;
            output::note("The secret is shown this once: the receiver checks signatures with it.");
            Ok(())
        }
        WebhookCommand::List { whose, output } => {
            output::list(output, WEBHOOK_LIST, endpoints(context, whose, Some("webhook"))?)
        }
        WebhookCommand::Remove { webhook, whose, output } => {
            remove(context, whose, (Some("webhook"), &webhook), output)
        }
        WebhookCommand::Rotate { webhook, whose, output } => {
            let found = find(context, whose, (Some("webhook"), &webhook))?;
            let path = whose.path(context, &format!("/{}/rotate", part(&text(&found, "id"))))?;
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
        NoticeCommand::Redeliver { notice: Some(notice), endpoint, whose, output } => {
            let endpoint = endpoint.map(|named| find(context, whose, (None, &named))).transpose()?;
            let body = json!({ "endpoint": endpoint.map(|found| text(&found, "id")) });
            let path = again(context, whose, &notice)?;
            post(context, &path, Some(body), output, AGAIN)
        }
        NoticeCommand::Redeliver { notice: None, whose, output, .. } => {
            let mut dead = told(context, true, whose.vendor)?;
            // What is about no organization is the vendor's own.
            dead.retain(|notice| !whose.vendor || notice.get("organization").is_none_or(Value::is_null));
            if dead.is_empty() {
                output::note("Nothing was given up.");
            }
            for notice in dead {
                let path = again(context, whose, &text(&notice, "id"))?;
                post(context, &path, Some(json!({})), output, AGAIN)?;
            }
            Ok(())
        }
        NoticeCommand::Test { endpoint, whose, output } => {
            let to = match endpoint {
                Some(named) => vec![find(context, whose, (None, &named))?],
                None => endpoints(context, whose, None)?,
            };
            if to.is_empty() {
                let told = "NO_ENDPOINT: nobody is told yet.\n  coterm contact add ADDRESS";
                return Err(Failure::new(Exit::NotFound, told));
            }
            for endpoint in to {
                let path = whose.path(context, &format!("/{}/test", part(&text(&endpoint, "id"))))?;
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

impl WhoseArgs {
    /// The path of their endpoints, or of what is below.
    fn path(self, context: &Context, rest: &str) -> Result<String, Failure> {
        if self.vendor {
            Ok(format!("/api/v1/platform/endpoints{rest}"))
        } else {
            context.path(&format!("/endpoints{rest}"))
        }
    }
}

/// The path by which a notice is delivered again.
fn again(context: &Context, whose: WhoseArgs, notice: &str) -> Result<String, Failure> {
    let rest = format!("/notices/{}/redeliver", part(notice));
    if whose.vendor { Ok(format!("/api/v1{rest}")) } else { context.path(&rest) }
}

fn add(
    context: &Context,
    whose: WhoseArgs,
    (kind, address): (&str, &str),
    output: OutputArgs,
    columns: &[Column],
) -> Result<(), Failure> {
    let body = json!({ "kind": kind, "address": address });
    post(context, &whose.path(context, "")?, Some(body), output, columns)
}

fn remove(
    context: &Context,
    whose: WhoseArgs,
    named: (Option<&str>, &str),
    output: OutputArgs,
) -> Result<(), Failure> {
    let found = find(context, whose, named)?;
    let path = whose.path(context, &format!("/{}", part(&text(&found, "id"))))?;
    let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::No };
    show(context.client.change(&request, NOW, output)?, output, CONTACTS)
}

fn endpoints(context: &Context, whose: WhoseArgs, kind: Option<&str>) -> Result<Vec<Value>, Failure> {
    let all = context.client.list(&whose.path(context, "")?)?;
    Ok(all.into_iter().filter(|one| kind.is_none_or(|kind| text(one, "kind") == kind)).collect())
}

/// The endpoint of this kind with this id or address.
fn find(context: &Context, whose: WhoseArgs, (kind, named): (Option<&str>, &str)) -> Result<Value, Failure> {
    let mut all = endpoints(context, whose, kind)?.into_iter();
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
