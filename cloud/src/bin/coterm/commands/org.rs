//! `coterm org`: organizations.

use super::prelude::*;
use clap::ValueEnum;
use serde_json::Map;

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
        at: AtArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change an organization's settings; what is not given stays
    Settings {
        #[command(flatten)]
        settings: SettingsArgs,
        #[command(flatten)]
        own: OwnSettingsArgs,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Enable license groups, once and for good; what there is so far is in Group 1
    EnableGroups {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Freeze enforcement: devices that are connected reach no further lock and no stop (vendor)
    #[command(after_help = FREEZE)]
    Freeze {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End a freeze; what came due meanwhile comes one lease later (vendor)
    Unfreeze {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the keys and sites in no group, and when they join Group 1 by themselves
    Unassigned {
        /// The devices of unassigned sites instead, each with the keys that cover it and until when
        #[arg(long)]
        devices: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// What a freeze is.
pub(super) const FREEZE: &str = "\
Tokens issued while it lasts announce no lock and no stop before their own lease ends, and are renewed in time. That
reaches devices that are CONNECTED, and no others: what is not connected follows the token it holds. What is locked or
stopped already stays so.";

/// Settings that only an organization has
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OwnSettingsArgs {
    /// Days that keys and sites may be in no group before they join Group 1
    #[arg(long, value_name = "DAYS", conflicts_with = "countdown_secs")]
    countdown_days: Option<u64>,
    /// The same in seconds
    #[arg(long, value_name = "SECONDS")]
    countdown_secs: Option<u64>,
    /// What door controllers count by
    #[arg(long, value_enum)]
    door_units: Option<DoorUnitsArg>,
    /// The share of its devices one operation may put on the way to lock without the vendor's approval
    #[arg(long, value_name = "PERCENT")]
    hold_share_percent: Option<u64>,
    /// How many devices one operation may, whatever their share
    #[arg(long, value_name = "DEVICES")]
    hold_devices: Option<u64>,
    /// How many devices of a group lock a day at most, the newest first; 0 for all at once
    #[arg(long, value_name = "DEVICES")]
    lockout_pace: Option<u64>,
}

/// What door controllers count by
#[derive(Clone, Copy, Debug, ValueEnum)]
enum DoorUnitsArg {
    /// The units of their model
    Model,
    /// Their configured doors
    Configured,
}

/// Whom a shortfall is enforced on
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeArg {
    /// Every device of the group
    Group,
    /// The newest devices of the products in shortfall, until the rest fits
    Product,
}

/// A setting that a group can have as its organization has it
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum InheritArg {
    /// From the start of noncompliance to the lock
    Grace,
    /// From the lock to the stop
    StopAfterLock,
    /// The time zone
    TimeZone,
    /// Whom a shortfall is enforced on
    Scope,
}

impl InheritArg {
    const fn field(self) -> &'static str {
        match self {
            InheritArg::Grace => "grace_secs",
            InheritArg::StopAfterLock => "stop_after_lock_secs",
            InheritArg::TimeZone => "time_zone",
            InheritArg::Scope => "scope",
        }
    }
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
    /// Whom a shortfall is enforced on
    #[arg(long, value_enum)]
    scope: Option<ScopeArg>,
}

impl SettingsArgs {
    /// The settings as a request body, without those that were not given.
    pub(crate) fn body(&self) -> Value {
        let scope = self.scope.map(|scope| match scope {
            ScopeArg::Group => "group",
            ScopeArg::Product => "product",
        });
        let fields = [
            ("grace_secs", json!(secs(self.grace_days, self.grace_secs))),
            ("stop_after_lock_secs", json!(secs(self.stop_after_lock_days, self.stop_after_lock_secs))),
            ("time_zone", json!(self.time_zone)),
            ("scope", json!(scope)),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_null());
        given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
    }

    /// The same with those that a group shall have as its organization has them, which are null.
    ///
    /// # Errors
    /// One of them is given a value, too.
    pub(crate) fn inheriting(&self, inherit: &[InheritArg]) -> Result<Value, Failure> {
        let mut body = self.body();
        if let Some(fields) = body.as_object_mut() {
            for setting in inherit {
                let name = setting.field();
                if fields.insert(name.to_owned(), Value::Null).is_some_and(|value| !value.is_null()) {
                    let text = format!("CONFLICTING_FIELDS: {name} is both given and inherited");
                    return Err(Failure::new(Exit::Invalid, text));
                }
            }
        }
        Ok(body)
    }

    /// The same with those that only an organization has.
    fn with(&self, own: OwnSettingsArgs) -> Value {
        let mut body = self.body();
        if let Some(fields) = body.as_object_mut() {
            fields
                .insert(String::from("countdown_secs"), json!(secs(own.countdown_days, own.countdown_secs)));
            let doors = own.door_units.map(|by| match by {
                DoorUnitsArg::Model => "model",
                DoorUnitsArg::Configured => "configured",
            });
            fields.insert(String::from("door_units"), json!(doors));
            fields.insert(String::from("hold_share_percent"), json!(own.hold_share_percent));
            fields.insert(String::from("hold_devices"), json!(own.hold_devices));
            fields.insert(String::from("lockout_pace"), json!(own.lockout_pace));
        }
        body
    }
}

/// A duration given in days or in seconds.
fn secs(days: Option<u64>, secs: Option<u64>) -> Option<u64> {
    secs.or(days.map(|days| days.saturating_mul(86_400)))
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
    ("LICENSE GROUPS ENABLED", "/groups_enabled"),
    ("UNASSIGNED SITES", "/unassigned_sites"),
    ("UNASSIGNED KEYS", "/unassigned_keys"),
    ("ACTIVE DEVICES", "/active_devices"),
    ("DEVICES ON TRIAL", "/trial_devices"),
    ("DEFAULT GROUP", "/default_group_name"),
    ("GRACE", "/settings/grace_secs"),
    ("STOP AFTER LOCK", "/settings/stop_after_lock_secs"),
    ("TIME ZONE", "/settings/time_zone"),
    ("SHORTFALL ENFORCED ON", "/settings/scope"),
    ("COUNTDOWN", "/settings/countdown_secs"),
    ("DOORS COUNT BY", "/settings/door_units"),
    ("LOCKED WITHOUT APPROVAL: SHARE %", "/settings/hold_share_percent"),
    ("LOCKED WITHOUT APPROVAL: DEVICES", "/settings/hold_devices"),
    ("LOCKED A DAY AT MOST", "/settings/lockout_pace"),
    ("HELD AND FROZEN", "/safety/sentences"),
];

const UNASSIGNED: &[Column] = &[
    ("KIND", "/kind"),
    ("ID", "/id"),
    ("NAME", "/name"),
    ("CODE", "/code"),
    ("LINES", "/lines"),
    ("DEVICES", "/devices"),
    ("ARRIVED", "/since"),
    ("JOINS", "/joins"),
    ("AT", "/joins_at"),
    ("LEFT", "/left_secs"),
    ("KEY ENDS", "/ends_at"),
];

const COVERED: &[Column] = &[
    ("DEVICE", "/device"),
    ("SITE", "/site_name"),
    ("PRODUCT", "/product"),
    ("UNITS", "/units"),
    ("MISSING", "/missing"),
    ("UNTIL", "/until"),
    ("WHAT", "/sentence"),
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
        OrgCommand::Show { org, at, output } => {
            let id = match org {
                Some(named) => context.find_organization(&named)?,
                None => context.organization()?,
            };
            output::one(output, SHOW, &at.get(context, &format!("/api/v1/organizations/{id}"))?)
        }
        OrgCommand::EnableGroups { change, output } => {
            let path = context.path("/enable-groups")?;
            let request = Change { method: Method::POST, path: &path, body: None, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        OrgCommand::Freeze { change, output } => {
            let path = context.path("/freeze")?;
            let request = Change { method: Method::POST, path: &path, body: None, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        OrgCommand::Unfreeze { change, output } => {
            let path = context.path("/unfreeze")?;
            let request = Change { method: Method::POST, path: &path, body: None, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
        OrgCommand::Unassigned { devices: true, output } => {
            output::list(output, COVERED, context.client.list(&context.path("/unassigned/devices")?)?)
        }
        OrgCommand::Unassigned { devices: false, output } => {
            output::list(output, UNASSIGNED, context.client.list(&context.path("/unassigned")?)?)
        }
        OrgCommand::Settings { settings, own, change, output } => {
            let body = settings.with(own);
            let path = context.path("/settings")?;
            let request = Change { method: Method::PATCH, path: &path, body: Some(body), ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, SHOW)
        }
    }
}
