//! The document and the interface say the same: every answer of every test is held to it, and every body it describes
//! is the one that is read.

use super::world::{Answer, World};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::OnceLock;

const COMMITTED: &str = include_str!("../../../../shared/docs/openapi.json");

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(crate::http::openapi()).unwrap())
}

/// The operation behind a path, with its template; names before parameters, as the router has it.
fn operation(method: &Method, path: &str) -> Option<(&'static str, &'static Value)> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let fit = wanted.len() == parts.len()
            && wanted.iter().zip(&parts).all(|(want, part)| want.starts_with('{') || want == part);
        fit.then(|| wanted.iter().filter(|part| part.starts_with('{')).count())
    };
    let paths = document()["paths"].as_object().unwrap();
    let found = paths.iter().filter_map(|(template, entry)| Some((fits(template)?, template, entry)));
    let (_, template, entry) = found.min_by_key(|(parameters, ..)| *parameters)?;
    Some((template, entry.get(method.as_str().to_ascii_lowercase())?))
}

fn resolved(schema: &Value) -> &Value {
    match schema["$ref"].as_str() {
        Some(at) => {
            document().pointer(at.trim_start_matches('#')).unwrap_or_else(|| panic!("{at} is missing"))
        }
        None => schema,
    }
}

/// What of a value the schema does not allow, and what it does not mention.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let schema = resolved(schema);
    let any = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found: Vec<String> = any("allOf")
        .iter()
        .flat_map(|part| faults(part, value, at))
        .filter(|fault| !fault.ends_with("not described") || any("allOf").len() == 1)
        .collect();
    if let Some(options) = schema["anyOf"].as_array() {
        let tried = options.iter().map(|option| faults(option, value, at));
        found.extend(tried.min_by_key(Vec::len).unwrap_or_default());
    }
    let fits = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.as_f64().is_some_and(|n| n >= 0.0 && n.fract() == 0.0),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => true,
    };
    if !fits || schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{at}: {value} is not {schema}"));
        return found;
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(&schema["items"], item, &format!("{at}[{index}]")));
    }
    let Some(fields) = value.as_object() else { return found };
    for name in any("required").iter().filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
        found.push(format!("{at}.{name} is missing"));
    }
    let more = &schema["additionalProperties"];
    for (name, value) in fields {
        match schema["properties"].get(name) {
            Some(schema) => found.extend(faults(schema, value, &format!("{at}.{name}"))),
            None if more.is_object() => found.extend(faults(more, value, &format!("{at}.{name}"))),
            None if schema["type"] == "object" && *more != true => {
                found.push(format!("{at}.{name}: not described"))
            }
            None => {}
        }
    }
    found
}

/// Holds an answer to the document: its status, its media type, its headers and its body.
pub(super) fn hold(method: &Method, path: &str, answer: &Answer) {
    let unknown = ["NO_SUCH_ROUTE", "METHOD_NOT_ALLOWED"].contains(&answer.code());
    let Some((template, operation)) = operation(method, path) else {
        assert!(unknown, "{method} {path} answers {} and is not described", answer.status);
        return;
    };
    let status = answer.status.as_str();
    let at = format!("{method} {template} {status}");
    assert!(!unknown, "{at}: described, and there is no such route");
    let described = operation["responses"].get(status);
    let described = resolved(described.unwrap_or_else(|| panic!("{at} is not described: {}", answer.text)));
    let kind = answer.header("content-type").split(';').next().unwrap_or("");
    for (name, given) in
        [("ETag", "etag"), ("Idempotent-Replayed", "idempotent-replayed"), ("Retry-After", "retry-after")]
    {
        let said = described["headers"].get(name).is_some();
        assert!(said || answer.header(given).is_empty(), "{at}: the header {name} is not described");
    }
    let content = described["content"].get(kind);
    if answer.text.is_empty() {
        assert!(described["content"].is_null(), "{at}: no body, though one is described");
    } else if !["text/csv", "text/calendar"].contains(&kind) {
        let schema = content.unwrap_or_else(|| panic!("{at}: {kind} is not described"));
        if !kind.ends_with("json") {
            return;
        }
        let found = faults(&schema["schema"], &answer.body, "");
        assert!(found.is_empty(), "{at}: {found:#?}");
    }
}

#[test]
fn what_is_missing_wrong_or_not_described_is_found() {
    let schema = &document()["components"]["schemas"]["Model"];
    let found = |value: Value| faults(schema, &value, "").len();
    assert_eq!(found(json!({ "model": "a", "product": "door", "units": 4 })), 0);
    assert_eq!(found(json!({ "model": "a", "product": "door" })), 1);
    assert_eq!(found(json!({ "model": "a", "product": 7, "units": "4", "more": 1 })), 3);
    let listed =
        &document()["paths"]["/api/v1/models"]["get"]["responses"]["200"]["content"]["application/json"];
    let page = json!({ "items": [{ "model": "a" }], "next_cursor": 7 });
    assert_eq!(faults(&listed["schema"], &page, "").len(), 3);
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/docs/openapi.json");
    assert!(
        COMMITTED == crate::http::openapi(),
        "{path} is out of date: write it anew with `cargo run -p coterm-cloud -- openapi > shared/docs/openapi.json`"
    );
}

