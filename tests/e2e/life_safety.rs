//! R9 with the real program: killed, hung, out of disk, replaced by another version, in every standing, on every class.
//!
//! The whole table of failures is tried in the agent's own tests and written down in `shared/docs/LIFE-SAFETY.md`; here are the
//! rows that need a process. The device's hands are a hook that writes down every command it is given. The state a device
//! starts with is made by the agent's own library, from tokens of a deployment that exists only here.

use coterm_agent::driver::{Driver, Identity, Input};
use coterm_agent::state_file::{FileMedium, TwoSlots};
use coterm_shared::enforcement::OperatingMode::{self, Full, ManagementLocked, Stopped};
use coterm_shared::enforcement::{
    ClockPolicy, ClockReading, DeviceClass, EgressIndependent, EnforcementState, ModeCap, Schedule,
};
use coterm_shared::finding::Finding;
use coterm_shared::id::{OrganizationId, SiteId};
use coterm_shared::time::{Seconds, Timestamp};
use coterm_shared::token::{
    Claims, Expected, KeyUse, KeyringDocument, PublicKey, Role, RootDocument, TokenKey, TokenVersion,
    Unsigned, UnsignedDocument,
};
use coterm_tests::operator::now;
use coterm_tests::process::{Process, program};
use coterm_tests::wait::{eventually, holds, never};
use ed25519_dalek::{Signer, SigningKey};
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What integrators write, and the strictest mode that is permitted then (enforcement §2).
const CLASSES: [(&str, bool, OperatingMode); 8] = [
    ("camera", false, Stopped),
    ("door-controller", false, ManagementLocked),
    ("door-controller", true, Stopped),
    ("sensor", false, Stopped),
    ("life-safety-sensor", false, ManagementLocked),
    ("viewing-station", false, Stopped),
    ("intercom", false, ManagementLocked),
    ("alarm-console", false, ManagementLocked),
];

const HOOK: &str = "#!/bin/sh\n\
    case \"$2\" in\n\
    observe) readlink \"$1/mode\" || echo unknown;;\n\
    set) mktemp -d \"$1/commands/$3.XXXXXXXX\" >/dev/null && ln -sfn \"$3\" \"$1/mode\";;\n\
    *) mktemp -d \"$1/commands/other.XXXXXXXX\" >/dev/null;;\n\
    esac\n";

/// A deployment of three keys.
struct Deployment;

impl Deployment {
    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> PublicKey {
        PublicKey::from_bytes(Deployment::key(seed).verifying_key().as_bytes()).unwrap()
    }

    fn sign(unsigned: &UnsignedDocument, seed: u8) -> Vec<u8> {
        let kid = Deployment::public(seed).kid();
        unsigned.attach(&[(kid, Deployment::key(seed).sign(&unsigned.to_be_signed(kid)).to_bytes())])
    }

    fn expected() -> Expected {
        Expected {
            trust_domain: "licenses.example.com".parse().unwrap(),
            device: "device-1".parse().unwrap(),
            organization: OrganizationId::from_bytes([1; 16]),
        }
    }

    fn root() -> Vec<u8> {
        let role = |seed| Role::new(1, vec![Deployment::public(seed)]).unwrap();
        let trust_domain = Deployment::expected().trust_domain;
        let document = RootDocument { trust_domain, version: 1, root: role(1), keyring: role(2) };
        Deployment::sign(&document.unsigned(), 1)
    }

    fn keyring(at: Timestamp) -> Vec<u8> {
        let key = TokenKey {
            key: Deployment::public(3),
            not_before_at: at.saturating_sub(Seconds::days(1)),
            not_after_at: at.saturating_add(Seconds::days(30)),
            key_use: KeyUse::LICENSE_STATE,
            organization: None,
        };
        let trust_domain = Deployment::expected().trust_domain;
        let document =
            KeyringDocument { trust_domain, version: 1, issued_at: at, min_epoch: 1, keys: vec![key] };
        Deployment::sign(&document.unsigned().unwrap(), 2)
    }

