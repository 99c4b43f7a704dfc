//! SIGINT and SIGTERM of a root.
//!
//! The first one is told to the runtime, which cancels the tree. The second one ends the process
//! at once, in the signal handler, with exit code 128 + signal: that works even when every thread
//! is stuck. The children then die by their lifelines.
//!
//! # After the tree
//!
//! A handler that was installed can't be taken out again without a race against others, so it
//! stays. While no [`RootSignals`] lives, it does what the system does by default: the signal ends
//! the process. So a program that has left its tree can be stopped with one Ctrl-C as ever. Two
//! consequences:
//! * A program that handles SIGINT or SIGTERM itself, through the `signal-hook` or `tokio` crates,
//!   would after that also be ended. It should not use the runtime's signals at all.
//! * A signal that was ignored when the program started (`nohup`, a background job of a plain
//!   shell) is not ignored any more.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::{Errno, read};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

/// The signals that ask a root to end its tree.
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Catches SIGINT and SIGTERM for as long as it lives.
#[derive(Debug)]
pub(crate) struct RootSignals {
    /// Readable once a signal has come.
    fd: Arc<OwnedFd>,
    /// The signal that has come and was not taken yet, or 0.
    pending: Arc<AtomicUsize>,
    /// Our actions, to be unregistered.
    actions: Vec<SigId>,
}

/// How many [`RootSignals`] live. None before the first, which installs the default action.
static LIVE: Mutex<Option<usize>> = Mutex::new(None);

/// Whether none lives, so that a signal has its default effect.
static IDLE: AtomicBool = AtomicBool::new(true);

impl RootSignals {
    /// Starts to catch the signals. Several may live at a time: each is told of the first signal.
    ///
    /// # Errors
    /// When the system has no descriptor left, or refuses a handler.
    pub(crate) fn install() -> io::Result<Self> {
        let (fd, wake) = io::pipe()?;
        let (fd, wake) = (OwnedFd::from(fd), OwnedFd::from(wake));
        for end in [&fd, &wake] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        count_up()?;
        // Dropped on an error below, it takes back what was done so far.
        let mut signals = Self { fd: Arc::new(fd), pending: Arc::default(), actions: Vec::new() };
        let armed = Arc::new(AtomicBool::new(false));
        for signal in SIGNALS {
            signals.register(signal, &armed, wake.try_clone()?)?;
        }
        Ok(signals)
    }

    /// A descriptor that is readable once a signal has come: then call [`take`](Self::take).
    pub(crate) fn fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.fd)
    }

    /// The signal that has come since the last call, if any. Never blocks. There is no second one:
    /// that has ended the process.
    pub(crate) fn take(&self) -> Option<i32> {
        while matches!(read(&self.fd, &mut [0; 8]), Ok(1..) | Err(Errno::INTR)) {}
        // A signal between the two is taken now, and wakes for nothing later.
        let signal = self.pending.swap(0, Ordering::SeqCst);
        i32::try_from(signal).ok().filter(|signal| *signal != 0)
    }

    /// Registers what one signal does. The actions run in this order.
    fn register(&mut self, signal: i32, armed: &Arc<AtomicBool>, wake: OwnedFd) -> io::Result<()> {
        let second = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(armed));
        self.actions.push(second?);
        self.actions.push(flag::register(signal, Arc::clone(armed))?);
        let value = usize::try_from(signal).unwrap_or_default();
        let pending = Arc::clone(&self.pending);
        self.actions.push(flag::register_usize(signal, pending, value)?);
        self.actions.push(low_level::pipe::register(signal, wake)?);
        Ok(())
    }
}

/// Counts one more, and installs the default action before the first.
fn count_up() -> io::Result<()> {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if live.is_none() {
        for signal in SIGNALS {
            // Not idle from here on only: a signal before this line has its default effect.
            flag::register_conditional_default(signal, &IDLE)?;
        }
    }
    *live = Some(live.unwrap_or_default() + 1);
    IDLE.store(false, Ordering::SeqCst);
    Ok(())
}

/// Counts one less.
fn count_down() {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let left = live.unwrap_or_default().saturating_sub(1);
    *live = Some(left);
    IDLE.store(left == 0, Ordering::SeqCst);
}

impl Drop for RootSignals {
    /// Stops to catch the signals: from here on they have their default effect, see the module.
    fn drop(&mut self) {
        // First, so that no signal falls between the two and is lost.
        count_down();
        for action in self.actions.drain(..) {
            low_level::unregister(action);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test only, for signals belong to the whole process.
    #[test]
    fn the_first_signal_is_told_once() {
        let signals = RootSignals::install().unwrap();
        assert_eq!(signals.take(), None);
        low_level::raise(SIGTERM).unwrap();
        assert_eq!(signals.take(), Some(SIGTERM));
        assert_eq!(signals.take(), None);
        drop(signals);
        // The second is counted anew by whoever comes next.
        let signals = RootSignals::install().unwrap();
        low_level::raise(SIGINT).unwrap();
        assert_eq!(signals.take(), Some(SIGINT));
    }
}
