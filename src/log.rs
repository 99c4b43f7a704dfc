//! Logging: the `log` facade, with the actor and the task on each record.
//!
//! | target | what |
//! |---|---|
//! | `tractor::transport` | connections, handshakes, violations |
//! | `tractor::runtime` | actors, children, tasks |
//! | `tractor::cancel` | cancellations and teardown |
//! | `tractor::devx` | help for people: dumps, the debugger |
//!
//! A program installs the logger it likes; the records carry the keys `actor` and `task`. A child
//! runs no code of the program's `main`, so it gets a logger of ours, on stderr, at the level that
//! was chosen for it.

use std::io::Write as _;
use std::sync::Once;

macro_rules! record {
    ($level:ident, $target:literal, $($arg:tt)+) => {
        if ::log::log_enabled!(target: $target, ::log::Level::$level) {
            let (actor, task) = $crate::current::names();
            ::log::log!(
                target: $target, ::log::Level::$level,
                actor = actor.as_str(), task = task.as_str(); $($arg)+
            );
        }
    };
}
/// A record made under an actor's lock: kept, and written once the lock is released, as a logger is
/// the program's own code.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) level: log::Level,
    pub(crate) target: &'static str,
    pub(crate) text: String,
}

impl Note {
    pub(crate) fn write(self) {
        let (actor, task) = crate::current::names();
        let Note { level, target, text } = self;
        let (actor, task) = (actor.as_str(), task.as_str());
        log::log!(target: target, level, actor = actor, task = task; "{text}");
    }
}

macro_rules! note {
    ($inner:expr, $level:ident, $target:literal, $($arg:tt)+) => {
        // Not `log_enabled!`: that asks the logger, under the lock.
        if ::log::Level::$level <= ::log::max_level() {
            let (level, target) = (::log::Level::$level, $target);
            let text = format!($($arg)+);
            $inner.note($crate::log::Note { level, target, text });
        }
    };
}
macro_rules! debug { ($($arg:tt)+) => { $crate::log::record!(Debug, $($arg)+) }; }
macro_rules! warning { ($($arg:tt)+) => { $crate::log::record!(Warn, $($arg)+) }; }
macro_rules! error { ($($arg:tt)+) => { $crate::log::record!(Error, $($arg)+) }; }

pub(crate) use debug;
pub(crate) use error;
pub(crate) use note;
pub(crate) use record;
pub(crate) use warning;

/// The logger of a child: one line a record, on stderr.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let (actor, task) = crate::current::names();
        let (level, target) = (record.level(), record.target());
        let mut stderr = std::io::stderr().lock();
        // A closed stderr must not end the actor.
        let _ = writeln!(stderr, "{level:5} ({actor}, {task}) {target}: {}", record.args());
    }

    fn flush(&self) {}
}

/// Sets the level of a child, `off` when none was chosen, and installs its logger.
pub(crate) fn init_child(level: Option<&str>) {
    static ONCE: Once = Once::new();
    let level = level.and_then(|l| l.parse().ok()).unwrap_or(log::LevelFilter::Off);
    ONCE.call_once(|| {
        if log::set_logger(&Stderr).is_ok() {
            log::set_max_level(level);
        }
    });
}
