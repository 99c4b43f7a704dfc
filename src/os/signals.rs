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
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustix::io::{Errno, read};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

/// The signals that ask a root to end its tree.
pub(crate) const ROOT_SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Catches SIGINT and SIGTERM for as long as it lives.
#[derive(Debug)]
pub(crate) struct RootSignals {
    /// Readable once a signal has come.
    fd: Arc<OwnedFd>,
    /// The signal that has come and was not taken yet, or 0.
    pending: Arc<AtomicUsize>,
    /// Dropped after the default effect is back, so that no signal falls between the two.
    _actions: Actions,
}

/// How many [`RootSignals`] live. None before the first, which installs the default action.
static LIVE: Mutex<Option<usize>> = Mutex::new(None);

/// Whether none lives, so that a signal has its default effect.
static IDLE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

impl RootSignals {
    /// Starts to catch the signals. Several may live at a time: each is told of the first signal.
    /// One that comes while this runs has its default effect, or is told: none is lost.
    ///
    /// # Errors
    /// When the system has no descriptor left, or refuses a handler.
    pub(crate) fn install() -> io::Result<Self> {
        Self::install_in_steps(|| ())
    }

    /// As [`install`](Self::install). Calls `between` after each step.
    fn install_in_steps(mut between: impl FnMut()) -> io::Result<Self> {
        let (fd, wake) = io::pipe()?;
        let (fd, wake) = (OwnedFd::from(fd), OwnedFd::from(wake));
        for end in [&fd, &wake] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        install_defaults(&mut between)?;
        let (pending, armed) = (Arc::default(), Arc::default());
        let mut actions = Actions::default();
        for signal in ROOT_SIGNALS {
            let wake = wake.try_clone()?;
            actions.register(signal, &pending, &armed, wake, &mut between)?;
        }
        // Last: before, a signal must not be kept from its default effect.
        count_up();
        between();
        if pending.load(Ordering::SeqCst) != 0 {
            // It came when another root had turned the default effect off already, and ran only
            // the actions that were there. This makes up for the others.
            armed.store(true, Ordering::SeqCst);
            let _ = rustix::io::write(&wake, &[0]);
        }
        Ok(Self { fd: Arc::new(fd), pending, _actions: actions })
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
}

/// Our actions, unregistered when dropped.
#[derive(Debug, Default)]
struct Actions(Vec<SigId>);

impl Actions {
    /// Registers what one signal does. The actions run in this order.
    fn register(
        &mut self,
        signal: i32,
        pending: &Arc<AtomicUsize>,
        armed: &Arc<AtomicBool>,
        wake: OwnedFd,
        between: &mut impl FnMut(),
    ) -> io::Result<()> {
        let value = usize::try_from(signal).unwrap_or_default();
        let second = flag::register_conditional_shutdown(signal, 128 + signal, armed.clone());
        self.0.push(second?);
        between();
        self.0.push(flag::register_usize(signal, pending.clone(), value)?);
        between();
        self.0.push(low_level::pipe::register(signal, wake)?);
        between();
        // Last: what was not told must not make the next one the second.
        self.0.push(flag::register(signal, armed.clone())?);
        between();
        Ok(())
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        for action in self.0.drain(..) {
            low_level::unregister(action);
        }
    }
}

/// Before the first [`RootSignals`]: installs the default action. A signal in the very instant in
/// which the process gets its first handler for it is the one that nobody can catch: it is between
/// two instructions of the registry of handlers, once in the life of a process.
fn install_defaults(between: &mut impl FnMut()) -> io::Result<()> {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    if live.is_none() {
        for signal in ROOT_SIGNALS {
            flag::register_conditional_default(signal, IDLE.clone())?;
            between();
        }
        *live = Some(0);
    }
    Ok(())
}

/// Counts one more: from here on signals don't have their default effect.
fn count_up() {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    *live = Some(live.unwrap_or_default() + 1);
    IDLE.store(false, Ordering::SeqCst);
}

/// Counts one less. How many are left.
fn count_down() -> usize {
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    let left = live.unwrap_or_default().saturating_sub(1);
    *live = Some(left);
    IDLE.store(left == 0, Ordering::SeqCst);
    left
}

impl Drop for RootSignals {
    /// Stops to catch the signals: from here on they have their default effect, see the module. So
    /// has one that came before and that nobody has taken.
    fn drop(&mut self) {
        if count_down() == 0
            && let Some(signal) = self.take()
        {
            let _ = low_level::raise(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, ExitStatus};

    use super::*;

    // Signals belong to the whole process: each case is a process of its own, this test again.

    /// Which case a process is to be: a word, and the step at which the signal comes.
    const CASE: &str = "SIGNALS_CASE";

    /// How a case ends that went as it should, and how one that had fewer steps.
    const TOLD: i32 = 40;
    const NO_SUCH_STEP: i32 = 41;

    fn run(case: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "os::signals::tests::cases", "--nocapture"]).env(CASE, case);
        command.output().unwrap().status
    }

