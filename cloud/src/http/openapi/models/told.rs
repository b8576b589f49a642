//! What the interface tells about groups and changes: explanations and previews.

use super::super::schema::{
    anything, count, either, flag, fraction, id, instant, list, maybe, object, said, secs, some, text, to,
    units,
};
use super::{Named, finding_code, group_state, joined, ladder};
use serde_json::Value;

/// How a group came to its date and verdict.
pub(super) fn explanations() -> Vec<Named> {
    let direction = either(&["set", "later", "earlier", "removed"]);
    let finding = vec![("code", finding_code()), ("product?", to("Product")), ("shortfall?", count())];
    let cause = vec![
        ("cause", either(&["expiry", "capacity"])),
        ("since", maybe(instant())),
        ("spent_before_secs", secs()),
        ("schedule", to("Schedule")),
        ("sentence", text()),
    ];
    vec![
        (
            "Schedule",
            object([
                ("grace_begins_at", maybe(instant())),
                ("lock_at", maybe(instant())),
                ("stop_at", maybe(instant())),
            ]),
        ),
        (
            "Coverage",
            object([
                ("device", text()),
                ("site", id("site")),
                ("site_name", text()),
                ("claimed_at", instant()),
                ("product", to("Product")),
                ("units", count()),
                ("keys", list(to("CoveringKey"))),
                ("missing", said(count(), "units no unassigned key had left for it")),
                ("until", maybe(instant())),
                ("sentence", text()),
            ]),
        ),
        (
            "CoveringKey",
            object([("key", id("key")), ("code", text()), ("units", count()), ("ends_at", instant())]),
        ),
        ("Clocks", object([("expiry", anything()), ("capacity", anything())])),
        ("Finding", joined(finding.clone(), Vec::new())),
        ("FindingInWords", joined(finding.clone(), vec![("sentence", text())])),
        (
            "DateMoved",
            object([
                ("at", instant()),
                ("version", count()),
                ("by", text()),
                ("from", maybe(fraction())),
                ("to", maybe(fraction())),
            ]),
        ),
        (
            "DateLine",
            object([
                ("key", id("key")),
                ("code", text()),
                ("order_number", text()),
                ("product", to("Product")),
                ("quantity", count()),
                ("weight", count()),
                ("ends_at", instant()),
                ("ends_at_secs", count()),
                ("mass", text()),
                ("moment", text()),
                ("share", fraction()),
                ("share_percent", text()),
            ]),
        ),
        (
            "DateExplanation",
            object([
                ("lines", list(to("DateLine"))),
                ("line_count", count()),
                ("sum_moment", text()),
                ("sum_mass", text()),
                ("exact_secs", fraction()),
                ("coterm_at", instant()),
                ("ended", flag()),
                ("days", count()),
                ("exact_days", maybe(fraction())),
                ("sentence", text()),
            ]),
        ),
        (
            "MoveExplanation",
            object([
                ("by", text()),
                ("seq", count()),
                ("at", instant()),
                ("direction", direction),
                ("from", maybe(fraction())),
                ("to", maybe(fraction())),
                ("exact_days", maybe(fraction())),
                ("days", count()),
                ("sentence", text()),
            ]),
        ),
        (
            "RenewalExplanation",
            object([
                ("keys", list(text())),
                ("capacity", units()),
                ("missing", units()),
                ("begins_at", maybe(instant())),
                ("exact_secs", maybe(fraction())),
                ("renewed_until", maybe(instant())),
                ("sentence", text()),
            ]),
        ),
        ("CauseExplanation", joined(finding, cause)),
        (
            "LadderStep",
            object([
                ("state", ladder()),
                ("at", instant()),
                ("devices", said(count(), "how many active devices it begins for")),
                ("reached", flag()),
                ("sentence", text()),
            ]),
        ),
        (
            "EarlyDevices",
            object([
                ("devices", count()),
                ("holder_count", count()),
                (
                    "holders",
                    said(list(to("EarlyHolder")), "at most 20 of `holder_count`, the earliest first"),
                ),
                ("rest", said(to("Schedule"), "of the other devices: what the group's own clocks give")),
                ("sentence", text()),
            ]),
        ),
        (
            "EarlyHolder",
            object([
                ("holder", object([("site?", id("site")), ("device?", text())])),
                ("name", text()),
                ("devices", count()),
                ("schedule", to("Schedule")),
            ]),
        ),
        (
            "PausedClock",
            object([
                ("cause", either(&["expiry", "capacity"])),
                ("spent_secs", secs()),
                ("to_lock_secs", secs()),
                ("to_stop_secs", secs()),
                ("resets_at", maybe(instant())),
                ("sentence", text()),
            ]),
        ),
        (
            "CarriedClock",
            object([
                ("cause", either(&["expiry", "capacity"])),
                ("running", flag()),
                ("spent_secs", secs()),
                ("to_lock_secs", secs()),
                ("to_stop_secs", secs()),
            ]),
        ),
        (
            "CarriedExplanation",
            object([
                ("holder", object([("site?", id("site")), ("device?", text())])),
                ("name", text()),
                ("arrived_at", instant()),
                ("origin", maybe(origin())),
                ("clocks", list(to("CarriedClock"))),
                ("resets_at", maybe(instant())),
                ("sentence", text()),
            ]),
        ),
        (
            "Cure",
            object([
                ("cure", either(&["assign", "move", "retire", "buy"])),
                ("sentence", text()),
                ("key?", id("key")),
                ("code?", text()),
                ("units?", units()),
                ("group?", id("grp")),
                ("name?", text()),
                ("free?", units()),
                ("devices?", list(text())),
            ]),
        ),
        (
            "GroupExplanation",
            object([
                ("group", id("grp")),
                ("name", text()),
                ("at", instant()),
                ("date", maybe(to("DateExplanation"))),
                ("no_date", maybe(text())),
                ("moved", maybe(to("MoveExplanation"))),
                ("renewal", maybe(to("RenewalExplanation"))),
                ("compliant", flag()),
                ("since", maybe(instant())),
                ("why", list(to("CauseExplanation"))),
                ("ladder", said(list(to("LadderStep")), "at most 100 of `ladder_count`")),
                ("ladder_count", count()),
                ("early?", to("EarlyDevices")),
                ("safety?", to("Safety")),
                ("paused", list(to("PausedClock"))),
                ("carried", said(list(to("CarriedExplanation")), "at most 100 of `carried_count`")),
                ("carried_count", count()),
                ("cures", list(to("Cure"))),
                ("text", list(text())),
            ]),
        ),
    ]
}

