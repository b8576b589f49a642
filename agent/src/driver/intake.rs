//! Messages: verified by `shared`, or counted and dropped.

use super::saved::{Candidate, Pair, SaveError};
use super::{Driver, Haste, Unsaved, Waiting};
use crate::state_file::StateStore;
use coterm_shared::enforcement::ClockReading;
use coterm_shared::protocol::Topic;
use coterm_shared::time::Seconds;
use coterm_shared::token::{
    Accepted, Expected, Held, Keyring, KeyringStep, Root, TokenRefusal, TrustRefusal, VerifiedToken,
    verify_again, verify_token,
};

/// Between two reports that are about refusals alone.
const REFUSAL_REPORT_SECS: u64 = 60;

/// What became of a message.
#[derive(Debug)]
pub(super) enum Fate {
    /// Accepted and on disk, or refused for good.
    Done,
    /// Good, but not on disk.
    NotSaved(Unsaved),
}

impl<S: StateStore> Driver<S> {
    pub(super) fn message(&mut self, ticket: u64, topic: &str, payload: Vec<u8>, acknowledge: &mut Vec<u64>) {
        let fate = match topic.parse::<Topic>() {
            Ok(Topic::Token(device)) if device == self.identity.expected.device => self.token_bytes(&payload),
            Ok(Topic::Keyring) => self.keyring_bytes(payload),
            Ok(Topic::Root(version)) => self.root_bytes(version, &payload),
            Ok(Topic::Token(_) | Topic::Report(_) | Topic::Request(_)) | Err(_) => {
                self.refuse("TOPIC", "the broker delivered a topic this device has not asked for");
                Fate::Done
            }
        };
        self.note_fate(ticket, fate, acknowledge);
    }

    /// Tries again what could not be saved, when it is time to.
    pub(super) fn retry_waiting(&mut self, acknowledge: &mut Vec<u64>) {
        if self.health.failures > 0 && self.reading.boot_secs < self.health.retry_boot_secs {
            return;
        }
        let Some(Waiting { ticket, unsaved }) = self.waiting.take() else { return };
        let fate = match unsaved {
            Unsaved::Token(token) => self.token_again(&token),
            Unsaved::Keyring(payload) => self.keyring_bytes(payload),
            Unsaved::Pair => self.adopt_pending(),
        };
        self.note_fate(ticket, fate, acknowledge);
    }

    fn note_fate(&mut self, ticket: u64, fate: Fate, acknowledge: &mut Vec<u64>) {
        match fate {
            Fate::Done => acknowledge.push(ticket),
            Fate::NotSaved(unsaved) => self.waiting = Some(Waiting { ticket, unsaved }),
        }
    }

    fn token_bytes(&mut self, payload: &[u8]) -> Fate {
        let Some(keyring) = &self.keyring else {
            self.refuse("NO_KEYRING", "no keyring is held; deliver one, or provision the device again");
            return Fate::Done;
        };
        // The one that is held, which brokers send again with every session: it was verified when it came, and what would
        // be verified again is the same. The cloud believes this device has not got it: say so again.
        if self.is_held(payload, keyring) {
            self.want_report(Haste::AtOnce);
            return Fate::Done;
        }
        let nonce = self.outstanding().map(|outstanding| &outstanding.nonce);
        let expected = &self.identity.expected;
        let judged = verify_token(payload, keyring, expected, self.held().as_ref(), nonce);
        self.judged(payload, judged)
    }

    /// A token that could not be saved, once more.
    fn token_again(&mut self, token: &VerifiedToken) -> Fate {
        // Whoever has one verified holds a keyring; were it otherwise, the broker sends the token again.
        let Some(keyring) = &self.keyring else { return Fate::Done };
        let nonce = self.outstanding().map(|outstanding| &outstanding.nonce);
        let expected = &self.identity.expected;
        let judged = verify_again(token, keyring, expected, self.held().as_ref(), nonce);
        self.judged(token.bytes(), judged)
    }

