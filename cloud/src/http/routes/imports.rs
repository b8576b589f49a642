//! `/organizations/{organization}/imports/{kind}` and `.../exports/{kind}`: many things at once, as CSV.

use super::*;
use crate::books::{Idempotency, ImportFile, StoredResponse};
use crate::exports;
use crate::http::ask::Upload;
use crate::http::openapi::schema::{list, object};
use crate::imports::{self, Kind, MAX_BYTES, Phase, Run};
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use coterm_shared::licensing::import::ImportLine;
use futures_util::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom, Write};

pub(super) fn routes() -> Routes {
    let import = Op::act(
        Who::Admin,
        "importFile",
        "Import groups, sites, devices or (vendor) orders of the past from a CSV file: all of it or nothing",
        Some((200, to("Imported"))),
    );
    let dry_run = "true: everything is read and decided, nothing is written";
    let export = Op::read(
        Who::Viewer,
        "exportFile",
        "The groups, sites, devices or orders as the CSV file that an import reads",
        text(),
    );
    let underway = object([("items", list(to("ImportUnderway")))]);
    let imports = Op::read(
        Who::Viewer,
        "listImports",
        "The files that are being imported now: how far each has come",
        underway,
    );
    Routes::new()
        .post("/imports/{kind}", import_file, import.csv().query("dry_run", flag(), dry_run))
        .get("/imports", imports_underway, imports)
        .get("/exports/{kind}", export_file, export.csv())
}

/// `GET .../imports`
async fn imports_underway(State(api): State<Api>, Path(id): Path<String>, ask: Ask) -> Result<Response> {
    let organization = ask.organization(&id, Action::Read)?;
    ask.no_query()?;
    Ok(page::plain(&json!({ "items": api.imports().of(organization) })))
}

/// `POST .../imports/{kind}`: the body is the file.
async fn import_file(
    State(api): State<Api>,
    Path((id, kind)): Path<(String, String)>,
    Upload { ask, body }: Upload,
) -> Result<Response> {
    let kind: Kind = kind.parse().map_err(|_| Problem::not_found("kind of import"))?;
    let organization = ask.organization(&id, Action::Change)?;
    if kind == Kind::Orders {
        ask.may(Action::ManagePlatform)?;
    }
    ask.is_csv()?;
    let dry_run = ask.dry_run()?;
    let place = api.imports().begin(organization, ask.request_id.clone(), kind, dry_run);
    let place = place.ok_or_else(crate::http::layers::busy)?;
    let (file, print) = keep(body, place.run()).await?;
    let idempotency = ask.idempotency_key_of(&print)?.map(|(key, fingerprint)| Idempotency {
        principal: ask.principal.id.clone(),
        key,
        fingerprint,
    });
    let present = api.books().organization(organization).ok_or_else(|| Problem::not_found("organization"))?;
    let (books, now, run) = (api.books().clone(), ask.now, place.run().clone());
    run.enter(Phase::Reading);
    let parsed = tokio::task::spawn_blocking(move || {
        let mut failed = false;
        let mut bytes = |id: Result<[u8; 16]>| {
            failed |= id.is_err();
            id.ok()
        };
        let random = || {
            let mut random = [0_u8; 16];
            getrandom::fill(&mut random).map(|()| random).map_err(|_| Problem::internal())
        };
        // Both come from one source of randomness: who has none gets no answer at all.
        let source = std::cell::RefCell::new(&mut bytes);
        let mut fresh = || (source.borrow_mut())(ids::fresh(now));
        let mut other = || (source.borrow_mut())(random());
        let platform = books.platform();
        let seen = |lines| run.read(lines);
        let file = BufReader::new(file);
        let parsed = imports::read(kind, file, &present, &platform, &mut fresh, &mut other, &seen);
        if failed {
            Err(Problem::internal())
        } else {
            parsed.map_err(|refusals| change::refusal_of_file(&refusals))
        }
    })
    .await
    .map_err(|_| Problem::internal())??;
    let imports::Parsed { lines, orders, count } = parsed;
    let things = if orders.is_empty() { lines.len() } else { orders.len() };
    let lines: Arc<Vec<ImportLine>> = Arc::new(lines);
    let run = place.run().clone();
    let file = ImportFile { organization, print, lines, orders: Arc::new(orders), run };
    let respond = move |version: u64, groups: &[coterm_shared::licensing::GroupChange]| {
        let body = json!({
            "kind": kind.name(), "dry_run": dry_run, "lines": count, "imported": things, "version": version,
            "groups": groups,
        });
        StoredResponse { status: 200, body: body.to_string().into_bytes() }
    };
    let (actor, request_id) = (ask.principal.to_string(), ask.request_id.clone());
    let imported = api.books().import(file, actor, request_id, idempotency, dry_run, respond).await;
    drop(place);
    let imported = imported.map_err(|error| match &error {
        BooksError::Refused(refusals) => change::refusal_of_file(refusals),
        BooksError::VersionConflict { .. }
        | BooksError::IdempotencyKeyReused
        | BooksError::Busy
        | BooksError::Closed
        | BooksError::TimeDoubt(_)
        | BooksError::Store(_)
        | BooksError::Internal => refused(&error),
    })?;
    let again = imported.replayed.is_some();
    let stored = imported.replayed.unwrap_or_else(|| respond(imported.version, &imported.groups));
    let mut answer = change::send(stored)?;
    if again {
        answer.headers_mut().insert(change::REPLAYED, axum::http::HeaderValue::from_static("true"));
    }
    Ok(answer)
}

/// Puts a body into a file that nobody else sees, and tells its hash: memory is for what is decided.
async fn keep(body: Body, run: &Run) -> Result<(File, String)> {
    let failed = |error: std::io::Error| {
        tracing::error!(%error, "a file to import cannot be kept");
        Problem::internal()
    };
    let mut file = BufWriter::new(tempfile::tempfile().map_err(failed)?);
    let (mut sha, mut count) = (Sha256::new(), 0_u64);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| too_large("The body broke off."))?;
        count = count.saturating_add(piece.len() as u64);
        if count > MAX_BYTES {
            return Err(too_large(&format!("The file has more than {MAX_BYTES} bytes.")));
        }
        run.received(piece.len() as u64);
        sha.update(&piece);
        // Small writes to a file of the page cache; the time they take is that of a copy.
        file.write_all(&piece).map_err(failed)?;
    }
    let mut file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let print: [u8; 32] = sha.finalize().into();
    Ok((file, print.iter().map(|byte| format!("{byte:02x}")).collect()))
}

fn too_large(detail: &str) -> Problem {
    let hint = "Import it in several files.";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", detail.to_owned(), hint)
}

/// `GET .../exports/{kind}`
async fn export_file(
    State(api): State<Api>,
    Path((id, kind)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response> {
    let kind: Kind = kind.parse().map_err(|_| Problem::not_found("kind of export"))?;
    let organization = read(&api, &ask, &id)?;
    ask.no_query()?;
    let now = ask.now;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(2);
    // The snapshot costs a few pointers and stays as it is; what is slow to read holds nobody up.
    tokio::task::spawn_blocking(move || {
        let mut to = Pieces(sender);
        if let Err(error) = exports::write(kind, &organization, now, &mut to) {
            let _gone = to.0.blocking_send(Err(error));
        }
    });
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let headers = [
        (CONTENT_TYPE, String::from("text/csv; charset=utf-8; header=present")),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.csv\"", kind.name())),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// A writer into the answer.
struct Pieces(tokio::sync::mpsc::Sender<std::io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
