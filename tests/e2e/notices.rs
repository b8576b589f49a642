//! Who is told of what, over real sockets: a mail server that greylists and refuses, receivers that hang and redirect, and a
//! daemon that is killed in between (N1, N2).

use coterm_tests::clock::WallClock;
use coterm_tests::cloud::Cloud;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::receiver::{Mood, Receiver, base64, hmac_sha256};
use coterm_tests::wait::{eventually, holds};
use serde_json::{Value, json};

const DAY: u64 = 86_400;

/// A daemon that tells by this mail server and to receivers on this machine, and tries again after a second.
fn cloud_with(mail: &Receiver) -> Cloud {
    let port = format!("smtp.port={}", mail.port());
    Cloud::prepare(&[
        "notify.retry_first_secs=1",
        "notify.allow_private_addresses=true",
        "smtp.host=127.0.0.1",
        "smtp.security=none",
        "smtp.from=Coterm <licenses@vendor.example>",
        &port,
    ])
}

/// What was told, the newest first: kind, and the states of its deliveries.
fn told(tenant: &Tenant) -> Vec<(String, Vec<String>)> {
    let listed = tenant.operator.get(&format!("/organizations/{}/notices", tenant.id));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = listed["items"].as_array().unwrap().iter().map(|notice| {
        let states = notice["deliveries"].as_array().unwrap().iter().map(|one| text(&one["state"]));
        (text(&notice["kind"]), states.collect())
    });
    each.collect()
}

/// N1, N2: what becomes noncompliant is mailed with findings, dates and cures; a server that puts off gets it later, one that
/// hangs while the daemon is killed gets it after, with the same Message-ID, and a refusal is seen and repeated by hand.
#[test]
fn mail_arrives_in_spite_of_greylisting_a_kill_and_a_refusal() {
    let mail = Receiver::mail();
    let mut cloud = cloud_with(&mail);
    let clock = WallClock::new(cloud.dir());
    for (name, value) in clock.iter().flat_map(WallClock::environment) {
        cloud.set_environment(&name, &value);
    }
    cloud.restart();
    let tenant = cloud.vendor().organization("Acme & Söhne", 1, 1);
    let _ = tenant.json(&["contact", "add", "ada@customer.example"]);
    let _ = tenant.group("North <b>");

    mail.be(Mood::Answers(451));
    tenant.device("cam-1", "North <b>", CAMERA);
    eventually("the greylisting to be met twice", || holds(mail.asked() >= 2, mail.asked()));
    mail.be(Mood::Takes);
    let first = eventually("the mail", || mail.got().first().cloned().ok_or_else(|| cloud.log()));
    assert_eq!(first.header("to"), "ada@customer.example");
    assert_eq!(first.header("from"), "Coterm <licenses@vendor.example>");
    assert_eq!(first.header("auto-submitted"), "auto-generated");
    assert!(
        first.header("message-id").starts_with("<ntc_")
            && first.header("message-id").ends_with("@vendor.example>")
    );
    for part in
        ["text/plain", "text/html", "NO_LICENSE", "Claim a key with at least 1 camera", "North &lt;b&gt;"]
    {
        assert!(first.body.contains(part), "{part} in {}", first.body);
    }

    // Killed in the middle of a delivery, when the server had the whole message: the notice is on disk, and its attempt is
    // repeated after its lease with the same Message-ID, by which a mailbox knows it again.
    mail.be(Mood::HangsAfterData);
    let before = mail.read().len();
    let _ = tenant.json(&["device", "retire", "cam-1", "--yes"]);
    let cut_off = eventually("the mail server to have read it", || {
        mail.read().get(before).cloned().ok_or_else(|| mail.asked().to_string())
    });
    cloud.kill();
    mail.be(Mood::Takes);
    cloud.restart();
    let is_waiting =
        |tenant: &Tenant| told(tenant).first() == Some(&("compliant".into(), vec!["waiting".into()]));
    assert!(is_waiting(&tenant), "{:?}", told(&tenant));
    if let Some(clock) = &clock {
        clock.off_by(150);
        let again = eventually("it to arrive after its lease", || {
            let got = mail.got();
            got.into_iter()
                .find(|mail| mail.header("subject").contains("compliant again"))
                .ok_or_else(|| cloud.log())
        });
        assert_eq!(again.header("message-id"), cut_off.header("message-id"));
    }

    mail.be(Mood::Answers(550));
    tenant.device("cam-2", "North <b>", CAMERA);
    eventually("the refusal to be final", || {
        let dead = tenant.json(&["notice", "list", "--dead"]);
        holds(dead["items"].as_array().is_some_and(|items| items.len() == 1), dead)
    });
    mail.be(Mood::Takes);
    let _ = tenant.coterm(&["notice", "redeliver"]);
    eventually("what was given up to arrive", || {
        let got = mail.got();
        holds(
            got.iter().any(|mail| mail.header("subject").contains("noncompliant") && *mail != first),
            got.len(),
        )
    });
}

