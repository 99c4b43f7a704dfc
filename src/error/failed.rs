//! How a child process failed.

use std::fmt;
use std::sync::Arc;

use tractor_core::supervise::{ChildEnd, ChildPhase, ExitStatus};
use tractor_core::{Signal, Uid};

use super::RemoteError;

/// Of its captured output so many lines are in the text.
const TAIL_LINES: usize = 12;

/// How a child process failed.
#[derive(Clone)]
pub struct ActorFailed(Arc<ActorFailure>);

struct ActorFailure {
    end: ChildEnd,
    error: Option<RemoteError>,
    stdout_tail: String,
    stderr_tail: String,
}

impl ActorFailed {
    pub(crate) fn new(mut end: ChildEnd, stdout_tail: String, stderr_tail: String) -> ActorFailed {
        let error = end.error.take().map(|error| RemoteError::new(*error));
        ActorFailed(Arc::new(ActorFailure { end, error, stdout_tail, stderr_tail }))
    }

    /// Whether it counts as a failure of its nursery.
    pub(crate) fn is_failure(&self) -> bool {
        self.0.end.failed
    }

    /// The child's name.
    pub fn name(&self) -> &str {
        self.0.end.uid.name.as_str()
    }

    /// Who it was.
    pub fn uid(&self) -> &Uid {
        &self.0.end.uid
    }

    /// Its process id; `None` when it never had one.
    pub fn pid(&self) -> Option<u32> {
        self.0.end.pid
    }

    /// How far it had come.
    pub fn phase(&self) -> ChildPhase {
        self.0.end.phase
    }

    /// How its process ended; `None` when there never was one.
    pub fn status(&self) -> Option<ExitStatus> {
        self.0.end.status
    }

    /// Whether it had been asked to end.
    pub fn was_asked(&self) -> bool {
        self.0.end.asked
    }

    /// The strongest signal that we sent it: `None` when it ended without.
    pub fn forced(&self) -> Option<Signal> {
        self.0.end.forced
    }

    /// The last of what it wrote to stderr, when that is captured.
    pub fn stderr_tail(&self) -> &str {
        &self.0.stderr_tail
    }

    /// The last of what it wrote to stdout, when that is captured.
    pub fn stdout_tail(&self) -> &str {
        &self.0.stdout_tail
    }

    /// What it reported itself, or why it could not be made.
    pub fn error(&self) -> Option<&RemoteError> {
        self.0.error.as_ref()
    }

    /// What happened, without who and what it left: the actor's own doing, or ours.
    fn what(&self) -> String {
        let phase = self.phase();
        match (self.was_asked(), self.forced()) {
            (true, Some(Signal::Kill)) => "had to be killed: it did not end when asked".into(),
            (true, Some(Signal::Terminate)) => "had to be terminated: it gave no answer".into(),
            (true, None) => "crashed when it was asked to end".into(),
            (false, Some(_)) if phase < ChildPhase::Running => {
                format!("was given up on while {phase}")
            }
            (false, _) => format!("failed while {phase}"),
        }
    }
}

impl fmt::Display for ActorFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {} {}", self.uid(), self.what())?;
        if let Some(pid) = self.pid() {
            write!(f, " (pid {pid})")?;
        }
        if let Some(status) = self.status() {
            write!(f, ": {status}")?;
        }
        if let Some(error) = &self.0.error {
            // A Python child's is the one thing that tells what happened.
            let kind = error.type_name();
            match error.raw().message.as_ref().is_some_and(|text| !text.as_str().is_empty()) {
                true => write!(f, ": {}", error.message())?,
                false => write!(f, ": {kind}: {}", error.message())?,
            }
        }
        let tail = self.stderr_tail().trim_end();
        if !tail.is_empty() {
            write!(f, "\n  last of its stderr:")?;
            for line in tail.lines().rev().take(TAIL_LINES).collect::<Vec<_>>().into_iter().rev() {
                write!(f, "\n  | {}", line.escape_debug())?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ActorFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ActorFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self.0.error.as_ref()?)
    }
}