    /// A token that makes a device stand there for weeks.
    fn token(standing: EnforcementState, at: Timestamp) -> Vec<u8> {
        let later = Some(at.saturating_add(Seconds::days(20)));
        let (grace_begins_at, lock_at, stop_at) = match standing {
            EnforcementState::Licensed => (None, None, None),
            EnforcementState::Grace => (Some(at), later, later),
            EnforcementState::ManagementLocked => (Some(at), Some(at), later),
            EnforcementState::Stopped => (Some(at), Some(at), Some(at)),
        };
        let Expected { trust_domain, device, organization } = Deployment::expected();
        let claims = Claims {
            trust_domain,
            device,
            lease_ends_at: at.saturating_add(Seconds::days(7)),
            issued_at: at,
            nonce: None,
            organization,
            site: SiteId::from_bytes([2; 16]),
            group: None,
            state: standing,
            findings: if grace_begins_at.is_some() { vec![Finding::TermEnded] } else { vec![] },
            schedule: Schedule { grace_begins_at, lock_at, stop_at },
            offline_lock_at: at.saturating_add(Seconds::days(40)),
            version: TokenVersion { epoch: 1, seq: at.as_secs() * 1000 },
            coterm_at: None,
        };
        let unsigned = Unsigned::token(&claims, Deployment::public(3).kid()).unwrap();
        unsigned.attach(Deployment::key(3).sign(unsigned.to_be_signed()).to_bytes())
    }
}

/// The clocks of this machine, as the agent reads them.
fn reading() -> ClockReading {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    ClockReading {
        boot_id: boot_id.trim().parse().unwrap(),
        boot_secs: u64::try_from(uptime).unwrap(),
        wall: Timestamp::from_secs_clamped(now()),
    }
}

/// A device with nothing around it: no broker answers.
struct Device {
    agent: Option<Process>,
    dir: TempDir,
    what: String,
}

