//! License keys: one file for what the vendor does, one for what an organization does, one for splitting.

mod claimed;
mod issued;
mod split;

use claimed::{claim, inspect, list, relocate, show, unclaim};
use issued::{issue, list_issued, transfer};
use split::split;

use super::*;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{GroupId, KeyId};
use coterm_shared::licensing::ClaimMode;
use coterm_shared::licensing::view::KeyView;
use coterm_shared::platform::code::{KeyCode, masked};
use serde_json::json;

/// The end of a code that is not made yet.
pub(super) const NO_CODE_YET: &str = "*****";

/// What an organization does with keys, and the vendor with those of an organization.
pub(super) fn routes() -> Routes {
    let one = "Key";
    let mode = || either(&["increase", "renewal"]);
    let change = |id, summary| Op::change(Who::Admin, id, summary, one);
    let code = || body([("code", text())]);
    let claimed = body([("code", text()), ("group?", id("grp")), ("mode?", mode())]);
    let part = body([
        ("lines", lines()),
        ("group?", id("grp")),
        ("mode?", mode()),
        (
            "organization?",
            said(id("org"), "another that gets it, in place of `group` and `mode`: the vendor alone"),
        ),
    ]);
    let parts = body([("parts", some(part, 2, 2))]);
    let inspected = Some((200, to("IssuedKey")));
    Routes::new()
        .get("/keys", list, Op::list(Who::Viewer, "listKeys", "Claimed keys, codes masked", to(one)).tagged())
        .post(
            "/keys/inspect",
            inspect,
            Op::act(Who::Admin, "inspectKey", "What a key contains; changes nothing", inspected)
                .body(code())
                .guesses(),
        )
        .post(
            "/keys/claim",
            claim,
            Op::create(Who::Admin, "claimKey", "Claim a key, as increase or as renewal", one)
                .body(claimed)
                .guesses(),
        )
        .get("/keys/{key}", show, Op::read(Who::Viewer, "getKey", "A claimed key", to(one)).tagged())
        .post(
            "/keys/{key}/move",
            relocate,
            change("moveKey", "Move a key to a group").body(body([("group", id("grp")), ("mode?", mode())])),
        )
        .post(
            "/keys/{key}/split",
            split,
            Op::create(
                Who::Admin,
                "splitKey",
                "Split a key in two; the new codes are in this answer alone",
                "SplitKey",
            )
            .body(parts),
        )
        .post("/keys/{key}/unclaim", unclaim, change("unclaimKey", "Return a key to Unassigned"))
        .post(
            "/keys/{key}/transfer",
            transfer,
            Op::change(Who::Vendor, "transferKey", "Give an unassigned key to another organization", one)
                .body(body([("to", id("org"))])),
        )
}

/// What the vendor issues.
pub(super) fn issued_routes() -> Routes {
    let order = body([
        ("order_number", text()),
        ("lines", lines()),
        ("term_days", count()),
        ("created_at?", instant()),
        (
            "notify?",
            said(
                text(),
                "the buyer's mail address: told what was issued and how to claim it, never the code",
            ),
        ),
    ]);
    let issued =
        Op::create(Who::Vendor, "issueKey", "Issue a key; its code is in this answer alone", "IssuedKey");
    let summary = "All keys ever issued, codes masked";
    Routes::new()
        .get("/keys", list_issued, Op::list(Who::Vendor, "listIssuedKeys", summary, to("IssuedKey")).tagged())
        .post("/keys", issue, issued.body(order))
}

/// The lines of an order.
fn lines() -> Value {
    some(body([("product", to("Product")), ("quantity", count())]), 1, 100)
}

/// A key of the organization that was changed, as it stands afterwards.
fn view_of(committed: &Committed, key: KeyId) -> Option<Value> {
    let organization = committed.organization.as_ref()?;
    Some(json!(KeyView::of(organization, organization.key(key)?, committed.at)))
}

/// A code nobody has seen yet.
pub(super) fn fresh_code() -> Result<KeyCode> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|_| Problem::internal())?;
    Ok(KeyCode::from_random(random))
}
