//! P9: how fast each program starts.
//!
//! **The agent**: from its start to its public state on disk, which is written when the stored verdict is enforced, with no
//! network; its floor is `/bin/true`. **The cloud**: its books, from opening the database to answering, with a million
//! devices; and the same fleet with a history ten times as long.

use crate::report::{Goal, Report, median};
use crate::world::{catalog, directory, group, load, open, organization, populate, runtime, to};
use coterm_shared::licensing::Command;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::CAMERA;
use std::process::Stdio;
use std::time::{Duration, Instant};

const STARTS: usize = 21;

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn truth() -> f64 {
    let start = Instant::now();
    assert!(std::process::Command::new("/bin/true").status().unwrap().success());
    milliseconds(start)
}

fn agent(report: &mut Report) {
    let mut cloud = Cloud::start_with(&["log.filter=warn"]);
    let tenant = cloud.vendor().organization("Acme", 60, 60);
    let north = tenant.group("North");
    tenant.license(&north, "camera", 1, 365 * 86_400);
    tenant.device("cam-1", "North", CAMERA);
    let mut device = Device::provision(&cloud, &tenant, "cam-1", Obeys::InWordsOnly);
    device.start();
    let _ = device.holds_token();
    device.stop();
    cloud.kill();
    let state = device.dir().join("run/state.json");
    let mut took = Vec::new();
    for _ in 0..STARTS {
        std::fs::remove_file(&state).unwrap();
        let start = Instant::now();
        let mut agent = device.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !state.exists() {
            assert!(start.elapsed() < Duration::from_secs(10), "the agent shows no state");
            std::thread::sleep(Duration::from_micros(100));
        }
        took.push(milliseconds(start));
        agent.kill().unwrap();
        agent.wait().unwrap();
    }
    let floor = median((0..STARTS).map(|_| truth()).collect());
    report.add(
        "P9 agent, from its start to the last verdict enforced, no network",
        "ms",
        median(took),
        Some((floor, "/bin/true")),
        Goal::AtMost(20.0),
    );
}

/// How long the books take to open, in milliseconds, the median of some.
fn opened(directory: &tempfile::TempDir, of: u64) -> f64 {
    let runtime = runtime();
    let times = (0..3).map(|_| {
        let start = Instant::now();
        let books = open(directory);
        assert!(books.organization(organization(of)).is_some());
        let took = milliseconds(start);
        // Whoever opens them next is refused until they are closed.
        runtime.block_on(books.close());
        took
    });
    median(times.collect())
}

/// A fleet of so many groups of ten devices, on disk.
fn fleet(groups: u64) -> tempfile::TempDir {
    let directory = directory();
    let books = open(&directory);
    runtime().block_on(async {
        load(&books, [catalog()]).await;
        populate(&books, 1, 1_000_000, groups, 10).await;
        books.close().await;
    });
    directory
}

fn books(report: &mut Report) {
    let small = fleet(2_000);
    let short = opened(&small, 1);
    {
        // 2,000 x (4 + 10) changes made it; ten times as many are its history then.
        let books = open(&small);
        let renames = (1..=2_000_u64).map(|n| {
            let rename = |round| Command::RenameGroup {
                id: group(1_000_000 + n),
                name: format!("Campus {n}, name {round}"),
            };
            (0..126).map(|round| to(1, rename(round))).collect()
        });
        runtime().block_on(async {
            load(&books, renames).await;
            books.close().await;
        });
    }
    let long = opened(&small, 1);
    report.add(
        "P9 cloud, warm start with 20,000 devices and ten times the history",
        "ms",
        long,
        Some((short, "as long a history as made them")),
        Goal::RatioAtMost(1.2),
    );
    drop(small);
    eprintln!("making 1,000,000 devices on disk...");
    let large = fleet(100_000);
    let took = opened(&large, 1);
    report.add("P9 cloud, warm start with 1,000,000 devices", "ms", took, None, Goal::AtMost(5_000.0));
}

pub(crate) fn run() {
    let mut report = Report::new("start");
    agent(&mut report);
    books(&mut report);
    report.finish();
}
