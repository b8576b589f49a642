//! The life of keys through the interface: claimed, moved, split, unclaimed, transferred (domain §3).

use super::world::{Answer, World};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

const YEAR: u64 = 365;

impl World {
    async fn key_group(&self, name: &str) -> String {
        self.ok(&self.admin, Method::POST, &self.at("/groups"), json!({ "name": name })).await.text("/id")
    }

    /// A key claimed to a group, or left unassigned: its id.
    async fn claimed(&self, quantity: u64, group: Option<&str>) -> String {
        let body = json!({ "code": self.issue(quantity, YEAR).await, "group": group });
        self.ok(&self.admin, Method::POST, &self.at("/keys/claim"), body).await.text("/id")
    }

    /// Asks the admin's organization to do something with one of its keys.
    async fn key(&self, token: &str, key: &str, verb: &str, body: Value) -> Answer {
        self.call(token, Method::POST, &self.at(&format!("/keys/{key}/{verb}")), body).await
    }

    async fn coterm(&self, group: &str) -> String {
        self.get(&self.admin, &self.at(&format!("/groups/{group}"))).await.text("/coterm_at")
    }
}

fn cameras(quantity: u64) -> Value {
    json!([{ "product": "camera", "quantity": quantity }])
}

fn halves(first: u64, second: u64) -> Value {
    json!({ "parts": [{ "lines": cameras(first) }, { "lines": cameras(second) }] })
}

#[tokio::test]
async fn a_renewal_waits_in_its_group_and_goes_on_waiting_when_moved() {
    let world = World::new().await;
    let (north, south) = (world.key_group("North").await, world.key_group("South").await);
    for group in [&north, &south] {
        world.claimed(1, Some(group)).await;
    }
    let body = json!({ "code": world.issue(2, YEAR).await, "group": north, "mode": "renewal" });
    let path = world.at("/keys/claim");
    let preview = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(preview.body["groups"][0]["after"]["renewed_capacity"], json!({"camera": 2}));
    let key = world.ok(&world.admin, Method::POST, &path, body).await;
    assert_eq!((key.text("/state"), key.text("/group_name")), ("queued".into(), "North".into()));
    assert!(key.text("/next").starts_with("begins when the term of its group ends at 2028-01-01T00:00:00Z"));
    let key = key.text("/id");

    let moved = world.key(&world.admin, &key, "move", json!({ "group": south })).await;
    assert_eq!((moved.text("/state"), moved.text("/group")), ("queued".into(), south.clone()));
    let moved = world.key(&world.admin, &key, "move", json!({ "group": north, "mode": "increase" })).await;
    assert_eq!((moved.text("/state"), moved.text("/group")), ("active".into(), north.clone()));

    let freed = world.key(&world.admin, &key, "unclaim", Value::Null).await;
    assert_eq!(freed.text("/state"), "unassigned");
    assert_eq!(freed.text("/next"), "joins `Group 1` at 2027-01-31T00:00:00Z, in 30 days");
    let shown = world.get(&world.viewer, &world.at(&format!("/keys/{key}"))).await;
    assert_eq!(shown.body, freed.body);
    let listed = world.get(&world.viewer, &world.at("/keys")).await;
    assert!(listed.body["items"].as_array().unwrap().contains(&freed.body));
}

