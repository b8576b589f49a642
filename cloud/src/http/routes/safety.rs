//! `/organizations/{organization}/held`, `/freeze`, `/unfreeze`: operations that wait for the vendor, and freezes (domain E6).

use super::*;
use crate::auth::TokenId;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::HeldId;
use coterm_shared::licensing::view::OrganizationView;
use coterm_shared::licensing::{Actor, Freeze, FreezeView, HeldOperation, HeldView, SafetyCommand};
use coterm_shared::platform::PlatformCommand;
use coterm_shared::time::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;

/// How far back it is looked who made a credential, and that one's, and so on.
const MAKERS: usize = 16;

pub(super) fn routes() -> Routes {
    let one = "HeldOperation";
    let approve_it = "Approve a held operation: it is decided anew and carried out; not by who asked for it";
    let freeze_it = "Freeze enforcement: no further lock and no stop, by devices that are connected";
    Routes::new()
        .get(
            "/held",
            list,
            Op::list(Who::Viewer, "listHeld", "Operations that wait for the vendor, or did lately", to(one))
                .tagged(),
        )
        .get(
            "/held/{held}",
            show,
            Op::read(Who::Viewer, "getHeld", "A held operation, and what it would do now", to(one)),
        )
        .post("/held/{held}/approve", approve, Op::change(Who::Vendor, "approveHeld", approve_it, one))
        .post(
            "/held/{held}/reject",
            reject,
            Op::change(Who::Vendor, "rejectHeld", "Drop a held operation", one),
        )
        .post(
            "/held/{held}/withdraw",
            withdraw,
            Op::change(Who::Admin, "withdrawHeld", "Take back a held operation, by who asked for it", one),
        )
        .post("/freeze", freeze, Op::change(Who::Vendor, "freeze", freeze_it, "Organization"))
        .post("/unfreeze", unfreeze, Op::change(Who::Vendor, "unfreeze", "End that freeze", "Organization"))
}

pub(super) fn platform_routes() -> Routes {
    let all = "Operations that wait for the vendor, of every organization";
    let freeze_all = "Freeze enforcement of every organization, by devices that are connected";
    Routes::new()
        .get("/platform/held", waiting, Op::list(Who::Vendor, "listAllHeld", all, to("HeldAnywhere")))
        .get(
            "/platform/freeze",
            frozen,
            Op::read(Who::Token, "getFreeze", "Whether everything is frozen", to("PlatformFreeze")).tagged(),
        )
        .post(
            "/platform/freeze",
            freeze_everything,
            Op::change(Who::Vendor, "freezeEverything", freeze_all, "PlatformFreeze"),
        )
        .post(
            "/platform/unfreeze",
            unfreeze_everything,
            Op::change(Who::Vendor, "unfreezeEverything", "End that freeze", "PlatformFreeze"),
        )
}

/// `GET .../held`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<HeldId> = ask.page()?;
    let held = organization.held_operations_after(page.after);
    let held = page::of(held, &page, |held| held.id, HeldView::of);
    page::tagged(organization.version(), ask.headers(), &held)
}

