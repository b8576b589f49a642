//! The ladder as a play: what should be seen of every device at every step, and what is.
//!
//! The script waits for each scene with a generous deadline and asserts it on the devices themselves: the agent's
//! public state, and the process or hook behind it. Devices of other groups are watched throughout: nothing about them
//! may change, not even the version of their token.

use super::DemoError;
use super::cast::{ROLES, SHOPS};
use super::fleet::{Obeys, Player, Seen};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a scene may take beyond its schedule. Machines are busy; a demonstration is not a benchmark.
const PATIENCE: Duration = Duration::from_secs(60);

/// One step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    Licensed,
    Grace,
    ManagementLocked,
    Stopped,
}

impl Scene {
    /// What a device of the group on stage shows: state, mode, may be managed, and what really happens.
    fn expects(self, obeys: Obeys) -> (&'static str, &'static str, bool, &'static str) {
        match (self, obeys) {
            (Scene::Licensed, Obeys::Workload) => ("licensed", "full", true, "running"),
            (Scene::Licensed, Obeys::Hook) => ("licensed", "full", true, "full"),
            (Scene::Grace, Obeys::Workload) => ("grace", "full", true, "running"),
            (Scene::Grace, Obeys::Hook) => ("grace", "full", true, "full"),
            (Scene::ManagementLocked, Obeys::Workload) => {
                ("management-locked", "management-locked", false, "running")
            }
            (Scene::ManagementLocked, Obeys::Hook) => {
                ("management-locked", "management-locked", false, "management-locked")
            }
            (Scene::Stopped, Obeys::Workload) => ("stopped", "stopped", false, "not running"),
            // A door controller is never stopped: its class caps the ladder.
            (Scene::Stopped, Obeys::Hook) => ("stopped", "management-locked", false, "management-locked"),
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Scene::Licensed => "licensed: everything works",
            Scene::Grace => "grace: the term has ended, everything still works, a lock is announced",
            Scene::ManagementLocked => {
                "management-locked: configuration is refused, the devices go on functioning"
            }
            Scene::Stopped => {
                "stopped: the camera's workload is stopped; the door controller is not, by its class"
            }
        }
    }
}

/// Tells the audience what happens, with the seconds since the curtain.
pub(super) struct Narrator {
    since: Instant,
    leave: Arc<AtomicBool>,
}

impl Narrator {
    /// `leave` is set when nobody listens any more.
    pub(super) fn new(leave: &Arc<AtomicBool>) -> Narrator {
        Narrator { since: Instant::now(), leave: Arc::clone(leave) }
    }

    pub(super) fn say(&self, line: &str) {
        self.print(&format!("{:>6.1}s  {line}", self.since.elapsed().as_secs_f32()));
    }

    /// A line as it is. `demo | head` closes the pipe: the show is over then, and the agents must not outlive it.
    pub(super) fn print(&self, line: &str) {
        if writeln!(io::stdout(), "{line}").is_err() {
            self.leave.store(true, Ordering::Relaxed);
        }
    }
}

/// Watches the devices on stage.
pub(super) struct Watch<'a> {
    pub(super) players: &'a [Player],
    pub(super) leave: &'a AtomicBool,
    pub(super) narrator: &'a Narrator,
    /// What was seen of the devices of other groups when the play began.
    bystanders: Vec<(String, Seen)>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(players: &'a [Player], leave: &'a AtomicBool, narrator: &'a Narrator) -> Watch<'a> {
        Watch { players, leave, narrator, bystanders: Vec::new() }
    }

    /// Waits until every device of `group` (or of all groups) shows the scene, then says so.
    pub(super) fn wait_for(
        &mut self,
        scene: Scene,
        group: Option<&str>,
        within: Duration,
    ) -> Result<(), DemoError> {
        let deadline = Instant::now() + within + PATIENCE;
        loop {
            let differences = self.differences(scene, group);
            if differences.is_empty() {
                break;
            }
            if self.leave.load(Ordering::Relaxed) {
                return Err(DemoError::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(self.failure(scene, &differences));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.narrator.say(&format!("{}  {}", group.unwrap_or("all groups"), scene.title()));
        for player in self.players.iter().filter(|player| in_group(player, group)) {
            if let Some(seen) = player.look() {
                let manage = if seen.manage { "yes" } else { "no" };
                let what = match player.obeys {
                    Obeys::Workload => format!("workload {}", seen.really),
                    Obeys::Hook => format!("hook told {}", seen.really),
                };
                let line = format!("{:<16} {:<18} manage {manage:<4} {what}", player.device, seen.mode);
                self.narrator.say(&format!("    {line}"));
            }
        }
        Ok(())
    }

    /// Remembers how the devices of other groups look now.
    pub(super) fn remember_bystanders(&mut self) {
        let others = self.players.iter().filter(|player| !in_group(player, Some(SHOPS)));
        self.bystanders =
            others.filter_map(|player| player.look().map(|seen| (player.device.clone(), seen))).collect();
    }

    /// Asserts that nothing about the devices of other groups has changed.
    pub(super) fn bystanders_are_untouched(&self) -> Result<(), DemoError> {
        for (device, before) in &self.bystanders {
            let now = self.players.iter().find(|player| player.device == *device).and_then(Player::look);
            if now.as_ref() != Some(before) {
                return Err(DemoError::Differs(format!(
                    "{device} is of another group and must not change\n  before: {before:?}\n  now:    {now:?}"
                )));
            }
        }
        Ok(())
    }

    fn differences(&self, scene: Scene, group: Option<&str>) -> Vec<String> {
        let players = self.players.iter().filter(|player| in_group(player, group));
        players
            .filter_map(|player| {
                let (state, mode, manage, really) = scene.expects(player.obeys);
                let expected = format!("{state}, mode {mode}, manage {manage}, really {really}");
                match player.look() {
                    None => Some(format!("{}: expected {expected}; it has no state yet", player.device)),
                    Some(seen) => {
                        let same = seen.state == state
                            && seen.mode == mode
                            && seen.manage == manage
                            && seen.really == really
                            && !seen.token.is_empty();
                        (!same).then(|| {
                            format!(
                                "{}: expected {expected}; saw {}, mode {}, manage {}, really {} ({})",
                                player.device, seen.state, seen.mode, seen.manage, seen.really, seen.why
                            )
                        })
                    }
                }
            })
            .collect()
    }

    fn failure(&self, scene: Scene, differences: &[String]) -> DemoError {
        let mut text = format!("the scene `{}` did not come about\n", scene.title());
        for line in differences {
            text.push_str(&format!("  {line}\n"));
            let device = line.split(':').next().unwrap_or_default();
            if let Some(player) = self.players.iter().find(|player| player.device == device) {
                text.push_str(&player.log_tail());
            }
        }
        DemoError::Differs(text)
    }
}

fn in_group(player: &Player, group: Option<&str>) -> bool {
    let Some(group) = group else { return true };
    ROLES.iter().any(|role| role.id == player.device && role.group == group)
}
