//! What waits for the vendor, and what is frozen (domain E6).

use super::super::schema::{count, either, flag, id, instant, list, maybe, object, said, text, to};
use super::{Named, joined};

/// Held operations, freezes, and what an operation does to the devices in use.
pub(super) fn safety() -> Vec<Named> {
    let actor = || said(object([("id", text()), ("name", text())]), "a principal");
    let held = vec![
        ("id", id("held")),
        ("operation", said(text(), "the name of the command")),
        ("by", said(to("Actor"), "who asked for it")),
        ("groups", list(id("grp"))),
        ("devices", said(count(), "how many it would newly put on the way to lock")),
        ("lately", said(count(), "how many operations of the day before had put there")),
        ("of", said(count(), "devices in use")),
        ("held_at", instant()),
        ("expires_at", instant()),
        ("state", either(&["waiting", "approved", "rejected", "withdrawn", "expired"])),
        ("decided_at?", instant()),
        ("decided_by?", to("Actor")),
        ("released_by", said(text(), "who may approve it, in words")),
        ("sentence", text()),
    ];
    let now = vec![
        ("preview?", said(to("Preview"), "what it would do now; an approval names its digest")),
        ("refused?", said(to("Problem"), "why it would be refused now")),
    ];
    vec![
        ("Actor", actor()),
        ("HeldOperation", joined(held, now)),
        ("HeldAnswer", object([("held", to("HeldOperation")), ("preview", maybe(to("Preview")))])),
        (
            "HeldAnywhere",
            object([
                ("organization", id("org")),
                ("organization_name", text()),
                ("held", to("HeldOperation")),
            ]),
        ),
        (
            "Lockout",
            object([
                ("devices", said(count(), "newly put on the way to lock")),
                ("lately", said(count(), "by operations of the day before")),
                ("of", said(count(), "devices in use")),
                ("devices_allowed", count()),
                ("share_allowed_percent", count()),
                ("groups", list(id("grp"))),
                ("approved", flag()),
            ]),
        ),
        (
            "Freeze",
            object([
                ("since", said(instant(), "what was locked or stopped by then stays so")),
                ("by", to("Actor")),
                ("platform", said(flag(), "of everything, or of one organization")),
                ("until?", said(instant(), "of one that ended: when what came due meanwhile comes")),
                ("sentence", text()),
            ]),
        ),
        (
            "PlatformFreeze",
            object([
                ("frozen", flag()),
                ("freeze?", maybe(to("Freeze"))),
                ("at?", instant()),
                ("sentence?", text()),
            ]),
        ),
        (
            "Safety",
            said(
                object([
                    ("frozen?", list(to("Freeze"))),
                    ("held?", list(to("HeldOperation"))),
                    ("lockout_pace?", said(count(), "devices of a group that lock a day at most")),
                    ("sentences", list(text())),
                ]),
                "what holds schedules back: absent if nothing does",
            ),
        ),
    ]
}
