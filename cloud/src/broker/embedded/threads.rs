//! The threads that connections live on, apart from the daemon's other work.

use super::StartError;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of their own for connections; they end, with what runs on them, when this is dropped.
pub(super) struct Threads(Option<Runtime>);

impl Threads {
    /// As many as there are cores.
    pub(super) fn start() -> Result<Threads, StartError> {
        let runtime = Builder::new_multi_thread().thread_name("coterm-devices").enable_all().build();
        Ok(Threads(Some(runtime.map_err(StartError::Threads)?)))
    }

    /// Where to spawn; the current threads once these have ended.
    pub(super) fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever drops it may itself be a task, which must not wait for threads.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
