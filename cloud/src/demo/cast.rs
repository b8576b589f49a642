//! Who is on stage: an organization built on the examples of licensing everybody asks about.
//!
//! *Headquarters* is the example with two product types (one year of a camera, three years of an environmental sensor:
//! 771 days), *Warehouses* the one with two terms (one year and three years of a camera: 730 days), *Shops* is the group
//! whose term is about to end.

use super::DemoError;
use super::api::{Api, text};
use super::fleet::Obeys;
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::{Value, json};

/// A device to be.
pub(super) struct Role {
    pub(super) id: &'static str,
    model: &'static str,
    site: &'static str,
    pub(super) group: &'static str,
    pub(super) obeys: Obeys,
}

/// Every device, by group.
pub(super) const ROLES: [Role; 6] = [
    Role { id: "cam-lobby", model: "CD42", site: "Lobby", group: HEADQUARTERS, obeys: Obeys::Workload },
    Role {
        id: "air-server-room",
        model: "SV23",
        site: "Server room",
        group: HEADQUARTERS,
        obeys: Obeys::Workload,
    },
    Role {
        id: "cam-dock-1",
        model: "CB52",
        site: "Warehouse North",
        group: WAREHOUSES,
        obeys: Obeys::Workload,
    },
    Role {
        id: "cam-dock-2",
        model: "CB52",
        site: "Warehouse North",
        group: WAREHOUSES,
        obeys: Obeys::Workload,
    },
    Role { id: "cam-shop", model: "CD42", site: "Shop floor", group: SHOPS, obeys: Obeys::Workload },
    Role { id: "door-shop", model: "AC42", site: "Shop Milan", group: SHOPS, obeys: Obeys::Hook },
];

pub(super) const HEADQUARTERS: &str = "Headquarters";
pub(super) const WAREHOUSES: &str = "Warehouses";
pub(super) const SHOPS: &str = "Shops";

/// The sites: name, parent, group of a root.
const SITES: [(&str, Option<&str>, &str); 6] = [
    ("HQ Building", None, HEADQUARTERS),
    ("Lobby", Some("HQ Building"), HEADQUARTERS),
    ("Server room", Some("HQ Building"), HEADQUARTERS),
    ("Warehouse North", None, WAREHOUSES),
    ("Shop Milan", None, SHOPS),
    ("Shop floor", Some("Shop Milan"), SHOPS),
];

/// Terms are sold in years of 365 days (domain D2).
const YEAR: u32 = 365;

