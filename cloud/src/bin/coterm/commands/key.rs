//! `coterm key`: license keys. Issued by the vendor, claimed by an organization.

use super::prelude::*;
use std::str::FromStr;

#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Issue a license key (vendor); its code is shown once
    Issue {
        /// The order it was bought with
        #[arg(long, value_name = "ORDER")]
        order: String,
        /// What it licenses, such as camera=10; may be given several times
        #[arg(long = "line", value_name = "PRODUCT=QUANTITY", required = true)]
        lines: Vec<Pair>,
        /// Its term: days (365) or years (3y)
        #[arg(long, value_name = "TERM", value_parser = term_days)]
        term: u64,
        /// When it was bought, such as 2027-01-01T00:00:00Z; its clock runs from here. Default: now
        #[arg(long, value_name = "INSTANT")]
        created_at: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a key contains, without claiming it
    Inspect {
        code: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Claim a key for the organization; without --group it joins the default group
    Claim {
        code: String,
        /// The license group it joins, by id or name
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the organization's keys, masked
    List {
        /// All keys ever issued, of all organizations (vendor)
        #[arg(long)]
        issued: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `name=number`, as on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) number: u64,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once('=').ok_or("write NAME=NUMBER, such as camera=10")?;
        let number = number.parse().map_err(|_| format!("{number:?} is not a number"))?;
        Ok(Pair { name: name.to_owned(), number })
    }
}

fn term_days(text: &str) -> Result<u64, String> {
    let (number, days) = match text.strip_suffix('y') {
        Some(years) => (years, 365),
        None => (text.strip_suffix('d').unwrap_or(text), 1),
    };
    let number: u64 = number.parse().map_err(|_| String::from("write days (365) or years (3y)"))?;
    number.checked_mul(days).ok_or_else(|| String::from("too long"))
}

const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("CODE", "/code"),
    ("STATE", "/state"),
    ("GROUP", "/group"),
    ("ORDER", "/order_number"),
    ("LINES", "/lines"),
    ("TERM DAYS", "/term_days"),
    ("CREATED", "/created_at"),
    ("ENDS", "/ends_at"),
];

pub(crate) fn run(context: &Context, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Issue { order, lines, term, created_at, output } => {
            let lines: Vec<Value> =
                lines.iter().map(|line| json!({ "product": line.name, "quantity": line.number })).collect();
            let body = Some(
                json!({ "order_number": order, "term_days": term, "lines": lines, "created_at": created_at }),
            );
            let request = Change { method: Method::POST, path: "/api/v1/keys", body, ask: Ask::No };
            let change = ChangeArgs { yes: true, dry_run: false };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        KeyCommand::Inspect { code, output } => {
            let path = context.path("/keys/inspect")?;
            let answer = context.client.send(Method::POST, &path, Some(&json!({ "code": code })), &[])?;
            output::one(output, COLUMNS, &answer.body)
        }
        KeyCommand::Claim { code, group, change, output } => {
            let group = group.map(|named| context.group(&named)).transpose()?;
            let path = context.path("/keys/claim")?;
            let body = Some(json!({ "code": code, "group": group }));
            let request = Change { method: Method::POST, path: &path, body, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        KeyCommand::List { issued, output } => {
            let path = if issued { String::from("/api/v1/keys") } else { context.path("/keys")? };
            output::list(output, COLUMNS, context.client.list(&path)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_days_or_years() {
        assert_eq!(term_days("365"), Ok(365));
        assert_eq!(term_days("30d"), Ok(30));
        assert_eq!(term_days("3y"), Ok(1095));
        for bad in ["", "y", "3m", "-1", "99999999999999999999y", "18446744073709551615y"] {
            assert!(term_days(bad).is_err(), "{bad}");
        }
    }
}