    fn judged(&mut self, payload: &[u8], judged: Result<Accepted, TokenRefusal>) -> Fate {
        match judged {
            Err(refusal) => {
                // Token and keyring may overtake one another on their way.
                if matches!(refusal, TokenRefusal::UnknownKey | TokenRefusal::EpochUnknown) {
                    self.early = Some(payload.to_vec());
                }
                self.proof_wanted |= doubts_what_is_held(refusal);
                self.refuse(refusal.code(), refusal.sentence());
                Fate::Done
            }
            // The cloud believes this device has not got it: say so again.
            Ok(Accepted::Duplicate(_)) if self.token.is_some() => {
                self.want_report(Haste::AtOnce);
                Fate::Done
            }
            // A duplicate of one that could not be opened again at the start is as good as new.
            Ok(Accepted::Newer(token) | Accepted::Duplicate(token)) => self.take_token(token),
        }
    }

    fn take_token(&mut self, token: VerifiedToken) -> Fate {
        let mut candidate = self.candidate();
        let round_trip = self
            .outstanding()
            .filter(|_| token.proves_freshness())
            .map(|outstanding| Seconds(self.reading.boot_secs.saturating_sub(outstanding.sent_boot_secs)));
        candidate.clock.token_accepted(&self.reading, token.claims().issued_at, round_trip);
        candidate.saved.record.token = Some(token.bytes().to_vec());
        candidate.saved.record.high_water = Some(token.held().into());
        candidate.saved.accepted_under = None;
        let version = token.claims().version;
        candidate.token = Some(token.clone());
        if self.commit(candidate).is_err() {
            return Fate::NotSaved(Unsaved::Token(Box::new(token)));
        }
        if round_trip.is_some() {
            self.time_proven = true;
            self.outstanding = None;
        }
        tracing::info!(%version, fresh = round_trip.is_some(), "accepted a license state");
        self.early = None;
        self.want_report(Haste::Soon);
        Fate::Done
    }

    pub(super) fn keyring_bytes(&mut self, payload: Vec<u8>) -> Fate {
        // The one that is held, which devices are sent over and over: it was verified when it came.
        if self.pending.is_none() && self.keyring.as_ref().is_some_and(|held| held.bytes() == payload) {
            return Fate::Done;
        }
        let before = self.keyring_before();
        // Under the newest root that has one: it and the keyring are then adopted together.
        let under_pending = self
            .pending
            .as_ref()
            .and_then(|root| Some((root.clone(), Keyring::verify(&payload, root, before).ok()?)));
        let verified = match under_pending {
            Some(verified) => Ok(verified),
            None => Keyring::verify(&payload, &self.root, before).map(|keyring| (self.root.clone(), keyring)),
        };
        match verified {
            Err(refusal) => {
                self.refuse(refusal.code(), refusal.sentence());
                // A keyring may overtake the root it was made under.
                if refusal == TrustRefusal::TooFewSignatures {
                    self.early_keyring = Some(payload);
                }
                Fate::Done
            }
            Ok((root, keyring))
                if keyring.step() == KeyringStep::Unchanged
                    && self.keyring.is_some()
                    && root == self.root =>
            {
                Fate::Done
            }
            Ok((root, keyring)) => match self.take_pair(root, keyring) {
                Ok(()) => Fate::Done,
                Err(_) => Fate::NotSaved(Unsaved::Keyring(payload)),
            },
        }
    }

    /// Adopts a keyring, and the root it was verified under if that is a newer one, in one write (token §3).
    ///
    /// An error is logged and reported in there.
    pub(super) fn take_pair(&mut self, root: Root, keyring: Keyring) -> Result<(), SaveError> {
        let versions = (root.version(), keyring.version());
        let mut candidate = self.candidate();
        candidate.root = root;
        let before = self.pair_before();
        adopt(&mut candidate, keyring, before.as_ref(), &self.identity.expected, &self.reading);
        self.commit(candidate)?;
        tracing::info!(root = versions.0, version = versions.1, "accepted a keyring");
        self.want_report(Haste::Soon);
        self.early_keyring = None;
        if let Some(early) = self.early.take() {
            self.token_bytes(&early);
        }
        Ok(())
    }

