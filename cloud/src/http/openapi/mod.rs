//! The OpenAPI document: every route with what it takes and answers, made from where the routes are made.
//!
//! **Problem.** A description that lives beside the code says what the code did last year. **Method.** A route cannot be
//! made without an [`Op`] ([`Routes`]), so none is missing; what follows from the kind of an operation (conditions,
//! previews, refusals with their codes) is written once; and the tests of the interface hold every answer they see to
//! this document. **Deliberately absent:** derived schemas; decision 0010 says why.

mod codes;
mod models;
mod op;
pub(super) mod schema;

pub(super) use codes::status_of;
pub(super) use op::{Op, Who};

use super::Api;
use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};
use op::{Answer, Kind};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// Routes being made, each with its description.
pub(super) struct Routes {
    router: Router<Api>,
    table: Vec<(Method, String, Op)>,
}

impl Routes {
    pub(super) fn new() -> Routes {
        Routes { router: Router::new(), table: Vec::new() }
    }

    pub(super) fn get<H: Handler<T, Api>, T: 'static>(self, path: &str, handler: H, op: Op) -> Routes {
        self.on((Method::GET, MethodFilter::GET), path, handler, op)
    }

    pub(super) fn post<H: Handler<T, Api>, T: 'static>(self, path: &str, handler: H, op: Op) -> Routes {
        self.on((Method::POST, MethodFilter::POST), path, handler, op)
    }

    pub(super) fn put<H: Handler<T, Api>, T: 'static>(self, path: &str, handler: H, op: Op) -> Routes {
        self.on((Method::PUT, MethodFilter::PUT), path, handler, op)
    }

    pub(super) fn patch<H: Handler<T, Api>, T: 'static>(self, path: &str, handler: H, op: Op) -> Routes {
        self.on((Method::PATCH, MethodFilter::PATCH), path, handler, op)
    }

    pub(super) fn delete<H: Handler<T, Api>, T: 'static>(self, path: &str, handler: H, op: Op) -> Routes {
        self.on((Method::DELETE, MethodFilter::DELETE), path, handler, op)
    }

    fn on<H: Handler<T, Api>, T: 'static>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &str,
        handler: H,
        op: Op,
    ) -> Routes {
        self.table.push((method, path.to_owned(), op));
        Routes { router: self.router.route(path, on(filter, handler)), table: self.table }
    }

    /// These routes and those, theirs below `prefix`.
    pub(super) fn nest(mut self, prefix: &str, inner: Routes) -> Routes {
        let below = |path: &str| format!("{prefix}{}", if path == "/" { "" } else { path });
        self.table.extend(inner.table.into_iter().map(|(method, path, op)| (method, below(&path), op)));
        Routes { router: self.router.nest(prefix, inner.router), table: self.table }
    }

    /// These routes and those.
    pub(super) fn and(mut self, other: Routes) -> Routes {
        self.table.extend(other.table);
        Routes { router: self.router.merge(other.router), table: self.table }
    }

    pub(super) fn into_router(self) -> Router<Api> {
        self.router
    }
}

/// The document as it is committed and served: pretty, with a newline at its end.
///
/// It says nothing that differs between two daemons of one version.
#[must_use]
pub fn document() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", describe(&super::routes::table().table)))
}

fn describe(table: &[(Method, String, Op)]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, op) in table {
        let entry = paths.entry(path.clone()).or_insert_with(|| json!({ "parameters": in_path(path) }));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(method.as_str().to_ascii_lowercase(), operation(path, op));
        }
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Coterm",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "License groups with enforcement on the device: the interface of the books",
            "description": "Conventions and every route in words: API.md beside this file.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "ctk_…" } },
            "parameters": parameters(),
            "headers": headers(),
            "responses": responses(),
            "schemas": models::all(),
        },
    })
}

fn in_path(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let one = |name: &str| {
        let what = match name {
            "device" => "the device's id",
            "model" => "the name of the model",
            "kind" => "`groups`, `sites`, `devices` or `orders`",
            "product" => "`camera`, `door`, ..., or `product-N`",
            _ => "an id with its prefix",
        };
        json!({ "name": name, "in": "path", "required": true, "description": what, "schema": schema::text() })
    };
    names.map(one).collect()
}

