//! `/organizations/{organization}/enrolment`: claim codes, devices that wait, and devices approved beforehand.

use super::devices::{cataloged, trial_of};
use super::*;
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::enrolment::code::{ClaimText, RootPin, masked};
use coterm_shared::id::{ClaimCodeId, DeviceId, SiteId};
use coterm_shared::licensing::{ClaimCode, ClaimState, EnrolmentCommand, LIST_MAX, NewClaimCode};
use coterm_shared::time::{Seconds, Timestamp};
use serde_json::json;

/// How long a claim code may be used if nothing is said.
const LIFE: Seconds = Seconds::days(7);

pub(super) fn routes() -> Routes {
    let one = "ClaimCode";
    let new = body([
        ("site", id("site")),
        ("model", text()),
        ("device?", said(text(), "the only device that may use it")),
        ("approval?", said(flag(), "its device waits for an administrator")),
        ("trial_days?", count()),
        ("trial_secs?", count()),
        ("life_secs?", said(from_to(1, u64::MAX), "for how long it may be used; 7 days if absent")),
    ]);
    let devices = || body([("devices", some(body([("id", text())]), 1, LIST_MAX as u64))]);
    let issued = "Issue a claim code; it is in this answer alone";
    let waiting = "The claim codes with which a device waits";
    Routes::new()
        .get(
            "/enrolment/codes",
            list,
            Op::list(Who::Viewer, "listClaimCodes", "Claim codes, masked", to(one)).tagged(),
        )
        .post("/enrolment/codes", create, Op::create(Who::Admin, "issueClaimCode", issued, one).body(new))
        .get(
            "/enrolment/codes/{code}",
            show,
            Op::read(Who::Viewer, "getClaimCode", "A claim code, masked", to(one)).tagged(),
        )
        .delete(
            "/enrolment/codes/{code}",
            revoke,
            Op::change(Who::Admin, "revokeClaimCode", "Take back a claim code nobody used", one),
        )
        .post(
            "/enrolment/codes/{code}/approve",
            approve,
            Op::change(Who::Admin, "approveEnrolment", "Claim the device that waits with it", one),
        )
        .post(
            "/enrolment/codes/{code}/deny",
            deny,
            Op::change(Who::Admin, "denyEnrolment", "Refuse the device that waits with it", one),
        )
        .get(
            "/enrolment/pending",
            pending,
            Op::list(Who::Viewer, "listPendingEnrolments", waiting, to(one)).tagged(),
        )
        .get(
            "/enrolment/preauthorised",
            preauthorised,
            Op::list(Who::Viewer, "listPreauthorised", "Devices that wait for nobody", to("Preauthorised"))
                .tagged(),
        )
        .post(
            "/enrolment/preauthorised",
            preauthorise,
            Op::change(Who::Admin, "preauthorise", "Put devices on that list", "PreauthorisedCount")
                .body(devices()),
        )
        .post(
            "/enrolment/preauthorised/remove",
            unlist,
            Op::change(Who::Admin, "endPreauthorisation", "Take devices off that list", "PreauthorisedCount")
                .body(devices()),
        )
}

fn shown(code: &ClaimCode, now: Timestamp) -> Value {
    let came = match &code.state {
        ClaimState::Pending { device, key, since: at }
        | ClaimState::Used { device, key, at }
        | ClaimState::Denied { device, key, at } => Some(json!({ "device": device, "key": key, "at": at })),
        ClaimState::Open | ClaimState::Revoked { .. } => None,
    };
    json!({
        "id": code.id,
        "code": masked(&code.tail),
        "state": code.standing(now),
        "site": code.site,
        "model": code.model,
        "product": code.product,
        "units": code.units,
        "trial_secs": code.trial_secs,
        "device": code.device,
        "approval": code.approval,
        "issued_at": code.issued_at,
        "ends_at": code.ends_at,
        "came": came,
    })
}

/// `GET .../enrolment/codes`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<ClaimCodeId> = ask.page()?;
    let codes = organization.enrolment().codes_after(page.after);
    let codes = page::of(codes, &page, |code| code.id, |code| shown(code, ask.now));
    page::tagged(organization.version(), ask.headers(), &codes)
}

/// `GET .../enrolment/pending`: the claim codes with which a device waits.
pub(super) async fn pending(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<ClaimCodeId> = ask.page()?;
    let waits = |code: &&ClaimCode| match code.state {
        ClaimState::Pending { .. } => true,
        ClaimState::Open
        | ClaimState::Used { .. }
        | ClaimState::Denied { .. }
        | ClaimState::Revoked { .. } => false,
    };
    let codes = organization.enrolment().codes_after(page.after).filter(waits);
    let codes = page::of(codes, &page, |code| code.id, |code| shown(code, ask.now));
    page::tagged(organization.version(), ask.headers(), &codes)
}

