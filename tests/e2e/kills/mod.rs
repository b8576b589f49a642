//! Hundreds of `kill -9` of live programs, at moments a seed chooses, under a workload whose acknowledgements are kept.
//!
//! **Problem.** A crash that harms anything does so in a window of microseconds that no hand-picked delay hits. **Method.**
//! In rounds: two writers and an operator who takes capacity away and gives it back work on a cloud with three devices, and
//! a few kills strike cloud and agents, some of them before the cloud is ready again. When they are over, every
//! acknowledged change is there once, every device is in the mode the books want, and the chain of the log holds. All the
//! while a witness looks at what each device says, does and holds: token versions only grow, the mode follows from the
//! schedule and the time, and it is one the books ordered when they issued the token held ([`witness`]).
//! `COTERM_KILLS` sets how many kills (20 without it), `COTERM_KILLS_SEED` which. **Deliberately absent:** power cuts, which
//! lose what was not synced: the enumerated crash points have those.

mod witness;
mod work;

use coterm_shared::enforcement::OperatingMode;
use coterm_tests::cloud::Cloud;
use coterm_tests::device::{Device, Obeys};
use coterm_tests::operator::{CAMERA, Tenant};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use witness::Witness;
use work::{Books, Capacity};

/// Small and good enough: the moments of death must differ, not surprise.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pause(&mut self, millis: u64) {
        std::thread::sleep(Duration::from_millis(self.below(millis)));
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What was killed.
#[derive(Debug, Default)]
struct Killed {
    cloud: u64,
    /// Of those, before it was ready.
    starting: u64,
    agents: u64,
}

impl Killed {
    fn all(&self) -> u64 {
        self.cloud + self.agents
    }
}

/// One kill of somebody, at some moment; whoever it was is started again.
fn strike(chance: &mut Chance, cloud: &mut Cloud, devices: &mut [Device], killed: &mut Killed) {
    chance.pause(350);
    let victim = chance.below(5);
    if victim < 2 {
        cloud.kill();
        killed.cloud += 1;
        cloud.launch();
        if chance.below(4) == 0 {
            chance.pause(400);
            cloud.kill();
            killed.cloud += 1;
            killed.starting += 1;
            cloud.launch();
        }
        // The next kill may strike an agent while the cloud is still starting.
        if chance.below(2) == 0 {
            cloud.becomes_ready();
        }
        return;
    }
    let device = &mut devices[usize::try_from(victim - 2).expect("three")];
    device.kill();
    killed.agents += 1;
    if chance.below(3) == 0 {
        chance.pause(300);
    }
    device.start();
}

/// Three cameras in a group whose grace is used up: one device too many stops them all at once, one less restores them.
fn fleet(cloud: &Cloud) -> (Tenant, Vec<Device>) {
    let tenant = cloud.vendor().organization("Acme", 1, 1);
    // A day's operations count together, and these stop the fleet hundreds of times (domain E6).
    let _ = cloud.vendor().json(&["limits", "set", "--hold-devices-max", "1000000"]);
    let _ = tenant.json(&["org", "settings", "--hold-devices", "1000000", "--yes"]);
    let group = tenant.group("North");
    tenant.license(&group, "camera", 3, 365 * 86_400);
    for n in 1..=3 {
        tenant.device(&format!("cam-{n}"), "North", CAMERA);
    }
    let mut devices: Vec<Device> = (1..=3)
        .map(|n| Device::provision(cloud, &tenant, &format!("cam-{n}"), Obeys::BySupervision))
        .collect();
    for device in &mut devices {
        device.start();
        device.reaches(OperatingMode::Full);
    }
    tenant.device("spare", "North", CAMERA);
    for device in &devices {
        device.reaches(OperatingMode::Stopped);
    }
    let _ = tenant.json(&["device", "retire", "spare", "--yes"]);
    for device in &devices {
        device.reaches(OperatingMode::Full);
    }
    (tenant, devices)
}

#[test]
fn r3_killed_again_and_again_nothing_acknowledged_is_lost_and_no_device_leaves_its_books() {
    let (kills, seed) = (number("COTERM_KILLS", 20), number("COTERM_KILLS_SEED", 1));
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
    let began = Instant::now();
    let mut cloud = Cloud::start_with(&["log.filter=warn"]);
    let (tenant, mut devices) = fleet(&cloud);
    let books = Books::of(&tenant);
    let mut capacity = Capacity::new(&tenant);
    let mut witness = Witness::of(&devices);
    let (mut killed, mut rounds) = (Killed::default(), 0_u64);
    while killed.all() < kills {
        rounds += 1;
        let end = AtomicBool::new(false);
        let pace = chance.below(u64::MAX);
        let burst = (2 + chance.below(5)).min(kills - killed.all());
        std::thread::scope(|scope| {
            let writers = [0, 1].map(|writer| {
                let (books, end) = (&books, &end);
                scope.spawn(move || books.write(&format!("s-{rounds}-{writer}"), end))
            });
            let operator = scope.spawn(|| capacity.change(&mut Chance(pace | 1), &end));
            let watch = scope.spawn(|| witness.watch(&end));
            for _ in 0..burst {
                strike(&mut chance, &mut cloud, &mut devices, &mut killed);
            }
            // Nothing is killed any more: whoever was not answered asks until it is.
            cloud.becomes_ready();
            end.store(true, Ordering::SeqCst);
            operator.join().expect("the operator");
            writers.into_iter().for_each(|writer| writer.join().expect("a writer"));
            watch.join().expect("the witness");
        });
        let mode = capacity.mode();
        for device in &devices {
            device.reaches(mode);
            device.workload_runs(mode != OperatingMode::Stopped);
            assert_eq!(device.workload.doubled(), 0, "two workloads at once on {}", device.id());
        }
        books.look_at_the_last_round();
        witness.judge(&capacity);
    }
    books.look_at_everything();
    assert!(killed.cloud > 0 && killed.agents > 0, "{killed:?}");
    println!(
        "kills {} (seed {seed}): cloud {} ({} of them while starting), agents {}; rounds {rounds}; acknowledged changes \
         {}, asked again after a kill {}; changes of mode ordered {}; looks at devices {}, tokens held {}; {} s",
        killed.all(),
        killed.cloud,
        killed.starting,
        killed.agents,
        books.acknowledged() + capacity.changes(),
        books.asked_again() + capacity.asked_again(),
        capacity.changes(),
        witness.looks(),
        witness.tokens(),
        began.elapsed().as_secs(),
    );
}
