//! Bugs in the rules themselves: what is written otherwise in a copy of the sources, and nowhere else.
//!
//! **Problem.** A judge that sees only careless adapters may be blind to a careless rule, and rules have no port at which one
//! could be put in. **Method.** Each bug is a few words of the product with other words in their place, behind a switch that is
//! thrown for one schedule; `plant.rs` writes a copy of the sources with all of them, and `make planted` builds the
//! simulation from that copy. The product itself knows nothing of it. **Deliberately absent:** patches with line numbers.
//! Words that are not found exactly once are an error, and a test looks for them.

/// Words of a file, and what a bug has in their place.
#[derive(Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file, from the root of the repository.
    pub file: &'static str,
    /// What is there once.
    pub from: &'static str,
    /// What is to be there.
    pub to: &'static str,
}

/// A bug in a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name, which its switch is asked for.
    pub code: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// The number of the invariant that is there for it.
    pub by: u8,
    /// Where it is.
    pub edits: &'static [Edit],
}

impl Edit {
    /// The text of the file with the bug in it.
    ///
    /// # Errors
    /// The words are not there exactly once.
    pub fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(self.from).count() {
            1 => Ok(text.replacen(self.from, self.to, 1)),
            times => Err(format!("{}: found {times} times, not once: {}", self.file, self.from)),
        }
    }
}

/// The switch, in the rules and in the simulation.
pub const SWITCH: &[Edit] = &[
    Edit {
        file: "shared/src/lib.rs",
        from: "pub mod token;",
        to: "pub mod token;\n\
             pub mod planted {\n\
             //! Which bug is switched on, on this thread.\n\
             extern crate std;\n\
             use core::cell::Cell;\n\
             std::thread_local! { static RULE: Cell<&'static str> = const { Cell::new(\"\") }; }\n\
             /// Switches one on, and every other off.\n\
             pub fn set(code: &'static str) { RULE.with(|rule| rule.set(code)); }\n\
             /// Whether it is on.\n\
             pub fn is(code: &str) -> bool { RULE.with(|rule| rule.get() == code) }\n\
             }",
    },
    Edit {
        file: "tests/sim/planted.rs",
        from: "fn switch(code: &'static str) -> bool {\n    code.is_empty()",
        to: "fn switch(code: &'static str) -> bool {\n    coterm_shared::planted::set(code);\n    true",
    },
];