/// Where carried clocks came from.
fn origin() -> Value {
    object([
        ("came", either(&["moved", "within", "returned", "trial", "replaced"])),
        ("from?", id("grp")),
        ("site?", id("site")),
        ("device?", text()),
    ])
}

/// What a change would do.
pub(super) fn previews() -> Vec<Named> {
    vec![
        ("GroupState", joined(group_state(), Vec::new())),
        (
            "GroupChange",
            object([
                ("group", id("grp")),
                ("name", text()),
                ("before", maybe(to("GroupState"))),
                ("after", maybe(to("GroupState"))),
            ]),
        ),
        (
            "KeyChange",
            object([
                ("key", id("key")),
                ("code", text()),
                ("lines", list(to("KeyLine"))),
                ("before", maybe(to("KeyState"))),
                ("after", maybe(to("KeyState"))),
            ]),
        ),
        (
            "Place",
            object([
                ("place", either(&["root", "unassigned", "within"])),
                ("group?", id("grp")),
                ("since?", instant()),
                ("joins_at?", instant()),
                ("parent?", id("site")),
            ]),
        ),
        (
            "SiteMove",
            object([
                ("site", id("site")),
                ("name", text()),
                ("devices", count()),
                ("before", maybe(to("Place"))),
                ("after", maybe(to("Place"))),
                ("from", maybe(id("grp"))),
                ("to", maybe(id("grp"))),
            ]),
        ),
        (
            "DeviceMove",
            object([
                ("device", text()),
                ("from_site", maybe(id("site"))),
                ("to_site", maybe(id("site"))),
                ("from", maybe(id("grp"))),
                ("to", maybe(id("grp"))),
                ("units_before", maybe(count())),
                ("units_after", maybe(count())),
                ("before", maybe(to("DeviceState"))),
                ("after", maybe(to("DeviceState"))),
            ]),
        ),
        (
            "Proposal",
            object([
                ("from", maybe(id("grp"))),
                ("to", id("grp")),
                ("steps", list(to("ProposedStep"))),
                ("groups", list(to("GroupChange"))),
                (
                    "proven_smallest",
                    said(flag(), "no fewer steps do, nor as many with fewer splits or units"),
                ),
                ("proven_closest", said(flag(), "no other as small changes the dates less")),
            ]),
        ),
        (
            "LicenseAlong",
            object([
                ("key", said(to("Key"), "as it stands afterwards")),
                (
                    "parts?",
                    said(
                        some(to("Key"), 2, 2),
                        "of one that was split, the one that went along first; the only time their codes are shown",
                    ),
                ),
            ]),
        ),
        (
            "Imported",
            object([
                ("kind", text()),
                ("dry_run", flag()),
                ("lines", said(count(), "of the file, without the first")),
                ("imported", said(count(), "things: an order of several lines is one key")),
                ("version", count()),
                ("groups", list(to("GroupChange"))),
            ]),
        ),
        (
            "ImportUnderway",
            object([
                ("request_id", said(text(), "as in `X-Request-Id` of whoever sent it")),
                ("kind", text()),
                ("dry_run", flag()),
                ("phase", either(&crate::imports::Phase::NAMES)),
                ("bytes", said(count(), "that came in so far")),
                ("lines", said(count(), "that are read so far, without the first")),
                ("decided", said(count(), "lines that are decided so far; of orders, keys")),
            ]),
        ),
        ("NoProposal", object([("code", text()), ("missing?", units()), ("sentence", text())])),
        (
            "ProposedStep",
            object([
                ("key", id("key")),
                ("code", text()),
                ("goes", units()),
                ("stays", units()),
                ("sentence", text()),
            ]),
        ),
        ("Warning", object([("code", text()), ("group", maybe(id("grp"))), ("sentence", text())])),
        (
            "Preview",
            said(
                joined(
                    preview(),
                    vec![(
                        "receiver?",
                        said(to("ReceiverPreview"), "the same of the organization that gets a key"),
                    )],
                ),
                "what a change would do",
            ),
        ),
        (
            "ReceiverPreview",
            joined(vec![("organization", id("org")), ("organization_name", text())], preview()),
        ),
        (
            "PlatformPreview",
            said(
                object([("groups", list(anything())), ("events", list(text()))]),
                "what spans organizations touches no group: that it would be accepted",
            ),
        ),
    ]
}

/// The licenses that went along with a move, if it was asked for.
pub(super) fn along() -> Value {
    said(list(to("LicenseAlong")), "of a move with `bring_licenses` alone")
}

fn preview() -> Vec<Named> {
    vec![
        ("version", count()),
        ("at", instant()),
        ("groups", list(to("GroupChange"))),
        ("keys", list(to("KeyChange"))),
        ("sites", list(to("SiteMove"))),
        ("devices", list(to("DeviceMove"))),
        ("warnings", list(to("Warning"))),
        ("held?", said(to("Lockout"), "present if it would be held, and none of this would happen")),
        ("safety?", to("Safety")),
        ("proposal?", said(to("Proposal"), "the licenses that should go along with what moves")),
        ("no_proposal?", said(to("NoProposal"), "why none can go along although some are missing")),
        ("digest", text()),
        ("events", list(text())),
    ]
}