/// The organization on stage, and what the script needs to know of it.
pub(super) struct Stage {
    pub(super) organization: String,
    pub(super) groups: Vec<(&'static str, String)>,
    sites: Vec<(&'static str, String)>,
    /// The code of the key that cures *Shops*.
    pub(super) cure: String,
    /// The code of a key nobody has claimed, for the audience.
    pub(super) spare: String,
}

impl Stage {
    pub(super) fn group(&self, name: &str) -> &str {
        self.groups.iter().find(|(group, _)| *group == name).map_or("", |(_, id)| id)
    }
}

/// How long the steps of the ladder take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) term_left: Seconds,
    pub(super) grace: Seconds,
    pub(super) stop_after_lock: Seconds,
}

/// Builds the organization, all but the key whose end starts the ladder.
pub(super) fn build(api: &Api, pace: &Pace) -> Result<Stage, DemoError> {
    for (product, price) in [("camera", 19_900), ("door", 19_900), ("environmental-sensor", 24_900)] {
        api.send("PUT", &format!("/api/v1/prices/{product}"), &json!({ "price": price }))?;
    }
    for (model, product, units) in [
        ("CD42", "camera", 1),
        ("CB52", "camera", 1),
        ("AC42", "door", 4),
        ("SV23", "environmental-sensor", 1),
    ] {
        api.send("PUT", &format!("/api/v1/models/{model}"), &json!({ "product": product, "units": units }))?;
    }
    let organization = text(
        &api.post(
            "/api/v1/organizations",
            &json!({ "name": "Northwind Logistics", "license_groups": true }),
        )?,
        "id",
    );
    let base = format!("/api/v1/organizations/{organization}");

    let default_group = text(&api.get(&base)?, "default_group");
    api.send("PATCH", &format!("{base}/groups/{default_group}"), &json!({ "name": HEADQUARTERS }))?;
    let mut groups = vec![(HEADQUARTERS, default_group)];
    for name in [WAREHOUSES, SHOPS] {
        let mut body = json!({ "name": name });
        if name == SHOPS {
            body = json!({ "name": name, "settings": { "grace_secs": pace.grace.0, "stop_after_lock_secs": pace.stop_after_lock.0 } });
        }
        groups.push((name, text(&api.post(&format!("{base}/groups"), &body)?, "id")));
    }
    let group_id = |name: &str| groups.iter().find(|(group, _)| *group == name).map(|(_, id)| id.clone());

    let mut sites: Vec<(&'static str, String)> = Vec::new();
    for (name, parent, group) in SITES {
        let site_id = |name: &str| sites.iter().find(|(site, _)| *site == name).map(|(_, id)| id.clone());
        let body = match parent {
            Some(parent) => json!({ "name": name, "parent": site_id(parent) }),
            None => json!({ "name": name, "group": group_id(group) }),
        };
        sites.push((name, text(&api.post(&format!("{base}/sites"), &body)?, "id")));
    }
    for (group, lines, years) in [
        (HEADQUARTERS, vec![("camera", 1)], 1),
        (HEADQUARTERS, vec![("environmental-sensor", 1)], 3),
        (WAREHOUSES, vec![("camera", 1)], 1),
        (WAREHOUSES, vec![("camera", 1)], 3),
    ] {
        let code = issue(api, &lines, years * YEAR, None)?;
        claim(api, &organization, &code, group_id(group).as_deref())?;
    }
    let cure = issue(api, &[("camera", 2), ("door", 4)], YEAR, None)?;
    let spare = issue(api, &[("camera", 5), ("door", 8)], YEAR, None)?;
    Ok(Stage { organization, groups, sites, cure, spare })
}

/// Claims a device into its site.
pub(super) fn claim_device(api: &Api, stage: &Stage, role: &Role) -> Result<Value, DemoError> {
    let site = stage.sites.iter().find(|(site, _)| *site == role.site).map(|(_, id)| id);
    let path = format!("/api/v1/organizations/{}/devices", stage.organization);
    Ok(api.post(&path, &json!({ "id": role.id, "site": site, "model": role.model }))?)
}

/// Gives *Shops* a key that was bought almost a year ago: `term_left` of it remains.
pub(super) fn license_shops(
    api: &Api,
    stage: &Stage,
    now: Timestamp,
    pace: &Pace,
) -> Result<Value, DemoError> {
    let bought = now.saturating_add(pace.term_left).saturating_sub(Seconds::days(u64::from(YEAR)));
    let code = issue(api, &[("camera", 1), ("door", 4)], YEAR, Some(bought))?;
    claim(api, &stage.organization, &code, Some(stage.group(SHOPS)))
}

/// Claims a key into a group.
pub(super) fn claim(
    api: &Api,
    organization: &str,
    code: &str,
    group: Option<&str>,
) -> Result<Value, DemoError> {
    let path = format!("/api/v1/organizations/{organization}/keys/claim");
    Ok(api.post(&path, &json!({ "code": code, "group": group }))?)
}

fn issue(
    api: &Api,
    lines: &[(&str, u64)],
    term_days: u32,
    created_at: Option<Timestamp>,
) -> Result<String, DemoError> {
    let lines: Vec<Value> =
        lines.iter().map(|(product, quantity)| json!({ "product": product, "quantity": quantity })).collect();
    let mut body = json!({ "order_number": "PO-2026-117", "lines": lines, "term_days": term_days });
    if let (Some(at), Some(fields)) = (created_at, body.as_object_mut()) {
        fields.insert("created_at".to_owned(), json!(at));
    }
    Ok(text(&api.post("/api/v1/keys", &body)?, "code"))
}
