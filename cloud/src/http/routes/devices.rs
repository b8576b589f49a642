//! `/organizations/{organization}/devices`

use super::super::bundle::bundle;
use super::super::ports::Provisioned;
use super::*;
use crate::http::once::{self, Answer};
use axum::extract::{Path, State};
use coterm_shared::id::{DeviceId, SiteId};
use coterm_shared::licensing::view::DeviceView;
use coterm_shared::licensing::{Device, ModelName, NewDevice, Refusal, RefusalCode, Refusals, Wants};
use coterm_shared::time::Seconds;
use serde_json::json;
use std::cell::RefCell;

pub(super) fn routes() -> Routes {
    let one = "Device";
    let change = |id, summary| Op::change(Who::Admin, id, summary, one);
    let new = body([
        ("id", text()),
        ("site", id("site")),
        ("model", text()),
        ("trial_days?", count()),
        ("trial_secs?", count()),
        ("doors?", said(count(), "configured doors of a door controller")),
    ]);
    let successor = body([("id", text()), ("model", text()), ("doors?", count())]);
    let replaced = Op::create(Who::Admin, "replaceDevice", "Another takes its place in one step", one);
    let bundle = "Make a new certificate, its only key, and the files the agent needs";
    Routes::new()
        .get(
            "/devices",
            list,
            Op::list(Who::Viewer, "listDevices", "Devices, retired ones too", to(one)).ahead(),
        )
        .post("/devices", claim, Op::create(Who::Admin, "claimDevice", "Claim a device", one).body(new))
        .get(
            "/devices/{device}",
            show,
            Op::read(Who::Viewer, "getDevice", "What it should do, and what it said last", to(one)).ahead(),
        )
        .post(
            "/devices/{device}/move",
            relocate,
            change("moveDevice", "Move a device to another site").body(body([("site", id("site"))])),
        )
        .post(
            "/devices/{device}/doors",
            doors,
            change("configureDoors", "Say how many doors of a door controller are configured")
                .body(body([("doors", count())])),
        )
        .post(
            "/devices/{device}/convert",
            convert,
            change("convertDevice", "End its trial; it uses licenses"),
        )
        .post("/devices/{device}/replace", replace, replaced.body(successor))
        .post("/devices/{device}/retire", retire, change("retireDevice", "Retire a device"))
        .post(
            "/devices/{device}/stolen",
            report_stolen,
            change("reportDeviceStolen", "Report a device stolen: it cannot be claimed any more"),
        )
        .post(
            "/devices/{device}/provision",
            provision,
            Op::act(Who::Admin, "provisionDevice", bundle, Some((201, to("Bundle")))),
        )
}

/// `GET .../devices`
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let (page, at) = page_ahead::<DeviceId>(&ask, &id)?;
    let seen = Seen::read(&api, &ask, &id, at).await?;
    let organization = &seen.organization;
    // Asked through one memory: whom a shortfall is enforced on is found once for the page, not for each device.
    let wants = RefCell::new(Wants::of(organization));
    let view = |d: &Device| {
        let wanted = wants.borrow_mut().wanted(&d.id);
        with_status(&api, &seen, DeviceView::wanting(organization, d, wanted, seen.at), &d.id)
    };
    let devices = page::of(organization.devices_after(page.after.clone()), &page, |d| d.id.clone(), view);
    // What devices report is no part of the organization's version, so this list has no tag.
    seen.answer_untagged(&devices)
}

/// `POST .../devices` `{"id", "site", "model", "trial_days"? or "trial_secs"?, "doors"?}`: claims it; the catalog says
/// what it consumes, and of a door controller, how many of its doors are configured can be said (domain G7).
pub(super) async fn claim(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let mut body = ask.body()?;
    let id = body.parsed::<DeviceId>("id");
    let site = body.parsed::<SiteId>("site");
    let model = body.parsed::<String>("model");
    let trial = trial_of(&mut body);
    let doors = body.optional_integer("doors", 0, u64::MAX);
    let (id, site, model, trial, doors) = body.finish(|| Some((id?, site?, model?, trial?, doors?)))?;
    let device = cataloged(&api, id.clone(), model, trial, doors)?;
    let claim = Command::ClaimDevice { device, site };
    command(&api, &ask, organization.id(), claim, StatusCode::CREATED, shown(id)).await
}

