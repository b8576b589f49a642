//! Who may do what with which topic: the whole rule as one table, with the answer of every combination.
//!
//! **Problem.** "Nothing else is allowed" is a sentence nobody can check. **Method.** One line per topic or filter, one column
//! per verb and role, and a second table of who is let in at all; the product of both is what a broker is asked, and the
//! answer is judged by its effect. A topic of the interface that has no line here does not compile ([`line_of`]).
//! **Deliberately absent:** how the question is put; that is [`super::judge`].

use coterm_shared::id::DeviceId;
use coterm_shared::protocol::Topic;

/// What somebody tries with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// To publish.
    Write,
    /// To subscribe.
    Read,
    /// To subscribe with the share name of the cloud, `$share/cloud/...`.
    Share,
    /// To leave a last will, and to vanish.
    Will,
}

impl Verb {
    /// Every verb, in the order of the table's columns.
    pub const ALL: [Verb; 4] = [Verb::Write, Verb::Read, Verb::Share, Verb::Will];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Write => "write",
            Verb::Read => "read",
            Verb::Share => "share",
            Verb::Will => "will",
        }
    }
}

/// Who comes to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A device with its certificate, under its name.
    Device,
    /// A retired device: nobody's now.
    Retired,
    /// A device reported stolen.
    Stolen,
    /// A device with its certificate, under another's client id.
    OtherClientId,
    /// A device with its certificate, under another's user name.
    OtherUserName,
    /// A certificate in the device's name that was made for an organization the device is not of.
    OtherOrganization,
    /// Nobody: no certificate, a device's name.
    NoCertificate,
    /// A device whose certificate is revoked.
    Revoked,
    /// A device whose certificate ended.
    Expired,
    /// A certificate in a device's name by an authority that calls itself what ours does.
    OtherAuthority,
    /// The cloud's own certificate.
    Cloud,
}

impl Who {
    /// Everybody.
    pub const ALL: [Who; 11] = [
        Who::Device,
        Who::Retired,
        Who::Stolen,
        Who::OtherClientId,
        Who::OtherUserName,
        Who::OtherOrganization,
        Who::NoCertificate,
        Who::Revoked,
        Who::Expired,
        Who::OtherAuthority,
        Who::Cloud,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Who::Device => "device",
            Who::Retired => "retired device",
            Who::Stolen => "stolen device",
            Who::OtherClientId => "device with another's client id",
            Who::OtherUserName => "device with another's user name",
            Who::OtherOrganization => "certificate made for another organization",
            Who::NoCertificate => "no certificate",
            Who::Revoked => "revoked certificate",
            Who::Expired => "expired certificate",
            Who::OtherAuthority => "certificate of another authority",
            Who::Cloud => "cloud",
        }
    }

    /// Whether and as whom this one is let in by a broker of this kind.
    #[must_use]
    pub const fn entry(self, kind: Kind) -> Entry {
        match (self, kind) {
            (Who::Device | Who::Retired | Who::Stolen, Kind::Embedded | Kind::External)
            | (Who::Cloud, Kind::External) => Entry::Itself,
            // Many brokers put the certificate's name in the place of what the client said.
            (Who::OtherClientId | Who::OtherUserName, Kind::External)
            // A broker elsewhere does not know who owns a device.
            | (Who::OtherOrganization, Kind::External) => Entry::ItselfOrOut,
            (Who::OtherClientId | Who::OtherUserName | Who::OtherOrganization | Who::Cloud, Kind::Embedded)
            | (
                Who::NoCertificate | Who::Revoked | Who::Expired | Who::OtherAuthority,
                Kind::Embedded | Kind::External,
            ) => Entry::Out,
        }
    }
}

/// What kind of broker it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one in the daemon: it refuses with a reason code whatever is not allowed, at once.
    Embedded,
    /// Any other: where it does not refuse, the effect counts.
    External,
}

/// Whether somebody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// As who the certificate says.
    Itself,
    /// Either not, or as who the certificate says.
    ItselfOrOut,
    /// Not at all.
    Out,
}

/// A topic or filter, and for each verb whether it works. `{own}` is who tries, `{other}` another device of the same
/// organization, `{foreign}` a device of another one.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The topic or filter.
    pub topic: &'static str,
    /// For a device: write, read, share, will.
    pub device: [bool; 4],
    /// For the cloud: write, read, share, will.
    pub cloud: [bool; 4],
}

impl Line {
    /// Whether this works for who was let in.
    #[must_use]
    pub fn allows(&self, who: Who, verb: Verb) -> bool {
        let [write, read, share, will] = if matches!(who, Who::Cloud) { self.cloud } else { self.device };
        match verb {
            Verb::Write => write,
            Verb::Read => read,
            Verb::Share => share,
            Verb::Will => will,
        }
    }

    /// Whether it has wildcards, so that nobody can publish there.
    #[must_use]
    pub fn is_filter(&self) -> bool {
        self.topic.contains(['+', '#'])
    }
}

/// Works.
const Y: bool = true;
/// Does not.
const N: bool = false;

const fn line(topic: &'static str, device: [bool; 4], cloud: [bool; 4]) -> Line {
    Line { topic, device, cloud }
}

