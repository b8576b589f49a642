//! Every key there is: what it takes, what holds without it, and what it is for.
//!
//! The one list behind "unknown key", the type errors, the defaults and the example file.

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Path,
    Flag,
    /// A whole number within these bounds.
    Number(u32, u32),
    /// A list of texts.
    List,
}

/// What holds if a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// It must be set; the example shows this value.
    Required(&'static str),
    /// This value, as in TOML.
    Default(&'static str),
    /// Nothing; the example shows this value in a comment.
    Absent(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its section, empty at the top; `actuator` is the repeated one.
    pub section: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub without: Without,
    /// One line for the example.
    pub doc: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    without: Without,
    doc: &'static str,
) -> Key {
    Key { section, name, kind, without, doc }
}

/// The repeated section.
pub(super) const ACTUATOR: &str = "actuator";

use Kind::{Flag, List, Number, Path, Text};
use Without::{Absent, Default, Required};

/// All keys, in the order of the example.
pub(super) const KEYS: &[Key] = &[
    key(
        "",
        "device",
        Text,
        Required("\"cam-1\""),
        "The device: 1 to 64 of A-Z a-z 0-9 _ -. Also its name at the broker and in its certificate.",
    ),
    key(
        "",
        "organization",
        Text,
        Required("\"org_01900000000070008000000000000000\""),
        "The organization it belongs to; tokens of any other are refused.",
    ),
    key(
        "",
        "trust_domain",
        Text,
        Required("\"licenses.example.com\""),
        "The deployment whose tokens it believes: 1 to 64 of a-z 0-9 . -",
    ),
    key(
        "",
        "class",
        Text,
        Required("\"camera\""),
        "What the device is: camera, door-controller, sensor, life-safety-sensor, viewing-station, intercom, alarm-console. The integrator's statement: it decides how far enforcement may ever go, and nothing signed can change it.",
    ),
    key(
        "",
        "life_safety",
        Flag,
        Absent("false"),
        "For sensors alone, and required there: do lives depend on it (smoke, CO, gas, panic, medical, flood)?",
    ),
    key(
        "",
        "state_dir",
        Path,
        Default("\"state\""),
        "What survives reboots (made with mode 0700). Relative paths are relative to this file's directory.",
    ),
    key(
        "",
        "run_dir",
        Path,
        Default("\"run\""),
        "The public state file state.json, and the workload's lock (made with mode 0755).",
    ),
    key(
        "egress_independent",
        "statement",
        Text,
        Absent("\"Every door of this controller can be left without it, and without its power or network.\""),
        "For door controllers alone: without this sentence, word for word, and a name, a door controller is never stopped.",
    ),
    key(
        "egress_independent",
        "attested_by",
        Text,
        Absent("\"A. Installer, Example Doors Inc.\""),
        "Who attests it.",
    ),
    key("broker", "host", Text, Required("\"localhost\""), "Host name or address of the MQTT broker."),
    key("broker", "port", Number(1, 65535), Default("8883"), "Its TCP port (MQTT 5 over TLS 1.3)."),
    key(
        "broker",
        "server_name",
        Text,
        Absent("\"localhost\""),
        "The name its certificate must carry, if that is not `host`.",
    ),
    key(
        "broker",
        "ca_file",
        Path,
        Default("\"broker-ca.crt\""),
        "The authority its certificate must descend from (PEM).",
    ),
    key("broker", "certificate_file", Path, Default("\"device.crt\""), "This device's certificate (PEM)."),
    key("broker", "key_file", Path, Default("\"device.key\""), "Its key (PEM, mode 0600)."),
    key("trust", "root_file", Path, Default("\"root.cose\""), "The pinned root document."),
    key(
        "trust",
        "keyring_file",
        Path,
        Default("\"keyring.cose\""),
        "The keyring to start with; newer ones arrive by themselves.",
    ),
    key(
        "enrolment",
        "server",
        Text,
        Absent("\"localhost:8884\""),
        "HOST:PORT where the certificate is renewed by itself; `coterm-agent enroll` writes it. Without it, provision the device again in time.",
    ),
    key(
        "enrolment",
        "server_name",
        Text,
        Absent("\"localhost\""),
        "The name its certificate must carry, if that is not the host.",
    ),
    key(
        "enrolment",
        "ca_file",
        Path,
        Absent("\"enrolment-ca.crt\""),
        "The authority its certificate must descend from (PEM), if that is not `broker.ca_file`.",
    ),
    key(
        "timing",
        "heartbeat_secs",
        Number(60, 86_400),
        Default("900"),
        "Between two reports when nothing happens.",
    ),
    key(
        "timing",
        "observe_secs",
        Number(1, 3600),
        Default("5"),
        "Between two looks at what the device really does.",
    ),
    key(
        "timing",
        "max_backoff_secs",
        Number(1, 3600),
        Default("120"),
        "The longest pause before connecting again.",
    ),
    key(
        "timing",
        "connect_timeout_secs",
        Number(5, 600),
        Default("30"),
        "For how long connecting may take, TLS handshake included.",
    ),
    key(
        "log",
        "level",
        Text,
        Default("\"info\""),
        "error, warn, info, debug or trace; logs go to standard error.",
    ),
    key(
        "demonstration",
        "enabled",
        Flag,
        Default("false"),
        "Unlocks the keys of this section and short times. Never on a real device.",
    ),
    key(
        "demonstration",
        "boot_id_file",
        Path,
        Absent("\"boot_id\""),
        "Read instead of the kernel's boot id.",
    ),
    key(
        "demonstration",
        "time_scale",
        Number(1, 1_000_000),
        Absent("1"),
        "Seconds of device time per real second.",
    ),
    key("demonstration", "longest_tick_secs", Number(1, 600), Absent("600"), "Between two persisted ticks."),
    key(
        "demonstration",
        "steady_secs",
        Number(1, 86_400),
        Absent("86400"),
        "For how long a wall clock must run steadily to be adopted.",
    ),
    key(
        ACTUATOR,
        "kind",
        Text,
        Required("\"dry-run\""),
        "What makes the device obey; repeat the section for several. `dry-run` logs only, `command` runs a hook, `supervise` starts and stops the device's workload (never on door controllers).",
    ),
    key(
        ACTUATOR,
        "program",
        Path,
        Absent("\"/usr/lib/coterm/hook\""),
        "command: run as PROGRAM ARGS observe (prints full, management-locked, stopped or unknown) and PROGRAM ARGS set MODE. supervise: the workload, in the foreground.",
    ),
    key(ACTUATOR, "args", List, Absent("[]"), "Its first arguments."),
    key(ACTUATOR, "timeout_secs", Number(1, 300), Absent("10"), "command: killed after this time."),
    key(ACTUATOR, "stop_timeout_secs", Number(1, 300), Absent("10"), "supervise: from TERM to KILL."),
];

/// The key with this section and name.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// Whether there is such a section.
pub(super) fn is_section(section: &str) -> bool {
    !section.is_empty() && KEYS.iter().any(|key| key.section == section)
}
