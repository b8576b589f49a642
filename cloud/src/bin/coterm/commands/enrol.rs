//! `coterm enrol`: claim codes, devices that wait for approval, and devices approved beforehand.

use super::prelude::*;
use std::io::Read;
use std::path::PathBuf;

/// The longest list read, in bytes.
const MAX_LIST_BYTES: u64 = 8 * 1024 * 1024;
/// Devices in one request.
const AT_A_TIME: usize = 10_000;

#[derive(Subcommand, Debug)]
pub(crate) enum EnrolCommand {
    /// Claim codes: create, list, revoke
    #[command(subcommand)]
    Code(CodeCommand),
    /// List the devices that wait for approval
    Pending {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let in the device that waits with a claim code
    Approve {
        /// Id of the claim code, as in `coterm enrol pending`
        code: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Refuse the device that waits with a claim code
    Deny {
        /// Id of the claim code, as in `coterm enrol pending`
        code: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Devices that wait for nobody: add, list, remove
    #[command(subcommand)]
    Preauthorise(PreauthoriseCommand),
}

#[derive(Subcommand, Debug)]
pub(crate) enum CodeCommand {
    /// Create a claim code for one device; it is shown once
    Create {
        /// The site its device is claimed into, by id or name
        #[arg(long, value_name = "SITE")]
        site: String,
        /// The model of its device, from the catalog
        #[arg(long, value_name = "MODEL")]
        model: String,
        /// The only device that may use it
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// The device waits until somebody approves it
        #[arg(long)]
        approval: bool,
        /// The device starts on trial, for so many days
        #[arg(long, value_name = "DAYS")]
        trial_days: Option<u64>,
        /// For how many hours the code may be used
        #[arg(long, value_name = "HOURS", default_value_t = 168)]
        hours: u64,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the claim codes
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take back a claim code nobody used
    Revoke {
        /// Its id
        code: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Subcommand, Debug)]
pub(crate) enum PreauthoriseCommand {
    /// Put the devices of a file on the list: one id a line, or the first column of a CSV file
    Add {
        /// The file; `-` reads standard input
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show the list
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Take the devices of a file off the list
    Remove {
        /// The file; `-` reads standard input
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("CODE", "/code"),
    ("STATE", "/state"),
    ("SITE", "/site"),
    ("MODEL", "/model"),
    ("FOR", "/device"),
    ("ENDS AT", "/ends_at"),
    ("DEVICE", "/came/device"),
    ("KEY", "/came/key"),
];

const LISTED: &[Column] = &[("DEVICE", "/id")];
const COUNT: &[Column] = &[("PREAUTHORISED", "/preauthorised")];

pub(crate) fn run(context: &Context, command: EnrolCommand) -> Result<(), Failure> {
    match command {
        EnrolCommand::Code(command) => code(context, command),
        EnrolCommand::Pending { output } => {
            output::list(output, COLUMNS, context.client.list(&context.path("/enrolment/pending")?)?)
        }
        EnrolCommand::Approve { code, change, output } => {
            on_code(context, Method::POST, &code, "/approve", Ask::First, change, output)
        }
        EnrolCommand::Deny { code, change, output } => {
            on_code(context, Method::POST, &code, "/deny", Ask::First, change, output)
        }
        EnrolCommand::Preauthorise(command) => preauthorise(context, command),
    }
}

fn code(context: &Context, command: CodeCommand) -> Result<(), Failure> {
    match command {
        CodeCommand::Create { site, model, device, approval, trial_days, hours, change, output } => {
            let body = json!({
                "site": context.site(&site)?,
                "model": model,
                "device": device,
                "approval": approval,
                "trial_days": trial_days,
                "life_secs": hours.saturating_mul(3600),
            });
            let path = context.path("/enrolment/codes")?;
            let request = Change { method: Method::POST, path: &path, body: Some(body), ask: Ask::No };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        CodeCommand::List { output } => {
            output::list(output, COLUMNS, context.client.list(&context.path("/enrolment/codes")?)?)
        }
        CodeCommand::Revoke { code, change, output } => {
            on_code(context, Method::DELETE, &code, "", Ask::First, change, output)
        }
    }
}

fn on_code(
    context: &Context,
    method: Method,
    code: &str,
    verb: &str,
    ask: Ask,
    change: ChangeArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let path = context.path(&format!("/enrolment/codes/{}{verb}", part(code)))?;
    let request = Change { method, path: &path, body: None, ask };
    show(context.client.change(&request, change, output)?, output, COLUMNS)
}

fn preauthorise(context: &Context, command: PreauthoriseCommand) -> Result<(), Failure> {
    let (file, path, change, output) = match command {
        PreauthoriseCommand::List { output } => {
            let path = context.path("/enrolment/preauthorised")?;
            return output::list(output, LISTED, context.client.list(&path)?);
        }
        PreauthoriseCommand::Add { file, change, output } => {
            (file, "/enrolment/preauthorised", change, output)
        }
        PreauthoriseCommand::Remove { file, change, output } => {
            (file, "/enrolment/preauthorised/remove", change, output)
        }
    };
    let path = context.path(path)?;
    let text = read(&file)?;
    let devices = devices(&text);
    if devices.is_empty() {
        return Err(Failure::new(Exit::Invalid, format!("{} names no device", file.display())));
    }
    for some in devices.chunks(AT_A_TIME) {
        let body = Some(json!({ "devices": some.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() }));
        let request = Change { method: Method::POST, path: &path, body, ask: Ask::No };
        show(context.client.change(&request, change, output)?, output, COUNT)?;
    }
    Ok(())
}

fn read(file: &std::path::Path) -> Result<String, Failure> {
    let unread = |error: std::io::Error| Failure::new(Exit::Internal, format!("{}: {error}", file.display()));
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(MAX_LIST_BYTES).read_to_string(&mut text).map_err(unread)?;
    } else {
        let file = std::fs::File::open(file).map_err(unread)?;
        file.take(MAX_LIST_BYTES).read_to_string(&mut text).map_err(unread)?;
    }
    Ok(text)
}

/// The first column, without a heading, comments and empty lines.
fn devices(text: &str) -> Vec<&str> {
    let ids =
        text.lines().map(|line| line.split([',', ';', '\t']).next().unwrap_or("").trim().trim_matches('"'));
    ids.filter(|id| !id.is_empty() && !id.starts_with('#') && !matches!(*id, "device" | "id" | "serial"))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_list_is_read_from_lines_and_from_csv() {
        let csv = "device,site\n\"cam-1\",North\ncam-2;x\n\n# spare\ncam-3\r\n";
        assert_eq!(super::devices(csv), ["cam-1", "cam-2", "cam-3"]);
    }
}
