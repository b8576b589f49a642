//! `coterm site`: sites and sub-sites.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum SiteCommand {
    /// Create a site; without --parent and --group it is unassigned for a while, and then joins Group 1
    #[command(
        after_help = "Until license groups are enabled every root site is in Group 1. The devices of an unassigned \
        site are covered\nby unassigned keys, and not enforced until it joins: see coterm org unassigned.\n\n\
        Examples:\n  coterm site create Depot --group North\n  coterm site create Gate --parent Depot"
    )]
    Create {
        /// Its name; upper and lower case count as the same
        name: String,
        /// The site it lies in, by id or name
        #[arg(long, value_name = "SITE", conflicts_with = "group")]
        parent: Option<String>,
        /// The license group of a root site, by id or name
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the sites
    List {
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a site
    Show {
        /// Id or name
        site: String,
        #[command(flatten)]
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a site another name
    Rename {
        /// Id or name
        site: String,
        new_name: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move a site with everything in it: to a group, into another site, or out of the site it is part of
    #[command(
        after_help = "Its licenses stay unless --bring-licenses is given: then the fewest keys go along, split where \
        fewer units\nsuffice, so that both groups are compliant afterwards. All of it is one change, or nothing is.\n\n\
        Examples:\n  coterm site move Depot --group North --dry-run\n  coterm site move Depot --group North \
        --bring-licenses"
    )]
    Move {
        /// Id or name
        site: String,
        #[command(flatten)]
        to: Target,
        /// Let the licenses it needs go along, as one change: the smallest set of key moves and splits
        #[arg(long)]
        bring_licenses: bool,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Delete a site that has no sub-sites and no devices
    Delete {
        /// Id or name
        site: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Where a site is moved to
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// To this license group, by id or name, as a root site
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Into this site, by id or name
    #[arg(long, value_name = "SITE")]
    into: Option<String>,
    /// Out of the site it is part of; it stays in its group
    #[arg(long)]
    root: bool,
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PARENT", "/parent_name"),
    ("GROUP", "/group_name"),
    ("JOINS GROUP 1 AT", "/joins_at"),
    ("SUB-SITES", "/sub_sites"),
    ("DEVICES", "/devices"),
];

pub(crate) fn run(context: &Context, command: SiteCommand) -> Result<(), Failure> {
    match command {
        SiteCommand::Create { name, parent, group, change, output } => {
            let parent = parent.map(|named| context.site(&named)).transpose()?;
            let group = group.map(|named| context.group(&named)).transpose()?;
            let path = context.path("/sites")?;
            let body = Some(json!({ "name": name, "parent": parent, "group": group }));
            let request = Change { method: Method::POST, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        SiteCommand::List { at, output } => {
            output::list(output, COLUMNS, at.list(context, &context.path("/sites")?)?)
        }
        SiteCommand::Show { site, at, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            output::one(output, COLUMNS, &at.get(context, &path)?)
        }
        SiteCommand::Rename { site, new_name, change, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            let body = Some(json!({ "name": new_name }));
            let request = Change { method: Method::PATCH, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        SiteCommand::Move { site, to, bring_licenses, change, output } => {
            let path = context.path(&format!("/sites/{}/move", context.site(&site)?))?;
            let mut body = match to {
                Target { group: Some(named), .. } => json!({ "group": context.group(&named)? }),
                Target { into: Some(named), .. } => json!({ "parent": context.site(&named)? }),
                Target { group: None, into: None, root } => json!({ "root": root }),
            };
            if let Some(fields) = body.as_object_mut().filter(|_| bring_licenses) {
                fields.insert(String::from("bring_licenses"), json!(true));
            }
            let request = Change { method: Method::POST, path: &path, body: Some(body), ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        SiteCommand::Delete { site, change, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
    }
}
