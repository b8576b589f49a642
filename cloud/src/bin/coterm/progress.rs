//! How far long work has come, beside the answer: on standard error, and only where it helps.
//!
//! On a terminal it is one line that is gone when the work is done; elsewhere, if it was asked for, a line every few
//! seconds. **Deliberately absent:** anything that programs would read.

use crate::output::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How far long work has come.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Lines, where there is no terminal: when the last one was written, and of what.
    lines: Option<(Instant, &'static str)>,
    /// How often something was said; what is done with the first word of it needs no bar.
    said: u64,
}

impl Progress {
    /// Of something short enough that only a terminal is told, and that only if there is more than one step.
    pub(crate) fn of(what: &'static str) -> Progress {
        let progress = Progress { bar: ProgressBar::hidden(), lines: None, said: 0 };
        progress.bar.set_style(style("{pos} {msg} so far"));
        progress.bar.set_message(what);
        progress
    }

    /// Of something that takes minutes; `quiet` says nothing at all.
    pub(crate) fn told(quiet: bool) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        let bar = if quiet { ProgressBar::hidden() } else { bar() };
        let lines = (!quiet && !terminal).then(|| (Instant::now(), ""));
        Progress { bar, lines, said: 0 }
    }

    /// Whether nobody is told anything.
    pub(crate) fn is_silent(&self) -> bool {
        self.bar.is_hidden() && self.lines.is_none()
    }

    /// Says how many there are so far.
    pub(crate) fn at(&mut self, count: u64) {
        self.said = self.said.saturating_add(1);
        if self.said == 2 {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(count);
    }

    /// Says what is done now, and how far that has come; `of` is 0 if nobody knows.
    pub(crate) fn step(&mut self, what: &'static str, count: u64, of: u64) {
        if self.bar.message() != what {
            let known = "{msg} {wide_bar} {human_pos}/{human_len} ({eta} left)";
            self.bar.set_style(style(if of > 0 { known } else { "{msg} {human_pos} ({elapsed})" }));
            self.bar.reset();
            self.bar.set_message(what);
        }
        if of > 0 {
            self.bar.set_length(of);
        }
        self.bar.set_position(count);
        if let Some((at, last)) = &mut self.lines
            && (*last != what || at.elapsed() >= EVERY)
        {
            (*at, *last) = (Instant::now(), what);
            match of {
                0 if count == 0 => note(format!("{what} ...")),
                0 => note(format!("{what} {count}")),
                of => note(format!("{what} {count} of {of}")),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Hides itself where there is no terminal.
fn bar() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; were one wrong, the default says as much.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