#[tokio::test]
async fn it_is_served_to_anyone_and_names_every_route_of_the_page_with_its_roles() {
    let world = World::new().await;
    let request = axum::http::Request::get("/api/v1/openapi.json").body(axum::body::Body::empty()).unwrap();
    let answer = world.send(request).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, COMMITTED));
    let page = include_str!("../../../../shared/docs/API.md");
    let mut told = BTreeSet::new();
    for row in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let mut cells = row.split('|').map(str::trim);
        let route = cells.next().unwrap().trim_end_matches('`');
        let Some((method, path)) =
            route.split_once(' ').filter(|(method, _)| Method::try_from(*method).is_ok())
        else {
            continue;
        };
        let path = match path.strip_prefix('O') {
            Some(rest) => format!("/api/v1/organizations/{{organization}}{rest}"),
            None => path.to_owned(),
        };
        let roles = match cells.next().unwrap() {
            "anyone" => "",
            "vendor" => "vendor",
            "monitor" => "monitor vendor",
            "admin" => "org-admin vendor",
            _ => "org-viewer org-admin vendor",
        };
        let roles = roles.to_owned();
        told.insert((path, method.to_ascii_lowercase(), roles));
    }
    let paths = document()["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, entry)| {
            let methods = entry.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters");
            methods.map(|(method, op)| {
                let roles = op["x-roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap());
                (path.clone(), method.clone(), roles.collect::<Vec<_>>().join(" "))
            })
        })
        .collect();
    let missing: Vec<_> = described.symmetric_difference(&told).collect();
    assert!(missing.is_empty(), "only in one of API.md and the document: {missing:#?}");
}

/// The names in the sentence about an unknown field.
fn known(answer: &Answer, field: &str) -> BTreeSet<String> {
    let errors = answer.body["errors"].as_array().unwrap_or_else(|| panic!("{}", answer.text));
    let fault =
        errors.iter().find(|fault| fault["field"] == field).unwrap_or_else(|| panic!("{}", answer.text));
    let (_, names) = fault["message"].as_str().unwrap().split_once(": ").unwrap();
    let names =
        names.strip_prefix("known are ").map(|names| names.split(", ").collect()).unwrap_or(Vec::new());
    names.into_iter().map(|name| name.trim_matches('`').to_owned()).collect()
}

#[tokio::test]
async fn every_body_and_query_it_describes_is_the_one_that_is_read() {
    let world = World::new().await;
    let nobody = "01900000000070008000000000000000";
    let mut seen = 0;
    for (template, entry) in document()["paths"].as_object().unwrap() {
        let path = template
            .replace("{organization}", &world.org)
            .replace("{group}", &world.get(&world.admin, &world.at("")).await.text("/default_group"))
            .replace("{site}", &format!("site_{nobody}"))
            .replace("{key}", &format!("key_{nobody}"))
            .replace("{notice}", &format!("ntc_{nobody}"))
            .replace("{endpoint}", &format!("ept_{nobody}"))
            .replace("{device}", "none")
            .replace("{product}", "camera")
            .replace("{model}", "CAM-1");
        for (method, op) in entry.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let names = |value: &Value| -> BTreeSet<String> {
                value.as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
            };
            let schema = &op["requestBody"]["content"]["application/json"]["schema"];
            let anyone = op["security"] == json!([]);
            if method == Method::GET && !anyone && !template.ends_with('}') && !template.ends_with("/explain")
            {
                let described: BTreeSet<String> = op["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|parameter| parameter["in"] == "query")
                    .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                    .collect();
                let answer =
                    world.call(&world.vendor, Method::GET, &format!("{path}?zzz=1"), Value::Null).await;
                assert_eq!(known(&answer, "zzz"), described, "{template}");
            }
            let Some(properties) = schema["properties"].as_object() else { continue };
            let described: BTreeSet<String> = properties.keys().cloned().collect();
            let answer = world.call(&world.vendor, method.clone(), &path, json!({ "zzz": 1 })).await;
            assert_eq!(known(&answer, "zzz"), described, "{method} {template}");
            let missing: BTreeSet<String> = answer.body["errors"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|fault| fault["code"] == "MISSING_FIELD")
                .map(|fault| fault["field"].as_str().unwrap().to_owned())
                .collect();
            // Of several that would do, the first is asked for.
            let required: BTreeSet<String> =
                names(&schema["required"]).union(&names(&schema["anyOf"][0]["required"])).cloned().collect();
            assert_eq!(missing, required, "{method} {template}");
            for (name, property) in properties {
                let wanted = property["anyOf"].get(0).unwrap_or(property);
                let wrong = if resolved(wanted)["type"] == "integer" { json!("x") } else { json!(7) };
                let answer =
                    world.call(&world.vendor, method.clone(), &path, json!({ name.as_str(): wrong })).await;
                let errors = answer.body["errors"].as_array().unwrap();
                let found =
                    errors.iter().any(|fault| fault["field"] == *name && fault["code"] == "WRONG_TYPE");
                assert!(found, "{method} {template} {name}: {}", answer.text);
            }
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} bodies are described");
}
