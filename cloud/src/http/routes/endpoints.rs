//! `/organizations/{organization}/endpoints` and `/platform/endpoints`: who is told, of an organization and of the vendor
//! (domain N1, E6).

use super::notices::{change_outbox, of_notice};
use super::*;
use crate::http::once::{self, Answer};
use crate::notify::endpoint::{email, url};
use crate::notify::sign;
use crate::store::outbox::{
    ENDPOINTS_MAX, Endpoint, EndpointKind, NewNotice, OutboxChange, Recipients, VENDOR,
};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::id::EndpointId;
use coterm_shared::licensing::test_notice;
use coterm_shared::time::Seconds;
use serde_json::json;

/// How long requests are signed with the secret before the last rotation too.
const ROTATION: Seconds = Seconds::days(1);

pub(super) fn routes() -> Routes {
    let new_endpoint = || Some((201, to("NewEndpoint")));
    let where_to = "Where notices go: mail addresses and webhooks";
    let no_more = "Tell it nothing more; what waits for it is dropped";
    let anew = "A new secret for a webhook; the old one signs for a day more";
    Routes::new()
        .get("/endpoints", list, Op::list(Who::Admin, "listEndpoints", where_to, to("Endpoint")))
        .post(
            "/endpoints",
            create,
            Op::act(Who::Admin, "createEndpoint", "Tell this address too", new_endpoint()).body(new()),
        )
        .delete("/endpoints/{endpoint}", remove, Op::act(Who::Admin, "removeEndpoint", no_more, None))
        .post(
            "/endpoints/{endpoint}/rotate",
            rotate,
            Op::act(Who::Admin, "rotateSecret", anew, Some((200, to("NewEndpoint")))),
        )
        .post(
            "/endpoints/{endpoint}/test",
            test,
            Op::act(Who::Admin, "testEndpoint", "Send it a test notice", Some((201, to("Notice")))),
        )
}

pub(super) fn platform_routes() -> Routes {
    let where_to = "Where the vendor is told of what waits for approval: mail addresses and webhooks";
    let add = "Tell this address of the vendor too";
    let no_more = "Tell the vendor nothing more there; what waits for it is dropped";
    let anew = "A new secret for a webhook of the vendor; the old one signs for a day more";
    let try_it = "Send an endpoint of the vendor a test notice";
    Routes::new()
        .get(
            "/platform/endpoints",
            list_of_vendor,
            Op::list(Who::Vendor, "listVendorEndpoints", where_to, to("Endpoint")),
        )
        .post(
            "/platform/endpoints",
            create_of_vendor,
            Op::act(Who::Vendor, "createVendorEndpoint", add, Some((201, to("NewEndpoint")))).body(new()),
        )
        .delete(
            "/platform/endpoints/{endpoint}",
            remove_of_vendor,
            Op::act(Who::Vendor, "removeVendorEndpoint", no_more, None),
        )
        .post(
            "/platform/endpoints/{endpoint}/rotate",
            rotate_of_vendor,
            Op::act(Who::Vendor, "rotateVendorSecret", anew, Some((200, to("NewEndpoint")))),
        )
        .post(
            "/platform/endpoints/{endpoint}/test",
            test_of_vendor,
            Op::act(Who::Vendor, "testVendorEndpoint", try_it, Some((201, to("Notice")))),
        )
}

/// The body that makes an endpoint.
fn new() -> Value {
    body([
        ("kind", either(&["email", "webhook"])),
        ("address", said(text(), "a mail address, or an https URL")),
    ])
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

/// Whose endpoints the path is about: an organization's, or the vendor's if it names none.
fn whose(ask: &Ask, organization: Option<&str>) -> Result<OrganizationId> {
    match organization {
        Some(organization) => ask.organization(organization, Action::ManageEndpoints),
        None => ask.may(Action::ManagePlatform).map(|()| VENDOR),
    }
}

/// The endpoints the path is about, for whoever may change them: an address is a person's, a URL a secret.
async fn endpoints(
    api: &Api,
    ask: &Ask,
    organization: Option<&str>,
) -> Result<(OrganizationId, Vec<Endpoint>)> {
    let id = whose(ask, organization)?;
    if id != VENDOR && api.books().version(id).is_none() {
        return Err(Problem::not_found("organization"));
    }
    let found = api.books().endpoints(id).await.map_err(|error| refused(&error))?;
    Ok((id, found))
}

async fn endpoint(api: &Api, ask: &Ask, organization: Option<&str>, endpoint: &str) -> Result<Endpoint> {
    let (_, all) = endpoints(api, ask, organization).await?;
    let id: EndpointId = ids::of_path(endpoint, "endpoint")?;
    all.into_iter().find(|one| one.id == id).ok_or_else(|| Problem::not_found("endpoint"))
}

/// `GET .../endpoints`
async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    listed(&api, &ask, Some(&id)).await
}

/// `GET /platform/endpoints`
async fn list_of_vendor(State(api): State<Api>, ask: Ask) -> Result<Response> {
    listed(&api, &ask, None).await
}

