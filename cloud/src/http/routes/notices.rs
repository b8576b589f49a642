//! `/organizations/{organization}/endpoints` and `/notices`: who is told, what was told, and how far that is (domain N1, N2).

use super::*;
use crate::http::once::{self, Answer};
use crate::notify::endpoint::{email, shown, url};
use crate::notify::message::Body;
use crate::notify::sign;
use crate::store::outbox::{
    Delivery, ENDPOINTS_MAX, Endpoint, EndpointKind, NewNotice, NoticeQuery, OutboxChange, StoredNotice,
};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::{EndpointId, NoticeId};
use coterm_shared::licensing::{NoticeHead, test_notice};
use coterm_shared::time::Seconds;
use serde_json::json;

/// How long requests are signed with the secret before the last rotation too.
const ROTATION: Seconds = Seconds::days(1);

pub(super) fn routes() -> Routes {
    let new = body([
        ("kind", either(&["email", "webhook"])),
        ("address", said(text(), "a mail address, or an https URL")),
    ]);
    let dead = "only those with a delivery that was given up";
    let again = body([("endpoint?", said(id("ept"), "there alone, also if it was delivered"))]);
    Routes::new()
        .get(
            "/endpoints",
            list,
            Op::list(
                Who::Admin,
                "listEndpoints",
                "Where notices go: mail addresses and webhooks",
                to("Endpoint"),
            ),
        )
        .post(
            "/endpoints",
            create,
            Op::act(Who::Admin, "createEndpoint", "Tell this address too", Some((201, to("NewEndpoint"))))
                .body(new),
        )
        .delete(
            "/endpoints/{endpoint}",
            remove,
            Op::act(Who::Admin, "removeEndpoint", "Tell it nothing more; what waits for it is dropped", None),
        )
        .post(
            "/endpoints/{endpoint}/rotate",
            rotate,
            Op::act(
                Who::Admin,
                "rotateSecret",
                "A new secret for a webhook; the old one signs for a day more",
                Some((200, to("NewEndpoint"))),
            ),
        )
        .post(
            "/endpoints/{endpoint}/test",
            test,
            Op::act(Who::Admin, "testEndpoint", "Send it a test notice", Some((201, to("Notice")))),
        )
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
    Routes::new().get(
        "/notices",
        all_notices,
        Op::list(
            Who::Vendor,
            "listAllNotices",
            "The notices of all organizations, the newest first",
            to("Notice"),
        )
        .query("dead", flag(), dead),
    )
}

fn of_endpoint(endpoint: &Endpoint, secret: Option<String>) -> Value {
    let mut view = json!({
        "id": endpoint.id,
        "kind": endpoint.kind.name(),
        "address": endpoint.address,
        "created_at": endpoint.created_at,
        "created_by": endpoint.created_by,
    });
    if let (Some(fields), Some(secret)) = (view.as_object_mut(), secret) {
        fields.insert(String::from("secret"), json!(secret));
    }
    view
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

fn of_notice((notice, deliveries): &(StoredNotice, Vec<Delivery>)) -> Value {
    let body = serde_json::from_slice::<Body>(&notice.body).ok();
    let head = serde_json::from_slice::<NoticeHead>(&notice.head).ok();
    json!({
        "id": notice.id,
        "organization": notice.organization,
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

/// The endpoints of the organization in the path, for whoever may change them: an address is a person's, a URL a secret.
async fn endpoints(api: &Api, ask: &Ask, organization: &str) -> Result<(OrganizationId, Vec<Endpoint>)> {
    let id = ask.organization(organization, Action::ManageEndpoints)?;
    if api.books().version(id).is_none() {
        return Err(Problem::not_found("organization"));
    }
    let found = api.books().endpoints(id).await.map_err(|error| refused(&error))?;
    Ok((id, found))
}

async fn endpoint(api: &Api, ask: &Ask, organization: &str, endpoint: &str) -> Result<Endpoint> {
    let (_, all) = endpoints(api, ask, organization).await?;
    let id: EndpointId = ids::of_path(endpoint, "endpoint")?;
    all.into_iter().find(|one| one.id == id).ok_or_else(|| Problem::not_found("endpoint"))
}

async fn change_outbox(api: &Api, change: OutboxChange) -> Result<usize> {
    let found = api.books().change_outbox(vec![change]).await.map_err(|error| refused(&error))?;
    Ok(found.into_iter().sum())
}

/// `GET .../endpoints`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let (_, all) = endpoints(&api, &ask, &id).await?;
    let page: Page<EndpointId> = ask.page()?;
    let rest = all.iter().filter(|one| page.after.is_none_or(|after| one.id > after));
    Ok(Json(page::of(rest, &page, |one| one.id, |one| of_endpoint(one, None))).into_response())
}

struct KnownKind(EndpointKind);

impl std::str::FromStr for KnownKind {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        EndpointKind::parse(text).map(KnownKind).ok_or("neither `email` nor `webhook`")
    }
}

/// `POST .../endpoints` `{"kind", "address"}`
///
/// The secret of a webhook is in this answer and nowhere else; a repetition with the same Idempotency-Key is answered
/// without it.
pub(super) async fn create(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let (organization, all) = endpoints(&api, &ask, &id).await?;
    ask.no_query()?;
    once::answer(&api, &ask, async {
        let mut body = ask.body()?;
        let kind = body.parsed::<KnownKind>("kind").map(|kind| kind.0);
        let given = body.parsed::<String>("address");
        let rules = api.notify();
        let address = kind.zip(given).and_then(|(kind, given)| {
            let checked = match kind {
                EndpointKind::Email => email(&given),
                EndpointKind::Webhook => url(&given, rules.allow_private),
            };
            checked
                .map_err(|error| body.fault("INVALID_VALUE", "address", format!("`address` is {error}")))
                .ok()
        });
        let (kind, address) = body.finish(|| Some((kind?, address?)))?;
        if kind == EndpointKind::Email && !rules.mail {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "NO_MAIL_SERVER",
                "This installation has no mail server, so nothing could be delivered there.",
                "Use a webhook, or have smtp.host set in the configuration of coterm-cloud.",
            ));
        }
        let secret = match kind {
            EndpointKind::Email => None,
            EndpointKind::Webhook => Some(sign::fresh().map_err(|error| Problem::failed(&error))?),
        };
        let new = Endpoint {
            id: EndpointId::from_bytes(ids::fresh(ask.now)?),
            organization,
            kind,
            address,
            secret,
            old_secret: None,
            created_at: ask.now,
            created_by: ask.principal.to_string(),
        };
        if change_outbox(&api, OutboxChange::Add(new.clone())).await? == 0 {
            let is_there = all.iter().any(|one| one.kind == new.kind && one.address == new.address);
            let (code, detail, hint) = if is_there {
                ("ENDPOINT_EXISTS", String::from("This address is told already."), "List the endpoints.")
            } else {
                let detail = format!("An organization has at most {ENDPOINTS_MAX} endpoints.");
                ("TOO_MANY_ENDPOINTS", detail, "Remove those nobody reads, or use a mailing list.")
            };
            return Err(Problem::new(StatusCode::CONFLICT, code, detail, hint));
        }
        tracing::info!(endpoint = %new.id, %organization, actor = %ask.principal, "an endpoint was made");
        let secret = new.secret.as_deref().map(sign::reveal);
        Ok(Answer::hiding(StatusCode::CREATED, of_endpoint(&new, secret), of_endpoint(&new, None)))
    })
    .await
}