/// N1: a webhook is signed as Standard Webhooks has it; one that hangs or answers 500 holds up nobody; a redirect is not
/// followed.
#[test]
fn webhooks_are_signed_apart_from_each_other_and_never_redirected() {
    let mail = Receiver::mail();
    let (good, failing, hanging, lured, inside) =
        (Receiver::web(), Receiver::web(), Receiver::web(), Receiver::web(), Receiver::web());
    failing.be(Mood::Answers(500));
    hanging.be(Mood::Hangs);
    lured.be(Mood::Redirects(inside.url()));
    let mut cloud = cloud_with(&mail);
    cloud.restart();
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let secret = tenant.json(&["webhook", "add", &good.url()])["secret"].as_str().unwrap().to_owned();
    for other in [&failing, &hanging, &lured] {
        let _ = tenant.json(&["webhook", "add", &other.url()]);
    }
    let group = tenant.group("North");
    tenant.device("cam-1", "North", CAMERA);
    let got = eventually("the webhook", || good.got().first().cloned().ok_or_else(|| cloud.log()));
    let body: Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["facts"]["group"]), (&json!("noncompliant"), &json!(group)));
    assert_eq!(body["data"]["id"], got.header("webhook-id"));
    let signed = format!("{}.{}.{}", got.header("webhook-id"), got.header("webhook-timestamp"), got.body);
    let expect = hmac_sha256(&base64(secret.strip_prefix("whsec_").unwrap()), signed.as_bytes());
    assert_eq!(base64(got.header("webhook-signature").strip_prefix("v1,").unwrap()), expect);
    assert!(
        !cloud.log().contains(&secret) && !cloud.log().contains("/hook"),
        "neither secrets nor URLs are logged"
    );

    eventually("the others to be tried", || holds(failing.asked() >= 2 && lured.asked() >= 2, told(&tenant)));
    assert_eq!(inside.asked(), 0, "nobody is led elsewhere");
    failing.be(Mood::Takes);
    let later =
        eventually("it to arrive at last", || failing.got().first().cloned().ok_or("nothing".to_owned()));
    assert_eq!(later.header("webhook-id"), got.header("webhook-id"), "every copy has one id");
    assert_eq!(good.got().len(), 1);
    hanging.be(Mood::Takes);
}

/// N1: where addresses that are not public are not allowed, none is connected to, by whatever name.
#[test]
fn a_webhook_does_not_reach_the_network_of_the_daemon() {
    let inside = Receiver::web();
    let cloud = Cloud::start_with(&["notify.retry_first_secs=1"]);
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    for url in [
        inside.url(),
        format!("https://127.0.0.1:{}/", inside.port()),
        String::from("https://169.254.169.254/"),
    ] {
        assert_eq!(tenant.coterm(&["webhook", "add", &url]).code, 3, "{url}");
    }
    // What reads as a name says nothing when it is set; where it leads is looked at when it is connected to.
    for name in ["127.1", "2130706433"] {
        let _ = tenant.json(&["webhook", "add", &format!("https://{name}:{}/", inside.port())]);
    }
    let _ = tenant.coterm(&["notice", "test"]);
    eventually("the refusal", || {
        let listed = tenant.json(&["notice", "list"]).to_string();
        holds(listed.matches("no public address").count() == 2, listed)
    });
    assert_eq!(inside.asked(), 0);
}

/// N2: a daemon that was down over two thresholds tells the closest, once, however often it is started.
#[test]
fn a_daemon_that_was_down_for_weeks_tells_what_is_still_true_once() {
    let mail = Receiver::mail();
    let mut cloud = cloud_with(&mail);
    let Some(clock) = WallClock::new(cloud.dir()) else { return };
    for (name, value) in clock.environment() {
        cloud.set_environment(&name, &value);
    }
    cloud.restart();
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 1, 40 * DAY);
    let _ = tenant.json(&["contact", "add", "ada@customer.example"]);
    assert_eq!(told(&tenant), [], "nothing is near");
    cloud.kill();
    clock.off_by(35 * DAY.cast_signed());
    for _ in 0..2 {
        cloud.restart();
        let _ = cloud.vendor().coterm(&["time", "confirm", "--yes"]);
        eventually("the notice", || {
            let told = told(&tenant);
            holds(told == [(String::from("term-ends"), vec![String::from("delivered")])], told)
        });
        cloud.stop();
    }
    let got = mail.got();
    assert_eq!(got.len(), 1, "told once");
    assert!(got[0].header("subject").contains("the term ends"));
}