/// `GET .../held/{held}`: with what it would do if it were approved now, or why it would be refused.
pub(super) async fn show(
    State(api): State<Api>,
    Path((id, held)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let held = organization.held_operation(ids::of_path(&held, "held operation")?);
    let held = held.ok_or_else(|| Problem::not_found("held operation"))?;
    let mut shown = json!(HeldView::of(held));
    if held.waits()
        && let Some(fields) = shown.as_object_mut()
    {
        let nobody = SafetyCommand::Approve { held: held.id, by: Actor::default(), made_by: Vec::new() };
        let change = Change::Organization { id: organization.id(), command: Command::Safety(nobody) };
        match api.books().preview(change).await {
            Ok(preview) => fields.insert(String::from("preview"), json!(preview)),
            Err(error) => fields.insert(String::from("refused"), json!(refused(&error).document())),
        };
    }
    Ok(Json(shown).into_response())
}

/// `GET /platform/held`: what waits anywhere, for those who decide.
pub(super) async fn waiting(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let page: Page<HeldId> = ask.page()?;
    let mut all = BTreeMap::new();
    for id in api.books().organizations() {
        let Some(books) = api.books().organization(id) else { continue };
        let waiting = books.held_operations_after(page.after).filter(|held| held.waits());
        all.extend(waiting.map(|held| (held.id, (id, books.name().to_string(), held.clone()))));
    }
    let view = |(organization, name, held): (OrganizationId, String, HeldOperation)| json!({ "organization": organization, "organization_name": name, "held": HeldView::of(&held) });
    let waiting = page::of(all.into_values(), &page, |(_, _, held)| held.id, view);
    Ok(Json(waiting).into_response())
}

/// Who made the credential that asks, who made that one's, and so on.
fn makers(api: &Api, ask: &Ask) -> Vec<String> {
    let maker = |id: &String| {
        let made_by = api.tokens().find(&TokenId::parse(id)?)?.created_by;
        made_by.split_whitespace().next().map(str::to_owned)
    };
    std::iter::successors(maker(&ask.principal.id), maker).take(MAKERS).collect()
}

async fn on_held(
    api: &Api,
    ask: &Ask,
    (id, held): (String, String),
    action: fn(OrganizationId) -> Action,
    make: impl FnOnce(HeldId, Actor) -> SafetyCommand,
) -> Result<Response> {
    let organization = ask.organization(&id, action)?;
    ask.no_body()?;
    let held: HeldId = ids::of_path(&held, "held operation")?;
    let decided = Command::Safety(make(held, ask.actor()));
    command(api, ask, organization, decided, StatusCode::OK, move |o, _| {
        o.held_operation(held).map(|held| json!(HeldView::of(held)))
    })
    .await
}

/// `POST .../held/{held}/approve`, with the digest of its preview in `Preview-Digest`.
pub(super) async fn approve(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let made_by = makers(&api, &ask);
    on_held(&api, &ask, path, Action::Release, |held, by| SafetyCommand::Approve { held, by, made_by }).await
}

/// `POST .../held/{held}/reject`
pub(super) async fn reject(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    on_held(&api, &ask, path, Action::Release, |held, by| SafetyCommand::Reject { held, by }).await
}

/// `POST .../held/{held}/withdraw`
pub(super) async fn withdraw(
    State(api): State<Api>,
    Path(path): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    on_held(&api, &ask, path, Action::Change, |held, by| SafetyCommand::Withdraw { held, by }).await
}

async fn on_enforcement(api: &Api, ask: &Ask, id: &str, asked: SafetyCommand) -> Result<Response> {
    let organization = ask.organization(id, Action::Release)?;
    ask.no_body()?;
    command(api, ask, organization, Command::Safety(asked), StatusCode::OK, |o, _| {
        Some(json!(OrganizationView::of(o)))
    })
    .await
}

/// `POST .../freeze`
pub(super) async fn freeze(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    on_enforcement(&api, &ask, &id, SafetyCommand::Freeze { by: ask.actor() }).await
}

/// `POST .../unfreeze`
pub(super) async fn unfreeze(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = ask.organization(&id, Action::Release)?;
    let (by, lease_secs) = (ask.actor(), api.lease());
    let books = api.books().organization(organization);
    let announced =
        announced(&api, Some(organization), books.as_ref().and_then(Organization::freeze)).await?;
    on_enforcement(&api, &ask, &id, SafetyCommand::Unfreeze { by, lease_secs, announced }).await
}

/// The latest instant to which a token issued under a freeze puts a step off: its lease may have been longer than those of
/// today. What is issued from now on has today's.
async fn announced(
    api: &Api,
    organization: Option<OrganizationId>,
    freeze: Option<&Freeze>,
) -> Result<Option<Timestamp>> {
    let Some(freeze) = freeze.filter(|freeze| freeze.is_on()) else { return Ok(None) };
    let found = api.books().lease_ends_at(organization, freeze.since).await;
    found.map_err(|error| refused(&error))
}

/// `GET /platform/freeze`
pub(super) async fn frozen(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ReadPlatform)?;
    ask.no_query()?;
    let platform = api.books().platform();
    let freeze = platform.freeze().map(|freeze| FreezeView::of(freeze, true));
    let on = platform.freeze().is_some_and(|freeze| freeze.is_on());
    page::tagged(platform.version(), ask.headers(), &json!({ "frozen": on, "freeze": freeze }))
}

async fn on_everything(
    api: &Api,
    ask: &Ask,
    asked: PlatformCommand,
    frozen: bool,
    sentence: impl FnOnce(Timestamp) -> String + Send + 'static,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    ask.no_body()?;
    change::make(api, ask, Change::Platform(asked), StatusCode::OK, move |committed| {
        Some(json!({ "frozen": frozen, "at": committed.at, "sentence": sentence(committed.at) }))
    })
    .await
}

/// `POST /platform/freeze`
pub(super) async fn freeze_everything(State(api): State<Api>, ask: Ask) -> Result<Response> {
    let asked = PlatformCommand::Freeze { by: ask.actor() };
    let told = |at: Timestamp| {
        format!(
            "Enforcement of every organization is frozen since {at}: devices that are CONNECTED reach no further lock and no \
             stop while it lasts; those that are not follow the tokens they hold."
        )
    };
    on_everything(&api, &ask, asked, true, told).await
}

/// `POST /platform/unfreeze`
pub(super) async fn unfreeze_everything(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let lease_secs = api.lease();
    let freeze = api.books().platform().freeze().cloned();
    let announced = announced(&api, None, freeze.as_ref()).await?;
    let asked = PlatformCommand::Unfreeze { by: ask.actor(), lease_secs, announced };
    let told = move |at: Timestamp| {
        let until = freeze.map_or(at, |freeze| freeze.put_off_until(at, lease_secs, announced));
        format!("Enforcement goes on; what came due while it was frozen comes at {until}, not before.")
    };
    on_everything(&api, &ask, asked, false, told).await
}
