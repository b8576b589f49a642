//! The routes: one file per noun, each handler one request.

mod access;
mod along;
mod calendar;
mod devices;
mod endpoints;
mod enrolment;
mod explain;
mod groups;
mod imports;
mod keys;
mod notices;
mod organizations;
mod platform;
mod safety;
mod sites;
mod system;
mod tokens;
mod transactions;

use super::Api;
use super::ask::Ask;
use super::change::{self, refused};
use super::fields::Fields;
use super::forecast::{Seen, at_of, until_of};
use super::ids;
use super::layers::{MAX_BODY_BYTES, MAX_IN_FLIGHT, bounds, envelope, panicked};
use super::openapi::schema::{
    any_of, body, count, either, flag, from_to, id, instant, said, secs, some, text, to,
};
use super::openapi::{Op, Routes, Who};
use super::page::{self, Page};
use super::problem::{Problem, Result};
use crate::auth::Action;
use crate::books::{BooksError, Change, Committed};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Command, DoorUnits, GroupSetting, Organization, Scope, SettingsChange};
use coterm_shared::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// Every route with its layers.
pub(super) fn all(api: Api) -> Router {
    let metrics = Arc::clone(api.metrics());
    table()
        .into_router()
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(MAX_IN_FLIGHT)), bounds))
        .layer(from_fn_with_state(metrics, envelope))
        .with_state(api)
}

/// Every route with its description: each noun makes its own.
pub(super) fn table() -> Routes {
    let in_organization = organizations::inner_routes()
        .and(groups::routes())
        .and(explain::routes())
        .and(sites::routes())
        .and(devices::routes())
        .and(access::routes())
        .and(calendar::routes())
        .and(enrolment::routes())
        .and(imports::routes())
        .and(keys::routes())
        .and(safety::routes())
        .and(endpoints::routes())
        .and(notices::routes())
        .and(transactions::routes());
    let v1 = system::v1_routes()
        .and(organizations::routes())
        .nest("/organizations/{organization}", in_organization)
        .and(keys::issued_routes())
        .and(endpoints::platform_routes())
        .and(notices::platform_routes())
        .and(platform::routes())
        .and(safety::platform_routes())
        .and(transactions::platform_routes())
        .and(tokens::routes());
    system::routes().nest("/api/v1", v1)
}

async fn no_route() -> Response {
    let hint = "The interface is under /api/v1; see the list of routes in the documentation.";
    Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_ROUTE", "There is nothing at this path.", hint)
        .into_response()
}

async fn no_method() -> Response {
    let detail = "This path exists, but not with this method.";
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        detail,
        "The Allow header names those it has.",
    )
    .into_response()
}

/// The organization named in the path, for reading: as of now.
fn read(api: &Api, ask: &Ask, organization: &str) -> Result<Organization> {
    let id = ask.organization(organization, Action::Read)?;
    api.books().present(id, ask.now).ok_or_else(|| Problem::not_found("organization"))
}

/// The instant that a read is asked as of, and no other parameter.
fn ahead(ask: &Ask, organization: &str) -> Result<Option<Timestamp>> {
    ask.organization(organization, Action::Read)?;
    let mut query = ask.query();
    let at = at_of(ask, &mut query);
    query.finish(|| at)
}

/// The page that is asked for, and the instant it is asked as of.
fn page_ahead<K: std::str::FromStr>(ask: &Ask, organization: &str) -> Result<(Page<K>, Option<Timestamp>)> {
    ask.organization(organization, Action::Read)?;
    let mut query = ask.query();
    let (page, at) = (Page::of(&mut query), at_of(ask, &mut query));
    query.finish(|| Some((page?, at?)))
}

/// The organization named in the path, for changing.
fn writable(api: &Api, ask: &Ask, organization: &str) -> Result<Organization> {
    let id = ask.organization(organization, Action::Change)?;
    api.books().present(id, ask.now).ok_or_else(|| Problem::not_found("organization"))
}

