//! Tests of the token module, one subject per file.

mod again;
mod attacks;
mod docs;
mod golden;
mod hostile;
mod properties;
mod refusals;
mod second_decoder;
mod support;
mod trust;
mod vectors;

use core::cell::Cell;

std::thread_local! {
    static SIGNATURES_CHECKED: Cell<usize> = const { Cell::new(0) };
}

/// Called by every check of a signature, and there is one place that does.
pub(super) fn count_signature_check() {
    SIGNATURES_CHECKED.set(SIGNATURES_CHECKED.get() + 1);
}

/// How many signatures this thread has checked.
fn signatures_checked() -> usize {
    SIGNATURES_CHECKED.get()
}
