//! The threads that connections live on, apart from the daemon's other work.
//!
//! **Problem.** A handshake is most of a millisecond of computing. When thousands of devices come back at once, handshakes
//! want every core for seconds, and neither an operator's request nor a token for a device that is there already is to
//! stand in line behind them. **Method.** Handshakes have threads of their own, for at most half of the cores and of a
//! lower priority; what a device has once it is connected is as urgent as anything. **Deliberately absent:** a limit on how
//! many handshakes there are at once. A peer that connects and says nothing takes no thread, and so nobody's turn.

use super::StartError;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Handle, Runtime};

/// By how much handshakes are nicer than everything else: where a core is fought for, they get a quarter of it.
const NICER: i32 = 5;

/// Threads of their own for connections; they end, with what runs on them, when this is dropped.
pub(super) struct Threads {
    connections: Option<Runtime>,
    handshakes: Option<Runtime>,
}

impl Threads {
    /// For connections as many as there are cores, for handshakes half as many.
    pub(super) fn start() -> Result<Threads, StartError> {
        let connections = Builder::new_multi_thread().thread_name("coterm-devices").enable_all().build();
        let cores = available_parallelism().map_or(1, usize::from);
        let handshakes = Builder::new_multi_thread()
            .thread_name("coterm-greeting")
            .worker_threads((cores / 2).max(1))
            .on_thread_start(be_nice)
            .enable_all()
            .build();
        Ok(Threads {
            connections: Some(connections.map_err(StartError::Threads)?),
            handshakes: Some(handshakes.map_err(StartError::Threads)?),
        })
    }

    /// Where connections are spawned; the current threads once these have ended.
    pub(super) fn connections(&self) -> Handle {
        self.connections.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Where handshakes are; the current threads once these have ended.
    pub(super) fn handshakes(&self) -> Handle {
        self.handshakes.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

/// Lowers the priority of the thread this is called on, which is all that Linux lowers by it.
fn be_nice() {
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "handshakes with devices are as urgent as the rest of the daemon");
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Whoever drops it may itself be a task, which must not wait for threads.
        for runtime in [self.handshakes.take(), self.connections.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}
