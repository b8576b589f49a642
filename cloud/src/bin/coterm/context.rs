//! What most commands need: the server, the organization, and ids for the names people type.

use crate::client::{CONNECTION, Client, ServerArgs, encode};
use crate::failure::{Exit, Failure};
use clap::Args;
use serde_json::Value;

/// The organization a command works in.
#[derive(Args, Clone, Debug)]
pub(crate) struct OrgArgs {
    /// Organization, by id or name; default: the token's own, or the only one there is
    #[arg(long, global = true, env = "COTERM_ORG", value_name = "ORG", help_heading = CONNECTION)]
    org: Option<String>,
}

/// A connection and an organization, each made when first needed.
pub(crate) struct Context {
    pub(crate) client: Client,
    org: Option<String>,
}

impl Context {
    pub(crate) fn open(server: &ServerArgs, org: OrgArgs) -> Result<Context, Failure> {
        Ok(Context { client: Client::open(server)?, org: org.org })
    }

    /// The id of the organization that was meant.
    pub(crate) fn organization(&self) -> Result<String, Failure> {
        if let Some(named) = &self.org {
            return self.find_organization(named);
        }
        let own = self.client.get("/api/v1/whoami")?.body;
        if let Some(id) = own.get("organization").and_then(Value::as_str) {
            return Ok(id.to_owned());
        }
        let all = self.client.list("/api/v1/organizations")?;
        match all.as_slice() {
            [only] => Ok(text(only, "id")),
            [] => Err(Failure::new(
                Exit::NotFound,
                "NO_ORGANIZATION: there is none yet.\n  Create one: coterm org create NAME",
            )),
            several => {
                const NAMED: usize = 5;
                let mut names: Vec<String> =
                    several.iter().take(NAMED).map(|org| format!("{:?}", text(org, "name"))).collect();
                if several.len() > NAMED {
                    names.push(format!("and {} more", several.len().saturating_sub(NAMED)));
                }
                let text = format!(
                    "WHICH_ORGANIZATION: there are several: {}.\n  Say --org NAME or set COTERM_ORG.",
                    names.join(", ")
                );
                Err(Failure::new(Exit::Invalid, text))
            }
        }
    }

    /// The organization with this id or name.
    pub(crate) fn find_organization(&self, named: &str) -> Result<String, Failure> {
        if is_id(named, "org_") {
            return Ok(named.to_owned());
        }
        pick(self.client.list("/api/v1/organizations")?, named, "organization")
    }

    /// The path of something in the organization.
    pub(crate) fn path(&self, rest: &str) -> Result<String, Failure> {
        Ok(format!("/api/v1/organizations/{}{rest}", self.organization()?))
    }

    /// The id of a group given by id or name.
    pub(crate) fn group(&self, named: &str) -> Result<String, Failure> {
        self.resolve(named, "grp_", "groups", "group")
    }

    /// The id of a site given by id or name.
    pub(crate) fn site(&self, named: &str) -> Result<String, Failure> {
        self.resolve(named, "site_", "sites", "site")
    }

    fn resolve(&self, named: &str, prefix: &str, list: &str, what: &str) -> Result<String, Failure> {
        if is_id(named, prefix) {
            return Ok(named.to_owned());
        }
        pick(self.client.list(&self.path(&format!("/{list}"))?)?, named, what)
    }
}

fn is_id(named: &str, prefix: &str) -> bool {
    named
        .strip_prefix(prefix)
        .is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn pick(all: Vec<Value>, named: &str, what: &str) -> Result<String, Failure> {
    let ids = |same: &dyn Fn(&str) -> bool| -> Vec<String> {
        all.iter().filter(|item| same(&text(item, "name"))).map(|item| text(item, "id")).collect()
    };
    let exact = ids(&|name| name == named);
    // Upper and lower case count as the same when names are given, so they do when names are used.
    let found =
        if exact.is_empty() { ids(&|name| name.to_lowercase() == named.to_lowercase()) } else { exact };
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(
            Exit::NotFound,
            format!(
                "NOT_FOUND: there is no {what} with the id or name {named:?}.\n  What there is: coterm {} list",
                if what == "organization" { "org" } else { what }
            ),
        )),
        several => {
            let text =
                format!("AMBIGUOUS: several have the name {named:?}; use an id: {}", several.join(", "));
            Err(Failure::new(Exit::Invalid, text))
        }
    }
}

/// A text field of a JSON object, empty if absent.
pub(crate) fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A part of a path.
pub(crate) fn part(text: &str) -> String {
    encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_any_case_and_exactly_first() {
        let all = || {
            [("1", "Shops"), ("2", "North"), ("3", "north")]
                .map(|(id, name)| serde_json::json!({"id": id, "name": name}))
        };
        let find = |named: &str| pick(all().to_vec(), named, "group").map_err(|failure| failure.text);
        assert_eq!(find("shops").as_deref(), Ok("1"));
        assert_eq!(find("north").as_deref(), Ok("3"));
        assert!(find("NORTH").is_err_and(|text| text.starts_with("AMBIGUOUS")));
        assert!(find("South").is_err_and(|text| text.starts_with("NOT_FOUND")));
    }
}
