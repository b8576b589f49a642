//! What an administrator can get wrong with keys, sites, groups and repetitions: one table. Every row is refused with its
//! status, code, sentence and hint, as a preview and as a deed, and nothing at all has changed afterwards.

use super::world::{Answer, World};
use axum::http::Method;
use serde_json::{Value, json};

/// Everything of the organization that could have changed, by what its viewers see.
async fn seen(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    for rest in ["", "/groups", "/sites", "/devices", "/keys", "/unassigned", "/transactions"] {
        seen.push(world.get(&world.viewer, &world.at(rest)).await.text);
    }
    seen.push(world.get(&world.vendor, "/api/v1/keys").await.text);
    let foreign = format!("/api/v1/organizations/{}/transactions", world.foreign);
    seen.push(world.get(&world.vendor, &foreign).await.text);
    seen
}

/// Something made through the interface: its id.
async fn made(world: &World, rest: &str, body: Value) -> String {
    world.ok(&world.admin, Method::POST, &world.at(rest), body).await.text("/id")
}

fn parts(first: Value, second: Value) -> Value {
    let line = |quantity: Value| json!([{ "product": "camera", "quantity": quantity }]);
    json!({ "parts": [{ "lines": line(first) }, { "lines": line(second) }] })
}

/// What it is called, the request, and the status and codes of its refusal.
type Mistake<'a> = (&'a str, Method, String, Value, u16, &'a [&'a str]);