impl Device {
    fn standing(standing: EnforcementState, class: &str, attested: bool) -> Device {
        let dir = TempDir::with_prefix("coterm-e2e-").unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["commands", "state", "run"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let at = Timestamp::from_secs_clamped(now());
        let (root, keyring) = (Deployment::root(), Deployment::keyring(at));
        std::fs::write(path("root.cose"), &root).unwrap();
        std::fs::write(path("keyring.cose"), &keyring).unwrap();
        std::fs::write(path("hook"), HOOK).unwrap();
        std::fs::set_permissions(path("hook"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let opt_in = if attested {
            format!(
                "[egress_independent]\nstatement = {:?}\nattested_by = \"A. Installer\"\n",
                EgressIndependent::STATEMENT
            )
        } else {
            String::new()
        };
        let life_safety = if class == "sensor" { "life_safety = false\n" } else { "" };
        let config = format!(
            "device = \"device-1\"\norganization = \"{}\"\ntrust_domain = \"licenses.example.com\"\nclass = \"{class}\"\n\
             {life_safety}state_dir = \"state\"\nrun_dir = \"run\"\n[broker]\nhost = \"127.0.0.1\"\nport = 9\n\
             [trust]\nroot_file = \"root.cose\"\nkeyring_file = \"keyring.cose\"\n{opt_in}\
             [[actuator]]\nkind = \"command\"\nprogram = \"hook\"\nargs = [{:?}]\n",
            Deployment::expected().organization,
            dir.path()
        );
        std::fs::write(path("agent.toml"), config).unwrap();

        let name = if class == "sensor" { "sensor" } else { class };
        let kind = DeviceClass::ALL.into_iter().find(|kind| kind.name() == name).unwrap();
        let identity = Identity {
            expected: Deployment::expected(),
            class: kind,
            cap: ModeCap::of(kind, None),
            heartbeat: Seconds(900),
        };
        let store = TwoSlots::new(FileMedium::new(path("state")));
        let policy = ClockPolicy::standard(at);
        let mut driver =
            Driver::open(identity, &root, Some(&keyring), store, policy, reading(), || 7).unwrap();
        let topic = String::from("coterm/v1/d/device-1/token");
        let message = Input::Message { ticket: 1, topic, payload: Deployment::token(standing, at) };
        let effects = driver.handle(message, reading());
        assert_eq!(effects.acknowledge, [1]);
        // Into the other slot, too.
        driver.handle(Input::Ending, reading());
        Device { agent: None, dir, what: format!("{class}, attested: {attested}, {standing}") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self) {
        let mut command = Command::new(program("coterm-agent"));
        command.args(["run", "--config"]).arg(self.path("agent.toml"));
        self.spawn(command, &self.path("agent.log"));
    }

    /// On a disk that is full: not a byte can be written to any file, and none to the log.
    fn start_out_of_disk(&mut self) {
        let mut command = Command::new("/bin/sh");
        let limited = "trap '' XFSZ; ulimit -f 0; exec \"$0\" run --config \"$1\"";
        command.args(["-c", limited]).arg(program("coterm-agent")).arg(self.path("agent.toml"));
        self.spawn(command, Path::new("/dev/full"));
    }

    fn spawn(&mut self, mut command: Command, log: &Path) {
        assert!(self.agent.is_none(), "stop it first");
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.dir.path());
        self.agent = Some(Process::start("coterm-agent", command, log));
    }

    fn agent(&mut self) -> &mut Process {
        self.agent.as_mut().expect("it runs")
    }

    fn kill(&mut self) {
        self.agent.take().expect("it runs").kill();
    }

    fn mode(&self) -> Option<OperatingMode> {
        let link = std::fs::read_link(self.path("mode")).ok()?;
        link.to_str()?.parse().ok()
    }

    /// Somebody at the device puts it into a mode.
    fn stray(&self, mode: OperatingMode) {
        let _ = std::fs::remove_file(self.path("mode"));
        std::os::unix::fs::symlink(mode.name(), self.path("mode")).unwrap();
    }

    fn reaches(&self, mode: OperatingMode) {
        eventually(&format!("{} to be {mode}", self.what), || {
            let log = std::fs::read_to_string(self.path("agent.log")).unwrap_or_default();
            holds(self.mode() == Some(mode), (self.mode(), log))
        });
    }

    /// Every command there was, in no order.
    fn commands(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.path("commands")).unwrap().flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn slots(&self) -> [Vec<u8>; 2] {
        ["state/state.0", "state/state.1"].map(|name| std::fs::read(self.path(name)).unwrap())
    }

    fn set_slots(&self, slots: &[Vec<u8>; 2]) {
        for (name, bytes) in ["state/state.0", "state/state.1"].into_iter().zip(slots) {
            std::fs::write(self.path(name), bytes).unwrap();
        }
    }
}

/// The same slots, whole, as a version would write them whose format has another number.
fn of_another_version(slots: &[Vec<u8>; 2]) -> [Vec<u8>; 2] {
    slots.clone().map(|mut slot| {
        slot[8] = 2;
        let length = u32::from_le_bytes(slot[20..24].try_into().unwrap()) as usize;
        let sum = Sha256::new().chain_update(&slot[..24]).chain_update(&slot[56..56 + length]).finalize();
        slot[24..56].copy_from_slice(&sum);
        slot
    })
}

fn try_out(standing: EnforcementState, class: &str, attested: bool, permitted: OperatingMode) {
    let mode = OperatingMode::wanted_by(standing).min(permitted);
    let away = if mode == Full { ManagementLocked } else { Full };
    let mut device = Device::standing(standing, class, attested);
    let still = Duration::from_millis(150);
    device.start();
    device.reaches(mode);

    // Hung: nothing happens to the device, and nothing when it comes to itself.
    device.agent().signal(Signal::STOP);
    let commands = device.commands();
    let unmoved = |device: &Device, commands: &[String]| {
        let (before, now) = ((Some(mode), commands), (device.mode(), device.commands()));
        holds(before == (now.0, now.1.as_slice()), (&device.what, now.clone()))
    };
    never("a hung agent moves a device", still, || unmoved(&device, &commands));
    device.agent().signal(Signal::CONT);

    // Killed: the device stays, and the next agent finds it right.
    device.kill();
    never("a dead agent moves a device", still, || unmoved(&device, &device.commands()));
    device.start();
    device.reaches(mode);
    device.kill();

    // Out of disk, with the device led astray meanwhile: it is still led back, by an agent that lives.
    let before = device.slots();
    device.stray(away);
    device.start_out_of_disk();
    device.reaches(mode);
    assert!(device.agent().ended().is_none(), "{}: a full disk ends no agent", device.what);
    device.kill();
    assert_eq!(device.slots(), before, "{}", device.what);

    // A version that does not know this state: it says so and leaves device and state alone.
    let foreign = of_another_version(&before);
    device.set_slots(&foreign);
    let commands = device.commands();
    device.start();
    let status = device.agent.take().expect("it runs").wait(coterm_tests::wait::PATIENCE);
    assert_eq!(status.code(), Some(1), "{}", device.what);
    unmoved(&device, &commands).unwrap();
    assert_eq!(device.slots(), foreign, "{}", device.what);

    // The right one again.
    device.set_slots(&before);
    device.stray(away);
    device.start();
    device.reaches(mode);
    device.kill();

    for command in device.commands() {
        let (name, _) = command.split_once('.').unwrap();
        let commanded: OperatingMode = name.parse().unwrap_or_else(|_| panic!("{}: {command}", device.what));
        assert_eq!(commanded, mode, "{}: nothing but its mode was ever commanded", device.what);
        assert!(commanded <= permitted);
    }
}

#[test]
fn r9_killed_hung_out_of_disk_or_replaced_an_agent_leaves_every_device_within_what_is_permitted() {
    std::thread::scope(|scope| {
        let classes = CLASSES.map(|(class, attested, permitted)| {
            scope.spawn(move || {
                for standing in EnforcementState::ALL {
                    try_out(standing, class, attested, permitted);
                }
            })
        });
        classes.into_iter().for_each(|class| class.join().expect("a class of devices"));
    });
}
