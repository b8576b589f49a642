//! Whether the daemon lives and works, who is asking, and whether the time is to be believed.

use super::*;
use crate::alarms::Place;
use crate::http::Obstacle;
use crate::http::once::{self, Answer};
use crate::http::openapi::document;
use crate::http::problem::Fault;
use crate::metrics::CONTENT_TYPE;
use axum::Json;
use axum::extract::{Path, State};
use serde_json::json;

pub(super) fn routes() -> Routes {
    let status = || to("Status");
    Routes::new()
        .get("/health", health, Op::read(Who::Anyone, "health", "The process answers", status()))
        .get("/ready", ready, Op::read(Who::Anyone, "ready", "It does its work, or what keeps it", status()))
        .get(
            "/metrics",
            metrics,
            Op::read(Who::Monitor, "metrics", "Figures for a monitoring system (OpenMetrics)", text())
                .in_text("application/openmetrics-text"),
        )
}

pub(super) fn v1_routes() -> Routes {
    let anything = serde_json::json!({ "type": "object", "additionalProperties": true });
    let alarms_are = "What operators have to know, the worst first";
    Routes::new()
        .get("/openapi.json", openapi, Op::read(Who::Anyone, "openapi", "This document", anything))
        .get("/whoami", whoami, Op::read(Who::Token, "whoami", "Whose the token is", to("WhoAmI")))
        .get("/platform/alarms", alarms, Op::list(Who::Vendor, "listAlarms", alarms_are, to("Alarm")))
        .get(
            "/platform/halts",
            halts,
            Op::list(Who::Vendor, "listHalts", "What signing was stopped for, or may be", to("Halt")),
        )
        .post(
            "/platform/halts/{organization}/confirm",
            confirm_halt,
            Op::act(Who::Vendor, "confirmHalt", "It was looked into and is over; signing goes on", None),
        )
        .get(
            "/time",
            time,
            Op::read(Who::Vendor, "getTime", "Cloud time, and why nothing is signed, if so", to("Time")),
        )
        .post(
            "/time/confirm",
            confirm_time,
            Op::act(Who::Vendor, "confirmTime", "The clock was looked at and is right", None),
        )
}

/// `GET /openapi.json`: every route, for programs that make programs. No credential: it is the same for everybody.
async fn openapi() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], document()).into_response()
}

/// `GET /health`: the process lives, or 503 if it should be started anew. No credential.
pub(super) async fn health(State(api): State<Api>) -> Response {
    let dead = |obstacle: &Obstacle| obstacle.dead;
    told(api.readiness().obstacles().into_iter().filter(dead).collect(), "ok", "NOT_HEALTHY")
}

/// `GET /ready`: it does its work, or 503 with every reason. No credential, so no details beyond what keeps it.
pub(super) async fn ready(State(api): State<Api>) -> Response {
    told(api.readiness().obstacles(), "ready", "NOT_READY")
}

fn told(obstacles: Vec<Obstacle>, well: &str, code: &str) -> Response {
    let hint = "Wait for it; if it lasts, look at the daemon's log.";
    let fault = |obstacle: &Obstacle| Fault {
        code: obstacle.code.to_owned(),
        message: obstacle.reason.clone(),
        hint: String::new(),
        field: None,
    };
    let reasons: Vec<&str> = obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect();
    if reasons.is_empty() {
        return Json(json!({ "status": well })).into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, reasons.join("; "), hint)
        .with(obstacles.iter().map(fault).collect())
        .retry_after(5)
        .into_response()
}

/// `GET /metrics`: figures of the whole daemon, none of a tenant.
pub(super) async fn metrics(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ReadMetrics)?;
    ask.no_query()?;
    let metrics = Arc::clone(api.metrics());
    // It may count the whole fleet.
    let text = tokio::task::spawn_blocking(move || metrics.text()).await;
    let text = text.map_err(|_| Problem::internal())?.map_err(|_| Problem::internal())?;
    Ok(([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// `GET /whoami`
pub(super) async fn whoami(ask: Ask) -> Result<Response> {
    ask.no_query()?;
    let principal = &ask.principal;
    Ok(Json(json!({
        "id": principal.id,
        "name": principal.name,
        "role": principal.role.name(),
        "organization": principal.role.organization(),
    }))
    .into_response())
}

/// `GET /platform/alarms`: what operators have to know, the worst first.
pub(super) async fn alarms(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let page: Page<Place> = ask.page()?;
    let alarms = api.alarms().list().into_iter();
    let rest = alarms.filter(|alarm| page.after.as_ref().is_none_or(|seen| Place::of(alarm) > *seen));
    Ok(Json(page::of(rest, &page, Place::of, |alarm| json!(alarm))).into_response())
}

/// `GET /platform/halts`: organizations nothing is signed for, and tokens that contradict each other (token §3).
pub(super) async fn halts(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    let page: Page<usize> = ask.page()?;
    // The cursor is the place in the list: what is confirmed between two pages moves the rest up.
    let seen = page.after.map_or(0, |place| place.saturating_add(1));
    let suspicions = api.fleet().suspicions().into_iter().enumerate().skip(seen);
    Ok(Json(page::of(suspicions, &page, |(place, _)| *place, |(_, halt)| halt.clone())).into_response())
}

/// `POST /platform/halts/{organization}/confirm`: whatever it was is over; signing goes on with newer tokens.
pub(super) async fn confirm_halt(
    State(api): State<Api>,
    Path(organization): Path<String>,
    ask: Ask,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    ask.no_query()?;
    ask.no_body()?;
    let organization: OrganizationId = ids::of_path(&organization, "organization")?;
    once::answer(&api, &ask, async {
        if !api.fleet().confirm(organization).await.map_err(|error| refused(&error))? {
            return Err(Problem::not_found("halt"));
        }
        tracing::warn!(actor = %ask.principal, %organization, "a halt was confirmed; signing goes on");
        Ok(Answer::done())
    })
    .await
}

/// `GET /time`: cloud time, and why nothing is signed at present, if so.
pub(super) async fn time(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    ask.no_query()?;
    let (machine, doubt) = (api.books().machine_clock(), api.books().time_doubt());
    let doubt = doubt.map(|doubt| doubt.to_string());
    Ok(Json(json!({ "now": ask.now, "machine": machine, "doubt": doubt })).into_response())
}

/// `POST /time/confirm`: the clock of the machine was looked at and is right; signing goes on.
pub(super) async fn confirm_time(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(&api, &ask, async {
        api.books().confirm_time().await.map_err(|error| refused(&error))?;
        tracing::warn!(actor = %ask.principal, "the time was confirmed");
        Ok(Answer::done())
    })
    .await
}
