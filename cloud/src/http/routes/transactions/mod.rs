//! `/organizations/{organization}/transactions` and the platform's own: the log, as stored.
//!
//! A page costs a page: without a condition it reads what it shows, `since` is found by halving, and any other condition
//! looks at a bounded number of lines before it gives the turn back with a cursor.

mod csv;
mod filter;

use super::*;
use crate::books::{Books, Envelope};
use crate::http::ask::BAD_CURSOR;
use crate::transactions::{change, event_of, hex, kind};
use axum::Json;
use axum::extract::{Path, State};
use coterm_shared::licensing::Event;
use coterm_shared::platform::PlatformEvent;
use filter::Filter;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let verdict = Op::read(Who::Viewer, "verifyTransactions", "Recompute the hash chain", to("Verdict"));
    Routes::new()
        .get("/transactions", list, log_of(Who::Viewer, "listTransactions", "The organization's log"))
        .get("/transactions/verify", verify, verdict)
}

pub(super) fn platform_routes() -> Routes {
    let log = log_of(Who::Vendor, "listPlatformTransactions", "The platform's log");
    let summary = "Recompute the hash chain of the platform's log";
    let verdict = Op::read(Who::Vendor, "verifyPlatformTransactions", summary, to("Verdict"));
    Routes::new().get("/transactions", list_platform, log).get(
        "/transactions/verify",
        verify_platform,
        verdict,
    )
}

/// The names of the events that are in a log: the platform's, or an organization's.
fn known(of_platform: bool) -> Vec<&'static str> {
    if of_platform { PlatformEvent::NAMES.to_vec() } else { Event::all_names().collect() }
}

fn log_of(who: Who, name: &'static str, summary: &'static str) -> Op {
    Op::list(who, name, summary, to("Transaction"))
        .or_csv()
        .query("format", either(&["json", "csv"]), "csv: every line from the cursor on")
        .query("group", id("grp"), "only those that name this group")
        .query("since", instant(), "only those at or after this instant")
        .query("until", instant(), "only those before this instant")
        .query("event", either(&known(who == Who::Vendor)), "only this event")
        .query("actor", text(), "only those of this actor: whole, its id or its name")
        .query(
            "subject",
            text(),
            "only those about this group, site, device, key or organization, by id or name",
        )
        .query("request", text(), "only those of this request")
}

/// Lines that one page looks at; a filter that finds too few among them goes on with the next page.
const MAX_LOOKED_AT: usize = 20_000;
/// Lines that are read at once.
const READ_AT_ONCE: usize = 1000;

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
/// CSV has all lines after the cursor, whatever the limit.
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    answer(&api, &ask, Some(organization.id()), organization.version()).await
}

/// `GET /transactions`: the platform's.
pub(super) async fn list_platform(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    answer(&api, &ask, None, api.books().platform().version()).await
}

async fn answer(api: &Api, ask: &Ask, id: Option<OrganizationId>, version: u64) -> Result<Response> {
    let mut query = ask.query();
    let format = query.optional::<Format>("format");
    let page = Page::<u64>::of(&mut query);
    if page.as_ref().is_some_and(|page| page.after > Some(version)) {
        query.fault("BAD_CURSOR", "cursor", BAD_CURSOR);
    }
    let filter = Filter::of(&mut query, &known(id.is_none()));
    let (format, page, filter) = query.finish(|| Some((format?, page?, filter?)))?;
    let mut log = Log { books: api.books().clone(), id, until: version, from: page.after.unwrap_or(0) };
    log.skip_to(&filter).await?;
    if format == Some(Format::Csv) {
        return csv::export(api, log, filter).await;
    }
    let mut lines: Vec<Envelope> = Vec::new();
    let (mut looked_at, mut next) = (0_usize, None);
    while looked_at < MAX_LOOKED_AT {
        // Without a condition every line is wanted, and a page reads no more than it shows.
        let wanted = page.limit.saturating_sub(lines.len()).saturating_add(1);
        let found = log.read(if filter.is_all() { wanted } else { READ_AT_ONCE }).await?;
        looked_at = looked_at.saturating_add(found.len());
        next = found.last().map(|line| line.seq);
        if found.is_empty() {
            break;
        }
        for line in found.into_iter().filter(|line| filter.wants(line)) {
            // One more than is shown says that there is a next page.
            if lines.len() >= page.limit {
                return Ok(page_of(&lines, lines.last().map(|line| line.seq)));
            }
            lines.push(line);
        }
    }
    Ok(page_of(&lines, next))
}

/// A page; `next` is the line after which to go on.
fn page_of(lines: &[Envelope], next: Option<u64>) -> Response {
    let items: Vec<Value> = lines.iter().map(shown).collect();
    Json(json!({ "items": items, "next_cursor": next.map(|seq| seq.to_string()) })).into_response()
}

/// A log being read from a line on, up to where it ended when the request came.
struct Log {
    books: Books,
    /// Whose it is; the platform's without.
    id: Option<OrganizationId>,
    /// The last line to read.
    until: u64,
    /// The line after which to go on.
    from: u64,
}

impl Log {
    /// The next lines, at most `limit`; none at the end.
    async fn read(&mut self, limit: usize) -> Result<Vec<Envelope>> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let mut lines = self.peek(self.from, limit).await?;
        lines.retain(|line| line.seq <= self.until);
        self.from = lines.last().map_or(self.from, |line| line.seq);
        Ok(lines)
    }

    async fn peek(&self, after: u64, limit: u32) -> Result<Vec<Envelope>> {
        let found = match self.id {
            Some(id) => self.books.log(id, after, limit).await,
            None => self.books.platform_log(after, limit).await,
        };
        found.map_err(|error| refused(&error))
    }

    /// Skips what was recorded before the instant the filter begins at, by halving: lines are recorded in the order of
    /// time, and nothing is recorded before it happens.
    async fn skip_to(&mut self, filter: &Filter) -> Result<()> {
        let Some(since) = filter.since else { return Ok(()) };
        let (mut low, mut high) = (self.from, self.until);
        while low < high {
            let middle = low.midpoint(high);
            match self.peek(middle, 1).await?.first() {
                Some(line) if line.recorded_at < since => low = middle.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        self.from = low;
        Ok(())
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

/// `GET .../transactions/verify`: recomputes the hash chain.
pub(super) async fn verify(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    verdict(&api, Some(organization.id())).await
}

/// `GET /transactions/verify`: the same for the platform's log.
pub(super) async fn verify_platform(State(api): State<Api>, ask: Ask) -> Result<Response> {
    ask.may(Action::ManagePlatform)?;
    ask.no_query()?;
    verdict(&api, None).await
}

async fn verdict(api: &Api, id: Option<OrganizationId>) -> Result<Response> {
    let verdict = api.books().verify_log(id).await.map_err(|error| refused(&error))?;
    let body = match verdict {
        Ok(verified) => json!({ "intact": true, "entries": verified.entries, "hash": hex(&verified.hash) }),
        Err(fault) => json!({ "intact": false, "fault": fault.to_string() }),
    };
    Ok(Json(body).into_response())
}
