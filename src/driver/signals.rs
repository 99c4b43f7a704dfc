//! What a root hears of SIGINT and SIGTERM.

use std::io;
use std::task::Context;
use std::time::Duration;

use tractor_core::EndReason;
use tractor_executors::{Direction, Readiness, Timer};

use super::Driver;
use crate::log::debug;
use crate::os;
use crate::ready::Source;

/// How long a root whose child died of a signal waits for its own copy of it, at its end. Both were
/// sent in one go, but ours may be given to a thread that does not get to run yet.
const OWN_COPY_WAIT: Duration = Duration::from_millis(250);

/// The signals of a root.
pub(super) struct Signals {
    caught: os::RootSignals,
    readiness: Box<dyn Readiness>,
    hearing: Hearing,
}

/// Whether there is a signal for us.
enum Hearing {
    /// Nobody knows.
    Listening,
    /// A child died of one that was not ours: Ctrl-C, before it was ready to catch it. We leave it
    /// time until then.
    Expecting(Box<dyn Timer>),
    /// It came.
    Heard,
}

impl Driver {
    /// Watches the root's signals, before the driver runs.
    pub(crate) fn watch_signals(&mut self, signals: os::RootSignals) -> io::Result<()> {
        let readiness = self.shared.executor.watch(signals.fd())?;
        self.signals = Some(Signals { caught: signals, readiness, hearing: Hearing::Listening });
        self.shared.ready.wake(Source::Signals);
        Ok(())
    }

    pub(super) fn look_at_signals(&mut self) {
        let waker = self.waker(Source::Signals);
        loop {
            let Some(signals) = &mut self.signals else { return };
            let mut signal = None;
            let _ = signals.readiness.try_io(Direction::Read, &mut || {
                signal = signals.caught.take();
                signal.map(|_| 0).ok_or_else(|| io::ErrorKind::WouldBlock.into())
            });
            if let Some(signal) = signal {
                signals.hearing = Hearing::Heard;
                self.interrupt(signal);
            } else if signals.readiness.poll_readable(&mut Context::from_waker(&waker)).is_pending()
            {
                return;
            }
        }
    }

    /// The first signal cancels the tree. (The second ends the process, whatever it does.)
    fn interrupt(&mut self, signal: i32) {
        debug!("tractor::cancel", "signal {signal}: cancelling the tree");
        let (now, mut inner) = self.shared.lock_now();
        let why = EndReason::Interrupted { signal };
        if inner.core.cancel_self(now, why.clone()).is_err() {
            // Ending already, maybe of children that the same signal has ended: it is the reason.
            inner.ending = Some(why);
        }
        inner.drain_events();
    }

    /// A child died of a signal that we did not send.
    pub(super) fn expect_signal(&mut self, signal: i32) {
        let Some(signals) = &mut self.signals else { return };
        if os::ROOT_SIGNALS.contains(&signal) && matches!(signals.hearing, Hearing::Listening) {
            let mut timer = self.shared.executor.timer();
            timer.set(Some(self.shared.executor.now() + OWN_COPY_WAIT));
            signals.hearing = Hearing::Expecting(timer);
        }
    }

    /// Whether our own copy of a signal may still come. Wakes the driver when that is over.
    pub(super) fn expects_signal(&mut self) -> bool {
        let waker = self.waker(Source::Signals);
        match self.signals.as_mut().map(|signals| &mut signals.hearing) {
            Some(Hearing::Expecting(timer)) => {
                timer.poll_expired(&mut Context::from_waker(&waker)).is_pending()
            }
            _ => false,
        }
    }
}
