//! `coterm org`: organizations.

use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum OrgCommand {
    /// Create an organization (vendor)
    Create {
        name: String,
        /// Enable license groups from the first day
        #[arg(long)]
        license_groups: bool,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the organizations this token reaches
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show an organization
    Show {
        /// Id or name; default as --org
        org: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change an organization's settings; what is not given stays
    Settings {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Settings to change; what is not given stays
#[derive(Args, Clone, Debug)]
pub(crate) struct SettingsArgs {
    /// Days from the start of noncompliance to the lock
    #[arg(long, value_name = "DAYS", conflicts_with = "grace_secs")]
    grace_days: Option<u64>,
    /// The same in seconds
    #[arg(long, value_name = "SECONDS")]
    grace_secs: Option<u64>,
    /// Days from the lock to the stop
    #[arg(long, value_name = "DAYS", conflicts_with = "stop_after_lock_secs")]
    stop_after_lock_days: Option<u64>,
    /// The same in seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after_lock_secs: Option<u64>,
    /// Time zone whose midnight a lock or stop lands on, such as Europe/Rome
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

impl SettingsArgs {
    /// The settings as a request body; absent ones are null.
    pub(crate) fn body(&self) -> Value {
        let secs =
            |days: Option<u64>, secs: Option<u64>| secs.or(days.map(|days| days.saturating_mul(86_400)));
        json!({
            "grace_secs": secs(self.grace_days, self.grace_secs),
            "stop_after_lock_secs": secs(self.stop_after_lock_days, self.stop_after_lock_secs),
            "time_zone": self.time_zone,
        })
    }
}

const LIST: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("GROUPS", "/groups"),
    ("NONCOMPLIANT", "/noncompliant_groups"),
    ("DEVICES", "/active_devices"),
];

const SHOW: &[Column] = &[
    ("ID", "/id"),
    ("NAME", "/name"),
    ("FOUNDED", "/founded_at"),
    ("VERSION", "/version"),
    ("GROUPS", "/groups"),
    ("NONCOMPLIANT GROUPS", "/noncompliant_groups"),
    ("ACTIVE DEVICES", "/active_devices"),
    ("DEFAULT GROUP", "/default_group"),
    ("GRACE SECONDS", "/settings/grace_secs"),
    ("STOP AFTER LOCK SECONDS", "/settings/stop_after_lock_secs"),
    ("TIME ZONE", "/settings/time_zone"),
];

pub(crate) fn run(context: &Context, command: OrgCommand) -> Result<(), Failure> {
    match command {
        OrgCommand::Create { name, license_groups, change, output } => {
            let body = Some(json!({ "name": name, "license_groups": license_groups }));
            let request = Change { method: Method::POST, path: "/api/v1/organizations", body, ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        OrgCommand::List { output } => {
            output::list(output, LIST, context.client.list("/api/v1/organizations")?)
        }
        OrgCommand::Show { org, output } => {
            let id = match org {
                Some(named) => context.find_organization(&named)?,
                None => context.organization()?,
            };
            let found = context.client.get(&format!("/api/v1/organizations/{id}"))?.body;
            output::one(output, SHOW, &found)
        }
        OrgCommand::Settings { settings, change, output } => {
            let body = settings.body();
            let path = context.path("/settings")?;
            let request = Change { method: Method::PATCH, path: &path, body: Some(body), ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
    }
}
