//! What the interface shows, as schemas: the views of the licensing rules, and the interface's own documents.

mod notices;
mod outlook;
mod safety;
mod told;

use super::codes;
use super::schema::{
    anything, count, either, flag, fraction, id, instant, list, maybe, object, said, secs, some, text, to,
    units,
};
use serde_json::{Map, Value, json};

/// Every schema by its name.
pub(super) fn all() -> Value {
    let parts = places()
        .into_iter()
        .chain(keys())
        .chain(told::explanations())
        .chain(told::previews())
        .chain(outlook::access())
        .chain(safety::safety())
        .chain(notices::notices())
        .chain(others());
    parts.map(|(name, schema)| (name.to_owned(), schema)).collect::<Map<String, Value>>().into()
}

type Named = (&'static str, Value);

fn places() -> Vec<Named> {
    let settings = [
        ("grace_secs", secs()),
        ("stop_after_lock_secs", secs()),
        ("time_zone", text()),
        ("scope", either(&["group", "product"])),
    ];
    let [grace, stop, zone, scope] = settings.clone();
    vec![
        (
            "Settings",
            object([
                grace,
                stop,
                zone,
                scope,
                ("countdown_secs", secs()),
                ("door_units", either(&["model", "configured"])),
                ("hold_share_percent", count()),
                ("hold_devices", count()),
                ("lockout_pace?", said(count(), "devices a day")),
            ]),
        ),
        ("Overrides", object(settings.map(|(name, schema)| (optional(name), schema)))),
        (
            "Limits",
            object([
                ("grace_max_secs", secs()),
                ("stop_after_lock_min_secs", secs()),
                ("countdown_max_secs", secs()),
                ("trial_max_secs", secs()),
                ("clock_reset_secs", secs()),
                ("configured_doors_allowed", flag()),
                ("hold_share_max_percent", count()),
                ("hold_devices_max", count()),
                ("held_secs", secs()),
                ("lockout_pace_min?", said(count(), "devices a day; absent: no pace may be chosen")),
            ]),
        ),
        (
            "Organization",
            object([
                ("id", id("org")),
                ("name", text()),
                ("founded_at", instant()),
                ("version", count()),
                ("settings", to("Settings")),
                ("default_group", id("grp")),
                ("default_group_name", text()),
                ("groups", count()),
                ("noncompliant_groups", count()),
                ("active_devices", count()),
                ("trial_devices", count()),
                ("groups_enabled", flag()),
                ("unassigned_sites", count()),
                ("unassigned_keys", count()),
                ("safety?", to("Safety")),
            ]),
        ),
        ("Group", group()),
        (
            "Site",
            object([
                ("id", id("site")),
                ("name", text()),
                ("parent", maybe(id("site"))),
                ("parent_name", maybe(text())),
                ("group", said(maybe(id("grp")), "its root's; null while it is unassigned")),
                ("group_name", maybe(text())),
                ("joins_at", said(maybe(instant()), "when an unassigned site joins the default group")),
                ("created_at", instant()),
                ("sub_sites", count()),
                ("devices", count()),
                ("licenses?", told::along()),
            ]),
        ),
        ("Device", device()),
        ("ClaimCode", claim_code()),
        ("Preauthorised", object([("id", text())])),
        ("PreauthorisedCount", object([("preauthorised", said(count(), "devices on the list"))])),
        (
            "Unassigned",
            object([
                ("kind", either(&["key", "site"])),
                ("id", text()),
                ("code?", text()),
                ("lines?", list(to("KeyLine"))),
                ("ends_at?", instant()),
                ("name?", text()),
                ("devices?", count()),
                ("since", instant()),
                ("joins_at", instant()),
                ("left_secs", secs()),
                ("joins", text()),
            ]),
        ),
    ]
}

/// The same name, of a field that may be absent.
fn optional(name: &str) -> &'static str {
    match name {
        "grace_secs" => "grace_secs?",
        "stop_after_lock_secs" => "stop_after_lock_secs?",
        "time_zone" => "time_zone?",
        _ => "scope?",
    }
}

fn claim_code() -> Value {
    let came = object([("device", text()), ("key", text()), ("at", instant())]);
    object([
        ("id", id("clm")),
        ("code", said(text(), "masked but for its last characters, except where it is issued")),
        ("state", either(&["open", "ended", "pending", "used", "denied", "revoked"])),
        ("site", id("site")),
        ("model", text()),
        ("product", to("Product")),
        ("units", count()),
        ("trial_secs", maybe(secs())),
        ("device", said(maybe(text()), "the only device that may use it")),
        ("approval", flag()),
        ("issued_at", instant()),
        ("ends_at", instant()),
        ("came", said(maybe(came), "the device that came with it, and the SHA-256 of its public key")),
    ])
}

