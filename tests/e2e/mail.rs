//! Mail over real sockets to servers that are careful, slow or strangers (N2).

use coterm_certs::Pki;
use coterm_tests::cloud::Cloud;
use coterm_tests::mail_server::MailServer;
use coterm_tests::operator::{CAMERA, Tenant, time};
use coterm_tests::receiver::{Mood, Receiver};
use coterm_tests::wait::{eventually, holds};
use std::path::Path;

/// A daemon that mails to this server, one organization with one contact, and a notice for it.
fn with_a_notice(mail: &Receiver, settings: &[String]) -> (Cloud, Tenant) {
    let port = format!("smtp.port={}", mail.port());
    let mut all =
        vec!["notify.retry_first_secs=1", "smtp.from=Coterm <licenses@vendor.example>", port.as_str()];
    all.extend(settings.iter().map(String::as_str));
    let cloud = Cloud::start_with(&all);
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    let _ = tenant.json(&["contact", "add", "ada@customer.example"]);
    let _ = tenant.group("North");
    tenant.device("cam-1", "North", CAMERA);
    (cloud, tenant)
}

/// The only delivery there is.
fn delivery(tenant: &Tenant) -> serde_json::Value {
    let listed = tenant.operator.get(&format!("/organizations/{}/notices", tenant.id));
    listed["items"][0]["deliveries"][0].clone()
}

/// Waits until a delivery has failed with a reason that has one of these words in it.
fn fails_with(tenant: &Tenant, words: &[&str]) {
    eventually("the reason to be written down", || {
        let delivery = delivery(tenant);
        let error = delivery["error"].as_str().unwrap_or_default().to_lowercase();
        holds(words.iter().any(|word| error.contains(word)), delivery)
    });
    assert_eq!(delivery(tenant)["state"], "waiting", "it is tried again");
}

fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// N2: over STARTTLS, and over TLS from the first byte, mail goes to the server whose certificate the configured authority
/// made, with a login; to a stranger goes neither mail nor password, and why is written down.
#[test]
fn mail_goes_over_tls_with_a_login_and_not_to_a_stranger() {
    for (security, from_the_first_byte) in [("starttls", false), ("tls", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let ours = Pki::open_or_create(&dir.path().join("ours"), time).expect("a PKI");
        let others = Pki::open_or_create(&dir.path().join("others"), time).expect("a PKI");
        let identity = ours.server_identity(&["localhost".to_owned()]).expect("a certificate");
        let login = ("coterm", "pass word");
        let mail = Receiver::mail_with(MailServer::secured(&identity, from_the_first_byte, login));
        let (authority, password) = (dir.path().join("ca.crt"), dir.path().join("smtp.password"));
        std::fs::write(&authority, others.ca_pem().expect("its certificate")).expect("a file");
        secret(&password, "wrong\n");
        let settings = [
            "smtp.host=localhost".to_owned(),
            format!("smtp.security={security}"),
            format!("smtp.username={}", login.0),
            format!("smtp.password_file={}", password.display()),
            format!("smtp.ca_file={}", authority.display()),
        ];
        let (cloud, tenant) = with_a_notice(&mail, &settings);
        fails_with(&tenant, &["certificate", "unknownissuer"]);
        std::fs::write(&authority, ours.ca_pem().expect("its certificate")).expect("a file");
        fails_with(&tenant, &["535"]);
        assert_eq!((mail.asked(), mail.read().len()), (0, 0), "nothing was said to a stranger");
        secret(&password, &format!("{}\n", login.1));
        let got = eventually("the mail", || mail.got().first().cloned().ok_or_else(|| cloud.log()));
        assert_eq!(got.header("to"), "ada@customer.example");
        assert_eq!(mail.got().len(), 1);
        assert!(!cloud.log().contains(login.1), "a password is not logged");
    }
}

/// N2: where TLS is configured and the server offers none, nothing goes there in the clear.
#[test]
fn mail_is_not_sent_in_the_clear_where_tls_is_configured() {
    let mail = Receiver::mail();
    let settings = ["smtp.host=localhost".to_owned(), "smtp.security=starttls".to_owned()];
    let (_cloud, tenant) = with_a_notice(&mail, &settings);
    fails_with(&tenant, &["starttls", "tls"]);
    assert_eq!((mail.asked(), mail.got().len()), (0, 0));
}

/// N2: a server that puts off after it has read everything (greylisting), and one that hangs, get the same message again,
/// known by its Message-ID.
#[test]
fn mail_that_is_put_off_or_never_answered_comes_again_as_the_same() {
    let mail = Receiver::mail();
    mail.be(Mood::AnswersData(451));
    let settings = ["smtp.host=127.0.0.1".to_owned(), "smtp.security=none".to_owned()];
    let (cloud, tenant) = with_a_notice(&mail, &settings);
    eventually("the greylisting to be met twice", || holds(mail.read().len() >= 2, mail.read().len()));
    fails_with(&tenant, &["451"]);
    mail.be(Mood::HangsAfterData);
    let before = mail.read().len();
    eventually("the server to hang", || holds(mail.read().len() > before, mail.read().len()));
    fails_with(&tenant, &["timed out", "time", "temporarily"]);
    mail.be(Mood::Takes);
    let got = eventually("the mail", || mail.got().first().cloned().ok_or_else(|| cloud.log()));
    let ids: Vec<String> = mail.read().iter().map(|read| read.header("message-id").to_owned()).collect();
    assert!(ids.len() >= 4 && ids.iter().all(|id| id == got.header("message-id")), "{ids:?}");
    assert_eq!(mail.got().len(), 1, "taken once");
}
