//! Devices that come with nothing but a claim code, and those who would like to be in their place.

use coterm_shared::enforcement::OperatingMode;
use coterm_shared::enrolment::code::ClaimText;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::files::copy_dir;
use coterm_tests::middle::Middle;
use coterm_tests::operator::{CAMERA, Tenant};
use coterm_tests::process::Said;
use coterm_tests::wait::{eventually, holds};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

/// An organization with a licensed group and its site.
fn acme(cloud: &Cloud) -> Tenant {
    let tenant = cloud.vendor().organization("Acme", 60, 60);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 5, 365 * 86_400);
    tenant
}

/// A new claim code: its text and its id.
fn make_code(tenant: &Tenant, more: &[&str]) -> (String, String) {
    let made =
        tenant.json(&[&["enrol", "code", "create", "--site", "North", "--model", CAMERA], more].concat());
    (made["code"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
}

/// A device out of its box: a class and an actuator, and no identity.
fn fresh(cloud: &Cloud, directory: &str) -> Device {
    let dir = cloud.dir().join("devices").join(directory);
    std::fs::create_dir_all(&dir).unwrap();
    Device::by_hand(dir, directory, "class = \"camera\"\n\n", Obeys::BySupervision)
}

fn enroll(device: &Device, server: &str, code: &str, more: &[&str]) -> Said {
    device.run(&[&["enroll", "--server", server, "--code", code], more].concat())
}

fn is_untouched(device: &Device) {
    assert!(!device.dir().join("conf.d").exists(), "nothing has happened");
}

fn refused(said: &Said, code: &str) {
    assert!(said.code == 1 && said.stderr.starts_with(code), "{code}: {said:?}");
}

/// How often the log has an event.
fn count(tenant: &Tenant, event: &str) -> usize {
    let path = format!("/organizations/{}/transactions?limit=1000&event={event}", tenant.id);
    tenant.operator.get(&path)["items"].as_array().unwrap().len()
}

#[test]
fn from_a_claim_code_to_a_licensed_device() {
    let cloud = Cloud::start();
    let tenant = acme(&cloud);
    let (code, _) = make_code(&tenant, &[]);
    let mut device = fresh(&cloud, "cam-1");
    let said = enroll(&device, &cloud.enrolment(), &code.to_lowercase(), &["--device-id", "cam-1"]);
    assert_eq!(said.code, 0, "{said:?}");
    device.start();
    device.reaches(OperatingMode::Full);
    let _ = device.holds_token();
    assert_eq!(tenant.json(&["device", "show", "cam-1"])["site_name"], "North");

    // The code is used up: for the same device it is done, for any other it is as unknown.
    assert_eq!(enroll(&device, &cloud.enrolment(), &code, &[]).code, 0);
    let thief = fresh(&cloud, "thief");
    for id in [&[][..], &["--device-id", "cam-1"], &["--device-id", "cam-2"]] {
        refused(&enroll(&thief, &cloud.enrolment(), &code, id), "CLAIM_CODE_NOT_USABLE");
    }
    is_untouched(&thief);
    let (another, _) = make_code(&tenant, &[]);
    let said = enroll(&device, &cloud.enrolment(), &another, &[]);
    assert!(said.code == 1 && said.stderr.contains("--replace"), "{said:?}");
    let key =
        std::fs::read_dir(device.dir().join("enrolment")).unwrap().flatten().find(|e| e.path().is_dir());
    let key = key.unwrap().path().join("device.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(key).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_device_without_a_name_is_given_one_and_a_code_may_be_for_one_device_alone() {
    let cloud = Cloud::start();
    let tenant = acme(&cloud);
    let (nameless, _) = make_code(&tenant, &[]);
    let said = enroll(&fresh(&cloud, "a"), &cloud.enrolment(), &nameless, &[]);
    assert!(said.code == 0 && said.stdout.contains("device dev_"), "{said:?}");
    let (bound, _) = make_code(&tenant, &["--device", "cam-7"]);
    refused(
        &enroll(&fresh(&cloud, "b"), &cloud.enrolment(), &bound, &["--device-id", "cam-8"]),
        "CLAIM_CODE_NOT_USABLE",
    );
    let said = enroll(&fresh(&cloud, "c"), &cloud.enrolment(), &bound, &[]);
    assert!(said.code == 0 && said.stdout.contains("device cam-7 "), "{said:?}");
}

#[test]
fn a_code_of_another_deployment_is_not_shown() {
    let (ours, theirs) = (Cloud::start(), Cloud::start());
    let tenant = acme(&ours);
    let (code, id) = make_code(&tenant, &[]);
    let device = fresh(&ours, "cam-1");
    refused(&enroll(&device, &theirs.enrolment(), &code, &[]), "ROOT_MISMATCH");
    is_untouched(&device);
    assert_eq!(
        tenant.operator.get(&format!("/organizations/{}/enrolment/codes/{id}", tenant.id))["state"],
        "open"
    );
    assert_eq!(enroll(&device, &ours.enrolment(), &code, &[]).code, 0, "it still works at home");
}

#[test]
fn a_man_in_the_middle_learns_no_code() {
    let cloud = Cloud::start();
    let tenant = acme(&cloud);
    let (code, _) = make_code(&tenant, &[]);
    let secret = ClaimText::parse(&code).unwrap().secret().as_bytes().to_vec();
    let middle = Middle::before(&cloud.enrolment(), cloud.dir());
    let device = fresh(&cloud, "cam-1");
    refused(&enroll(&device, &middle.address.to_string(), &code, &[]), "ANSWER_CHANNEL");
    is_untouched(&device);
    let heard = middle.heard();
    assert_eq!(heard.len(), 1, "a hello, and nothing after it");
    assert!(heard.iter().all(|question| !question.windows(secret.len()).any(|window| window == secret)));
    assert_eq!(enroll(&device, &cloud.enrolment(), &code, &[]).code, 0);
}

#[test]
fn a_device_waits_until_it_is_approved_denied_or_was_expected() {
    let cloud = Cloud::start();
    let tenant = acme(&cloud);
    let (code, id) = make_code(&tenant, &["--approval"]);
    let mut device = fresh(&cloud, "cam-1");
    let ask = |device: &Device, code: &str| {
        enroll(device, &cloud.enrolment(), code, &["--device-id", device.id(), "--wait-secs", "1"])
    };
    refused_at_last(&ask(&device, &code), "NOT_YET_APPROVED");
    is_untouched(&device);
    let waiting = tenant.json(&["enrol", "pending"]);
    assert_eq!(waiting["items"][0]["came"]["device"], "cam-1");
    let _ = tenant.json(&["enrol", "approve", &id, "--yes"]);
    assert_eq!(ask(&device, &code).code, 0);
    device.start();
    device.reaches(OperatingMode::Full);

    let (code, id) = make_code(&tenant, &["--approval"]);
    let unwanted = fresh(&cloud, "cam-2");
    refused_at_last(&ask(&unwanted, &code), "NOT_YET_APPROVED");
    let _ = tenant.json(&["enrol", "deny", &id, "--yes"]);
    refused(&ask(&unwanted, &code), "ENROLMENT_DENIED");

    let list = cloud.dir().join("list.csv");
    std::fs::write(&list, "device,site\ncam-3,North\n").unwrap();
    let _ = tenant.json(&["enrol", "preauthorise", "add", list.to_str().unwrap()]);
    let (code, _) = make_code(&tenant, &["--approval"]);
    assert_eq!(ask(&fresh(&cloud, "cam-3"), &code).code, 0, "nobody has to approve it");
}

/// The last line says so; before it, that the device waits.
fn refused_at_last(said: &Said, code: &str) {
    assert!(said.code == 1 && said.stderr.contains(code), "{code}: {said:?}");
}

#[test]
fn g9_g10_a_stolen_or_replaced_device_cannot_come_back() {
    let cloud = Cloud::start_with(&["enrolment.certificate_secs=20"]);
    let tenant = acme(&cloud);
    for (name, gone) in [("cam-1", "DEVICE_STOLEN"), ("cam-2", "DEVICE_REPLACED")] {
        let (code, _) = make_code(&tenant, &[]);
        let mut device = fresh(&cloud, name);
        assert_eq!(enroll(&device, &cloud.enrolment(), &code, &["--device-id", name]).code, 0);
        device.start();
        let _ = device.holds_token();
        match gone {
            "DEVICE_STOLEN" => drop(tenant.json(&["device", "stolen", name, "--yes"])),
            _ => drop(tenant.json(&["device", "replace", name, "--by", "cam-9", "--model", CAMERA, "--yes"])),
        }
        // By renewal.
        eventually("the renewal to be refused", || holds(device.log().contains(gone), device.log()));
        // By its old code, as who lost the answer; and by a fresh one.
        let again = fresh(&cloud, &format!("{name}-again"));
        copy_dir(&device.dir().join("enrolment"), &again.dir().join("enrolment"));
        refused(&enroll(&again, &cloud.enrolment(), &code, &["--device-id", name]), gone);
        let (code, _) = make_code(&tenant, &[]);
        refused(&enroll(&again, &cloud.enrolment(), &code, &["--device-id", name]), gone);
    }
}

#[test]
fn a_certificate_renews_itself_in_time_and_after_its_end() {
    let cloud = Cloud::start_with(&["enrolment.certificate_secs=20", "enrolment.renewal_grace_secs=3600"]);
    let tenant = acme(&cloud);
    let (code, _) = make_code(&tenant, &[]);
    let mut device = fresh(&cloud, "cam-1");
    assert_eq!(enroll(&device, &cloud.enrolment(), &code, &["--device-id", "cam-1"]).code, 0);
    device.start();
    let _ = device.holds_token();
    let renewals = |device: &Device| device.log().matches("the device has a new certificate").count();
    eventually("a renewal", || holds(renewals(&device) > 0, device.log()));
    let revoked = || std::fs::read_to_string(cloud.data_dir().join("pki/revoked")).unwrap_or_default();
    eventually("the old certificate to be revoked", || holds(revoked().lines().count() > 1, revoked()));
    let connected = || {
        let shown: Value = tenant.json(&["device", "show", "cam-1"]);
        holds(shown["status"]["connected"] == true, shown)
    };
    eventually("the device to be connected with the new one", connected);

    // In a box until its certificate has ended.
    let _ = device.stop();
    let before = renewals(&device);
    let file =
        std::fs::read_dir(device.dir().join("enrolment")).unwrap().flatten().find(|e| e.path().is_dir());
    let pem = std::fs::read(file.unwrap().path().join("device.crt")).unwrap();
    let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
    let der: rustls::pki_types::CertificateDer<'_> = der;
    let ends_at = coterm_certs::CertificateFacts::from_der(&der).unwrap().ends_at;
    eventually("the certificate to end", || {
        holds(coterm_tests::operator::now() > ends_at.as_secs() + 1, "not yet")
    });
    device.start();
    eventually("a renewal after the end", || holds(renewals(&device) > before, device.log()));
    eventually("the device to be back", connected);
}

#[test]
fn killed_at_any_moment_an_enrolment_goes_on_and_claims_once() {
    let mut cloud = Cloud::start();
    let tenant = acme(&cloud);
    for (n, pause) in [0, 20, 60, 120, 250].into_iter().enumerate() {
        let (code, _) = make_code(&tenant, &[]);
        let name = format!("cam-{n}");
        let device = fresh(&cloud, &name);
        let server = cloud.enrolment();
        let arguments = ["enroll", "--server", &server, "--code", &code, "--device-id", &name];
        let mut agent =
            device.command(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        if n % 2 == 0 {
            let _ = agent.kill();
            let _ = agent.wait();
        } else {
            cloud.kill();
            let _ = agent.wait();
            cloud.restart();
        }
        assert_eq!(enroll(&device, &server, &code, &["--device-id", &name]).code, 0, "after {pause} ms");
        assert_eq!(device.run(&["config"]).code, 0, "what is there works");
    }
    assert_eq!((count(&tenant, "device-claimed"), count(&tenant, "device-enrolled")), (5, 5));
}