    /// The keyring a new one follows, also if its signers were replaced since: that is what the new one must tell.
    pub(super) fn keyring_before(&self) -> Option<&Keyring> {
        self.keyring.as_ref().or(self.replaced.as_ref().map(|pair| &pair.keyring))
    }

    /// The same, with the root it was verified under.
    pub(super) fn pair_before(&self) -> Option<Pair> {
        match &self.keyring {
            Some(keyring) => Some(Pair { root: self.root.clone(), keyring: keyring.clone() }),
            None => self.replaced.clone(),
        }
    }

    /// Whether these bytes are the token held, and would be accepted as a duplicate of it under the keyring held: its key
    /// is listed there, its epoch is that of the keyring, and the high-water mark is its own (token §4).
    fn is_held(&self, payload: &[u8], keyring: &Keyring) -> bool {
        self.token.as_ref().is_some_and(|token| {
            let version = token.claims().version;
            token.bytes() == payload
                && self.saved.accepted_under.is_none()
                && version.epoch == keyring.min_epoch()
                && self.saved.record.high_water.is_some_and(|mark| mark.version == version)
        })
    }

    fn held(&self) -> Option<Held> {
        self.saved.record.high_water.map(Held::from)
    }

    /// Counts a refusal and reports it, but not more often than once a minute.
    pub(super) fn refuse(&mut self, code: &str, sentence: &str) {
        self.refused.count = self.refused.count.saturating_add(1);
        self.refused.last_code = code.parse().ok();
        if self.reading.boot_secs >= self.next_refusal_report_boot_secs {
            self.next_refusal_report_boot_secs = self.reading.boot_secs.saturating_add(REFUSAL_REPORT_SECS);
            self.want_report(Haste::AtOnce);
            tracing::warn!(code, count = self.refused.count, "refused a message: {sentence}");
        } else {
            // An attacker must not fill the log; who looks for him can.
            tracing::debug!(code, count = self.refused.count, "refused a message");
        }
    }
}

/// Whether the cloud that sent this, or whoever has its keys, does not know what this device holds: it is then shown the
/// token held (token §3). Behind a good signature alone, so nobody without a key can make a device talk.
const fn doubts_what_is_held(refusal: TokenRefusal) -> bool {
    match refusal {
        TokenRefusal::Rollback | TokenRefusal::Equivocation | TokenRefusal::EpochRevoked => true,
        TokenRefusal::Length
        | TokenRefusal::Shape
        | TokenRefusal::Header
        | TokenRefusal::Algorithm
        | TokenRefusal::ContentType
        | TokenRefusal::UnknownKey
        | TokenRefusal::KeyUse
        | TokenRefusal::KeyOrganization
        | TokenRefusal::Signature
        | TokenRefusal::ClaimsEncoding
        | TokenRefusal::ClaimsMalformed
        | TokenRefusal::ProfileVersion
        | TokenRefusal::TimesUnordered
        | TokenRefusal::WrongIssuer
        | TokenRefusal::WrongDevice
        | TokenRefusal::WrongOrganization
        | TokenRefusal::OutsideKeyWindow
        | TokenRefusal::SequenceOffTime
        | TokenRefusal::EpochUnknown => false,
    }
}

/// Puts a verified keyring into a candidate, with all it does to time and high-water mark (token §3).
pub(super) fn adopt(
    candidate: &mut Candidate,
    keyring: Keyring,
    before: Option<&Pair>,
    expected: &Expected,
    reading: &ClockReading,
) {
    if let Some(at) = keyring.resets_floor_to() {
        candidate.clock.epoch_raised(reading, at);
    }
    if candidate.saved.record.high_water.is_some_and(|mark| keyring.forgets(mark.version)) {
        candidate.saved.record.high_water = None;
    }
    candidate.saved.record.keyring = Some(keyring.bytes().to_vec());
    candidate.keyring = Some(keyring);
    candidate.note_keyring_of_token(before, expected);
}
