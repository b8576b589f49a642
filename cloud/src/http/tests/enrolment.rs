//! Claim codes through the interface: shown once, by role, previewed; pending devices are a list of their own.

use super::world::World;
use axum::http::{Method, StatusCode};
use coterm_shared::enrolment::code::ClaimText;
use coterm_shared::id::DeviceId;
use coterm_shared::licensing::{Command, Enrol, EnrolmentCommand};
use serde_json::{Value, json};

#[tokio::test]
async fn a_claim_code_is_shown_once_and_listed_masked() {
    let world = World::new().await;
    let site = world.site("Depot").await;
    let (path, body) = (world.at("/enrolment/codes"), json!({"site": site, "model": "CAM-1"}));
    let preview = world.ok(&world.admin, Method::POST, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(preview.body["events"], json!(["claim-code-issued"]));
    let headers = [("idempotency-key", "once")];
    let made = world.call_with(&world.admin, Method::POST, &path, body.clone(), &headers).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let code = ClaimText::parse(&made.text("/code")).unwrap();
    let again = world.call_with(&world.admin, Method::POST, &path, body, &headers).await;
    assert!(again.headers.contains_key("idempotent-replayed") && !again.text.contains(&code.reveal()));
    let listed = world.get(&world.viewer, &path).await;
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (listed.text("/items/0/state"), listed.text("/items/0/id")),
        ("open".into(), made.text("/id"))
    );
    assert!(!listed.text.contains(&code.reveal()[..40]));
    let one = format!("{path}/{}", made.text("/id"));
    assert_eq!(world.get(&world.viewer, &one).await.body["ends_at"], "2027-01-08T00:00:00Z");
    assert_eq!(world.call(&world.viewer, Method::DELETE, &one, Value::Null).await.code(), "FORBIDDEN");
    assert_eq!(world.ok(&world.admin, Method::DELETE, &one, Value::Null).await.text("/state"), "revoked");
    assert_eq!(world.call(&world.admin, Method::DELETE, &one, Value::Null).await.code(), "CLAIM_CODE_SPENT");
    let bad = world.call(&world.admin, Method::POST, &path, json!({"site": site, "model": "NONE"})).await;
    assert_eq!(bad.code(), "MODEL_UNKNOWN");
    let foreign = format!("/api/v1/organizations/{}/enrolment/codes", world.foreign);
    assert_eq!(
        world.call(&world.admin, Method::GET, &foreign, Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_device_that_waits_is_listed_approved_or_denied() {
    let world = World::new().await;
    let site = world.site("Depot").await;
    let path = world.at("/enrolment/codes");
    let mut ids = Vec::new();
    for n in 0..3 {
        let body = json!({"site": site, "model": "CAM-1", "approval": true});
        let made = world.ok(&world.admin, Method::POST, &path, body).await;
        let code = ClaimText::parse(&made.text("/code")).unwrap();
        let ask = Enrol {
            hash: code.secret().hash(),
            device: Some(format!("cam-{n}").parse().unwrap()),
            fresh: DeviceId::from_uuid_bytes([1; 16]),
            key: coterm_shared::enrolment::code::KeyPrint::of(&[n]),
        };
        let id = world.org.parse().unwrap();
        let command = Command::Enrolment(EnrolmentCommand::Enrol(Box::new(ask)));
        let change = crate::books::Change::Organization { id, command };
        world.books.execute(crate::books::Request::new("device", "r", change)).await.unwrap();
        ids.push(made.text("/id"));
    }
    let waiting = world.get(&world.viewer, &world.at("/enrolment/pending?limit=2")).await;
    assert!(waiting.body["next_cursor"].is_string());
    let one = world.get(&world.viewer, &format!("{path}/{}", ids[0])).await;
    assert_eq!((one.text("/state"), one.text("/came/device")), ("pending".into(), "cam-0".into()));
    let approve = format!("{path}/{}/approve", ids[0]);
    let preview = world.ok(&world.admin, Method::POST, &format!("{approve}?dry_run=true"), Value::Null).await;
    assert_eq!(preview.body["devices"][0]["device"], "cam-0", "what it does to licenses is shown first");
    assert_eq!(world.ok(&world.admin, Method::POST, &approve, Value::Null).await.text("/state"), "used");
    let deny = format!("{path}/{}/deny", ids[1]);
    assert_eq!(world.ok(&world.admin, Method::POST, &deny, Value::Null).await.text("/state"), "denied");
    let again = world.call(&world.admin, Method::POST, &deny, Value::Null).await;
    assert_eq!((again.status, again.code()), (StatusCode::CONFLICT, "ENROLMENT_NOT_PENDING"));
    assert_eq!(world.get(&world.viewer, &world.at("/devices/cam-0")).await.body["site"], site);
    assert_eq!(
        world.get(&world.viewer, &world.at("/enrolment/pending")).await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn devices_are_approved_beforehand_from_a_list() {
    let world = World::new().await;
    let path = world.at("/enrolment/preauthorised");
    let body = json!({"devices": [{"id": "cam-2"}, {"id": "cam-1"}, {"id": "cam-2"}]});
    assert_eq!(world.ok(&world.admin, Method::POST, &path, body).await.body["preauthorised"], 2);
    let listed = world.get(&world.viewer, &path).await;
    assert_eq!(listed.body["items"], json!([{"id": "cam-1"}, {"id": "cam-2"}]));
    let remove = format!("{path}/remove");
    let body = json!({"devices": [{"id": "cam-1"}]});
    assert_eq!(world.ok(&world.admin, Method::POST, &remove, body).await.body["preauthorised"], 1);
    let bad = world.call(&world.admin, Method::POST, &path, json!({"devices": [{"id": "a b"}]})).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", bad.text);
}