fn ladder() -> Value {
    either(&["licensed", "grace", "management-locked", "stopped"])
}

fn finding_code() -> Value {
    either(&["TERM_ENDED", "OVER_CAPACITY", "NO_LICENSE", "TRIAL_ENDED", "OFFLINE_BUDGET"])
}

fn group_state() -> Vec<Named> {
    vec![
        ("coterm_at", maybe(instant())),
        ("coterm_exact_secs", maybe(fraction())),
        ("capacity", units()),
        ("in_use", units()),
        ("compliant", flag()),
        ("findings", list(to("Finding"))),
        ("state", said(ladder(), "of the device that is farthest on the ladder")),
        ("schedule", said(to("Schedule"), "at every step, the earliest of any active device")),
        ("early?", said(to("EarlyDevices"), "the devices that lock or stop before the rest, if any do")),
        ("renewed_capacity?", units()),
        ("renewed_until?", instant()),
    ]
}

/// An object of two sets of fields.
fn joined(first: Vec<Named>, rest: Vec<Named>) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema) in first.into_iter().chain(rest) {
        let plain = name.trim_end_matches('?');
        if plain == name {
            required.push(name);
        }
        properties.insert(plain.to_owned(), schema);
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn group() -> Value {
    let own = vec![
        ("id", id("grp")),
        ("name", text()),
        ("is_default", flag()),
        ("created_at", instant()),
        ("why", list(to("FindingInWords"))),
        ("next", said(maybe(text()), "what happens next, in one sentence")),
        ("next_at", maybe(instant())),
        ("free", units()),
        ("active_devices", count()),
        ("active_keys", count()),
        ("queued_keys", count()),
        ("last_moved", maybe(to("DateMoved"))),
        ("sites", count()),
        ("settings", to("Settings")),
        ("overrides", to("Overrides")),
        ("licenses?", told::along()),
        ("safety?", to("Safety")),
    ];
    joined(own, group_state())
}

fn device_state() -> Vec<Named> {
    vec![
        ("state", either(&["active", "trial", "retired"])),
        ("ends_at?", said(instant(), "of a trial")),
        ("schedule?", said(to("Schedule"), "of a trial")),
        ("at?", said(instant(), "of a retired device: since when")),
        ("why?", said(text(), "of a retired device: `retired`, `replaced` or `stolen`")),
        ("by?", said(text(), "of a replaced device: what took its place")),
        ("clocks?", said(to("Clocks"), "of a retired device: what it had used up")),
    ]
}

fn device() -> Value {
    let own = vec![
        ("id", text()),
        ("site", id("site")),
        ("site_name", maybe(text())),
        ("group", maybe(id("grp"))),
        ("group_name", maybe(text())),
        ("model", text()),
        ("product", to("Product")),
        ("units", count()),
        ("model_units", count()),
        ("doors", maybe(count())),
        ("claimed_at", instant()),
        ("enforcement", maybe(ladder())),
        ("next", said(maybe(text()), "what is ahead of it, in words")),
        ("safety?", to("Safety")),
        ("status?", said(anything(), "what it said last and what it was sent last, if it was ever heard of")),
    ];
    let schedule = said(to("Schedule"), "the instants its token carries; null is never");
    joined(own, device_state().into_iter().chain([("schedule?", schedule)]).collect())
}

fn key_state() -> Vec<Named> {
    vec![
        ("state", either(&["active", "queued", "unassigned", "retired", "split", "transferred"])),
        ("group?", maybe(id("grp"))),
        ("left_secs?", secs()),
        ("since?", instant()),
        ("joins_at?", instant()),
        ("at?", instant()),
        ("children?", some(id("key"), 2, 2)),
    ]
}

fn keys() -> Vec<Named> {
    let line = [("product", to("Product")), ("quantity", count()), ("weight", count())];
    let issued = vec![
        ("id", id("key")),
        ("code", said(text(), "masked, but for the one answer that issues it")),
        ("order_number", text()),
        ("lines", list(to("IssuedLine"))),
        ("term_days", count()),
        ("created_at", instant()),
        ("ends_at?", instant()),
    ];
    let [product, quantity, weight] = line.clone();
    let claimed = vec![
        ("id", id("key")),
        ("code", text()),
        ("order_number", text()),
        ("lines", list(to("KeyLine"))),
        ("term_days", count()),
        ("created_at", instant()),
        ("ends_at", instant()),
        ("own_left_secs", secs()),
        ("group_name", maybe(text())),
        ("next", maybe(text())),
        ("claimed_at", instant()),
    ];
    vec![
        ("KeyLine", object(line)),
        ("IssuedLine", object([product, quantity, ("weight?", weight.1)])),
        ("IssuedKey", joined(issued, Vec::new())),
        ("Key", joined(claimed, key_state())),
        ("SplitKey", object([("split", to("Key")), ("parts", some(to("Key"), 2, 2))])),
        ("KeyState", joined(key_state(), Vec::new())),
        ("DeviceState", joined(device_state(), Vec::new())),
    ]
}

fn others() -> Vec<Named> {
    let side = || object([("coterm_at", maybe(instant())), ("capacity", units()), ("in_use", units())]);
    let token = || {
        vec![
            ("id", id("tok")),
            ("name", text()),
            ("role", either(&["vendor", "org-admin", "org-viewer", "monitor"])),
            ("organization?", id("org")),
            ("created_at", instant()),
            ("created_by", text()),
            ("expires_at?", instant()),
            ("revoked_at?", instant()),
        ]
    };
    let product = "`camera`, `door`, `environmental-sensor`, ..., or `product-N`";
    vec![
        ("Product", said(text(), product)),
        (
            "Price",
            object([
                ("product", to("Product")),
                ("price", count()),
                ("version?", count()),
                ("since", instant()),
            ]),
        ),
        ("Model", object([("model", text()), ("product", to("Product")), ("units", count())])),
        ("Token", joined(token(), Vec::new())),
        ("NewToken", joined(token(), vec![("token?", said(text(), "the secret, in this answer alone"))])),
        (
            "Transaction",
            object([
                ("seq", count()),
                ("at", instant()),
                ("recorded_at", instant()),
                ("actor", text()),
                ("request_id", text()),
                (
                    "event",
                    json!({ "type": "object", "properties": { "type": text() }, "required": ["type"],
                    "additionalProperties": true, "description": "the event as it is stored and hashed" }),
                ),
                ("change", maybe(object([("group", id("grp")), ("before", side()), ("after", side())]))),
                ("hash", text()),
            ]),
        ),
        (
            "Verdict",
            object([("intact", flag()), ("entries?", count()), ("hash?", text()), ("fault?", text())]),
        ),
        (
            "Bundle",
            object([
                ("device", text()),
                ("certificate", object([("serial", text()), ("ends_at", instant()), ("replaced", count())])),
                ("files", list(object([("name", text()), ("text?", text()), ("base64?", text())]))),
            ]),
        ),
        (
            "WhoAmI",
            object([
                ("id", text()),
                ("name", text()),
                ("role", either(&["vendor", "org-admin", "org-viewer", "monitor"])),
                ("organization", maybe(id("org"))),
            ]),
        ),
        (
            "Alarm",
            object([
                ("code", text()),
                ("severity", text()),
                ("subject", text()),
                ("since", instant()),
                ("sentence", text()),
                ("hint", text()),
            ]),
        ),
        (
            "Halt",
            object([
                ("organization", id("organization")),
                ("since", instant()),
                ("device", text()),
                ("version", maybe(object([("epoch", count()), ("seq", count())]))),
                ("cause", either(&["foreign-token", "contradiction", "claim"])),
                ("halts", flag()),
            ]),
        ),
        (
            "Time",
            object([
                ("now", instant()),
                (
                    "machine",
                    said(instant(), "what the clock of the machine says, which a confirmation adopts"),
                ),
                ("doubt", maybe(text())),
            ]),
        ),
        ("Status", object([("status", text())])),
        (
            "Fault",
            object([
                ("code", either(&codes::all())),
                ("message", text()),
                ("hint?", text()),
                ("field?", text()),
            ]),
        ),
        (
            "Problem",
            said(
                object([
                    ("type", text()),
                    ("title", text()),
                    ("status", count()),
                    ("code", said(text(), "stable, for programs")),
                    ("detail", said(text(), "what is wrong, for people")),
                    ("hint?", said(text(), "what to do about it, for people")),
                    ("errors?", said(list(to("Fault")), "every finding")),
                ]),
                "a refusal or failure (RFC 9457)",
            ),
        ),
    ]
}
