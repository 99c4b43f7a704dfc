//! Runs that must not log an error: each thread counts for itself, so that seeds run side by side.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Once;

use tractor::sim::{self, Config, Run};
use tractor::{Error, Result};

thread_local! {
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Errors;

impl log::Log for Errors {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Error
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = format!("{}: {}", record.target(), record.args());
            ERRORS.with_borrow_mut(|errors| errors.push(text));
        }
    }

    fn flush(&self) {}
}

/// [`sim::run`], in which nothing is logged at the level of errors.
#[track_caller]
pub(crate) fn run<T, Fut>(config: impl Into<Config>, program: impl FnOnce() -> Fut) -> Run<T, Error>
where
    Fut: Future<Output = Result<T>>,
{
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Errors).expect("nobody else sets one");
        log::set_max_level(log::LevelFilter::Error);
    });
    let config = config.into();
    let shown = format!("{config:?}");
    let run = sim::run(config, program);
    let logged = ERRORS.take();
    assert_eq!(logged, [""; 0], "{shown}");
    run
}

/// What is logged at that level is seen.
#[test]
fn an_error_that_is_logged_is_found() {
    let found = std::panic::catch_unwind(|| {
        run(1, || async {
            log::error!("on purpose");
            Ok(())
        })
    });
    assert!(found.is_err());
}