    /// Installs, with a signal after step number `at`.
    fn install_hit(at: usize) -> RootSignals {
        let mut step = 0;
        let signals = RootSignals::install_in_steps(|| {
            step += 1;
            if step == at {
                low_level::raise(SIGTERM).unwrap();
            }
        });
        if step < at {
            std::process::exit(NO_SUCH_STEP);
        }
        signals.unwrap()
    }

    fn is_readable(signals: &RootSignals) -> bool {
        let fd = signals.fd();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&Default::default())).unwrap() == 1
    }

    /// Not a test, unless it is told which: it ends the process.
    #[test]
    fn cases() {
        let Ok(case) = std::env::var(CASE) else { return };
        let (word, step) = case.split_once(' ').unwrap();
        let step = step.parse().unwrap();
        match word {
            "first" => {
                let signals = install_hit(step);
                assert!(is_readable(&signals));
                assert_eq!(signals.take(), Some(SIGTERM));
            }
            "another" => {
                let first = RootSignals::install().unwrap();
                let second = install_hit(step);
                assert_eq!(first.take(), Some(SIGTERM));
                assert_eq!(is_readable(&second), second.take().is_some());
            }
            "once" => {
                let signals = RootSignals::install().unwrap();
                assert_eq!(signals.take(), None);
                low_level::raise(SIGTERM).unwrap();
                assert!(is_readable(&signals));
                assert_eq!(signals.take(), Some(SIGTERM));
                assert_eq!(signals.take(), None);
                drop(signals);
                // The second is counted anew by whoever comes next.
                let signals = RootSignals::install().unwrap();
                low_level::raise(SIGINT).unwrap();
                assert_eq!(signals.take(), Some(SIGINT));
            }
            "second" => {
                let _signals = RootSignals::install().unwrap();
                low_level::raise(SIGINT).unwrap();
                low_level::raise(SIGINT).unwrap();
            }
            "untaken" => {
                let signals = RootSignals::install().unwrap();
                low_level::raise(SIGTERM).unwrap();
                drop(signals);
            }
            _ => {
                drop(RootSignals::install().unwrap());
                low_level::raise(SIGINT).unwrap();
            }
        }
        std::process::exit(TOLD);
    }

    /// The statuses of a case, for a signal after each of the steps.
    fn at_each_step(word: &str) -> Vec<ExitStatus> {
        let statuses = (1..).map(|step| run(&format!("{word} {step}")));
        statuses.take_while(|status| status.code() != Some(NO_SUCH_STEP)).collect()
    }

    #[test]
    fn a_signal_at_any_step_of_the_installation_is_not_lost() {
        let statuses = at_each_step("first");
        let by_default = |status: &&ExitStatus| status.signal() == Some(SIGTERM);
        let early = statuses.iter().take_while(by_default).count();
        let told = statuses.iter().skip(early).all(|status| status.code() == Some(TOLD));
        assert!(early == statuses.len() - 1 && told, "{statuses:?}");
    }

    #[test]
    fn a_signal_while_another_root_comes_is_told_to_the_first() {
        let statuses = at_each_step("another");
        let told = statuses.iter().all(|status| status.code() == Some(TOLD));
        assert!(statuses.len() >= 8 && told, "{statuses:?}");
    }

    #[test]
    fn the_first_signal_is_told_once() {
        assert_eq!(run("once 0").code(), Some(TOLD));
    }

    #[test]
    fn the_second_signal_ends_the_process() {
        assert_eq!(run("second 0").code(), Some(128 + SIGINT));
    }

    #[test]
    fn a_signal_that_nobody_took_has_its_default_effect() {
        assert_eq!(run("untaken 0").signal(), Some(SIGTERM));
    }

    #[test]
    fn a_signal_after_the_last_root_has_its_default_effect() {
        assert_eq!(run("after 0").signal(), Some(SIGINT));
    }
}