/// Makes a change of one organization and answers with `view` of it afterwards.
async fn command(
    api: &Api,
    ask: &Ask,
    id: OrganizationId,
    command: Command,
    status: StatusCode,
    view: impl FnOnce(&Organization, &Committed) -> Option<Value> + Send + 'static,
) -> Result<Response> {
    change::make(api, ask, Change::Organization { id, command }, status, |committed| {
        view(committed.organization.as_ref()?, committed)
    })
    .await
}

/// Whether licenses go along with a site.
fn bring() -> Value {
    said(flag(), "the licenses it needs go along, as one change: the smallest set of key moves and splits")
}

/// The body that changes settings.
fn settings_body() -> Value {
    body([
        ("grace_secs?", secs()),
        ("stop_after_lock_secs?", secs()),
        ("time_zone?", said(text(), "an IANA name, such as Europe/Berlin")),
        ("scope?", either(&["group", "product"])),
        ("countdown_secs?", said(from_to(1, u64::MAX), "of the organization alone")),
        ("door_units?", said(either(&["model", "configured"]), "of the organization alone")),
        ("hold_share_percent?", said(from_to(0, 100), "of the organization alone")),
        ("hold_devices?", said(count(), "of the organization alone")),
        ("lockout_pace?", said(count(), "devices a day, 0 for no bound; of the organization alone")),
    ])
}

/// The settings of a group: what is null is its organization's again (domain E1).
fn group_settings_body() -> Value {
    let again = |schema| said(schema, "null: as the organization has it");
    body([
        ("grace_secs?", again(secs())),
        ("stop_after_lock_secs?", again(secs())),
        ("time_zone?", again(text())),
        ("scope?", again(either(&["group", "product"]))),
        ("countdown_secs?", said(from_to(1, u64::MAX), "refused: of the organization alone")),
        ("door_units?", said(either(&["model", "configured"]), "refused: of the organization alone")),
        ("hold_share_percent?", said(from_to(0, 100), "refused: of the organization alone")),
        ("hold_devices?", said(count(), "refused: of the organization alone")),
        ("lockout_pace?", said(count(), "refused: of the organization alone")),
    ])
}

/// The settings a body asks to change in a group.
fn group_settings_of(fields: &mut Fields) -> Option<SettingsChange> {
    let null = |setting: &GroupSetting| fields.is_null(setting.name());
    let inherit = GroupSetting::ALL.into_iter().filter(null).collect();
    settings_of(fields).map(|change| SettingsChange { inherit, ..change })
}

/// The settings a body asks to change.
fn settings_of(fields: &mut Fields) -> Option<SettingsChange> {
    use coterm_shared::time::Seconds;
    let grace_secs = fields.optional_integer("grace_secs", 0, u64::MAX);
    let stop_after_lock_secs = fields.optional_integer("stop_after_lock_secs", 0, u64::MAX);
    let time_zone = fields.optional::<String>("time_zone");
    let scope = fields.optional::<Scope>("scope");
    let countdown_secs = fields.optional_integer("countdown_secs", 1, u64::MAX);
    let door_units = fields.optional::<DoorUnits>("door_units");
    let hold_share_percent = fields.optional_integer("hold_share_percent", 0, 100);
    let hold_devices = fields.optional_integer("hold_devices", 0, u64::MAX);
    let lockout_pace = fields.optional_integer("lockout_pace", 0, u64::MAX);
    Some(SettingsChange {
        grace_secs: grace_secs?.map(Seconds),
        stop_after_lock_secs: stop_after_lock_secs?.map(Seconds),
        time_zone: time_zone?,
        scope: scope?,
        countdown_secs: countdown_secs?.map(Seconds),
        door_units: door_units?,
        hold_share_percent: hold_share_percent?,
        hold_devices: hold_devices?,
        lockout_pace: lockout_pace?,
        ..SettingsChange::default()
    })
}
