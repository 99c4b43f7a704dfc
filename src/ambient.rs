//! What the macros settle for the code under them: the root's configuration in a test, and whether
//! signals cancel the tree.

use std::cell::RefCell;
use std::ffi::OsString;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::root::RootConfig;

thread_local! {
    static ROOT: RefCell<Option<RootConfig>> = const { RefCell::new(None) };
}

/// `#[tractor::main]` runs this program: its signals are the tree's.
static MAIN: AtomicBool = AtomicBool::new(false);

/// See [`interrupted`]; 0 is none.
static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// What a child of a test knows of the test.
static TEST: OnceLock<TestChild> = OnceLock::new();

struct TestChild {
    /// What it passes on to its own children: the test's path.
    args: Vec<OsString>,
    /// The kind of link that all children of the test have.
    link: &'static str,
}

pub(crate) fn set_test(args: Vec<OsString>, link: &'static str) {
    TEST.get_or_init(|| TestChild { args, link });
}

/// The arguments that lead a child of this child to its test; `None` when this is none.
pub(crate) fn test_args() -> Option<Vec<OsString>> {
    TEST.get().map(|test| test.args.clone())
}

/// Refuses another kind of link than the one that the test is about.
pub(crate) fn check_link(link: &str) -> Result<()> {
    match TEST.get() {
        Some(test) if test.link != link => {
            Err(Error::config(format!("the test is about {}, and its child has {link}", test.link)))
        }
        _ => Ok(()),
    }
}

pub(crate) fn set_main() {
    MAIN.store(true, Ordering::Relaxed);
}

/// Whether roots handle signals by default.
pub(crate) fn signals() -> bool {
    MAIN.load(Ordering::Relaxed)
}

/// A signal has ended a root of this program.
pub(crate) fn set_interrupted(signal: i32) {
    INTERRUPTED.store(signal, Ordering::Relaxed);
}

/// The last signal that has ended a root of this program.
pub(crate) fn interrupted() -> Option<i32> {
    Some(INTERRUPTED.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
}

/// What roots are by default in the running code.
pub(crate) fn root_config() -> Option<RootConfig> {
    ROOT.with(|root| root.borrow().clone())
}

/// A future under which roots are, by default, like `config`.
pub(crate) struct WithRoot<F> {
    config: Option<RootConfig>,
    future: Pin<Box<F>>,
}

impl<F> WithRoot<F> {
    pub(crate) fn new(config: RootConfig, future: F) -> Self {
        WithRoot { config: Some(config), future: Box::pin(future) }
    }
}

impl<F: Future> Future for WithRoot<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mine = self.config.clone();
        let before = ROOT.with(|root| root.replace(mine));
        let _restore = Restore(before);
        self.future.as_mut().poll(cx)
    }
}

struct Restore(Option<RootConfig>);

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        ROOT.with(|root| *root.borrow_mut() = before);
    }
}
