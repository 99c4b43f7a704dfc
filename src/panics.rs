//! Panics as errors: where they happened, and their message.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic;
use std::sync::{Arc, Once};

use crate::error::PanicReport;

thread_local! {
    /// What the hook saw of this thread's last panic, until somebody catches it.
    static SEEN: RefCell<Option<(String, Option<Arc<str>>)>> = const { RefCell::new(None) };
}

/// Makes the process's panic hook remember the place, then do what it did before. Once.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let at = info.location().map_or_else(String::new, ToString::to_string);
            let backtrace = backtrace();
            let captured = backtrace.status() == BacktraceStatus::Captured;
            let backtrace = captured.then(|| Arc::from(backtrace.to_string()));
            SEEN.with(|seen| *seen.borrow_mut() = Some((at, backtrace)));
            before(info);
        }));
    });
}

/// Where the running code was called from, if that is asked for. Not in a simulation: it would lead
/// to whoever runs that, and what travels in it is to be the same each time.
pub(crate) fn backtrace() -> Backtrace {
    match crate::host::is_simulated() {
        true => Backtrace::disabled(),
        false => Backtrace::capture(),
    }
}

/// The report of a panic that was caught on this thread just now.
pub(crate) fn report(payload: Box<dyn Any + Send>) -> PanicReport {
    let message = match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&'static str>() {
            Ok(text) => (*text).to_owned(),
            Err(_) => "a panic with a value that is no text".to_owned(),
        },
    };
    let seen = SEEN.with(|seen| seen.borrow_mut().take());
    let (location, backtrace) = match seen {
        Some((at, backtrace)) => (Some(at), backtrace),
        None => (None, None),
    };
    PanicReport { message, location, backtrace }
}