/// How long a trial a body asks for, in days or in seconds: `Some(None)` for none.
#[expect(clippy::option_option, reason = "outer: could be read; inner: was given")]
pub(super) fn trial_of(body: &mut Fields) -> Option<Option<Seconds>> {
    let days = body.optional_integer("trial_days", 0, u64::MAX);
    let secs = body.optional_integer("trial_secs", 0, u64::MAX);
    match (days?, secs?) {
        (Some(_), Some(_)) => {
            body.fault(
                "CONFLICTING_FIELDS",
                "trial_days",
                "only one of `trial_days` and `trial_secs` can be given",
            );
            None
        }
        (Some(days), None) => Some(Some(Seconds(days.saturating_mul(Seconds::days(1).0)))),
        (None, secs) => Some(secs.map(Seconds)),
    }
}

/// A device with what the catalog says of its model.
pub(super) fn cataloged(
    api: &Api,
    id: DeviceId,
    model: String,
    trial_secs: Option<Seconds>,
    doors: Option<u64>,
) -> Result<NewDevice> {
    let name = ModelName::parse(&model).map_err(|refusal| change::refusal(&refusal.into()))?;
    let platform = api.books().platform();
    let known = platform.model(&name).ok_or_else(|| change::refusal(&unknown_model(&name)))?;
    Ok(NewDevice { id, model, product: known.product, units: known.units, trial_secs, doors })
}

fn unknown_model(name: &ModelName) -> Refusals {
    let message = format!("the catalog has no model {name}");
    let hint = "list the models; the vendor puts new ones into the catalog";
    // Not the device but its model is missing, which is a mistake in the request.
    Refusal::new(RefusalCode::ModelUnknown, message, hint).at("model").into()
}

/// `GET .../devices/{device}`: what it should do, and what it said last.
pub(super) async fn show(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let seen = Seen::read(&api, &ask, &id, ahead(&ask, &id)?).await?;
    let device = find(&seen.organization, &device)?;
    let view = DeviceView::of(&seen.organization, device, seen.at);
    seen.answer_untagged(&with_status(&api, &seen, view, &device.id))
}

/// `POST .../devices/{device}/move` `{"site"}`
pub(super) async fn relocate(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id: DeviceId = ids::of_path(&device, "device")?;
    let mut body = ask.body()?;
    let site = body.parsed::<SiteId>("site");
    let site = body.finish(|| site)?;
    let relocate = Command::MoveDevice { id: id.clone(), site };
    command(&api, &ask, organization.id(), relocate, StatusCode::OK, shown(id)).await
}

/// `POST .../devices/{device}/doors` `{"doors"}`: how many doors of a controller are configured (domain G7).
pub(super) async fn doors(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let id: DeviceId = ids::of_path(&device, "device")?;
    let mut body = ask.body()?;
    let doors = body.integer("doors", 0, u64::MAX);
    let doors = body.finish(|| doors)?;
    let configure = Command::ConfigureDoors { id: id.clone(), doors };
    command(&api, &ask, organization.id(), configure, StatusCode::OK, shown(id)).await
}

/// `POST .../devices/{device}/replace` `{"id", "model", "doors"?}`: another takes its place in one step (domain G9); a
/// door controller with the doors of the old one unless others are given.
pub(super) async fn replace(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let old: DeviceId = ids::of_path(&device, "device")?;
    let mut body = ask.body()?;
    let id = body.parsed::<DeviceId>("id");
    let model = body.parsed::<String>("model");
    let doors = body.optional_integer("doors", 0, u64::MAX);
    let (id, model, doors) = body.finish(|| Some((id?, model?, doors?)))?;
    let new = cataloged(&api, id.clone(), model, None, doors)?;
    let replace = Command::ReplaceDevice { old, new };
    command(&api, &ask, organization.id(), replace, StatusCode::CREATED, shown(id)).await
}

