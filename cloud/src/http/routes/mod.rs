//! The routes: one file per noun, each handler one request.

mod devices;
mod explain;
mod groups;
mod keys;
mod organizations;
mod platform;
mod sites;
mod system;
mod tokens;
mod transactions;

use super::Api;
use super::ask::Ask;
use super::change::{self, refused};
use super::fields::Fields;
use super::ids;
use super::layers::{MAX_IN_FLIGHT, bounds, envelope, panicked};
use super::page::{self, Page};
use super::problem::{Problem, Result};
use crate::auth::Action;
use crate::books::{Change, Committed};
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use coterm_shared::id::OrganizationId;
use coterm_shared::licensing::{Command, DoorUnits, Organization, Scope, SettingsChange};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

/// Every route with its layers.
pub(super) fn all(api: Api) -> Router {
    let in_organization = Router::new()
        .route("/", get(organizations::show))
        .route("/settings", patch(organizations::settings))
        .route("/enable-groups", post(organizations::enable_groups))
        .route("/unassigned", get(organizations::unassigned))
        .route("/groups", get(groups::list).post(groups::create))
        .route("/groups/{group}", get(groups::show).patch(groups::rename).delete(groups::remove))
        .route("/groups/{group}/explain", get(explain::group))
        .route("/groups/{group}/settings", patch(groups::settings))
        .route("/sites", get(sites::list).post(sites::create))
        .route("/sites/{site}", get(sites::show).patch(sites::rename).delete(sites::remove))
        .route("/sites/{site}/move", post(sites::relocate))
        .route("/devices", get(devices::list).post(devices::claim))
        .route("/devices/{device}", get(devices::show))
        .route("/devices/{device}/move", post(devices::relocate))
        .route("/devices/{device}/doors", post(devices::doors))
        .route("/devices/{device}/convert", post(devices::convert))
        .route("/devices/{device}/replace", post(devices::replace))
        .route("/devices/{device}/retire", post(devices::retire))
        .route("/devices/{device}/stolen", post(devices::report_stolen))
        .route("/devices/{device}/provision", post(devices::provision))
        .route("/keys", get(keys::list))
        .route("/keys/inspect", post(keys::inspect))
        .route("/keys/claim", post(keys::claim))
        .route("/keys/{key}", get(keys::show))
        .route("/keys/{key}/move", post(keys::relocate))
        .route("/keys/{key}/split", post(keys::split))
        .route("/keys/{key}/unclaim", post(keys::unclaim))
        .route("/keys/{key}/transfer", post(keys::transfer))
        .route("/transactions", get(transactions::list))
        .route("/transactions/verify", get(transactions::verify));
    let v1 = Router::new()
        .route("/whoami", get(system::whoami))
        .route("/organizations", get(organizations::list).post(organizations::create))
        .nest("/organizations/{organization}", in_organization)
        .route("/keys", get(keys::list_issued).post(keys::issue))
        .route("/prices", get(platform::prices))
        .route("/prices/{product}", put(platform::set_price))
        .route("/models", get(platform::models))
        .route("/models/{model}", put(platform::put_model))
        .route("/limits", get(platform::limits).put(platform::set_limits))
        .route("/transactions", get(transactions::list_platform))
        .route("/platform/alarms", get(system::alarms))
        .route("/transactions/verify", get(transactions::verify_platform))
        .route("/time", get(system::time))
        .route("/time/confirm", post(system::confirm_time))
        .route("/api-tokens", get(tokens::list).post(tokens::create))
        .route("/api-tokens/{token}", delete(tokens::revoke));
    Router::new()
        .route("/health", get(system::health))
        .route("/ready", get(system::ready))
        .nest("/api/v1", v1)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::new(Semaphore::new(MAX_IN_FLIGHT)), bounds))
        .layer(from_fn(envelope))
        .with_state(api)
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

/// The settings a body asks to change.
fn settings_of(fields: &mut Fields) -> Option<SettingsChange> {
    use coterm_shared::time::Seconds;
    let grace_secs = fields.optional_integer("grace_secs", 0, u64::MAX);
    let stop_after_lock_secs = fields.optional_integer("stop_after_lock_secs", 0, u64::MAX);
    let time_zone = fields.optional::<String>("time_zone");
    let scope = fields.optional::<Scope>("scope");
    let countdown_secs = fields.optional_integer("countdown_secs", 1, u64::MAX);
    let door_units = fields.optional::<DoorUnits>("door_units");
    Some(SettingsChange {
        grace_secs: grace_secs?.map(Seconds),
        stop_after_lock_secs: stop_after_lock_secs?.map(Seconds),
        time_zone: time_zone?,
        scope: scope?,
        countdown_secs: countdown_secs?.map(Seconds),
        door_units: door_units?,
    })
}
