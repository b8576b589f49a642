//! What the interface tells of access: who is kept out of what, and what changed.

use super::super::schema::{count, either, flag, id, instant, list, maybe, object, said, text, to};
use super::{Named, ladder};
use coterm_shared::licensing::ComingKind;
use coterm_shared::licensing::access::{AccessAction, AccessCode};
use serde_json::Value;

fn code() -> Value {
    either(&AccessCode::ALL.map(AccessCode::as_str))
}

fn kind() -> Value {
    either(&["organization", "site", "device"])
}

/// Answers about access, coming dates, and what is said of a forecast.
pub(super) fn access() -> Vec<Named> {
    let by_itself = "when it opens by itself: renewals that wait begin then";
    vec![
        (
            "Access",
            object([
                ("kind", kind()),
                ("id", said(maybe(text()), "null of the organization")),
                ("action", maybe(either(&AccessAction::ALL.map(AccessAction::name)))),
                ("allowed", flag()),
                ("code", code()),
                ("sentence", text()),
                ("hint", said(maybe(text()), "what would let people in; null if they are in")),
                ("state", said(maybe(ladder()), "null of the organization")),
                (
                    "mode",
                    said(
                        maybe(either(&["full", "management-locked", "stopped"])),
                        "of a device: the strictest it may be in, capped by what its product says of its class",
                    ),
                ),
                ("reasons", list(to("FindingInWords"))),
                ("since", said(maybe(instant()), "since when people are kept out")),
                ("until", said(maybe(instant()), by_itself)),
                ("closes_at", said(maybe(instant()), "when it closes, if it is open and that is announced")),
                ("group", maybe(id("grp"))),
                ("note", said(text(), "how far the answer goes")),
            ]),
        ),
        (
            "Coming",
            object([
                ("dates", list(to("ComingDate"))),
                ("more", said(flag(), "there are more, no earlier than the last one shown")),
                ("at_most", said(count(), "so many are shown")),
            ]),
        ),
        (
            "ComingDate",
            object([
                ("uid", said(text(), "the same each time it is asked for, also when the date has moved")),
                ("at", instant()),
                ("kind", either(&ComingKind::ALL.map(ComingKind::name))),
                ("subject", said(text(), "the id of the group, site, key or device")),
                ("name", text()),
                ("summary", text()),
                ("sentence", text()),
                ("group", maybe(id("grp"))),
            ]),
        ),
        (
            "Forecast",
            object([
                ("as_of", instant()),
                ("sentence", text()),
                ("due_events", said(count(), "events that fall due until then")),
            ]),
        ),
        (
            "Denied",
            object([
                ("kind", kind()),
                ("id", said(maybe(text()), "null of the organization")),
                ("allowed", said(flag(), "true among changes alone: it is open now")),
                ("code", code()),
                ("state", maybe(ladder())),
                ("since", maybe(instant())),
                ("until", said(maybe(instant()), by_itself)),
                ("reasons", said(list(text()), "the codes of the findings that hold now")),
                ("group", maybe(id("grp"))),
            ]),
        ),
        (
            "AccessChanges",
            object([
                ("feed", said(text(), "go on from here: `after` of the next question")),
                ("resync", said(flag(), "what was known is not remembered: read the list again, then go on")),
                ("changes", said(list(to("Denied")), "what changed, each once and as it is now")),
                (
                    "next_change_at",
                    said(maybe(instant()), "if nobody changes anything, nothing changes before"),
                ),
            ]),
        ),
    ]
}
