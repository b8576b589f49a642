//! `/organizations/{organization}/access`: may people do this with that now, and if not, why and until when (domain E8)?
//!
//! Answers may be kept for a few seconds and no longer, however far ahead the next date lies: whoever claims a license is
//! let in at once (domain E4). To keep answers longer, follow the feed.

use super::*;
use crate::access::{Answered, Changes};
use crate::http::Waiting;
use axum::extract::{Path, State};
use coterm_shared::id::{DeviceId, SiteId};
use coterm_shared::licensing::access::{AccessAction, AccessSubject, DeniedDigest, DeniedView};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Seconds that a question to the feed may wait; the request itself has 30.
const WAIT_MAX_SECS: u64 = 25;
/// How often a waiting question looks at the clock: dates pass without anybody changing anything.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn routes() -> Routes {
    let names = AccessAction::ALL.map(AccessAction::name);
    let ask =
        Op::read(Who::Viewer, "askAccess", "May people do this with that now, and if not, why", to("Access"));
    let denied = "Everything people are kept out of now; what is not in the list is open";
    let changes = "What changed since a list that is known; waits for it if asked to";
    Routes::new()
        .get(
            "/access",
            one,
            ask.query("device", text(), "a device; without it and `site`, the organization as a whole")
                .query("site", id("site"), "a site")
                .query(
                    "action",
                    either(&names),
                    "what people want to do; absent: anything not always allowed",
                )
                .tagged()
                .fresh(),
        )
        .get(
            "/access/denied",
            denied_list,
            Op::list(Who::Viewer, "listDenied", denied, to("Denied"))
                .and_fields([("count", count()), ("feed", text())])
                .tagged()
                .fresh(),
        )
        .get(
            "/access/changes",
            changed,
            Op::read(Who::Viewer, "followAccess", changes, to("AccessChanges"))
                .query("after", text(), "`feed` of the list, or of the changes before")
                .query("wait", from_to(0, WAIT_MAX_SECS), "seconds to wait for a change; 0 if absent"),
        )
}

/// `GET .../access?device=|site=&action=`
pub(super) async fn one(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let mut query = ask.query();
    let device = query.optional::<DeviceId>("device");
    let site = query.optional::<SiteId>("site");
    let action = query.optional::<AccessAction>("action");
    let subject = match (device, site) {
        (Some(Some(_)), Some(Some(_))) => {
            query.fault("CONFLICTING_FIELDS", "device", "only one of `device` and `site` can be given");
            None
        }
        (Some(Some(device)), Some(None)) => Some(AccessSubject::Device(device)),
        (Some(None), Some(Some(site))) => Some(AccessSubject::Site(site)),
        (Some(None), Some(None)) => Some(AccessSubject::Organization),
        (None, _) | (_, None) => None,
    };
    let (subject, action) = query.finish(|| Some((subject?, action?)))?;
    let (kind, desk, now) = (subject.kind(), api.access().clone(), ask.now);
    // A site of many devices is looked through once for every state of the books, beside those who serve others.
    let answered = blocking(move || desk.answer(&organization, &subject, action, now)).await?;
    let Answered { answer, until } = answered.ok_or_else(|| Problem::not_found(kind))?;
    Ok(page::fresh(page::printed(ask.headers(), &answer)?, now, until))
}

/// `GET .../access/denied`: in pages, all with the tag of the whole list.
pub(super) async fn denied_list(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let page: Page<AccessSubject> = ask.page()?;
    let (desk, now) = (api.access().clone(), ask.now);
    let denied = blocking(move || desk.denied(&organization, now)).await?;
    let shown = denied.after(page.after.as_ref());
    let mut shown = page::of(shown, &page, |(subject, _)| (*subject).clone(), |(_, view)| view);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert(String::from("count"), json!(denied.count()));
        fields.insert(String::from("feed"), json!(denied.digest().to_string()));
    }
    let tagged = page::tagged_as(&denied.digest().to_string(), ask.headers(), &shown)?;
    Ok(page::fresh(tagged, now, denied.changes_at()))
}

/// `GET .../access/changes?after=&wait=`
pub(super) async fn changed(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let id = ask.organization(&id, Action::Read)?;
    let mut query = ask.query();
    let after = query.optional::<String>("after").map(|given| given.map(|text| text.parse::<DeniedDigest>()));
    let after = match after {
        Some(Some(Err(error))) => {
            query.fault("BAD_CURSOR", "after", format!("`after` is {error}; start without one"));
            None
        }
        Some(Some(Ok(after))) => Some(Some(after)),
        Some(None) => Some(None),
        None => None,
    };
    let wait = query.optional_integer("wait", 0, WAIT_MAX_SECS);
    let (after, wait) = query.finish(|| Some((after?, wait?)))?;
    let until = Instant::now() + Duration::from_secs(wait.unwrap_or(0));
    // Subscribed before the first look, so that nothing comes between the two.
    let mut feed = api.books().subscribe();
    let mut waiting: Option<Waiting> = None;
    loop {
        let (books, desk) = (api.books().clone(), api.access().clone());
        let found = blocking(move || {
            let now = books.now();
            books.present(id, now).map(|organization| desk.changes(&organization, after, now))
        });
        let changes = found.await?.ok_or_else(|| Problem::not_found("organization"))?;
        let left = until.saturating_duration_since(Instant::now());
        if changes.resync || !changes.changes.is_empty() || left.is_zero() {
            return Ok(page::plain(&shown(&changes)));
        }
        if waiting.is_none() {
            waiting = Some(api.wait_for_access()?);
        }
        let next = tokio::time::sleep(left.min(LOOK));
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                touched = feed.changed() => if touched.contains_key(&id) { break },
            }
        }
    }
}

fn shown(of: &Changes) -> Value {
    let changes: Vec<DeniedView> = of.changes.iter().map(|change| change.view()).collect();
    json!({
        "feed": of.cursor.to_string(),
        "resync": of.resync,
        "changes": changes,
        "next_change_at": of.until,
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::failed(&error))
}
