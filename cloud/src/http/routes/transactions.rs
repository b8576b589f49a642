//! `/organizations/{organization}/transactions` and the platform's own: the log, as stored.

use super::*;
use crate::books::Envelope;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use coterm_shared::id::GroupId;
use coterm_shared::licensing::{Event, Figures, Units};
use coterm_shared::time::Timestamp;
use serde_json::json;
use std::fmt::Write;

/// Lines of one CSV answer.
const MAX_CSV_LINES: usize = 100_000;
/// Lines that one request looks at; a filter that finds nothing among them goes on with the next page.
const MAX_LOOKED_AT: usize = 200_000;
/// Lines that are read at once.
const READ_AT_ONCE: u32 = 1000;

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

/// Which lines are wanted; without a condition, all.
#[derive(Default)]
struct Filter {
    /// Those that name this group, as it stands in an event.
    group: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    event: Option<String>,
    actor: Option<String>,
}

impl Filter {
    fn of(query: &mut Fields) -> Option<Filter> {
        let group = query.optional::<GroupId>("group");
        let since = query.optional::<Timestamp>("since");
        let until = query.optional::<Timestamp>("until");
        let event = query.optional::<String>("event");
        let actor = query.optional::<String>("actor");
        let group = group?.map(|group| format!("\"{group}\""));
        Some(Filter { group, since: since?, until: until?, event: event?, actor: actor? })
    }

    fn wants(&self, line: &Envelope) -> bool {
        let names = |group: &String| line.event.windows(group.len()).any(|part| part == group.as_bytes());
        self.since.is_none_or(|since| line.at >= since)
            && self.until.is_none_or(|until| line.at < until)
            && self.actor.as_ref().is_none_or(|actor| *actor == line.actor)
            && self.group.as_ref().is_none_or(names)
            && self.event.as_ref().is_none_or(|event| kind(&event_of(line)) == event)
    }
}

async fn answer(api: &Api, ask: &Ask, id: Option<OrganizationId>) -> Result<Response> {
    let mut query = ask.query();
    let format = query.optional::<Format>("format");
    let page = Page::<u64>::of(&mut query);
    let filter = Filter::of(&mut query);
    let (format, page, filter) = query.finish(|| Some((format?, page?, filter?)))?;
    let after = page.after.unwrap_or(0);
    if format == Some(Format::Csv) {
        return csv(api, id, &filter, after).await;
    }
    let (lines, next) = fetch(api, id, &filter, after, page.limit).await?;
    let items: Vec<Value> = lines.iter().map(shown).collect();
    Ok(Json(json!({ "items": items, "next_cursor": next.map(|seq| seq.to_string()) })).into_response())
}

/// At most `limit` lines after `after`, and after which line to go on, if there may be more.
async fn fetch(
    api: &Api,
    id: Option<OrganizationId>,
    filter: &Filter,
    after: u64,
    limit: usize,
) -> Result<(Vec<Envelope>, Option<u64>)> {
    let mut lines: Vec<Envelope> = Vec::new();
    let (mut from, mut looked_at) = (after, 0_usize);
    loop {
        let found = match id {
            Some(id) => api.books().log(id, from, READ_AT_ONCE).await,
            None => api.books().platform_log(from, READ_AT_ONCE).await,
        };
        let found = found.map_err(|error| refused(&error))?;
        let Some(last) = found.last() else { return Ok((lines, None)) };
        let end = last.seq;
        looked_at = looked_at.saturating_add(found.len());
        for line in found.into_iter().filter(|line| filter.wants(line)) {
            // One more than is shown says that there is a next page.
            if lines.len() >= limit {
                return Ok((lines, Some(from)));
            }
            from = line.seq;
            lines.push(line);
        }
        from = end;
        if looked_at >= MAX_LOOKED_AT {
            return Ok((lines, Some(from)));
        }
    }
}

fn event_of(line: &Envelope) -> Value {
    serde_json::from_slice(&line.event).unwrap_or(Value::Null)
}

fn kind(event: &Value) -> &str {
    event.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// The figures of a group before and after, if the line has them (domain T1).
fn change(line: &Envelope) -> Option<(GroupId, Side, Side)> {
    let event = serde_json::from_slice(&line.event).ok()?;
    let Event::GroupAssessed { group, before, after, .. } = event else { return None };
    let side = |figures: Figures| Side {
        coterm_at: figures.term.coterm_at(),
        capacity: figures.capacity,
        in_use: figures.in_use,
    };
    Some((group, side(*before), side(*after)))
}

/// A group at one side of a line.
#[derive(serde::Serialize)]
struct Side {
    coterm_at: Option<Timestamp>,
    capacity: Units,
    in_use: Units,
}

impl Side {
    fn cells(&self) -> [String; 2] {
        let date = self.coterm_at.map(|at| at.to_string()).unwrap_or_default();
        let units: Vec<String> = self.capacity.iter().map(|(product, n)| format!("{product}={n}")).collect();
        [date, units.join(" ")]
    }
}

fn shown(line: &Envelope) -> Value {
    let change = change(line)
        .map(|(group, before, after)| json!({ "group": group, "before": before, "after": after }));
    json!({
        "seq": line.seq,
        "at": line.at,
        "recorded_at": line.recorded_at,
        "actor": line.actor,
        "request_id": line.request_id,
        "event": event_of(line),
        "change": change,
        "hash": hex(&line.hash),
    })
}

async fn csv(api: &Api, id: Option<OrganizationId>, filter: &Filter, after: u64) -> Result<Response> {
    let mut text = String::from(
        "seq,at,recorded_at,actor,request_id,type,group,coterm_before,coterm_after,capacity_before,\
         capacity_after,event,hash\r\n",
    );
    for line in fetch(api, id, filter, after, MAX_CSV_LINES).await?.0 {
        let event = event_of(&line);
        let [group, old_date, new_date, old_units, new_units] = match change(&line) {
            Some((group, before, after)) => {
                let ([old_date, old_units], [new_date, new_units]) = (before.cells(), after.cells());
                [group.to_string(), old_date, new_date, old_units, new_units]
            }
            None => Default::default(),
        };
        let cells = [&line.actor, &line.request_id, kind(&event), &group, &old_date, &new_date, &old_units]
            .map(cell)
            .join(",");
        let rest = [&new_units, &event.to_string()].map(|text| cell(text)).join(",");
        let (seq, at, recorded_at, hash) = (line.seq, line.at, line.recorded_at, hex(&line.hash));
        let _ = write!(text, "{seq},{at},{recorded_at},{cells},{rest},{hash}\r\n");
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
