//! `/organizations`

use super::*;
use crate::auth::Reach;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{DeviceId, GroupId};
use coterm_shared::licensing::FoundOrganization;
use coterm_shared::licensing::WaitingId;
use coterm_shared::licensing::view::OrganizationView;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let found = body([("name", text()), ("settings?", settings_body()), ("license_groups?", flag())]);
    let new = Op::create(Who::Vendor, "createOrganization", "Create an organization", "Organization");
    Routes::new()
        .get(
            "/organizations",
            list,
            Op::list(
                Who::Token,
                "listOrganizations",
                "The organizations this token reaches",
                to("Organization"),
            ),
        )
        .post("/organizations", create, new.body(found))
}

pub(super) fn inner_routes() -> Routes {
    let (one, settings_of_it) = ("Organization", "Change the settings of the organization");
    Routes::new()
        .get(
            "/",
            show,
            Op::read(Who::Viewer, "getOrganization", "Settings and counts", to(one)).tagged().ahead(),
        )
        .patch(
            "/settings",
            settings,
            Op::change(Who::Admin, "changeSettings", settings_of_it, one).body(settings_body()),
        )
        .post(
            "/enable-groups",
            enable_groups,
            Op::change(Who::Admin, "enableGroups", "Enable license groups, once and for good", one),
        )
        .get(
            "/unassigned",
            unassigned,
            Op::list(Who::Viewer, "listUnassigned", "Keys and root sites in no group", to("Unassigned"))
                .tagged(),
        )
        .get(
            "/unassigned/devices",
            covered,
            Op::list(Who::Viewer, "listCoverage", "Which unassigned key covers which device", to("Coverage"))
                .tagged(),
        )
}

/// `GET /organizations`: those this principal reaches.
pub(super) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response> {
    let page: Page<OrganizationId> = ask.page()?;
    let visible = match ask.principal.role.reach() {
        Reach::Nothing => return Err(Problem::forbidden()),
        Reach::Only(own) => Vec::from_iter((page.after < Some(own)).then_some(own)),
        // One more than is shown says that there is a next page.
        Reach::All => api.books().organizations_after(page.after, page.limit.saturating_add(1)),
    };
    let view = |id| api.books().present(id, ask.now).map(|organization| OrganizationView::of(&organization));
    Ok(Json(page::of(visible.into_iter(), &page, |id| *id, view)).into_response())
}

/// `POST /organizations` `{"name", "settings"?, "license_groups"?}`
pub(super) async fn create(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::FoundOrganization)?;
    let mut body = ask.body()?;
    let name = body.parsed::<String>("name");
    let settings = body.object("settings", settings_of);
    let license_groups = body.flag("license_groups");
    let (name, settings, license_groups) = body.finish(|| Some((name?, settings?, license_groups?)))?;
    let founding = FoundOrganization {
        id: OrganizationId::from_bytes(ids::fresh(ask.now)?),
        name,
        default_group: GroupId::from_bytes(ids::fresh(ask.now)?),
        settings: settings.unwrap_or_default(),
        license_groups,
    };
    change::make(&api, &ask, Change::FoundOrganization(founding), StatusCode::CREATED, |committed| {
        committed.organization.as_ref().map(|o| json!(OrganizationView::of(o)))
    })
    .await
}

/// `GET /organizations/{organization}`
pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let seen = Seen::read(&api, &ask, &id, ahead(&ask, &id)?).await?;
    seen.answer(&ask, &OrganizationView::of(&seen.organization))
}

/// `PATCH /organizations/{organization}/settings` `{"grace_secs"?, "stop_after_lock_secs"?, "time_zone"?, "scope"?,
/// "countdown_secs"?, "door_units"?}`
pub(super) async fn settings(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let settings = settings_of(&mut body);
    let settings = body.finish(|| settings)?;
    command(&api, &ask, organization.id(), Command::ChangeSettings(settings), StatusCode::OK, |o, _| {
        Some(json!(OrganizationView::of(o)))
    })
    .await
}

/// `POST /organizations/{organization}/enable-groups`: once, and for good (domain G1).
pub(super) async fn enable_groups(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    ask.no_body()?;
    command(&api, &ask, organization.id(), Command::EnableGroups, StatusCode::OK, |o, _| {
        Some(json!(OrganizationView::of(o)))
    })
    .await
}

/// `GET /organizations/{organization}/unassigned`: keys and root sites in no group, and when they join one (domain G3).
pub(super) async fn unassigned(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<WaitingId> = ask.page()?;
    let waiting = organization.unassigned_after(page.after, ask.now);
    let waiting = page::of(waiting, &page, |view| view.what.id(), |view| view);
    page::tagged_now(organization.version(), ask.now, ask.headers(), &waiting)
}

/// `GET /organizations/{organization}/unassigned/devices`: the devices of unassigned sites, each with the keys that cover
/// it and until when (domain G3).
pub(super) async fn covered(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<DeviceId> = ask.page()?;
    let mut covered = organization.coverage(ask.now);
    if let Some(after) = &page.after {
        covered.retain(|id, _| id > after);
    }
    let covered = page::of(covered.into_values(), &page, |view| view.device.clone(), |view| view);
    page::tagged_now(organization.version(), ask.now, ask.headers(), &covered)
}