/// `DELETE .../endpoints/{endpoint}`: it is told nothing more.
pub(super) async fn remove(
    State(api): State<Api>,
    Path((id, one)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    ask.organization(&id, Action::ManageEndpoints)?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(&api, &ask, async {
        let Endpoint { id, organization, .. } = endpoint(&api, &ask, &id, &one).await?;
        change_outbox(&api, OutboxChange::Remove { organization, id, at: ask.now }).await?;
        tracing::info!(endpoint = %id, %organization, actor = %ask.principal, "an endpoint was removed");
        Ok(Answer::done())
    })
    .await
}

/// `POST .../endpoints/{endpoint}/rotate`: a new secret, in this answer alone.
pub(super) async fn rotate(
    State(api): State<Api>,
    Path((id, one)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let found = endpoint(&api, &ask, &id, &one).await?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(&api, &ask, async {
    if found.kind != EndpointKind::Webhook {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "NO_SECRET",
            "A mail address has no secret.",
            "Only webhooks are signed.",
        ));
    }
    let secret = sign::fresh().map_err(|error| Problem::failed(&error))?;
    let (organization, id, until) = (found.organization, found.id, ask.now.saturating_add(ROTATION));
    change_outbox(&api, OutboxChange::Rotate { organization, id, secret: secret.clone(), until }).await?;
    tracing::info!(endpoint = %id, %organization, actor = %ask.principal, "the secret of a webhook was rotated");
    let shown = of_endpoint(&found, Some(sign::reveal(&secret)));
    Ok(Answer::hiding(StatusCode::OK, shown, of_endpoint(&found, None)))
    })
    .await
}

/// `POST .../endpoints/{endpoint}/test`: a test notice goes there, by the way all others go.
pub(super) async fn test(
    State(api): State<Api>,
    Path((id, one)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let found = endpoint(&api, &ask, &id, &one).await?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(&api, &ask, async {
        let organization =
            api.books().organization(found.organization).ok_or_else(|| Problem::not_found("organization"))?;
        let made = crate::books::new_notice(&organization, &test_notice(&organization, ask.now), ask.now);
        let new = NewNotice { only: Some(found.id), ..made.map_err(|error| Problem::failed(&error))? };
        let notice = new.notice.clone();
        change_outbox(&api, OutboxChange::Tell(new)).await?;
        let view = of_notice(&(notice, Vec::new()));
        Ok(Answer::of(StatusCode::CREATED, view))
    })
    .await
}

async fn page_of(api: &Api, ask: &Ask, organization: Option<OrganizationId>) -> Result<Response> {
    let mut query = ask.query();
    let page = Page::<NoticeId>::of(&mut query);
    let dead = query.flag("dead");
    let (page, dead) = query.finish(|| Some((page?, dead?)))?;
    let wanted = NoticeQuery { organization, before: page.after, dead };
    // One more than is shown says that there is a next page.
    let limit = u32::try_from(page.limit.saturating_add(1)).unwrap_or(u32::MAX);
    let found = api.books().notices(wanted, limit).await.map_err(|error| refused(&error))?;
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
    ask.no_query()?;
    let notice: NoticeId = ids::of_path(&notice, "notice")?;
    once::answer(&api, &ask, async {
        let mut body = ask.body()?;
        let endpoint = body.optional::<EndpointId>("endpoint");
        let endpoint = body.finish(|| endpoint)?;
        let change = OutboxChange::Redeliver { organization, notice, endpoint, at: ask.now };
        let count = change_outbox(&api, change).await?;
        if count == 0 {
            return Err(Problem::not_found("delivery that has ended undelivered"));
        }
        tracing::info!(%notice, %organization, actor = %ask.principal, count, "a notice is delivered again");
        let view = json!({ "deliveries": count });
        Ok(Answer::of(StatusCode::OK, view))
    })
    .await
}