fn operation(path: &str, op: &Op) -> Value {
    let mut answers = Map::new();
    let with_headers = |description: &str, content: Value| {
        let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
        if let Some(fields) = headers.as_object_mut() {
            if op.tagged || op.kind == Kind::Change {
                fields.insert(String::from("ETag"), json!({ "$ref": "#/components/headers/ETag" }));
            }
            if op.fresh {
                for name in ["Cache-Control", "Valid-Until"] {
                    let header = json!({ "$ref": format!("#/components/headers/{name}") });
                    fields.insert(name.to_owned(), header);
                }
            }
            if op.kind != Kind::Read {
                let replayed = json!({ "$ref": "#/components/headers/Idempotent-Replayed" });
                fields.insert(String::from("Idempotent-Replayed"), replayed);
            }
        }
        let mut answer = json!({ "description": description, "headers": headers });
        if let (Some(fields), false) = (answer.as_object_mut(), content.is_null()) {
            fields.insert(String::from("content"), content);
        }
        answer
    };
    let in_json = |schema: &Value| json!({ "application/json": { "schema": schema } });
    let (done, mut shown) = match &op.answer {
        Answer::Json(status, schema) if op.csv && op.kind == Kind::Read => {
            (*status, json!({ "text/csv": { "schema": schema } }))
        }
        Answer::Json(status, schema) => (*status, in_json(schema)),
        Answer::JsonOr(media_type, schema) => {
            let text = json!({ "schema": schema::text() });
            (200, json!({ "application/json": { "schema": schema }, *media_type: text }))
        }
        Answer::Text(media_type) => (200, json!({ *media_type: { "schema": schema::text() } })),
        Answer::Nothing => (204, Value::Null),
    };
    if op.kind == Kind::Change {
        let preview = schema::to(if path.contains("{organization}") { "Preview" } else { "PlatformPreview" });
        if let (200, Answer::Json(_, schema)) = (done, &op.answer) {
            shown = in_json(&json!({ "anyOf": [schema, preview] }));
        } else {
            answers
                .insert(String::from("200"), with_headers("What it would do (`dry_run`)", in_json(&preview)));
        }
    }
    answers.insert(done.to_string(), with_headers("Done", shown));
    if op.kind == Kind::Change && path.contains("{organization}") {
        let held = in_json(&schema::to("HeldAnswer"));
        answers.insert(
            String::from("202"),
            with_headers("Held: it waits for the vendor, and nothing of it was done", held),
        );
    }
    if op.tagged {
        answers.insert(String::from("304"), with_headers("Not modified", Value::Null));
    }
    for status in op.faults(path.contains('{')) {
        let name =
            codes::FAULTS.iter().find(|(known, ..)| *known == status).map_or("Failed", |(_, name, ..)| name);
        let at = format!("#/components/responses/{name}");
        answers.insert(status.to_string(), json!({ "$ref": at }));
    }
    let mut described = json!({
        "operationId": op.id,
        "summary": op.summary,
        "tags": [tag(path)],
        "x-roles": op.who.roles(),
        "parameters": op.parameters(),
        "responses": answers,
    });
    if let Some(fields) = described.as_object_mut() {
        if op.who == Who::Anyone {
            fields.insert(String::from("security"), json!([]));
        }
        if op.csv && op.kind != Kind::Read {
            let content =
                json!({ "required": true, "content": { "text/csv": { "schema": schema::text() } } });
            fields.insert(String::from("requestBody"), content);
        }
        if let Some(body) = &op.body {
            let content = json!({ "required": true, "content": in_json(body) });
            fields.insert(String::from("requestBody"), content);
        }
    }
    described
}

/// The noun an operation is about.
fn tag(path: &str) -> &str {
    let rest = path.strip_prefix("/api/v1/").unwrap_or(path);
    let inner = rest.strip_prefix("organizations/{organization}/").unwrap_or(rest);
    match inner.split('/').find(|part| !part.is_empty()).unwrap_or("system") {
        "health" | "ready" | "whoami" | "time" | "openapi.json" => "system",
        "settings" | "enable-groups" | "unassigned" | "freeze" | "unfreeze" => "organizations",
        noun => noun,
    }
}

fn parameters() -> Value {
    let header = |name: &str, schema: Value, what: &str| json!({ "name": name, "in": "header", "description": what, "schema": schema });
    let printable = json!({ "type": "string", "pattern": "^[!-~]{1,128}$" });
    json!({
        "DryRun": {
            "name": "dry_run", "in": "query", "schema": schema::flag(),
            "description": "true: the same code, nothing written; the answer is what it would do",
        },
        "IdempotencyKey": header("Idempotency-Key", printable,
            "a repetition with the same key is answered as the first time and does nothing; another request with it is refused"),
        "IfMatch": header("If-Match", json!({ "type": "string", "pattern": r#"^(\*|"v[0-9]+([.][0-9]+)?")$"# }), "the `ETag` of what was seen: 412 if it has changed since"),
        "IfNoneMatch": header("If-None-Match", schema::text(), "the `ETag` of what is known: 304 if it is still so"),
        "PreviewDigest": header("Preview-Digest", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
            "the `digest` of the preview: 409 if what it was computed from has changed since"),
        "RequestId": header("X-Request-Id", schema::text(), "the name of the request, in the answer and the log; made if absent"),
    })
}

fn headers() -> Value {
    let one = |what: &str, schema: Value| json!({ "description": what, "schema": schema });
    json!({
        "Cache-Control": one("for how long it may be kept without asking again", schema::text()),
        "ETag": one("the version, for If-Match and If-None-Match", schema::text()),
        "Idempotent-Replayed": one("true: the answer of an earlier request with the same Idempotency-Key", schema::text()),
        "Retry-After": one("seconds to wait", schema::count()),
        "Valid-Until": one("until when it stays as it is if nobody changes anything; absent: for good", schema::instant()),
        "X-Request-Id": one("the name of the request", schema::text()),
    })
}

fn responses() -> Value {
    let one = |(status, name, what, own): &(u16, &str, &str, &[&'static str])| {
        let codes = codes::of_status(*status, own);
        let schema =
            json!({ "allOf": [schema::to("Problem"), { "properties": { "code": { "enum": codes } } }] });
        let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
        if let (429 | 503, Some(fields)) = (status, headers.as_object_mut()) {
            fields.insert(String::from("Retry-After"), json!({ "$ref": "#/components/headers/Retry-After" }));
        }
        let content = json!({ "application/problem+json": { "schema": schema } });
        ((*name).to_owned(), json!({ "description": what, "headers": headers, "content": content }))
    };
    codes::FAULTS.iter().map(one).collect::<Map<String, Value>>().into()
}