/// The rule. Another topic is another line.
#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    //                                    device                        cloud
    //                                    write read share will         write read share will
    line("coterm/v1/keyring",             [N,   Y,   N,    N],          [Y,   N,   N,    N]),
    line("coterm/v1/root/{version}",      [N,   Y,   N,    N],          [Y,   N,   N,    N]),
    line("coterm/v1/d/{own}/token",       [N,   Y,   N,    N],          [Y,   N,   N,    N]),
    line("coterm/v1/d/{own}/report",      [Y,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{own}/request",     [Y,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{other}/token",     [N,   N,   N,    N],          [Y,   N,   N,    N]),
    line("coterm/v1/d/{other}/report",    [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{other}/request",   [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{foreign}/token",   [N,   N,   N,    N],          [Y,   N,   N,    N]),
    line("coterm/v1/d/{foreign}/report",  [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{foreign}/request", [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/+/report",          [N,   N,   N,    N],          [N,   Y,   Y,    N]),
    line("coterm/v1/d/+/request",         [N,   N,   N,    N],          [N,   Y,   Y,    N]),
    line("coterm/v1/d/+/token",           [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/root/+",              [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{own}/+",           [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{other}/#",         [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/#",                 [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/#",                      [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("+/+/+/+/+",                     [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("#",                             [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("$SYS/#",                        [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{own}/other",       [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/{own}/report/more", [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("coterm/v1/d/nobody/report",     [N,   N,   N,    N],          [N,   N,   N,    N]),
    line("elsewhere",                     [N,   N,   N,    N],          [N,   N,   N,    N]),
];

/// How a topic of the interface is written in [`TABLE`], seen by the device `own`. Exhaustive, so that a topic cannot be added to the
/// interface and forgotten here.
#[must_use]
pub fn line_of(topic: &Topic, own: &DeviceId) -> String {
    let whose = |device: &DeviceId| if device == own { "{own}" } else { "{other}" };
    match topic {
        Topic::Keyring => "coterm/v1/keyring".to_owned(),
        Topic::Root(_) => "coterm/v1/root/{version}".to_owned(),
        Topic::Token(device) => format!("coterm/v1/d/{}/token", whose(device)),
        Topic::Report(device) => format!("coterm/v1/d/{}/report", whose(device)),
        Topic::Request(device) => format!("coterm/v1/d/{}/request", whose(device)),
    }
}

/// Both tables as the documentation prints them.
#[must_use]
pub fn document() -> String {
    let mark = |works: bool| if works { "yes" } else { "-" };
    let mut text = String::from(
        "| Topic or filter | device: write | read | share | will | cloud: write | read | share | will |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for line in TABLE {
        let marks: Vec<&str> = line.device.iter().chain(&line.cloud).map(|works| mark(*works)).collect();
        text.push_str(&format!("| `{}` | {} |\n", line.topic, marks.join(" | ")));
    }
    text.push_str("\n| Who | Embedded broker | Any other broker |\n|---|---|---|\n");
    for who in Who::ALL {
        let entry = |kind| match who.entry(kind) {
            Entry::Itself => "let in",
            Entry::ItselfOrOut => "refused, or let in as who the certificate says",
            Entry::Out => "refused",
        };
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            who.name(),
            entry(Kind::Embedded),
            entry(Kind::External)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use coterm_shared::protocol::{Access, cloud_filters, cloud_may, device_may};

    fn text(line: &Line) -> String {
        super::super::fill(line.topic, "own", "other", "foreign", 2)
    }

    #[test]
    fn r7_the_table_is_the_access_rule_of_devices_and_cloud() {
        let own: DeviceId = "own".parse().unwrap();
        for line in TABLE {
            let topic = text(line);
            let shared = format!("$share/cloud/{topic}");
            for (verb, access, text) in [
                (Verb::Write, Access::Publish, &topic),
                (Verb::Read, Access::Subscribe, &topic),
                (Verb::Share, Access::Subscribe, &shared),
                (Verb::Will, Access::LastWill, &topic),
            ] {
                assert_eq!(line.allows(Who::Device, verb), device_may(&own, access, text), "{verb:?} {text}");
                assert_eq!(line.allows(Who::Cloud, verb), cloud_may(access, text), "cloud {verb:?} {text}");
            }
        }
        for filter in cloud_filters(false) {
            assert!(TABLE.iter().any(|line| line.topic == filter));
        }
    }

    #[test]
    fn r7_every_topic_of_the_interface_has_its_line() {
        let (own, other): (DeviceId, DeviceId) = ("own".parse().unwrap(), "other".parse().unwrap());
        let mut topics = vec![Topic::Keyring, Topic::Root(2)];
        for device in [&own, &other] {
            topics.extend([
                Topic::Token(device.clone()),
                Topic::Report(device.clone()),
                Topic::Request(device.clone()),
            ]);
        }
        for topic in topics {
            let name = line_of(&topic, &own);
            let found: Vec<_> = TABLE.iter().filter(|line| line.topic == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!(text(found[0]), topic.to_string());
        }
    }

    #[test]
    fn the_documentation_prints_this_table() {
        let printed = include_str!("../../../shared/docs/brokers/README.md");
        assert!(
            printed.contains(&document()),
            "put this into shared/docs/brokers/README.md:\n{}",
            document()
        );
    }
}