/// All of them.
pub const RULES: &[Rule] = &[
    Rule {
        code: "sequence-unchecked",
        sentence: "a device accepts a token older than the one it holds",
        by: 2,
        edits: &[Edit {
            file: "shared/src/token/verify.rs",
            from: "Some(held) if version < held.version => Err",
            to: "Some(held) if version < held.version && !crate::planted::is(\"sequence-unchecked\") => Err",
        }],
    },
    Rule {
        code: "issuer-unchecked",
        sentence: "a device accepts a token of another deployment",
        by: 1,
        edits: &[Edit {
            file: "shared/src/token/verify.rs",
            from: "if claims.trust_domain != expected.trust_domain || claims.trust_domain != *keyring.trust_domain() {",
            to: "if !crate::planted::is(\"issuer-unchecked\") && claims.trust_domain != expected.trust_domain {",
        }],
    },
    Rule {
        code: "device-unchecked",
        sentence: "a device accepts another's token",
        by: 1,
        edits: &[Edit {
            file: "shared/src/token/verify.rs",
            from: "if claims.device != expected.device {",
            to: "if claims.device != expected.device && !crate::planted::is(\"device-unchecked\") {",
        }],
    },
    Rule {
        code: "signature-unchecked",
        sentence: "a signature that does not fit is none too bad",
        by: 1,
        edits: &[Edit {
            file: "shared/src/token/verify.rs",
            from: "if !key.key.verifies(&signed.to_be_signed(), signed.signature) {",
            to: "if !crate::planted::is(\"signature-unchecked\")\n        \
                 && !key.key.verifies(&signed.to_be_signed(), signed.signature)\n    {",
        }],
    },
    Rule {
        code: "stop-by-wall",
        sentence: "a wall clock that was steady for long may stop a device, and not only lock it",
        by: 3,
        edits: &[Edit {
            file: "shared/src/enforcement/step.rs",
            from: "let by_schedule = schedule.state_at(time.floor);",
            to: "let by_wall = crate::planted::is(\"stop-by-wall\");\n    \
                 let by_schedule = schedule.state_at(if by_wall { time.lock_time } else { time.floor });",
        }],
    },
    Rule {
        code: "grace-forgotten",
        sentence: "a ladder locks when it begins",
        by: 17,
        edits: &[Edit {
            file: "shared/src/licensing/clock.rs",
            from: "let to_lock = settings.grace_secs.saturating_sub(spent);",
            to: "let to_lock = settings.grace_secs.saturating_sub(spent);\n    \
                 let to_lock = if crate::planted::is(\"grace-forgotten\") { Seconds::ZERO } else { to_lock };",
        }],
    },
    Rule {
        code: "cure-forgives",
        sentence: "a moment of compliance gives the whole grace back",
        by: 17,
        edits: &[Edit {
            file: "shared/src/licensing/clock.rs",
            from: "CauseClock::Running(run) => CauseClock::Paused(Left {",
            to: "CauseClock::Running(_) if crate::planted::is(\"cure-forgives\") => CauseClock::Fresh,\n            \
                 CauseClock::Running(run) => CauseClock::Paused(Left {",
        }],
    },
    Rule {
        code: "clocks-left-behind",
        sentence: "a site or device that moves to another group begins its grace anew",
        by: 17,
        edits: &[
            Edit {
                file: "shared/src/licensing/decide/sites.rs",
                from: "clocks: draft.after.clocks_of_site(site, draft.now),",
                to: "clocks: match crate::planted::is(\"clocks-left-behind\") {\n                \
                     true => crate::licensing::Clocks::FRESH,\n                \
                     false => draft.after.clocks_of_site(site, draft.now),\n            },",
            },
            Edit {
                file: "shared/src/licensing/decide/devices.rs",
                from: "let (clocks, since) = (draft.after.clocks_of_device(id, draft.now), draft.now);",
                to: "let (clocks, since) = (draft.after.clocks_of_device(id, draft.now), draft.now);\n        \
                     let left = crate::planted::is(\"clocks-left-behind\");\n        \
                     let clocks = if left { crate::licensing::Clocks::FRESH } else { clocks };",
            },
        ],
    },
    Rule {
        code: "renewal-early",
        sentence: "a renewal that waits begins at the first date of its group, not at the end of the term",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/draft.rs",
            from: "(coterm.floor() <= at).then(",
            to: "(coterm.floor() <= at || (crate::planted::is(\"renewal-early\") && group.queue.size() > 0)).then(",
        }],
    },
    Rule {
        code: "retired-counted",
        sentence: "the units of a retired device are not free",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/apply/places.rs",
            from: "self.change_state(id, retired)",
            to: "if crate::planted::is(\"retired-counted\") {\n            \
                 self.count_in_organization(id, false)?;\n            \
                 self.devices.get_mut(id)?.state = retired;\n            \
                 return Some(());\n        }\n        \
                 self.change_state(id, retired)",
        }],
    },
    Rule {
        code: "term-end-ignored",
        sentence: "a term that ends is no fault while the units in use fit the capacity there was",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/compliance.rs",
            from: "Term::Ended { .. } => found.push(Finding::TermEnded),",
            to: "Term::Ended { .. }\n            \
                 if crate::planted::is(\"term-end-ignored\")\n                \
                 && figures.shortfalls(&figures.capacity).next().is_none() => {}\n        \
                 Term::Ended { .. } => found.push(Finding::TermEnded),",
        }],
    },
    Rule {
        code: "one-too-many",
        sentence: "one unit above the capacity is no fault",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/compliance.rs",
            from: "(shortfall > 0).then_some(Finding::OverCapacity { product, shortfall })",
            to: "(shortfall > u64::from(crate::planted::is(\"one-too-many\")))\n                \
                 .then_some(Finding::OverCapacity { product, shortfall })",
        }],
    },
    Rule {
        code: "hold-ignored",
        sentence: "an operation that locks too many is done at once",
        by: 13,
        edits: &[Edit {
            file: "shared/src/licensing/safety/lockout.rs",
            from: "pub const fn needs_approval(&self) -> bool {",
            to: "pub fn needs_approval(&self) -> bool {\n        \
                 if crate::planted::is(\"hold-ignored\") {\n            return false;\n        }",
        }],
    },
    Rule {
        code: "slices-unseen",
        sentence: "what was done in many small operations is not added up",
        by: 13,
        edits: &[Edit {
            file: "shared/src/licensing/safety/held.rs",
            from: "let since = now.saturating_sub(WINDOW);\n        self.lately.range",
            to: "let since = now.saturating_sub(WINDOW);\n        \
                 let since = if crate::planted::is(\"slices-unseen\") { Timestamp::MAX } else { since };\n        \
                 self.lately.range",
        }],
    },
    Rule {
        code: "pace-forgotten",
        sentence: "all devices of a group lock on the first day of its pace",
        by: 19,
        edits: &[Edit {
            file: "shared/src/licensing/safety/pace.rs",
            from: "u64::try_from(self.starts.partition_point(newer)).unwrap_or(u64::MAX)",
            to: "if crate::planted::is(\"pace-forgotten\") {\n            \
                 return 0;\n        }\n        \
                 u64::try_from(self.starts.partition_point(newer)).unwrap_or(u64::MAX)",
        }],
    },
    Rule {
        code: "pace-moves",
        sentence: "who comes or goes moves the days of others when their ladder has begun",
        by: 19,
        edits: &[Edit {
            file: "shared/src/licensing/safety/pace.rs",
            from: "if assessment.clocks.is_running() {\n            return assessment.tranches.clone();",
            to: "if assessment.clocks.is_running() && !crate::planted::is(\"pace-moves\") {\n            \
                 return assessment.tranches.clone();",
        }],
    },
    Rule {
        code: "trial-endless",
        sentence: "a trial that ended locks nothing",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/wanted.rs",
            from: "(home()?, Vec::from([Finding::TrialEnded]), trial.schedule)",
            to: "match crate::planted::is(\"trial-endless\") {\n                \
                 true => (home()?, Vec::from([Finding::TrialEnded]), Schedule::NEVER),\n                \
                 false => (home()?, Vec::from([Finding::TrialEnded]), trial.schedule),\n            }",
        }],
    },
    Rule {
        code: "trial-counted",
        sentence: "a device on trial uses licenses",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/device.rs",
            from: "pub const fn consumes(&self) -> bool {\n        match self.state {",
            to: "pub fn consumes(&self) -> bool {\n        match self.state {\n            \
                 DeviceState::Trial(_) if crate::planted::is(\"trial-counted\") => true,",
        }],
    },
    Rule {
        code: "runs-when-cured",
        sentence: "a clock goes on when its cause is gone",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/clock.rs",
            from: "if present { clock.started(at, settings) } else { clock.paused(at) }",
            to: "match present || (crate::planted::is(\"runs-when-cured\") && !clock.is_fresh()) {\n                \
                 true => clock.started(at, settings),\n                false => clock.paused(at),\n            }",
        }],
    },
    Rule {
        code: "one-cause",
        sentence: "of two causes only the end of the term has a ladder",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/ahead.rs",
            from: "self.expiry.earliest(self.capacity)",
            to: "if crate::planted::is(\"one-cause\") { self.expiry } else { self.expiry.earliest(self.capacity) }",
        }],
    },
    Rule {
        code: "stops-with-the-lock",
        sentence: "a device stops when it locks",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/clock.rs",
            from: "stop_at: stop_at.max(lock_at)",
            to: "stop_at: if crate::planted::is(\"stops-with-the-lock\") { lock_at } else { stop_at.max(lock_at) }",
        }],
    },
    Rule {
        code: "impatient",
        sentence: "the keyring goes to everybody as often as one device asks for it",
        by: 16,
        edits: &[Edit {
            file: "cloud/src/reconcile/documents.rs",
            from: "self.patience = if same { longer } else { AGAIN_AFTER };",
            to: "let same = same && !coterm_shared::planted::is(\"impatient\");\n                \
                 self.patience = if same { longer } else { AGAIN_AFTER };",
        }],
    },
    Rule {
        code: "old-keyring",
        sentence: "a keyring replaces one of a higher version",
        by: 2,
        edits: &[Edit {
            file: "shared/src/token/keyring.rs",
            from: "if self.version < held.version {",
            to: "if self.version < held.version && !crate::planted::is(\"old-keyring\") {",
        }],
    },
    Rule {
        code: "any-time",
        sentence: "a token key signs before and after its time",
        by: 1,
        edits: &[Edit {
            file: "shared/src/token/verify.rs",
            from: "if !(key.not_before_at..=key.not_after_at).contains(&claims.issued_at) {",
            to: "if !(key.not_before_at..=key.not_after_at).contains(&claims.issued_at)\n        \
                 && !crate::planted::is(\"any-time\")\n    \
                 {",
        }],
    },
    Rule {
        code: "retired-uncounted",
        sentence: "when a term ends, the units of its keys count no more",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/apply/keys.rs",
            from: "group.pool = Pool::EMPTY;",
            to: "group.pool = Pool::EMPTY;\n        \
                 if crate::planted::is(\"retired-uncounted\") {\n            \
                 group.figures.capacity.clear();\n        \
                 }",
        }],
    },
    Rule {
        code: "wait-burns",
        sentence: "the clock of a key goes on while it waits",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/apply/keys.rs",
            from: "KeyState::Queued { left_secs, .. } => left_secs,",
            to: "KeyState::Queued { .. } if crate::planted::is(\"wait-burns\") => waiting.ends_at.since(dated.at),\n                \
                 KeyState::Queued { left_secs, .. } => left_secs,",
        }],
    },
    Rule {
        code: "waits-twice",
        sentence: "the clock of a key stands still a second time",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/decide/keys.rs",
            from: "if waits && has_waited {",
            to: "if waits && has_waited && !crate::planted::is(\"waits-twice\") {",
        }],
    },
    Rule {
        code: "spent-keys",
        sentence: "a key whose own term has passed is put elsewhere",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/decide/keys.rs",
            from: "if left == Seconds::ZERO {",
            to: "if left == Seconds::ZERO && !crate::planted::is(\"spent-keys\") {",
        }],
    },
    Rule {
        code: "wait-kept",
        sentence: "a key that waited and is unclaimed keeps what it waited",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/decide/keys.rs",
            from: "KeyState::Queued { .. } | KeyState::Active { .. } => key.ends_at,",
            to: "KeyState::Queued { left_secs, .. } if crate::planted::is(\"wait-kept\") =>\n            \
                 draft.now.saturating_add(left_secs),\n        \
                 KeyState::Queued { .. } | KeyState::Active { .. } => key.ends_at,",
        }],
    },
    Rule {
        code: "joins-late",
        sentence: "a key in no group joins the default group a day later than it should",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/decide/keys.rs",
            from: "let joins_at = draft.now.saturating_add(draft.after.settings().countdown_secs);",
            to: "let joins_at = draft.now.saturating_add(draft.after.settings().countdown_secs);\n    \
                     let late = if crate::planted::is(\"joins-late\") { Seconds::days(1) } else { Seconds::ZERO };\n    \
                     let joins_at = joins_at.saturating_add(late);",
        }],
    },
    Rule {
        code: "one-spared",
        sentence: "of the devices that a shortfall is to touch, the last one is spared",
        by: 11,
        edits: &[Edit {
            file: "shared/src/licensing/wanted.rs",
            from: "newer < *shortfall",
            to: "newer.saturating_add(u64::from(crate::planted::is(\"one-spared\"))) < *shortfall",
        }],
    },
    Rule {
        code: "lent-key",
        sentence: "a key that was in another group gives this one its whole grace back",
        by: 17,
        edits: &[Edit {
            file: "shared/src/licensing/compliance.rs",
            from: "let cured = compliant && !previous.is_compliant() && occasion.first_claim_of_a_key && !lent;",
            to: "let lent = lent && !crate::planted::is(\"first-beside-lent\");\n    \
                 let used = occasion.used_key_came && crate::planted::is(\"lent-key\");\n    \
                 let cured = compliant\n        && !previous.is_compliant()\n        \
                 && (used || occasion.first_claim_of_a_key && !lent);",
        }],
    },
    Rule {
        code: "first-beside-lent",
        sentence: "a first key gives the whole grace back to a group that another lends one",
        by: 17,
        // Its switch is in the words of the one before.
        edits: &[],
    },
];
