//! The hostile set against the programs as they are shipped: by hand, and through a broker in the wrong hands.

use coterm_shared::enforcement::Record;
use coterm_shared::protocol::Report;
use coterm_tests::hostile::{Case, HostileSet};
use coterm_tests::wait::{PATIENCE, eventually, holds};
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many messages are on their way to a device at once.
const PORTION: usize = 200;

/// Token §4, by hand: every hostile message is refused by the program with exit code 1 and the code of its reason.
#[test]
fn verify_token_refuses_the_hostile_set_by_name() {
    let set = HostileSet::load();
    let (_cloud, broker, device) = set.victim();
    drop(broker);
    let path = |name: &str| device.dir().join(name).to_str().unwrap().to_owned();
    let documents = [path("root.cose"), path("keyring.cose"), path("held.cose")];
    let verify = |subject: &str, file: &str| {
        let [root, keyring, held] = &documents;
        let mut arguments = vec!["verify-token", "--as", subject, "--root", root, "--keyring", keyring];
        if subject == "token" {
            arguments.extend(["--held-token", held, "--device", set.of_device("device")]);
            arguments.extend(["--organization", set.of_device("organization")]);
        }
        arguments.push(file);
        let said = device.run(&arguments);
        let answer: Value = serde_json::from_str(&said.stdout).unwrap_or_default();
        (said, answer)
    };
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (next, wrong, verify, set) = (&next, &wrong, &verify, &set);
            let file = path(&format!("case.{worker}"));
            scope.spawn(move || {
                while let Some(case) = set.cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    std::fs::write(&file, &case.bytes).unwrap();
                    let (said, answer) = verify(&case.subject, &file);
                    let found = (said.code, answer["document"].as_str(), answer["code"].as_str());
                    if found != (1, Some(&*case.subject), Some(&*case.refusal)) {
                        let what =
                            format!("{}: {}: {} expected: {said:?}", case.subject, case.name, case.refusal);
                        wrong.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), set.cases.len(), wrong.join("\n"));
    assert!(set.cases.len() >= 500);
    // The same path believes what differs from these by its truth alone.
    for (subject, relation) in [("token", "newer"), ("keyring", "newer"), ("root", "next")] {
        let file = path("good");
        std::fs::write(&file, set.accepted(subject)).unwrap();
        let (said, answer) = verify(subject, &file);
        assert_eq!((said.code, answer["relation"].as_str()), (0, Some(relation)), "{said:?}");
        std::fs::write(&file, set.held(subject)).unwrap();
        let (said, answer) = verify(subject, &file);
        let expected = match subject {
            "token" => (0, "duplicate"),
            "keyring" => (0, "unchanged"),
            _ => (1, "TRUST_NOT_NEXT"),
        };
        let word = answer["relation"].as_str().or(answer["code"].as_str());
        assert_eq!((said.code, word), (expected.0, Some(expected.1)), "{said:?}");
    }
    assert_eq!(verify("token", "/nonexistent").0.code, 2);
}

/// Token §4: whatever a broker sends changes nothing on a device but one counter, and it listens on afterwards.
#[test]
fn a_running_agent_refuses_the_hostile_set_and_nothing_moves() {
    let set = HostileSet::load();
    let (_cloud, broker, mut device) = set.victim();
    let mut spy = broker.client(device.dir(), "spy");
    assert_eq!(spy.subscribe("coterm/v1/d/+/report"), Ok(true));
    let mut cloud = broker.client(device.dir(), "rogue-cloud");
    // Kept by the broker, so that it arrives whenever the agent connects.
    assert_eq!(cloud.publish(&set.topic("token"), &set.held("token"), true), Ok(true));
    device.start();
    let held = device.holds_token();
    let before = device.state().unwrap();
    let on_disk = stored(&device);
    let starts = device.workload.starts();

    let codes = |log: &str| {
        let of = |line: &str| Some(line.split_once("code=\"")?.1.split_once('"')?.0.to_owned());
        log.lines().filter(|line| line.contains("refused a message")).filter_map(of).collect::<Vec<_>>()
    };
    let is_as_before = |what: &str| {
        let state = device.state().unwrap();
        assert_eq!((state.mode, state.token), (before.mode, Some(held)), "{what}");
    };
    // In portions, because a broker drops what a device is too slow for.
    for (portion, cases) in (1..).zip(set.cases.chunks(PORTION)) {
        for case in cases {
            assert_eq!(
                cloud.publish(&set.topic(&case.subject), &case.bytes, false),
                Ok(true),
                "{}",
                case.name
            );
        }
        let sent = set.cases.len().min(portion * PORTION);
        eventually(&format!("{sent} messages to be refused"), || {
            let refused = codes(&device.log()).len();
            holds(refused >= sent, refused)
        });
        is_as_before(&format!("after {sent} messages"));
    }
    let log = device.log();
    let refused = codes(&log);
    assert_eq!(refused.len(), set.cases.len(), "each once");
    for (case, code) in set.cases.iter().zip(&refused) {
        assert_eq!(*code, case.refusal, "{}: {}", case.subject, case.name);
    }
    assert!(!log.contains("a defect"), "{log}");
    assert_eq!(log.matches("connected broker=").count(), 1, "the line was never lost");
    assert_eq!(device.workload.starts(), starts, "what the device does went on undisturbed");

    // On disk nothing has changed but the counter, and the clock, which runs.
    assert!(device.stop().success());
    let after = stored(&device);
    assert_eq!(after.refused.count, on_disk.refused.count + set.cases.len() as u64);
    assert_eq!(Record { refused: on_disk.refused.clone(), clock: on_disk.clock, ..after }, on_disk);

    // It tells the cloud of the last, and believes the next good keyring and token.
    let last = refused.last().unwrap().clone();
    device.start();
    eventually("a report of the refusals", || {
        let report =
            spy.message(&format!("coterm/v1/d/{}/report", device.id()), PATIENCE).ok_or("no report")?;
        let report = Report::parse(&report).map_err(|error| error.to_string())?;
        // The spy also hears what was said before the token had come.
        let told = report.last_refusal.map(|refusal| (refusal.code.to_string(), refusal.count));
        let expected = (Some(held), Some((last.clone(), set.cases.len() as u64)));
        holds((report.held, told.clone()) == expected, (report.held, told))
    });
    for subject in ["keyring", "token"] {
        assert_eq!(cloud.publish(&set.topic(subject), &set.accepted(subject), false), Ok(true));
    }
    eventually("the good token to be accepted", || {
        let state = device.state()?;
        holds(state.token > Some(held), &state)
    });
    let newer = stored(&device);
    assert_eq!((newer.keyring, newer.token), (Some(set.accepted("keyring")), Some(set.accepted("token"))));
    // And the next root, with a keyring under it.
    for (subject, document) in [("root", "root"), ("keyring", "keyring_under_that_root")] {
        assert_eq!(cloud.publish(&set.topic(subject), &set.accepted(document), false), Ok(true));
    }
    eventually("the next root to be adopted", || {
        let newer = stored(&device);
        let pair = (newer.root, newer.keyring);
        holds(pair == (Some(set.accepted("root")), Some(set.accepted("keyring_under_that_root"))), pair)
    });
}

fn stored(device: &coterm_tests::device::Device) -> Record {
    device.stored().expect("a record on disk")
}

/// The set is aimed at what the programs can take: nothing in it is longer than a device would ever read.
#[test]
fn the_hostile_set_fits_through_a_broker() {
    let longest = HostileSet::load().cases.iter().map(|Case { bytes, .. }| bytes.len()).max().unwrap();
    assert!((16_385..32_000).contains(&longest), "{longest}");
}
