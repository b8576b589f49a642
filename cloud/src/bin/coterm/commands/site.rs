//! `coterm site`: sites and sub-sites.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum SiteCommand {
    /// Create a site; without --parent and --group it joins the default group
    Create {
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
        output: OutputArgs,
    },
    /// Show a site
    Show {
        /// Id or name
        site: String,
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

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("PARENT", "/parent"),
    ("GROUP", "/group"),
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
        SiteCommand::List { output } => {
            output::list(output, COLUMNS, context.client.list(&context.path("/sites")?)?)
        }
        SiteCommand::Show { site, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            output::one(output, COLUMNS, &context.client.get(&path)?.body)
        }
        SiteCommand::Rename { site, new_name, change, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            let body = Some(json!({ "name": new_name }));
            let request = Change { method: Method::PATCH, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        SiteCommand::Delete { site, change, output } => {
            let path = context.path(&format!("/sites/{}", context.site(&site)?))?;
            let request = Change { method: Method::DELETE, path: &path, body: None, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
    }
}
