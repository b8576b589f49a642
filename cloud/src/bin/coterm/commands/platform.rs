//! `coterm price`, `coterm model`, `coterm limits` and `coterm platform`: what the vendor keeps for everybody.

use super::key::Pair;
use super::prelude::*;

#[derive(Subcommand, Debug)]
pub(crate) enum PriceCommand {
    /// Set list prices (vendor); dates of keys already issued do not move
    Set {
        /// One-year list price of a product, in one integer unit for all, such as camera=199
        #[arg(value_name = "PRODUCT=PRICE", required = true)]
        prices: Vec<Pair>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the price book
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum ModelCommand {
    /// Put a model into the catalog (vendor)
    Put {
        model: String,
        /// The product type its devices use licenses of
        #[arg(long)]
        product: String,
        /// Licensed units one device uses; a four-door controller uses 4
        #[arg(long, default_value_t = 1)]
        units: u64,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the catalog
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum LimitsCommand {
    /// Show the bounds the vendor sets for the settings of organizations
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Change them (vendor); what is not given stays
    Set {
        /// The longest grace an organization may choose
        #[arg(long, value_name = "DAYS")]
        grace_max_days: Option<u64>,
        /// The shortest time from lock to stop
        #[arg(long, value_name = "DAYS")]
        stop_after_lock_min_days: Option<u64>,
        /// The longest time keys and sites may be in no group
        #[arg(long, value_name = "DAYS")]
        countdown_max_days: Option<u64>,
        /// The longest trial of a device
        #[arg(long, value_name = "DAYS")]
        trial_max_days: Option<u64>,
        /// The days a group must be compliant until its clocks start anew
        #[arg(long, value_name = "DAYS")]
        clock_reset_days: Option<u64>,
        /// Whether organizations may count door controllers by their configured doors
        #[arg(long, value_name = "BOOL")]
        configured_doors_allowed: Option<bool>,
        /// The largest share of its devices an organization may let one operation put on the way to lock without approval
        #[arg(long, value_name = "PERCENT")]
        hold_share_max_percent: Option<u64>,
        /// The largest number of devices it may, whatever their share
        #[arg(long, value_name = "DEVICES")]
        hold_devices_max: Option<u64>,
        /// How long a held operation waits for a decision
        #[arg(long, value_name = "DAYS")]
        held_days: Option<u64>,
        /// The slowest pace of lockouts an organization may choose, in devices a day; 0 allows none
        #[arg(long, value_name = "DEVICES")]
        lockout_pace_min: Option<u64>,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum PlatformCommand {
    /// List the alarms that stand: what is wrong, or will be (vendor)
    Alarms {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Freeze enforcement of every organization: devices that are connected reach no further lock and no stop (vendor)
    #[command(after_help = super::org::FREEZE)]
    Freeze {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// End that freeze; what came due meanwhile comes one lease later (vendor)
    Unfreeze {
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show whether everything is frozen, since when and by whom
    Frozen {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Organizations nothing is signed for because somebody else signs with our keys (vendor)
    #[command(subcommand)]
    Halts(HaltsCommand),
}

#[derive(Subcommand, Debug)]
pub(crate) enum HaltsCommand {
    /// List what devices showed or said that means a second signer
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say that it was looked into and is over, so that signing goes on
    #[command(
        after_help = "Stop the second daemon or revoke the stolen key first: what is signed elsewhere afterwards \
        halts again. Devices then get tokens above all they hold."
    )]
    Confirm {
        /// The organization, by id or name
        organization: String,
    },
}

const ALARMS: &[Column] = &[
    ("SEVERITY", "/severity"),
    ("CODE", "/code"),
    ("SUBJECT", "/subject"),
    ("SINCE", "/since"),
    ("WHAT", "/sentence"),
    ("WHAT TO DO", "/hint"),
];

const HALTS: &[Column] = &[
    ("ORGANIZATION", "/organization"),
    ("CAUSE", "/cause"),
    ("DEVICE", "/device"),
    ("TOKEN", "/version"),
    ("SINCE", "/since"),
    ("NOTHING SIGNED", "/halts"),
];

const FREEZE: &[Column] = &[("FROZEN", "/frozen"), ("AT", "/at"), ("WHAT", "/sentence")];

const FROZEN: &[Column] = &[
    ("FROZEN", "/frozen"),
    ("SINCE", "/freeze/since"),
    ("BY", "/freeze/by/name"),
    ("WHAT", "/freeze/sentence"),
];

const LIMITS: &[Column] = &[
    ("GRACE AT MOST", "/grace_max_secs"),
    ("STOP AFTER LOCK AT LEAST", "/stop_after_lock_min_secs"),
    ("COUNTDOWN AT MOST", "/countdown_max_secs"),
    ("TRIAL AT MOST", "/trial_max_secs"),
    ("CLOCKS RESET AFTER", "/clock_reset_secs"),
    ("CONFIGURED DOORS ALLOWED", "/configured_doors_allowed"),
    ("LOCKED WITHOUT APPROVAL AT MOST: SHARE %", "/hold_share_max_percent"),
    ("LOCKED WITHOUT APPROVAL AT MOST: DEVICES", "/hold_devices_max"),
    ("HELD OPERATIONS DROPPED AFTER", "/held_secs"),
    ("LOCKED A DAY AT LEAST", "/lockout_pace_min"),
];

const PRICES: &[Column] = &[("PRODUCT", "/product"), ("PRICE", "/price"), ("SINCE", "/since")];
const MODELS: &[Column] = &[("MODEL", "/model"), ("PRODUCT", "/product"), ("UNITS", "/units")];
const NOW: ChangeArgs = ChangeArgs { yes: true, dry_run: false };

pub(crate) fn price(context: &Context, command: PriceCommand) -> Result<(), Failure> {
    match command {
        PriceCommand::Set { prices, output } => {
            let mut done = Vec::new();
            for Pair { name, number } in prices {
                let path = format!("/api/v1/prices/{}", part(&name));
                let body = Some(json!({ "price": number }));
                let request = Change { method: Method::PUT, path: &path, body, ask: Ask::No };
                done.extend(context.client.change(&request, NOW, output)?.map(|answer| answer.body));
            }
            output::list(output, PRICES, done)
        }
        PriceCommand::List { output } => output::list(output, PRICES, context.client.list("/api/v1/prices")?),
    }
}

pub(crate) fn model(context: &Context, command: ModelCommand) -> Result<(), Failure> {
    match command {
        ModelCommand::Put { model, product, units, output } => {
            let path = format!("/api/v1/models/{}", part(&model));
            let body = Some(json!({ "product": product, "units": units }));
            let request = Change { method: Method::PUT, path: &path, body, ask: Ask::No };
            show(context.client.change(&request, NOW, output)?, output, MODELS)
        }
        ModelCommand::List { output } => output::list(output, MODELS, context.client.list("/api/v1/models")?),
    }
}

pub(crate) fn platform(context: &Context, command: PlatformCommand) -> Result<(), Failure> {
    match command {
        PlatformCommand::Alarms { output } => {
            output::list(output, ALARMS, context.client.list("/api/v1/platform/alarms")?)
        }
        PlatformCommand::Freeze { change, output } => {
            let (path, body) = ("/api/v1/platform/freeze", None);
            let request = Change { method: Method::POST, path, body, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, FREEZE)
        }
        PlatformCommand::Unfreeze { change, output } => {
            let (path, body) = ("/api/v1/platform/unfreeze", None);
            let request = Change { method: Method::POST, path, body, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, FREEZE)
        }
        PlatformCommand::Frozen { output } => {
            output::one(output, FROZEN, &context.client.get("/api/v1/platform/freeze")?.body)
        }
        PlatformCommand::Halts(HaltsCommand::List { output }) => {
            output::list(output, HALTS, context.client.list("/api/v1/platform/halts")?)
        }
        PlatformCommand::Halts(HaltsCommand::Confirm { organization }) => {
            let id = context.find_organization(&organization)?;
            let path = format!("/api/v1/platform/halts/{}/confirm", part(&id));
            context.client.send(Method::POST, &path, None, &[])?;
            output::note("Confirmed: signing goes on, and its devices get newer tokens.");
            Ok(())
        }
    }
}

pub(crate) fn limits(context: &Context, command: LimitsCommand) -> Result<(), Failure> {
    let path = "/api/v1/limits";
    match command {
        LimitsCommand::Show { output } => output::one(output, LIMITS, &context.client.get(path)?.body),
        LimitsCommand::Set {
            grace_max_days,
            stop_after_lock_min_days,
            countdown_max_days,
            trial_max_days,
            clock_reset_days,
            configured_doors_allowed,
            hold_share_max_percent,
            hold_devices_max,
            held_days,
            lockout_pace_min,
            output,
        } => {
            let secs = |days: Option<u64>| days.map(|days| days.saturating_mul(86_400));
            let body = Some(json!({
                "grace_max_secs": secs(grace_max_days),
                "stop_after_lock_min_secs": secs(stop_after_lock_min_days),
                "countdown_max_secs": secs(countdown_max_days),
                "trial_max_secs": secs(trial_max_days),
                "clock_reset_secs": secs(clock_reset_days),
                "configured_doors_allowed": configured_doors_allowed,
                "hold_share_max_percent": hold_share_max_percent,
                "hold_devices_max": hold_devices_max,
                "held_secs": secs(held_days),
                "lockout_pace_min": lockout_pace_min,
            }));
            let request = Change { method: Method::PUT, path, body, ask: Ask::No };
            show(context.client.change(&request, NOW, output)?, output, LIMITS)
        }
    }
}
