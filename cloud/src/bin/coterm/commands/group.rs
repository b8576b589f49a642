//! `coterm group`: license groups, with their figures.

use super::org::{InheritArg, SettingsArgs};
use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum GroupCommand {
    /// Create a license group, empty or from a site
    #[command(
        after_help = "Examples: coterm group create North\n          coterm group create --from-site Depot\n\n\
        The site moves in with its devices; its licenses stay where they are unless --bring-licenses is given. The\n\
        preview shows both groups, and which licenses should go along."
    )]
    Create {
        /// Its name; the site's with --from-site and without one
        #[arg(required_unless_present = "from_site")]
        name: Option<String>,
        /// The site that moves in, by id or name
        #[arg(long, value_name = "SITE")]
        from_site: Option<String>,
        /// Let the licenses it needs go along, as one change: the smallest set of key moves and splits
        #[arg(long, requires = "from_site")]
        bring_licenses: bool,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the license groups with their dates and verdicts
    List {
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a group: capacity, use, shortfall, compliance, what happens next and when
    Show {
        /// Id or name
        group: String,
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Explain a group: the arithmetic of its date, what moved it last, why it is noncompliant and what would cure it
    Explain {
        /// Id or name
        group: String,
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: PageArgs,
    },
    /// Give a group another name
    Rename {
        /// Id or name
        group: String,
        new_name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Depart from the organization's settings in a group; what is not given stays
    Settings {
        /// Id or name
        group: String,
        #[command(flatten)]
        settings: SettingsArgs,
        /// Have these as the organization has them, now and later, no longer as the group's own
        #[arg(long, value_enum, value_name = "SETTING", value_delimiter = ',')]
        inherit: Vec<InheritArg>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete a group that has no sites and no active keys
    Delete {
        /// Id or name
        group: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const LIST: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("CO-TERM", "/coterm_at"),
    ("COMPLIANT", "/compliant"),
    ("STATE", "/state"),
    ("DEVICES", "/active_devices"),
    ("IN USE", "/in_use"),
    ("CAPACITY", "/capacity"),
];

const SHOW: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("DEFAULT GROUP", "/is_default"),
    ("CO-TERM", "/coterm_at"),
    ("CAPACITY", "/capacity"),
    ("IN USE", "/in_use"),
    ("FREE", "/free"),
    ("COMPLIANT", "/compliant"),
    ("WHY", "/why"),
    ("STATE", "/state"),
    ("NEXT", "/next"),
    ("HELD AND FROZEN", "/safety/sentences"),
    ("GRACE BEGINS", "/schedule/grace_begins_at"),
    ("MANAGEMENT LOCKS", "/schedule/lock_at"),
    ("DEVICES STOP", "/schedule/stop_at"),
    ("AHEAD OF THE REST", "/early/sentence"),
    ("ACTIVE DEVICES", "/active_devices"),
    ("ACTIVE KEYS", "/active_keys"),
    ("ROOT SITES", "/sites"),
    ("GRACE", "/settings/grace_secs"),
    ("STOP AFTER LOCK", "/settings/stop_after_lock_secs"),
    ("TIME ZONE", "/settings/time_zone"),
    ("SHORTFALL ENFORCED ON", "/settings/scope"),
    ("ITS OWN, NOT INHERITED", "/overrides"),
];

pub(crate) fn run(context: &Context, command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::Create { name, from_site, bring_licenses, change, output } => {
            let path = context.path("/groups")?;
            let site = from_site.map(|named| context.site(&named)).transpose()?;
            // An empty group changes nothing yet; a site that moves does.
            let ask = if site.is_some() { Ask::First } else { Ask::No };
            let mut body = json!({ "name": name, "from_site": site });
            if let Some(fields) = body.as_object_mut().filter(|_| bring_licenses) {
                fields.insert(String::from("bring_licenses"), json!(true));
            }
            let body = Some(body);
            let request = Change { method: Method::POST, path: &path, body, ask };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        GroupCommand::List { at, output } => {
            output::list(output, LIST, at.list(context, &context.path("/groups")?)?)
        }
        GroupCommand::Show { group, at, output } => {
            let path = context.path(&format!("/groups/{}", context.group(&group)?))?;
            output::one(output, SHOW, &at.get(context, &path)?)
        }
        GroupCommand::Explain { group, at, output } => {
            let path = context.path(&format!("/groups/{}/explain", context.group(&group)?))?;
            output::page(output, &at.get(context, &path)?)
        }
        GroupCommand::Rename { group, new_name, change, output } => {
            let path = context.path(&format!("/groups/{}", context.group(&group)?))?;
            let body = Some(json!({ "name": new_name }));
            let request = Change { method: Method::PATCH, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        GroupCommand::Settings { group, settings, inherit, change, output } => {
            let body = Some(settings.inheriting(&inherit)?);
            let path = context.path(&format!("/groups/{}/settings", context.group(&group)?))?;
            let request = Change { method: Method::PATCH, path: &path, body, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        GroupCommand::Delete { group, change, output } => {
            let path = context.path(&format!("/groups/{}", context.group(&group)?))?;
            let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
    }
}
