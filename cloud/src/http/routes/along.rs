//! A site that moves with the licenses it needs (domain G4): planned here, decided as one change.
//!
//! **Method.** The smallest set of keys is planned on the present state, outside of the writer; the change names them, and
//! is refused if they do not suffice when it is decided. The digest of the preview binds it to what was shown.

use super::*;
use axum::Json;
use coterm_shared::id::KeyId;
use coterm_shared::licensing::view::KeyView;
use coterm_shared::licensing::{KeyStep, LicensePlan};
use coterm_shared::platform::code::KeyCode;
use serde_json::json;

/// Makes a move with its licenses, and answers with `view` of the organization and the keys that went along.
pub(super) async fn make(
    api: &Api,
    ask: &Ask,
    organization: &Organization,
    of: Command,
    status: StatusCode,
    view: impl FnOnce(&Organization) -> Option<Value> + Send + 'static,
) -> Result<Response> {
    let dry_run = ask.dry_run()?;
    let planned = api.books().licenses_along(organization.id(), of.clone()).await;
    // A repetition finds the site moved already: what it is answered is for the books to say.
    let (plan, unplanned) = match planned {
        Ok(plan) => (plan, None),
        Err(BooksError::Refused(refusals)) => (LicensePlan::default(), Some(refusals)),
        Err(error) => return Err(refused(&error)),
    };
    let mut codes: Vec<(KeyId, KeyCode)> = Vec::new();
    let mut part = || {
        let (id, code) = (KeyId::from_bytes(ids::fresh(ask.now)?), keys::fresh_code()?);
        // A preview makes no codes: the ends it would show are not those of the split.
        let tail = if dry_run { String::from(keys::NO_CODE_YET) } else { code.tail() };
        codes.push((id, code));
        Ok::<_, Problem>((id, tail))
    };
    let steps = plan.keys.iter().map(|key| key.step(&mut part)).collect::<Result<Vec<KeyStep>>>()?;
    let change = Change::WithLicenses {
        organization: organization.id(),
        of,
        code_hashes: codes.iter().map(|(id, code)| (*id, code.hash())).collect(),
        keys: steps.clone(),
        proven_smallest: plan.proven_smallest,
    };
    let made = change::make(api, ask, change, status, move |committed| {
        let organization = committed.organization.as_ref()?;
        let key = |id: KeyId| Some(json!(KeyView::of(organization, organization.key(id)?, committed.at)));
        let along = |step: &KeyStep| match step {
            KeyStep::Move { key: id } => Some(json!({ "key": key(*id)? })),
            KeyStep::Split { key: id, goes, stays } => {
                Some(json!({ "key": key(*id)?, "parts": [key(goes.id)?, key(stays.id)?] }))
            }
        };
        let licenses: Option<Vec<Value>> = steps.iter().map(along).collect();
        let mut shown = view(organization)?;
        shown.as_object_mut()?.insert(String::from("licenses"), json!(licenses?));
        Some(shown)
    })
    .await;
    match (made, unplanned) {
        // Why there are no licenses says more than that without them there are not enough.
        (Err(problem), Some(refusals)) if problem.is_a_conflict() => Err(change::refusal(&refusals)),
        (Err(problem), _) => Err(problem),
        (Ok(answer), _) if dry_run || codes.is_empty() || answer.headers().contains_key(change::REPLAYED) => {
            Ok(answer)
        }
        (Ok(answer), _) => reveal(answer, &codes).await,
    }
}

/// The same answer with the codes of the new keys in full: the one time they are shown.
async fn reveal(answer: Response, codes: &[(KeyId, KeyCode)]) -> Result<Response> {
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| Problem::internal())?;
    let mut shown: Value = serde_json::from_slice(&bytes).map_err(|_| Problem::internal())?;
    let along = shown.get_mut("licenses").and_then(Value::as_array_mut).into_iter().flatten();
    let made = along.filter_map(|step| step.get_mut("parts")?.as_array_mut()).flatten();
    for part in made.filter_map(Value::as_object_mut) {
        let id = part.get("id").and_then(Value::as_str).map(str::to_owned);
        let code = codes.iter().find(|(made, _)| Some(made.to_string()) == id);
        if let Some((_, code)) = code {
            part.insert(String::from("code"), json!(code.reveal()));
        }
    }
    Ok((parts.status, parts.headers, Json(shown)).into_response())
}
