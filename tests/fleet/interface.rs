//! The interface of the cloud, asked all the time while something happens to the fleet.
//!
//! **Problem.** The agents of a storm keep the tasks of this program busy for seconds; who waits among them measures this
//! program and not the cloud. **Method.** One thread of its own asks, takes the time itself, and asks again.
//! **Deliberately absent:** more than one request at a time: it is how long an operator waits, not how many can.

use crate::api::{Api, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the interface answered meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How long each answer took.
    pub(crate) took: Vec<Duration>,
    /// Requests without an answer.
    pub(crate) failed: u64,
}

/// Somebody who asks until told to stop.
#[derive(Debug)]
pub(crate) struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

impl Asker {
    /// Begins to ask for `path`.
    pub(crate) fn start(api: Api, path: String) -> Result<Asker, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let ask = move || {
            let mut answers = Answers::default();
            while !told.load(Ordering::Relaxed) {
                let asked = Instant::now();
                match api.call("GET", &path, None) {
                    Ok(_) => answers.took.push(asked.elapsed()),
                    Err(_) => answers.failed += 1,
                }
            }
            answers
        };
        let thread = thread::Builder::new().name("asker".to_owned()).spawn(ask);
        Ok(Asker { stop, thread: thread.map_err(|error| error.to_string())? })
    }

    /// Waits for the last answer, and tells of all.
    pub(crate) async fn stop(self) -> Result<Answers, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        joined.map_err(|error| error.to_string())?.map_err(|_| "the thread that asks has died".to_owned())
    }
}
