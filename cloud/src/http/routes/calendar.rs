//! `/organizations/{organization}/calendar`: the dates that lie ahead, as JSON or as a calendar.

use super::super::ical;
use super::*;
use axum::extract::{Path, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use coterm_shared::licensing::COMING_MAX;
use serde_json::json;

pub(super) fn routes() -> Routes {
    let summary = "The dates that lie ahead, if nothing else happens";
    let op = Op::read(Who::Viewer, "listComing", summary, to("Coming"));
    Routes::new().get(
        "/calendar",
        show,
        op.query("until", instant(), "none after this instant; all that is known if absent")
            .query("format", either(&["json", "ics"]), "ics: a calendar (RFC 5545)")
            .or_text("text/calendar")
            .tagged(),
    )
}

#[derive(PartialEq, Eq)]
enum Format {
    Json,
    Ics,
}

impl std::str::FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text {
            "json" => Ok(Format::Json),
            "ics" => Ok(Format::Ics),
            _ => Err("json or ics"),
        }
    }
}

/// `GET .../calendar?until=&format=json|ics`
pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = read(&api, &ask, &id)?;
    let mut query = ask.query();
    let until = until_of(&ask, &mut query);
    let format = query.optional::<Format>("format");
    let (until, format) = query.finish(|| Some((until?, format?)))?;
    let (now, until) = (ask.now, until.unwrap_or(Timestamp::MAX));
    let _place = api.forecasts().place()?;
    let (books, of) = (api.books().clone(), organization.clone());
    let coming = tokio::task::spawn_blocking(move || books.coming(&of, now, until)).await;
    let coming = coming.map_err(|error| Problem::failed(&error))?;
    let coming = coming.map_err(|refusals| change::refusal(&refusals))?;
    if format != Some(Format::Ics) {
        let body = json!({ "dates": coming.dates, "more": coming.more, "at_most": COMING_MAX });
        return page::printed(ask.headers(), &body);
    }
    let text = ical::of(&organization, &coming.dates);
    let mut response = page::printed_text(ask.headers(), text)?;
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(ical::TEXT_CALENDAR));
    }
    Ok(response)
}
