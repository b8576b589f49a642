//! `coterm key`: license keys. Issued by the vendor, claimed by an organization.

use super::prelude::*;
use crate::output::Format;
use coterm_shared::id::KeyId;
use coterm_shared::licensing::ClaimMode;
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
        /// Mail the buyer what was issued and how to claim it; the code is not in that mail
        #[arg(long, value_name = "EMAIL")]
        notify: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show what a key contains, without claiming it
    Inspect {
        /// The code, as in the order mail
        code: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Claim a key for the organization; without --group it stays unassigned if license groups are enabled
    Claim {
        /// The code, as in the order mail
        code: String,
        /// The license group it joins, by id or name
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// increase: usable at once (default); renewal: waits for the end of the group's term
        #[arg(long = "as", value_name = "MODE")]
        mode: Option<ClaimMode>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move a key to a license group, from another or from Unassigned
    Move {
        /// Id, or the last five characters of its code
        key: String,
        /// The license group, by id or name
        #[arg(long, value_name = "GROUP")]
        group: String,
        /// increase or renewal; without it, a key that waits as a renewal goes on waiting
        #[arg(long = "as", value_name = "MODE")]
        mode: Option<ClaimMode>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Return a key to Unassigned
    Unclaim {
        /// Id, or the last five characters of its code
        key: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Split a key in two, each with a new code that is shown once
    #[command(
        after_help = "Example: coterm key split ABCDE --part \"camera=3,door=1@North\" --part camera=2@South:renewal\n\n\
        Together the parts hold exactly what the key holds. A part without @GROUP stays unassigned, or is in\n\
        Group 1 until license groups are enabled. With --to, the vendor gives the second part to another organization in\n\
        the same step; it arrives unassigned, or in Group 1 of one that has not enabled license groups."
    )]
    Split {
        /// Id, or the last five characters of its code
        key: String,
        /// One part: what it takes, then @GROUP and :increase or :renewal if it shall join a group; given twice
        #[arg(long = "part", value_name = "PRODUCT=QUANTITY[,...][@GROUP[:MODE]]", required = true)]
        parts: Vec<Part>,
        /// Who gets the second part, by id or name (vendor)
        #[arg(long, value_name = "ORG")]
        to: Option<String>,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give an unassigned key to another organization (vendor); it arrives unassigned, or in the one group of an
    /// organization that has not enabled license groups
    Transfer {
        /// Id, or the last five characters of its code
        key: String,
        /// Who gets it, by id or name
        #[arg(long, value_name = "ORG")]
        to: String,
        #[command(flatten)]
        change: ChangeArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show a key, its code masked
    Show {
        /// Id, or the last five characters of its code
        key: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the organization's keys, masked: where each is and what happens to it next
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

/// A part of a key to be split, as on the command line: `camera=3,door=1@North:renewal`.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    lines: Vec<Pair>,
    /// The group, by id or name.
    group: Option<String>,
    mode: Option<ClaimMode>,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (lines, target) = match text.split_once('@') {
            Some((lines, target)) => (lines, Some(target)),
            None => (text, None),
        };
        let lines = lines.split(',').map(str::parse).collect::<Result<_, _>>()?;
        // A group's name may hold a colon: only what is a mode is one.
        let named = target.and_then(|target| {
            let (group, mode) = target.rsplit_once(':')?;
            Some((group, mode.parse::<ClaimMode>().ok()?))
        });
        let (group, mode) = match named {
            Some((group, mode)) => (Some(group), Some(mode)),
            None => (target, None),
        };
        if group == Some("") {
            return Err(String::from("write the name or id of a group after @"));
        }
        Ok(Part { lines, group: group.map(str::to_owned), mode })
    }
}

fn lines_of(lines: &[Pair]) -> Vec<Value> {
    lines.iter().map(|line| json!({ "product": line.name, "quantity": line.number })).collect()
}

fn mode_of(mode: Option<ClaimMode>) -> Option<&'static str> {
    mode.map(ClaimMode::name)
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
    ("GROUP", "/group_name"),
    ("ORDER", "/order_number"),
    ("LINES", "/lines"),
    ("TERM DAYS", "/term_days"),
    ("CREATED", "/created_at"),
    ("ENDS", "/ends_at"),
    ("NEXT", "/next"),
];

pub(crate) fn run(context: &Context, command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Issue { order, lines, term, created_at, notify, output } => {
            let body = Some(json!({ "order_number": order, "term_days": term, "lines": lines_of(&lines),
                "created_at": created_at, "notify": &notify }));
            let request = Change { method: Method::POST, path: "/api/v1/keys", body, ask: Ask::No };
            let change = ChangeArgs { yes: true, dry_run: false };
            show(context.client.change(&request, change, output)?, output, COLUMNS)?;
            output::note("The code is shown this once: whoever has it can claim the key.");
            if let Some(buyer) = notify {
                output::note(format!(
                    "{buyer} is told what was issued, without the code: give them that yourself."
                ));
            }
            Ok(())
        }
        KeyCommand::Inspect { code, output } => {
            let path = context.path("/keys/inspect")?;
            let answer = context.client.send(Method::POST, &path, Some(&json!({ "code": code })), &[])?;
            output::one(output, COLUMNS, &answer.body)
        }
        KeyCommand::Claim { code, group, mode, change, output } => {
            let group = group.map(|named| context.group(&named)).transpose()?;
            let path = context.path("/keys/claim")?;
            let body = Some(json!({ "code": code, "group": group, "mode": mode_of(mode) }));
            let request = Change { method: Method::POST, path: &path, body, ask: Ask::First };
            show(context.client.change(&request, change, output)?, output, COLUMNS)
        }
        KeyCommand::Move { key, group, mode, change, output } => {
            let body = Some(json!({ "group": context.group(&group)?, "mode": mode_of(mode) }));
            deed(context, &key, "move", body, change, output)
        }
        KeyCommand::Unclaim { key, change, output } => deed(context, &key, "unclaim", None, change, output),
        KeyCommand::Split { key, parts, to, change, output } => {
            let to = to.map(|named| context.find_organization(&named)).transpose()?;
            split(context, &key, parts, to, change, output)
        }
        KeyCommand::Transfer { key, to, change, output } => {
            let body = Some(json!({ "to": context.find_organization(&to)? }));
            deed(context, &key, "transfer", body, change, output)
        }
        KeyCommand::Show { key, output } => {
            let path = context.path(&format!("/keys/{}", find(context, &key)?))?;
            output::one(output, COLUMNS, &context.client.get(&path)?.body)
        }
        KeyCommand::List { issued, output } => {
            let path = if issued { String::from("/api/v1/keys") } else { context.path("/keys")? };
            output::list(output, COLUMNS, context.client.list(&path)?)
        }
    }
}

/// Does something with one key, and shows it afterwards.
fn deed(
    context: &Context,
    key: &str,
    verb: &str,
    body: Option<Value>,
    change: ChangeArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let path = context.path(&format!("/keys/{}/{verb}", find(context, key)?))?;
    let request = Change { method: Method::POST, path: &path, body, ask: Ask::First };
    show(context.client.change(&request, change, output)?, output, COLUMNS)
}

fn split(
    context: &Context,
    key: &str,
    parts: Vec<Part>,
    to: Option<String>,
    change: ChangeArgs,
    output: OutputArgs,
) -> Result<(), Failure> {
    let mut asked = Vec::with_capacity(parts.len());
    for Part { lines, group, mode } in parts {
        let group = group.map(|named| context.group(&named)).transpose()?;
        asked.push(json!({ "lines": lines_of(&lines), "group": group, "mode": mode_of(mode) }));
    }
    if let (Some(to), Some(part)) = (to, asked.get_mut(1).and_then(Value::as_object_mut)) {
        part.insert(String::from("organization"), json!(to));
    }
    let path = context.path(&format!("/keys/{}/split", find(context, key)?))?;
    let body = Some(json!({ "parts": asked }));
    let request = Change { method: Method::POST, path: &path, body, ask: Ask::First };
    let Some(Answer { body, .. }) = context.client.change(&request, change, output)? else { return Ok(()) };
    if output.format == Format::Json {
        output::json(&body)?;
    } else {
        let made = body.get("parts").and_then(Value::as_array).cloned().unwrap_or_default();
        output::list(output, COLUMNS, made)?;
    }
    output::note(
        "The codes are shown this once. The code of the key that was split cannot be claimed any more.",
    );
    Ok(())
}

/// The id of a key given by its id or by the last five characters of its code.
fn find(context: &Context, named: &str) -> Result<String, Failure> {
    if named.parse::<KeyId>().is_ok() {
        return Ok(named.to_owned());
    }
    let tail = named.to_uppercase();
    let all = context.client.list(&context.path("/keys")?)?;
    let ends = |key: &&Value| text(key, "code").rsplit('-').next() == Some(tail.as_str());
    let found: Vec<String> = all.iter().filter(ends).map(|key| text(key, "id")).collect();
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!(
                "NOT_FOUND: there is no license key with the id or the code ending {named:?}.\n  What there is: coterm key list"
            ),
        )),
        several => {
            let text =
                format!("AMBIGUOUS: several codes end with {named:?}; use an id: {}", several.join(", "));
            Err(Failure::new(Exit::Invalid, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_what_it_takes_and_where_it_goes() {
        let read = |text: &str| {
            text.parse::<Part>().map(|part| {
                let lines = part.lines.iter().map(|line| format!("{} {}", line.number, line.name));
                (lines.collect::<Vec<_>>().join(", "), part.group.unwrap_or_default(), mode_of(part.mode))
            })
        };
        let expect = |lines: &str, group: &str, mode| Ok((lines.to_owned(), group.to_owned(), mode));
        assert_eq!(read("camera=3,door=1@Group A"), expect("3 camera, 1 door", "Group A", None));
        assert_eq!(read("camera=2"), expect("2 camera", "", None));
        assert_eq!(read("camera=2@B:renewal"), expect("2 camera", "B", Some("renewal")));
        assert_eq!(read("camera=2@Hall: North@2"), expect("2 camera", "Hall: North@2", None));
        for bad in ["", "camera", "camera=x", "camera=1,,door=1", "camera=1@", "camera=1@:renewal"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

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