async fn listed(api: &Api, ask: &Ask, organization: Option<&str>) -> Result<Response> {
    let (_, all) = endpoints(api, ask, organization).await?;
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
async fn create(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    made(&api, &ask, Some(&id)).await
}

/// `POST /platform/endpoints`, as that of an organization.
async fn create_of_vendor(State(api): State<Api>, ask: Ask) -> Result<Response> {
    made(&api, &ask, None).await
}

async fn made(api: &Api, ask: &Ask, organization: Option<&str>) -> Result<Response> {
    let (organization, all) = endpoints(api, ask, organization).await?;
    ask.no_query()?;
    once::answer(api, ask, async {
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
            return Err(no_mail_server(
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
        if change_outbox(api, OutboxChange::Add(new.clone())).await? == 0 {
            let is_there = all.iter().any(|one| one.kind == new.kind && one.address == new.address);
            let (code, detail, hint) = if is_there {
                ("ENDPOINT_EXISTS", String::from("This address is told already."), "List the endpoints.")
            } else {
                let detail = format!("There are at most {ENDPOINTS_MAX} endpoints.");
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

/// The refusal of an address that nothing could be delivered to.
pub(super) fn no_mail_server(hint: &'static str) -> Problem {
    let detail = "This installation has no mail server, so nothing could be delivered there.";
    Problem::new(StatusCode::CONFLICT, "NO_MAIL_SERVER", detail, hint)
}

/// `DELETE .../endpoints/{endpoint}`: it is told nothing more.
async fn remove(
    State(api): State<Api>,
    Path((id, one)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    removed(&api, &ask, Some(&id), &one).await
}

/// `DELETE /platform/endpoints/{endpoint}`
async fn remove_of_vendor(State(api): State<Api>, Path(one): Path<String>, ask: Ask) -> Result<Response> {
    removed(&api, &ask, None, &one).await
}

async fn removed(api: &Api, ask: &Ask, organization: Option<&str>, one: &str) -> Result<Response> {
    whose(ask, organization)?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(api, ask, async {
        let Endpoint { id, organization, .. } = endpoint(api, ask, organization, one).await?;
        change_outbox(api, OutboxChange::Remove { organization, id, at: ask.now }).await?;
        tracing::info!(endpoint = %id, %organization, actor = %ask.principal, "an endpoint was removed");
        Ok(Answer::done())
    })
    .await
}

/// `POST .../endpoints/{endpoint}/rotate`: a new secret, in this answer alone.
async fn rotate(
    State(api): State<Api>,
    Path((id, one)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    rotated(&api, &ask, Some(&id), &one).await
}

/// `POST /platform/endpoints/{endpoint}/rotate`
async fn rotate_of_vendor(State(api): State<Api>, Path(one): Path<String>, ask: Ask) -> Result<Response> {
    rotated(&api, &ask, None, &one).await
}

async fn rotated(api: &Api, ask: &Ask, organization: Option<&str>, one: &str) -> Result<Response> {
    let found = endpoint(api, ask, organization, one).await?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(api, ask, async {
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
        change_outbox(api, OutboxChange::Rotate { organization, id, secret: secret.clone(), until }).await?;
        let actor = &ask.principal;
        tracing::info!(endpoint = %id, %organization, %actor, "the secret of a webhook was rotated");
        let shown = of_endpoint(&found, Some(sign::reveal(&secret)));
        Ok(Answer::hiding(StatusCode::OK, shown, of_endpoint(&found, None)))
    })
    .await
}

/// `POST .../endpoints/{endpoint}/test`: a test notice goes there, by the way all others go.
async fn test(State(api): State<Api>, Path((id, one)): Path<(String, String)>, ask: Ask) -> Result<Response> {
    tested(&api, &ask, Some(&id), &one).await
}

/// `POST /platform/endpoints/{endpoint}/test`
async fn test_of_vendor(State(api): State<Api>, Path(one): Path<String>, ask: Ask) -> Result<Response> {
    tested(&api, &ask, None, &one).await
}

async fn tested(api: &Api, ask: &Ask, organization: Option<&str>, one: &str) -> Result<Response> {
    let found = endpoint(api, ask, organization, one).await?;
    ask.no_query()?;
    ask.no_body()?;
    once::answer(api, ask, async {
        let name = match found.organization {
            VENDOR => String::from("Vendor"),
            id => {
                let organization = api.books().organization(id);
                organization.ok_or_else(|| Problem::not_found("organization"))?.name().to_string()
            }
        };
        let made =
            crate::books::new_notice((found.organization, &name), &test_notice(&name, ask.now), ask.now);
        let to = Recipients::Only(found.id);
        let new = NewNotice { to, ..made.map_err(|error| Problem::failed(&error))? };
        let notice = new.notice.clone();
        change_outbox(api, OutboxChange::Tell(new)).await?;
        let view = of_notice(&(notice, Vec::new()));
        Ok(Answer::of(StatusCode::CREATED, view))
    })
    .await
}
