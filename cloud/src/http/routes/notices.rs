//! `/organizations/{organization}/notices` and those of everybody: what was told, and how far that is (domain N1, N2).

use super::*;
use crate::http::once::{self, Answer};
use crate::notify::endpoint::shown;
use crate::notify::message::Body;
use crate::store::outbox::{Audience, Delivery, NoticeQuery, OutboxChange, StoredNotice, VENDOR};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{EndpointId, NoticeId};
use coterm_shared::licensing::NoticeHead;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let dead = "only those with a delivery that was given up";
    let again = body([("endpoint?", said(id("ept"), "there alone, also if it was delivered"))]);
    Routes::new()
        .get(
            "/notices",
            notices,
            Op::list(
                Who::Viewer,
                "listNotices",
                "What was told, the newest first, and how far each delivery is",
                to("Notice"),
            )
            .query("dead", flag(), dead),
        )
        .post(
            "/notices/{notice}/redeliver",
            redeliver,
            Op::act(
                Who::Admin,
                "redeliverNotice",
                "Deliver it again where it was given up or dropped",
                Some((200, to("Redelivered"))),
            )
            .body(again),
        )
}

pub(super) fn platform_routes() -> Routes {
    let dead = "only those with a delivery that was given up";
    let all = "The notices of all organizations and of the vendor, the newest first";
    let again = body([("endpoint?", said(id("ept"), "there alone, also if it was delivered"))]);
    let anybodys = "Deliver anybody's notice again where it was given up or dropped";
    Routes::new()
        .get(
            "/notices",
            all_notices,
            Op::list(Who::Vendor, "listAllNotices", all, to("Notice")).query("dead", flag(), dead),
        )
        .post(
            "/notices/{notice}/redeliver",
            redeliver_any,
            Op::act(Who::Vendor, "redeliverAnyNotice", anybodys, Some((200, to("Redelivered")))).body(again),
        )
}

fn of_delivery(delivery: &Delivery) -> Value {
    json!({
        "endpoint": delivery.endpoint,
        "kind": delivery.kind.name(),
        "address": shown(&delivery.address),
        "state": delivery.state.name(),
        "attempts": delivery.attempts,
        "next_at": delivery.ended_at.is_none().then_some(delivery.next_at),
        "ended_at": delivery.ended_at,
        "error": delivery.error,
    })
}

pub(super) fn of_notice((notice, deliveries): &(StoredNotice, Vec<Delivery>)) -> Value {
    let body = serde_json::from_slice::<Body>(&notice.body).ok();
    let head = serde_json::from_slice::<NoticeHead>(&notice.head).ok();
    json!({
        "id": notice.id,
        "organization": (notice.organization != VENDOR).then_some(notice.organization),
        "kind": notice.kind,
        "made_at": notice.made_at,
        "about": head.as_ref().map(|head| head.about),
        "days": head.as_ref().and_then(|head| head.days),
        "title": body.as_ref().map(|body| body.title.as_str()).unwrap_or_default(),
        "text": body.as_ref().map(|body| body.text.clone()).unwrap_or_default(),
        "facts": body.map(|body| body.facts).unwrap_or_default(),
        "deliveries": deliveries.iter().map(of_delivery).collect::<Vec<_>>(),
    })
}

pub(super) async fn change_outbox(api: &Api, change: OutboxChange) -> Result<usize> {
    let found = api.books().change_outbox(vec![change]).await.map_err(|error| refused(&error))?;
    Ok(found.into_iter().sum())
}

async fn page_of(api: &Api, ask: &Ask, organization: Option<OrganizationId>) -> Result<Response> {
    let mut query = ask.query();
    let page = Page::<NoticeId>::of(&mut query);
    let dead = query.flag("dead");
    let (page, dead) = query.finish(|| Some((page?, dead?)))?;
    let wanted = NoticeQuery { organization, before: page.after, dead };
    // One more than is shown says that there is a next page.
    let limit = u32::try_from(page.limit.saturating_add(1)).unwrap_or(u32::MAX);
    let mut found = api.books().notices(wanted, limit).await.map_err(|error| refused(&error))?;
    if organization.is_some() {
        // Whom the vendor has told is the vendor's business.
        let of_vendor = |one: &Delivery| one.audience == Audience::Vendor;
        found.iter_mut().for_each(|(_, deliveries)| deliveries.retain(|one| !of_vendor(one)));
    }
    Ok(Json(page::of(found.iter(), &page, |(notice, _)| notice.id, of_notice)).into_response())
}

/// `GET .../notices`
pub(super) async fn notices(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    page_of(&api, &ask, Some(organization.id())).await
}

/// `GET /notices`: of all organizations.
pub(super) async fn all_notices(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    page_of(&api, &ask, None).await
}

/// `POST .../notices/{notice}/redeliver` `{"endpoint"?}`
pub(super) async fn redeliver(
    State(api): State<Api>,
    Path((id, notice)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = ask.organization(&id, Action::ManageEndpoints)?;
    again(&api, &ask, Some(organization), &notice).await
}

/// `POST /notices/{notice}/redeliver` `{"endpoint"?}`: of any organization, and of the vendor.
pub(super) async fn redeliver_any(
    State(api): State<Api>,
    Path(notice): Path<String>,
    ask: Ask,
) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    again(&api, &ask, None, &notice).await
}

async fn again(api: &Api, ask: &Ask, organization: Option<OrganizationId>, notice: &str) -> Result<Response> {
    ask.no_query()?;
    let notice: NoticeId = ids::of_path(notice, "notice")?;
    once::answer(api, ask, async {
        let mut body = ask.body()?;
        let endpoint = body.optional::<EndpointId>("endpoint");
        let endpoint = body.finish(|| endpoint)?;
        let change = OutboxChange::Redeliver { organization, notice, endpoint, at: ask.now };
        let count = change_outbox(api, change).await?;
        if count == 0 {
            return Err(Problem::not_found("delivery that has ended undelivered"));
        }
        tracing::info!(%notice, actor = %ask.principal, count, "a notice is delivered again");
        let view = json!({ "deliveries": count });
        Ok(Answer::of(StatusCode::OK, view))
    })
    .await
}