/// `GET .../enrolment/codes/{code}`
pub(super) async fn show(
    State(api): State<Api>,
    Path((id, code)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let code = organization.enrolment().code(ids::of_path(&code, "claim code")?);
    let code = code.ok_or_else(|| Problem::not_found("claim code"))?;
    page::tagged(organization.version(), ask.headers(), &shown(code, ask.now))
}

/// `POST .../enrolment/codes` `{"site", "model", "device"?, "approval"?, "trial_days"? or "trial_secs"?, "life_secs"?}`
///
/// The code is in this answer and nowhere else; a repetition with the same Idempotency-Key shows it masked.
pub(super) async fn create(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?.id();
    let mut body = ask.body()?;
    let site = body.parsed::<SiteId>("site");
    let model = body.parsed::<String>("model");
    let device = body.optional::<DeviceId>("device");
    let approval = body.flag("approval");
    let trial = trial_of(&mut body);
    let life = body.optional_integer("life_secs", 1, u64::MAX);
    let (site, model, device, approval, trial, life) =
        body.finish(|| Some((site?, model?, device?, approval?, trial?, life?)))?;
    let mut random = [0; 14];
    getrandom::fill(&mut random).map_err(|error| Problem::failed(&error))?;
    let provisioner = api.provisioner().clone();
    let root = tokio::task::spawn_blocking(move || provisioner.trust().root).await;
    let text = ClaimText::new(RootPin::of(&root.map_err(|error| Problem::failed(&error))?), random);
    let code = ClaimCodeId::from_bytes(ids::fresh(ask.now)?);
    // The catalog is asked about a model; which device has it is not known yet.
    let nobody = DeviceId::from_uuid_bytes([0; 16]);
    let known = cataloged(&api, device.clone().unwrap_or(nobody), model, trial, None)?;
    let new = NewClaimCode {
        id: code,
        hash: text.secret().hash(),
        tail: text.tail(),
        site,
        model: known.model,
        product: known.product,
        units: known.units,
        trial_secs: known.trial_secs,
        device,
        approval,
        life_secs: life.map_or(LIFE, Seconds),
    };
    let issue = EnrolmentCommand::IssueCode(Box::new(new));
    let answer = changed(&api, &ask, organization, issue, StatusCode::CREATED, code).await?;
    let fresh = answer.status() == StatusCode::CREATED && !answer.headers().contains_key(change::REPLAYED);
    let stored = api.books().organization(organization);
    match stored.as_ref().and_then(|books| books.enrolment().code(code)) {
        Some(made) if fresh => {
            let mut body = shown(made, ask.now);
            if let Some(fields) = body.as_object_mut() {
                fields.insert(String::from("code"), json!(text.reveal()));
            }
            let tag = answer.headers().get(axum::http::header::ETAG).cloned();
            let mut open = (StatusCode::CREATED, Json(body)).into_response();
            if let Some(tag) = tag {
                open.headers_mut().insert(axum::http::header::ETAG, tag);
            }
            Ok(open)
        }
        Some(_) | None => Ok(answer),
    }
}

/// Changes something about a claim code and answers with it.
async fn changed(
    api: &Api,
    ask: &Ask,
    organization: OrganizationId,
    change: EnrolmentCommand,
    status: StatusCode,
    code: ClaimCodeId,
) -> Result<Response> {
    command(api, ask, organization, Command::Enrolment(change), status, move |o, committed| {
        o.enrolment().code(code).map(|code| shown(code, committed.at))
    })
    .await
}

async fn on_code(
    State(api): State<Api>,
    Path((id, code)): Path<(String, String)>,
    ask: Ask,
    change: fn(ClaimCodeId) -> EnrolmentCommand,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?.id();
    ask.no_body()?;
    let code: ClaimCodeId = ids::of_path(&code, "claim code")?;
    changed(&api, &ask, organization, change(code), StatusCode::OK, code).await
}

/// `DELETE .../enrolment/codes/{code}`: it cannot be used any more.
pub(super) async fn revoke(api: State<Api>, path: Path<(String, String)>, ask: Ask) -> Result<Response> {
    on_code(api, path, ask, |code| EnrolmentCommand::RevokeCode { code }).await
}

/// `POST .../enrolment/codes/{code}/approve`: the device that waits is claimed.
pub(super) async fn approve(api: State<Api>, path: Path<(String, String)>, ask: Ask) -> Result<Response> {
    on_code(api, path, ask, |code| EnrolmentCommand::Approve { code }).await
}

/// `POST .../enrolment/codes/{code}/deny`: the device that waits is refused; the code is spent.
pub(super) async fn deny(api: State<Api>, path: Path<(String, String)>, ask: Ask) -> Result<Response> {
    on_code(api, path, ask, |code| EnrolmentCommand::Deny { code }).await
}

/// `GET .../enrolment/preauthorised`
pub(super) async fn preauthorised(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<DeviceId> = ask.page()?;
    let devices = organization.enrolment().preauthorised_after(page.after.clone());
    let devices = page::of(devices, &page, |id| (*id).clone(), |id| json!({ "id": id }));
    page::tagged(organization.version(), ask.headers(), &devices)
}

async fn on_list(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
    change: fn(Vec<DeviceId>) -> EnrolmentCommand,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?.id();
    let mut body = ask.body()?;
    let devices = body.list("devices", LIST_MAX, |device| device.parsed::<DeviceId>("id"));
    let devices = body.finish(|| devices)?;
    let change = Command::Enrolment(change(devices));
    command(&api, &ask, organization, change, StatusCode::OK, |o, _| {
        Some(json!({ "preauthorised": o.enrolment().preauthorised() }))
    })
    .await
}

/// `POST .../enrolment/preauthorised` `{"devices": [{"id"}]}`: these wait for nobody.
pub(super) async fn preauthorise(api: State<Api>, path: Path<String>, ask: Ask) -> Result<Response> {
    on_list(api, path, ask, |devices| EnrolmentCommand::Preauthorise { devices }).await
}

/// `POST .../enrolment/preauthorised/remove` `{"devices": [{"id"}]}`
pub(super) async fn unlist(api: State<Api>, path: Path<String>, ask: Ask) -> Result<Response> {
    on_list(api, path, ask, |devices| EnrolmentCommand::EndPreauthorisation { devices }).await
}