/// `POST .../devices/{device}/convert`: its trial ends now and it uses licenses (domain G8).
pub(super) async fn convert(api: State<Api>, path: Path<(String, String)>, ask: Ask) -> Result<Response> {
    on_device(api, path, ask, |id| Command::ConvertTrial { id }).await
}

/// `POST .../devices/{device}/retire`
pub(super) async fn retire(api: State<Api>, path: Path<(String, String)>, ask: Ask) -> Result<Response> {
    on_device(api, path, ask, |id| Command::RetireDevice { id }).await
}

/// `POST .../devices/{device}/stolen`: it cannot be claimed any more (domain G10).
pub(super) async fn report_stolen(
    api: State<Api>,
    path: Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    on_device(api, path, ask, |id| Command::ReportStolen { id }).await
}

/// A change that needs to know nothing but the device.
async fn on_device(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
    change: fn(DeviceId) -> Command,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    ask.no_body()?;
    let id: DeviceId = ids::of_path(&device, "device")?;
    command(&api, &ask, organization.id(), change(id.clone()), StatusCode::OK, shown(id)).await
}

/// `POST .../devices/{device}/provision`: a new certificate and everything else the agent needs.
///
/// It changes no licenses, so it is in the daemon's log and not among the transactions; repeated, it makes another
/// certificate and revokes the older one, so that a lost directory is worth nothing. The key is in this answer and nowhere
/// else: a repetition with the same Idempotency-Key makes nothing, and shows the other files.
pub(super) async fn provision(
    State(api): State<Api>,
    Path((id, device)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let id = ask.organization(&id, Action::Provision)?;
    ask.no_query()?;
    once::answer(&api, &ask, async {
        ask.no_body()?;
        let organization =
            api.books().present(id, ask.now).ok_or_else(|| Problem::not_found("organization"))?;
        let device = find(&organization, &device)?;
        if !device.is_active() {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "DEVICE_RETIRED",
                "The device is retired.",
                "Claim it again before provisioning it.",
            ));
        }
        let (name, product) = (device.id.clone(), device.product);
        let provisioner = api.provisioner().clone();
        let made = tokio::task::spawn_blocking(move || {
            let certificate = provisioner.certificate(&name, id)?;
            Ok::<_, coterm_certs::PkiError>((certificate, provisioner.trust(), provisioner.broker()))
        });
        let made = made.await.map_err(|error| Problem::failed(&error))?;
        let (Provisioned { certificate, replaced }, trust, broker) =
            made.map_err(|error| Problem::failed(&error))?;
        let (device, serial) = (&certificate.device, certificate.facts.serial.as_str());
        tracing::info!(%device, actor = %ask.principal, serial, replaced, "made a device certificate");
        let body = bundle(id, product, &certificate, replaced, &trust, &broker)?;
        let kept = without_key(&body);
        Ok(Answer::hiding(StatusCode::CREATED, body, kept))
    })
    .await
}

/// What a repetition shows: the files without the private key, which is nowhere but in the first answer.
fn without_key(body: &Value) -> Value {
    let mut shown = body.clone();
    if let Some(files) = shown.get_mut("files").and_then(Value::as_array_mut) {
        files.retain(|file| file.get("name").and_then(Value::as_str) != Some("device.key"));
    }
    shown
}

fn find<'a>(organization: &'a Organization, device: &str) -> Result<&'a Device> {
    organization.device(&ids::of_path(device, "device")?).ok_or_else(|| Problem::not_found("device"))
}

fn shown(id: DeviceId) -> impl FnOnce(&Organization, &Committed) -> Option<Value> + Send + 'static {
    move |o, committed| o.device(&id).map(|device| json!(DeviceView::of(o, device, committed.at)))
}

/// A device with what the field knows of it; nobody knows that of an instant ahead.
fn with_status(api: &Api, seen: &Seen, view: DeviceView, device: &DeviceId) -> Value {
    let mut view = json!(view);
    let status = || api.fleet().status(seen.organization.id(), device).filter(|_| !seen.is_forecast());
    if let (Some(fields), Some(status)) = (view.as_object_mut(), status()) {
        fields.insert(String::from("status"), status);
    }
    view
}