#[tokio::test]
async fn a_split_makes_two_keys_whose_codes_are_shown_once() {
    let world = World::new().await;
    let (north, south) = (world.key_group("North").await, world.key_group("South").await);
    let code = world.issue(5, YEAR).await;
    let claim = json!({ "code": code, "group": north });
    let key = world.ok(&world.admin, Method::POST, &world.at("/keys/claim"), claim.clone()).await.text("/id");
    let path = world.at(&format!("/keys/{key}/split"));
    let body = json!({ "parts": [
        { "lines": cameras(3), "group": north },
        { "lines": cameras(2), "group": south, "mode": "renewal" },
    ]});
    let preview = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(preview.body["events"][0], "key-split");
    assert_eq!(preview.body["groups"].as_array().unwrap().len(), 2);
    // The codes are made by the split: no end of one is shown that will never be.
    let shown: Vec<String> = (0..3).map(|n| preview.text(&format!("/keys/{n}/code"))).collect();
    assert_eq!(shown.iter().filter(|code| *code == "*****-*****-*****-*****-*****").count(), 2, "{shown:?}");
    let warned = preview.body["warnings"].as_array().unwrap();
    assert!(warned.iter().any(|warning| warning["code"] == "RENEWAL_ACTIVATES_NOW"), "{warned:?}");
    let tag = preview.header("etag").to_owned();
    let headers = [("idempotency-key", "split-1"), ("if-match", tag.as_str())];
    let done = world.call_with(&world.admin, Method::POST, &path, body.clone(), &headers).await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.text);
    assert_eq!((done.text("/split/id"), done.text("/split/state")), (key.clone(), "split".into()));
    // K4: without a term to wait for, the renewal is active at once.
    for (part, group) in [(0, &north), (1, &south)] {
        let at = |name: &str| done.text(&format!("/parts/{part}/{name}"));
        assert_eq!((at("state"), &at("group")), ("active".into(), group));
        assert_eq!(world.coterm(group).await, "2028-01-01T00:00:00Z");
        assert_eq!(at("order_number"), "SO-1");
    }
    let codes = [done.text("/parts/0/code"), done.text("/parts/1/code")];
    assert!(codes[0] != codes[1] && codes.iter().all(|code| code.len() == 31 && !code.contains("**")));

    // A repetition shows them masked, and so does everything else.
    let again = world.call_with(&world.admin, Method::POST, &path, body.clone(), &headers).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (StatusCode::CREATED, "true"));
    let issued = world.get(&world.vendor, "/api/v1/keys").await;
    let listed = world.get(&world.admin, &world.at("/keys")).await;
    let log = world.get(&world.vendor, "/api/v1/transactions").await;
    for (code, part) in codes.iter().zip(["/parts/0", "/parts/1"]) {
        let (id, masked) = (done.text(&format!("{part}/id")), again.text(&format!("{part}/code")));
        assert_eq!(again.text(&format!("{part}/id")), id);
        assert_eq!(masked, format!("*****-*****-*****-*****-{}", &code[24..29]));
        for answer in [&again, &issued, &listed, &log] {
            assert!(!answer.text.contains(code.as_str()));
        }
        assert!(issued.text.contains(&id) && listed.text.contains(&id), "the vendor knows its keys");
        // Only its own organization is told that it is claimed.
        let claim = json!({ "code": code });
        let own = world.call(&world.admin, Method::POST, &world.at("/keys/claim"), claim.clone()).await;
        assert_eq!((own.status, own.code()), (StatusCode::CONFLICT, "KEY_ALREADY_CLAIMED"));
        let foreign = format!("/api/v1/organizations/{}/keys/claim", world.foreign);
        let other = world.call(&world.vendor, Method::POST, &foreign, claim).await;
        assert_eq!((other.status, other.code()), (StatusCode::NOT_FOUND, "KEY_NOT_CLAIMABLE"));
    }
    // The old code is no key any more.
    let spent = world.call(&world.admin, Method::POST, &world.at("/keys/claim"), claim).await;
    assert_eq!((spent.status, spent.code()), (StatusCode::CONFLICT, "KEY_ALREADY_CLAIMED"));
    let became: Vec<_> =
        codes.iter().zip([3, 2]).map(|(code, n)| format!("{} with {n} camera", &code[24..29])).collect();
    assert!(became.iter().all(|part| spent.text.contains(part)), "{became:?}: {}", spent.text);
    let twice = world.call(&world.admin, Method::POST, &path, body).await;
    assert_eq!((twice.status, twice.code()), (StatusCode::CONFLICT, "KEY_NOT_IN_USE"));
    assert!(became.iter().all(|part| twice.text.contains(part)), "{}", twice.text);
}

#[tokio::test]
async fn the_vendor_divides_a_key_between_two_organizations() {
    let world = World::new().await;
    let north = world.key_group("North").await;
    let key = world.claimed(5, Some(&north)).await;
    let transfer = json!({ "to": world.foreign });
    let early = world.key(&world.vendor, &key, "transfer", transfer.clone()).await;
    assert_eq!((early.status, early.code()), (StatusCode::CONFLICT, "KEY_NOT_UNASSIGNED"));
    let body = json!({ "parts": [{ "lines": cameras(3), "group": north }, { "lines": cameras(2) }] });
    let done = world.key(&world.vendor, &key, "split", body).await;
    let (part, code) = (done.text("/parts/1/id"), done.text("/parts/1/code"));
    assert_eq!(done.text("/parts/1/state"), "unassigned");

    let path = world.at(&format!("/keys/{part}/transfer"));
    let preview =
        world.ok(&world.vendor, Method::POST, &format!("{path}?dry_run=true"), transfer.clone()).await;
    assert_eq!(preview.body["events"], json!(["key-transferred"]));
    let headers = [("idempotency-key", "t-1")];
    for replayed in ["", "true"] {
        let given = world.call_with(&world.vendor, Method::POST, &path, transfer.clone(), &headers).await;
        assert_eq!((given.status, given.text("/state")), (StatusCode::OK, "transferred".into()));
        assert_eq!(given.header("idempotent-replayed"), replayed);
    }
    let theirs = format!("/api/v1/organizations/{}/keys", world.foreign);
    let listed = world.get(&world.vendor, &theirs).await;
    assert_eq!(
        (listed.text("/items/0/id"), listed.text("/items/0/state"), listed.text("/items/0/ends_at")),
        (part.clone(), "unassigned".into(), "2028-01-01T00:00:00Z".into())
    );
    // Whose it is now is nobody else's business.
    let claim = json!({ "code": code });
    let back = world.call(&world.admin, Method::POST, &world.at("/keys/claim"), claim.clone()).await;
    assert_eq!((back.status, back.code()), (StatusCode::NOT_FOUND, "KEY_NOT_CLAIMABLE"));
    let own = world.call(&world.vendor, Method::POST, &format!("{theirs}/claim"), claim).await;
    assert_eq!(own.code(), "KEY_ALREADY_CLAIMED");
    // And it can come back.
    let home = json!({ "to": world.org });
    let back = world.call(&world.vendor, Method::POST, &format!("{theirs}/{part}/transfer"), home).await;
    assert_eq!(back.text("/state"), "transferred", "{}", back.text);
    let back = world.get(&world.admin, &world.at(&format!("/keys/{part}"))).await;
    assert_eq!(back.text("/state"), "unassigned");
}

