//! `POST .../keys/{key}/split`: one key becomes two (domain K7), each with a code of its own.

use super::*;
use crate::books::NewPart;
use coterm_shared::licensing::{OrderLine, PartRequest, PartTarget};
use coterm_shared::product::ProductType;

/// A part as it was asked for.
struct Asked {
    lines: Vec<OrderLine>,
    target: PartTarget,
}

/// `POST .../keys/{key}/split` `{"parts": [{"lines": [{"product", "quantity"}], "group"?, "mode"?}, {...}]}`
///
/// A part without a group is left unassigned. The vendor can give one part to another organization instead, with
/// `organization` in place of `group` and `mode`: both logs in one transaction. The codes of the parts are in this answer and nowhere else; a repetition
/// with the same Idempotency-Key shows them masked.
pub(in super::super) async fn split(
    State(api): State<Api>,
    Path((id, key)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let organization = writable(&api, &ask, &id)?;
    let key: KeyId = ids::of_path(&key, "license key")?;
    let mut body = ask.body()?;
    let parts = body.list("parts", 2, |fields| Some(part(fields)));
    if parts.as_ref().is_some_and(|parts| parts.len() == 1) {
        body.fault("OUT_OF_RANGE", "parts", "`parts` has two elements");
    }
    let asked: [Asked; 2] = body.finish(|| {
        let parts: Option<Vec<Asked>> = parts?.into_iter().collect();
        parts?.try_into().ok()
    })?;
    if asked.iter().any(|part| matches!(part.target, PartTarget::Other(_))) {
        ask.may(Action::ManagePlatform)?;
    }
    let codes = [fresh_code()?, fresh_code()?];
    // A preview makes no codes: the ends it would show are not those of the split.
    let dry_run = ask.dry_run()?;
    let [first_tail, second_tail] =
        codes.each_ref().map(|code| if dry_run { String::from(NO_CODE_YET) } else { code.tail() });
    let [first, second] = asked;
    let [first_code, second_code] = &codes;
    let parts = Box::new([
        new_part(&ask, first, first_code, first_tail)?,
        new_part(&ask, second, second_code, second_tail)?,
    ]);
    let made = parts.each_ref().map(|part| part.request.id);
    let change = Change::SplitKey { organization: organization.id(), key, parts };
    let answer = change::make(&api, &ask, change, StatusCode::CREATED, move |committed| {
        let [first, second] = made.map(|id| view_of(committed, id));
        Some(json!({ "split": view_of(committed, key)?, "parts": [first?, second?] }))
    })
    .await?;
    if answer.status() == StatusCode::CREATED && !answer.headers().contains_key(change::REPLAYED) {
        reveal(answer, &codes).await
    } else {
        Ok(answer)
    }
}

fn part(fields: &mut Fields) -> Option<Asked> {
    let lines = fields.list("lines", 100, |line| {
        let product = line.parsed::<ProductType>("product");
        let quantity = line.integer("quantity", 0, u64::MAX);
        Some(OrderLine { product: product?, quantity: quantity? })
    });
    let group = fields.optional::<GroupId>("group");
    let mode = fields.optional::<ClaimMode>("mode");
    let organization = fields.optional::<OrganizationId>("organization");
    let (lines, group, mode) = (lines?, group?, mode?);
    let target = match organization? {
        None => PartTarget::Own { group, mode },
        Some(to) if group.is_none() && mode.is_none() => PartTarget::Other(to),
        Some(_) => {
            let detail = "a part goes to another `organization`, or to a `group` with a `mode`, not both";
            fields.fault("CONFLICTING_FIELDS", "organization", detail);
            return None;
        }
    };
    Some(Asked { lines, target })
}

fn new_part(ask: &Ask, asked: Asked, code: &KeyCode, code_tail: String) -> Result<NewPart> {
    let Asked { lines, target } = asked;
    let id = KeyId::from_bytes(ids::fresh(ask.now)?);
    let request = PartRequest { id, code_tail, lines, target };
    Ok(NewPart { request, code_hash: code.hash() })
}

/// The same answer with the codes in full: the one time they are shown.
async fn reveal(answer: Response, codes: &[KeyCode; 2]) -> Result<Response> {
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| Problem::internal())?;
    let mut shown: Value = serde_json::from_slice(&bytes).map_err(|_| Problem::internal())?;
    let made = shown.get_mut("parts").and_then(Value::as_array_mut).into_iter().flatten();
    for (part, code) in made.zip(codes) {
        if let Some(fields) = part.as_object_mut() {
            fields.insert(String::from("code"), json!(code.reveal()));
        }
    }
    Ok((parts.status, parts.headers, Json(shown)).into_response())
}
