//! The whole proof for an operator: every check and every combination, a finding for each, and nothing left behind.

use super::client::Login;
use super::judge::{Judged, Stage};
use super::matrix::{Entry, Kind, Verb, Who};
use super::suite::CHECKS;
use super::{Bench, Face, judge_cloud};
use coterm_shared::protocol::Topic;

/// How something was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Good,
    /// Not as it must be.
    Wrong,
    /// It could not be tried.
    NotJudged,
}

impl Verdict {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Good => "ok",
            Verdict::Wrong => "wrong",
            Verdict::NotJudged => "not-judged",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// What is the case.
    pub found: String,
    /// What to do, if anything is.
    pub hint: &'static str,
}

impl Finding {
    pub(super) fn good(subject: impl Into<String>, found: impl Into<String>) -> Finding {
        Finding { subject: subject.into(), verdict: Verdict::Good, found: found.into(), hint: "" }
    }

    pub(super) fn wrong(subject: impl Into<String>, found: impl Into<String>, hint: &'static str) -> Finding {
        Finding { subject: subject.into(), verdict: Verdict::Wrong, found: found.into(), hint }
    }

    pub(super) fn not_judged(
        subject: impl Into<String>,
        found: impl Into<String>,
        hint: &'static str,
    ) -> Finding {
        Finding { subject: subject.into(), verdict: Verdict::NotJudged, found: found.into(), hint }
    }
}

/// What to do where nothing else can be judged.
const FIRST_MEND: &str = "mend what the lines above say, then repeat this";

/// Proves everything, telling each finding as it is made.
pub async fn everything(bench: &Bench, told: &mut dyn FnMut(Finding)) {
    for check in CHECKS {
        told(match (check.make)(bench).await {
            Ok(()) => Finding::good(check.name, "works"),
            Err(error) => Finding::wrong(check.name, error, check.hint),
        });
    }
    for face in std::iter::once(&bench.own).chain(&bench.strangers) {
        let stage = match Stage::open(bench).await {
            Ok(stage) => stage,
            Err(error) => {
                told(Finding::wrong("access rule of devices", error, FIRST_MEND));
                break;
            }
        };
        let mut tally = Tally::new(face.who);
        match everything_of(stage, face, &mut |judged| tally.take(judged, told)).await {
            Ok(()) => tally.sum_up(told),
            // Whoever watches lost its place or its messages meanwhile, which is what must not happen.
            Err(error) => {
                told(Finding::wrong(face.who.name(), error, hint(face.who, Verb::Read, false)));
            }
        }
    }
    bench.cloud.stop().await;
    let Some(face) = &bench.cloud_face else { return };
    let mut wrong = Tally::new(Who::Cloud);
    match judge_cloud::everything(bench, face, |judged| wrong.take(judged, told)).await {
        Ok(()) => wrong.sum_up(told),
        Err(error) => told(Finding::wrong("access rule of the cloud", error, FIRST_MEND)),
    }
}

async fn everything_of(
    mut stage: Stage<'_>,
    face: &Face,
    told: &mut dyn FnMut(Judged),
) -> Result<(), String> {
    stage.everything(face, told).await?;
    stage.close().await;
    Ok(())
}

/// Counts what is as it must be and tells what is not.
struct Tally {
    who: Who,
    allowed: usize,
    refused: usize,
    wrong: usize,
}

impl Tally {
    const fn new(who: Who) -> Tally {
        Tally { who, allowed: 0, refused: 0, wrong: 0 }
    }

    fn take(&mut self, judged: Judged, told: &mut dyn FnMut(Finding)) {
        match judged.wrong {
            Some(wrong) => {
                self.wrong = self.wrong.saturating_add(1);
                let subject = format!("{}: {} {}", judged.who.name(), judged.verb.name(), judged.topic);
                told(Finding::wrong(subject, wrong, hint(judged.who, judged.verb, judged.expected)));
            }
            None if judged.expected => self.allowed = self.allowed.saturating_add(1),
            None => self.refused = self.refused.saturating_add(1),
        }
    }

    fn sum_up(&self, told: &mut dyn FnMut(Finding)) {
        if self.wrong > 0 {
            return;
        }
        let found = match self.who.entry(Kind::External) {
            Entry::Out => String::from("is not let in"),
            Entry::Itself | Entry::ItselfOrOut => {
                format!("does what it may ({}), and nothing else ({})", self.allowed, self.refused)
            }
        };
        told(Finding::good(self.who.name(), found));
    }
}

/// What to do about a broker that is wrong about this.
const fn hint(who: Who, verb: Verb, expected: bool) -> &'static str {
    match (who, verb, expected) {
        (Who::Cloud, Verb::Write | Verb::Read | Verb::Share | Verb::Will, true) => {
            "allow the user coterm.cloud to write coterm/v1/keyring, coterm/v1/root/+ and coterm/v1/d/+/token, and to \
             read coterm/v1/d/+/report and coterm/v1/d/+/request, also by shared subscription"
        }
        (Who::Cloud, Verb::Write | Verb::Read | Verb::Share | Verb::Will, false) => {
            "allow the user coterm.cloud nothing but what the access rule lists"
        }
        (Who::NoCertificate, _, _) => "require client certificates (Mosquitto: require_certificate true)",
        (Who::Revoked, _, _) => "give the broker data_dir/pki/revoked.crl, and tell it when the file changes",
        (Who::Expired | Who::OtherAuthority, _, _) => {
            "let the broker verify client certificates with data_dir/pki/ca.crt and with no other authority"
        }
        (Who::OtherClientId | Who::OtherUserName, Verb::Write | Verb::Read | Verb::Share | Verb::Will, _) => {
            "take user name and client id from the certificate's common name (Mosquitto: use_identity_as_username, \
             use_username_as_clientid)"
        }
        (
            Who::Device | Who::Retired | Who::Stolen | Who::OtherOrganization,
            Verb::Write | Verb::Read | Verb::Share | Verb::Will,
            true,
        ) => {
            "allow each device to read coterm/v1/keyring, coterm/v1/root/+ and coterm/v1/d/%u/token, and to write its report and request"
        }
        (Who::Device | Who::Retired | Who::Stolen | Who::OtherOrganization, Verb::Write, false) => {
            "let a device write coterm/v1/d/%u/report and coterm/v1/d/%u/request alone, and deny the rest with a reason code"
        }
        (Who::Device | Who::Retired | Who::Stolen | Who::OtherOrganization, Verb::Read, false) => {
            "let a device read coterm/v1/keyring, coterm/v1/root/+ and coterm/v1/d/%u/token alone, and deny the rest"
        }
        (Who::Device | Who::Retired | Who::Stolen | Who::OtherOrganization, Verb::Share, false) => {
            "deny shared subscriptions to devices, or run one cloud daemon that subscribes plainly"
        }
        (Who::Device | Who::Retired | Who::Stolen | Who::OtherOrganization, Verb::Will, false) => {
            "deny last wills, or check them as publishes of the device"
        }
    }
}

/// Takes away what was retained for throw-away devices: a retained message without content deletes the one that is there.
///
/// # Errors
/// What is still there, and why.
pub async fn tidy(login: &Login, topics: &[Topic]) -> Result<(), String> {
    let mut cloud = login.connect().await?;
    for topic in topics {
        cloud
            .publish_retained(&topic.to_string(), b"", true)
            .await
            .map_err(|error| format!("{topic} stays retained: {error}"))?;
    }
    cloud.leave().await;
    Ok(())
}