#[tokio::test]
async fn what_cannot_be_done_with_a_key_is_refused_with_its_reason() {
    let world = World::new().await;
    let (north, none) = (world.key_group("North").await, "01900000000070008000000000000000");
    let five = world.claimed(5, Some(&north)).await;
    let one = world.claimed(1, Some(&north)).await;
    let free = world.claimed(1, None).await;
    let to = |group: &str| json!({ "group": group });
    let unknown_group = format!("grp_{none}");
    let two_lines = json!([{ "product": "camera", "quantity": 2 }, { "product": "camera", "quantity": 1 }]);
    let with_door = json!([{ "product": "camera", "quantity": 3 }, { "product": "door", "quantity": 1 }]);
    let parts = |first: Value, second: Value| json!({ "parts": [{ "lines": first }, { "lines": second }] });
    let three =
        json!({ "parts": [{ "lines": cameras(1) }, { "lines": cameras(1) }, { "lines": cameras(3) }] });
    let late = json!({ "parts": [{ "lines": cameras(2), "mode": "renewal" }, { "lines": cameras(3) }] });
    let lost = json!({ "parts": [{ "lines": cameras(2), "group": unknown_group }, { "lines": cameras(3) }] });
    let nobody = format!("org_{none}");
    for (key, verb, body, status, code) in [
        (&five, "move", to(&north), 409, "ALREADY_THERE"),
        (&five, "move", to(&unknown_group), 404, "GROUP_NOT_FOUND"),
        (&five, "move", json!({}), 422, "MISSING_FIELD"),
        (&five, "move", json!({ "group": north, "mode": "later" }), 422, "INVALID_VALUE"),
        (&format!("key_{none}"), "move", to(&north), 404, "KEY_NOT_FOUND"),
        (&String::from("7"), "move", to(&north), 404, "NOT_FOUND"),
        (&free, "unclaim", Value::Null, 409, "ALREADY_THERE"),
        (&free, "unclaim", json!({ "x": 1 }), 422, "UNKNOWN_FIELD"),
        (&one, "split", halves(1, 0), 422, "SPLIT_PART_EMPTY"),
        (&one, "split", halves(1, 1), 422, "SPLIT_DOES_NOT_ADD_UP"),
        (&five, "split", halves(3, 3), 422, "SPLIT_DOES_NOT_ADD_UP"),
        (&five, "split", halves(1, 1), 422, "SPLIT_DOES_NOT_ADD_UP"),
        (&five, "split", halves(u64::MAX, 6), 422, "SPLIT_DOES_NOT_ADD_UP"),
        (&five, "split", parts(with_door, cameras(2)), 422, "SPLIT_DOES_NOT_ADD_UP"),
        (&five, "split", parts(two_lines, cameras(2)), 422, "LINES_INVALID"),
        (&five, "split", parts(json!([]), cameras(5)), 422, "OUT_OF_RANGE"),
        (&five, "split", json!({ "parts": [{ "lines": cameras(5) }] }), 422, "OUT_OF_RANGE"),
        (&five, "split", three, 422, "OUT_OF_RANGE"),
        (&five, "split", late, 422, "RENEWAL_NEEDS_GROUP"),
        (&five, "split", lost, 404, "GROUP_NOT_FOUND"),
        (&five, "split", json!({}), 422, "MISSING_FIELD"),
        (&free, "transfer", json!({ "to": world.org }), 409, "ALREADY_THERE"),
        (&free, "transfer", json!({ "to": nobody }), 404, "NOT_FOUND"),
        (&free, "transfer", json!({ "to": "Other" }), 422, "INVALID_VALUE"),
        (&free, "transfer", json!({}), 422, "MISSING_FIELD"),
    ] {
        let before = world.get(&world.admin, &world.at("")).await.header("etag").to_owned();
        for query in ["?dry_run=true", ""] {
            let answer = world.key(&world.vendor, key, &format!("{verb}{query}"), body.clone()).await;
            let found = (answer.status.as_u16(), answer.code());
            assert_eq!(found, (status, code), "{verb} {body}: {}", answer.text);
        }
        assert_eq!(world.get(&world.admin, &world.at("")).await.header("etag"), before);
    }
    // Everything that is wrong with a split at once.
    let answer = world.key(&world.admin, &five, "split", halves(0, 7)).await;
    let codes: Vec<_> = answer.body["errors"].as_array().unwrap().iter().map(|e| e["code"].clone()).collect();
    assert_eq!(codes, ["SPLIT_PART_EMPTY", "SPLIT_DOES_NOT_ADD_UP"]);
}