#[tokio::test]
async fn each_mistake_has_its_code_sentence_and_hint_and_changes_nothing() {
    let world = World::new().await;
    let north = made(&world, "/groups", json!({ "name": "North" })).await;
    let default = world.get(&world.admin, &world.at("")).await.text("/default_group");
    let hall = made(&world, "/sites", json!({ "name": "Hall", "group": north })).await;
    let room = made(&world, "/sites", json!({ "name": "Room", "parent": hall })).await;
    let desk = made(&world, "/sites", json!({ "name": "Desk", "parent": room })).await;
    let (once, elsewhere, one_unit) =
        (world.issue(5, 365).await, world.issue(5, 365).await, world.issue(1, 365).await);
    let order = json!({ "order_number": "SO-9", "term_days": 30, "created_at": "2026-06-01T00:00:00Z",
        "lines": [{ "product": "camera", "quantity": 1 }] });
    let spent = world.ok(&world.vendor, Method::POST, "/api/v1/keys", order).await.text("/code");
    let unknown = coterm_shared::platform::code::KeyCode::from_random([9; 16]).reveal();
    let five = made(&world, "/keys/claim", json!({ "code": once, "group": north })).await;
    let one = made(&world, "/keys/claim", json!({ "code": one_unit, "group": north })).await;
    let foreign = format!("/api/v1/organizations/{}/keys/claim", world.foreign);
    world.ok(&world.vendor, Method::POST, &foreign, json!({ "code": elsewhere })).await;

    let claim = |code: &str| json!({ "code": code, "group": north });
    let split = |key: &str| format!("/keys/{key}/split");
    let move_site = |site: &str| format!("/sites/{site}/move");
    let group_path = |group: &str| format!("/groups/{group}");
    let none = "01900000000070008000000000000000";
    let table: Vec<Mistake<'_>> = vec![
        ("claiming twice", Method::POST, "/keys/claim".into(), claim(&once), 409, &["KEY_ALREADY_CLAIMED"]),
        (
            "claiming another's",
            Method::POST,
            "/keys/claim".into(),
            claim(&elsewhere),
            404,
            &["KEY_NOT_CLAIMABLE"],
        ),
        (
            "claiming the unknown",
            Method::POST,
            "/keys/claim".into(),
            claim(&unknown),
            404,
            &["KEY_NOT_CLAIMABLE"],
        ),
        ("claiming the spent", Method::POST, "/keys/claim".into(), claim(&spent), 409, &["KEY_TERM_PASSED"]),
        (
            "splitting one unit",
            Method::POST,
            split(&one),
            parts(json!(1), json!(0)),
            422,
            &["SPLIT_PART_EMPTY"],
        ),
        (
            "splitting too little",
            Method::POST,
            split(&five),
            parts(json!(2), json!(2)),
            422,
            &["SPLIT_DOES_NOT_ADD_UP"],
        ),
        (
            "splitting too much",
            Method::POST,
            split(&five),
            parts(json!(5), json!(5)),
            422,
            &["SPLIT_DOES_NOT_ADD_UP"],
        ),
        (
            "splitting both ways",
            Method::POST,
            split(&five),
            parts(json!(0), json!(6)),
            422,
            &["SPLIT_PART_EMPTY", "SPLIT_DOES_NOT_ADD_UP"],
        ),
        (
            "splitting below zero",
            Method::POST,
            split(&five),
            parts(json!(-1), json!(6)),
            422,
            &["OUT_OF_RANGE"],
        ),
        (
            "splitting by halves",
            Method::POST,
            split(&five),
            parts(json!(2.5), json!(2.5)),
            422,
            &["OUT_OF_RANGE", "OUT_OF_RANGE"],
        ),
        (
            "a key to its own group",
            Method::POST,
            format!("/keys/{five}/move"),
            json!({ "group": north }),
            409,
            &["ALREADY_THERE"],
        ),
        (
            "a key to no group",
            Method::POST,
            format!("/keys/{five}/move"),
            json!({ "group": format!("grp_{none}") }),
            404,
            &["GROUP_NOT_FOUND"],
        ),
        (
            "a site to its own group",
            Method::POST,
            move_site(&hall),
            json!({ "group": north }),
            409,
            &["ALREADY_THERE"],
        ),
        (
            "a site into itself",
            Method::POST,
            move_site(&hall),
            json!({ "parent": hall }),
            409,
            &["SITE_CYCLE"],
        ),
        (
            "a site into its child",
            Method::POST,
            move_site(&hall),
            json!({ "parent": room }),
            409,
            &["SITE_CYCLE"],
        ),
        (
            "a site into its grandchild",
            Method::POST,
            move_site(&hall),
            json!({ "parent": desk }),
            409,
            &["SITE_CYCLE"],
        ),
        (
            "a sub-site with a group",
            Method::POST,
            "/sites".into(),
            json!({ "name": "Nook", "parent": hall, "group": default }),
            422,
            &["SUB_SITE_HAS_NO_GROUP"],
        ),
        (
            "a sub-site with its own",
            Method::POST,
            "/sites".into(),
            json!({ "name": "Nook", "parent": hall, "group": north }),
            422,
            &["SUB_SITE_HAS_NO_GROUP"],
        ),
        ("deleting a full group", Method::DELETE, group_path(&north), Value::Null, 409, &["GROUP_NOT_EMPTY"]),
        (
            "deleting the default",
            Method::DELETE,
            group_path(&default),
            Value::Null,
            409,
            &["GROUP_IS_DEFAULT"],
        ),
    ];
    for (what, method, rest, body, status, codes) in table {
        let before = seen(&world).await;
        let mut told = Vec::new();
        for query in ["?dry_run=true", ""] {
            let path = world.at(&format!("{rest}{query}"));
            let answer = world.call(&world.admin, method.clone(), &path, body.clone()).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (status, codes[0]),
                "{what}: {}",
                answer.text
            );
            explained(what, &answer, codes);
            told.push(answer.body["detail"].clone());
        }
        assert_eq!(told[0], told[1], "a preview is refused in the same words: {what}");
        assert_eq!(seen(&world).await, before, "nothing has changed: {what}");
    }
}

