//! `/organizations/{organization}/transactions` and the platform's own: the log, as stored.

use super::*;
use crate::books::Envelope;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::json;
use std::fmt::Write;

/// Lines of one CSV answer.
const MAX_CSV_LINES: usize = 100_000;

#[derive(PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

impl std::str::FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "json" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            _ => Err("json or csv"),
        }
    }
}

/// `GET .../transactions?format=json|csv`: who, when, what, in the order it happened (domain T1).
///
/// CSV has all lines up to 100,000 after the cursor, whatever the limit.
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    answer(&api, &ask, Some(organization.id())).await
}

/// `GET /transactions`: the platform's.
pub(super) async fn list_platform(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    answer(&api, &ask, None).await
}

async fn answer(api: &Api, ask: &Ask, id: Option<OrganizationId>) -> Result<Response> {
    let mut query = ask.query();
    let format = query.optional::<Format>("format");
    let page = Page::<u64>::of(&mut query);
    let (format, page) = query.finish(|| format.zip(page))?;
    let after = page.after.unwrap_or(0);
    if format == Some(Format::Csv) {
        return csv(api, id, after).await;
    }
    // One more than is shown says whether there is a next page.
    let mut lines = fetch(api, id, after, page.limit.saturating_add(1)).await?;
    let more = lines.len() > page.limit;
    lines.truncate(page.limit);
    let next = if more { lines.last().map(|line| line.seq.to_string()) } else { None };
    let items: Vec<Value> = lines.iter().map(shown).collect();
    Ok(Json(json!({ "items": items, "next_cursor": next })).into_response())
}

async fn fetch(api: &Api, id: Option<OrganizationId>, after: u64, limit: usize) -> Result<Vec<Envelope>> {
    let mut lines: Vec<Envelope> = Vec::new();
    let mut from = after;
    while lines.len() < limit {
        let wanted = u32::try_from(limit - lines.len()).unwrap_or(u32::MAX);
        let found = match id {
            Some(id) => api.books().log(id, from, wanted).await,
            None => api.books().platform_log(from, wanted).await,
        };
        let found = found.map_err(|error| refused(&error))?;
        let Some(last) = found.last() else { break };
        from = last.seq;
        lines.extend(found);
    }
    Ok(lines)
}

fn shown(line: &Envelope) -> Value {
    let event: Value = serde_json::from_slice(&line.event).unwrap_or(Value::Null);
    json!({
        "seq": line.seq,
        "at": line.at,
        "recorded_at": line.recorded_at,
        "actor": line.actor,
        "request_id": line.request_id,
        "event": event,
        "hash": hex(&line.hash),
    })
}

async fn csv(api: &Api, id: Option<OrganizationId>, after: u64) -> Result<Response> {
    let mut text = String::from("seq,at,recorded_at,actor,request_id,type,event,hash\r\n");
    for line in fetch(api, id, after, MAX_CSV_LINES).await? {
        let event: Value = serde_json::from_slice(&line.event).unwrap_or(Value::Null);
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let cells = [&line.actor, &line.request_id, kind, &event.to_string()].map(cell).join(",");
        let (seq, at, recorded_at, hash) = (line.seq, line.at, line.recorded_at, hex(&line.hash));
        let _ = write!(text, "{seq},{at},{recorded_at},{cells},{hash}\r\n");
    }
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (CONTENT_DISPOSITION, "attachment; filename=\"transactions.csv\""),
    ];
    Ok((headers, text).into_response())
}

/// A cell (RFC 4180). A leading apostrophe keeps spreadsheets from taking a name for a formula.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `GET .../transactions/verify`: recomputes the hash chain.
pub(super) async fn verify(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let verdict = api.books().verify_log(Some(organization.id())).await.map_err(|error| refused(&error))?;
    let body = match verdict {
        Ok(verified) => json!({ "intact": true, "entries": verified.entries, "hash": hex(&verified.hash) }),
        Err(fault) => json!({ "intact": false, "fault": fault.to_string() }),
    };
    Ok(Json(body).into_response())
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn a_cell_is_no_formula_and_no_second_cell() {
        for (text, expect) in
            [("a", "\"a\""), ("=1+1", "\"'=1+1\""), ("a\"b,c", "\"a\"\"b,c\""), ("", "\"\"")]
        {
            assert_eq!(cell(text), expect);
        }
    }
}