#[tokio::test]
async fn what_cannot_be_claimed_and_what_counts_as_a_guess() {
    let world = World::new().await;
    let (admin, path) = (&world.admin, world.at("/keys/claim"));
    let foreign = format!("/api/v1/organizations/{}/keys/claim", world.foreign);
    let order = json!({ "order_number": "SO-2", "term_days": 30, "lines": cameras(1),
        "created_at": "2026-06-01T00:00:00Z" });
    let spent = world.ok(&world.vendor, Method::POST, "/api/v1/keys", order).await.text("/code");
    let (mine, theirs) = (world.issue(1, YEAR).await, world.issue(1, YEAR).await);
    let free = world.issue(1, YEAR).await;
    world.ok(admin, Method::POST, &path, json!({ "code": mine })).await;
    world.ok(&world.vendor, Method::POST, &foreign, json!({ "code": theirs })).await;
    let unknown = coterm_shared::platform::code::KeyCode::from_random([7; 16]).reveal();
    let none = "grp_01900000000070008000000000000000";
    // None of these is a guess: they can be repeated without end.
    for _ in 0..10 {
        for (body, status, code) in [
            (json!({ "code": mine }), 409, "KEY_ALREADY_CLAIMED"),
            (json!({ "code": spent }), 409, "KEY_TERM_PASSED"),
            (json!({ "code": free, "mode": "renewal" }), 422, "RENEWAL_NEEDS_GROUP"),
            (json!({ "code": unknown, "mode": "both" }), 422, "INVALID_VALUE"),
        ] {
            let answer = world.call(admin, Method::POST, &path, body.clone()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{body}: {}", answer.text);
        }
    }
    // A key claimed elsewhere is as one that never was, whatever else is wrong; and each is a guess.
    for query in ["", "?dry_run=true"] {
        let path = format!("{path}{query}");
        for rest in [json!({}), json!({ "mode": "renewal" }), json!({ "group": none, "mode": "renewal" })] {
            let mut bodies = [json!({ "code": theirs }), json!({ "code": unknown })];
            for body in &mut bodies {
                body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            }
            let [a, b] = bodies;
            let a = world.call(admin, Method::POST, &path, a).await;
            let b = world.call(admin, Method::POST, &path, b).await;
            assert_eq!((a.code(), &a.text), ("KEY_NOT_CLAIMABLE", &b.text));
        }
    }
    for _ in 12..20 {
        assert_eq!(
            world.call(admin, Method::POST, &path, json!({ "code": unknown })).await.code(),
            "KEY_NOT_CLAIMABLE"
        );
    }
    let stopped = world.call(admin, Method::POST, &path, json!({ "code": mine })).await;
    assert_eq!(stopped.code(), "TOO_MANY_WRONG_CODES");
}

#[tokio::test]
async fn without_license_groups_everything_stays_in_the_one_pool() {
    let world = World::new().await;
    let vendor = &world.vendor;
    let plain = json!({ "name": "Plain" });
    let org = world.ok(vendor, Method::POST, "/api/v1/organizations", plain).await.text("/id");
    let at = |rest: &str| format!("/api/v1/organizations/{org}{rest}");
    let claim = |code: String, mode: &str| json!({ "code": code, "mode": mode });
    let body = claim(world.issue(4, YEAR).await, "increase");
    let key = world.ok(vendor, Method::POST, &at("/keys/claim"), body).await;
    assert_eq!((key.text("/state"), key.text("/group_name")), ("active".into(), "Group 1".into()));
    let body = claim(world.issue(4, YEAR).await, "renewal");
    let waits = world.ok(vendor, Method::POST, &at("/keys/claim"), body).await;
    assert_eq!(waits.text("/state"), "queued");
    for (key, state) in [(key, "active"), (waits, "queued")] {
        let path = at(&format!("/keys/{}/split", key.text("/id")));
        let done = world.ok(vendor, Method::POST, &path, halves(3, 1)).await;
        assert_eq!((done.text("/parts/0/state"), done.text("/parts/1/state")), (state.into(), state.into()));
    }
}