/// Every finding has a code, a sentence and what to do.
fn explained(what: &str, answer: &Answer, codes: &[&str]) {
    let fallback = vec![answer.body.clone()];
    let errors = answer.body["errors"].as_array().unwrap_or(&fallback);
    let found: Vec<_> = errors.iter().map(|error| error["code"].as_str().unwrap_or_default()).collect();
    assert_eq!(found, codes, "{what}: {}", answer.text);
    for error in errors {
        let sentence = error["message"].as_str().or_else(|| error["detail"].as_str()).unwrap_or_default();
        assert!(sentence.contains(' '), "{what}: a sentence, in {error}");
        // What is wrong with the shape of a body says what to write in the sentence itself; the hint is of all of it.
        let hint = error["hint"].as_str().or_else(|| answer.body["hint"].as_str());
        assert!(hint.is_some_and(|hint| hint.contains(' ')), "{what}: a hint, in {error}");
    }
}

#[tokio::test]
async fn k1_an_unknown_key_and_one_claimed_elsewhere_answer_alike_to_the_byte() {
    let world = World::new().await;
    let (elsewhere, unclaimed) = (world.issue(5, 365).await, world.issue(5, 365).await);
    let foreign = format!("/api/v1/organizations/{}/keys/claim", world.foreign);
    world.ok(&world.vendor, Method::POST, &foreign, json!({ "code": elsewhere })).await;
    let unknown = coterm_shared::platform::code::KeyCode::from_random([9; 16]).reveal();
    let shape = |answer: &Answer| {
        let ours = |name: &str| !["x-request-id", "date"].contains(&name);
        let headers = answer.headers.iter().filter(|(name, _)| ours(name.as_str()));
        let headers: Vec<_> = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
        (answer.status, headers, answer.text.clone())
    };
    for (rest, more) in [
        ("/keys/claim", json!({})),
        ("/keys/claim?dry_run=true", json!({})),
        ("/keys/claim", json!({ "group": "grp_01900000000070008000000000000000" })),
        ("/keys/inspect", json!({})),
    ] {
        let mut told = Vec::new();
        for code in [&elsewhere, &unknown] {
            let mut body = more.clone();
            body["code"] = json!(code);
            told.push(shape(&world.call(&world.admin, Method::POST, &world.at(rest), body).await));
        }
        assert_eq!(told[0], told[1], "{rest}");
        assert_eq!(told[0].0.as_u16(), 404, "{rest}");
    }
    // And the same code that was refused so is a good one where it belongs.
    let mine =
        world.call(&world.admin, Method::POST, &world.at("/keys/claim"), json!({ "code": unclaimed })).await;
    assert!(mine.status.is_success(), "{}", mine.text);
}

#[tokio::test]
async fn a_repetition_with_another_body_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let north = made(&world, "/groups", json!({ "name": "North" })).await;
    let (first, second) = (world.issue(5, 365).await, world.issue(7, 365).await);
    let (path, key) = (world.at("/keys/claim"), [("idempotency-key", "claim-1")]);
    let body = |code: &str| json!({ "code": code, "group": north });
    let done = world.call_with(&world.admin, Method::POST, &path, body(&first), &key).await;
    assert_eq!(done.status.as_u16(), 201, "{}", done.text);
    let before = seen(&world).await;
    let without_group = json!({ "code": first });
    let as_renewal = json!({ "code": first, "group": north, "mode": "renewal" });
    for (path, body) in [
        (path.clone(), body(&second)),
        (path.clone(), without_group),
        (path.clone(), as_renewal),
        (world.at("/groups"), json!({ "name": "South" })),
    ] {
        let answer = world.call_with(&world.admin, Method::POST, &path, body.clone(), &key).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (409, "IDEMPOTENCY_KEY_REUSED"), "{path} {body}");
        explained("a repetition with another body", &answer, &["IDEMPOTENCY_KEY_REUSED"]);
    }
    // The same body is the same answer, and no second claim.
    let again = world.call_with(&world.admin, Method::POST, &path, body(&first), &key).await;
    assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, "true"));
    assert_eq!(again.text("/id"), done.text("/id"));
    assert_eq!(seen(&world).await, before);
}
