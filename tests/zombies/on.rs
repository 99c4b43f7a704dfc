//! What a tree runs on. Each test that is listed by [`on_each`] is run on all of these.

use std::cell::Cell;
use std::str::FromStr;

/// An executor and a kind of link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct On {
    pub(crate) executor: &'static str,
    pub(crate) link: &'static str,
}

pub(crate) const SMOL_SOCKETPAIR: On = On { executor: "smol", link: "socketpair" };
pub(crate) const TOKIO_UDS: On = On { executor: "tokio", link: "uds" };
pub(crate) const TOKIO_MULTI_THREAD_TCP: On = On { executor: "tokio-multi-thread", link: "tcp" };

impl FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<On, String> {
        let all = [SMOL_SOCKETPAIR, TOKIO_UDS, TOKIO_MULTI_THREAD_TCP];
        let found = all.into_iter().find(|on| on.to_string() == text);
        found.ok_or_else(|| format!("no tree runs on {text}"))
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.executor, self.link)
    }
}

thread_local! {
    static CURRENT: Cell<On> = const { Cell::new(SMOL_SOCKETPAIR) };
}

/// What the trees of the running test are to run on.
pub(crate) fn current() -> On {
    CURRENT.get()
}

/// Runs a test whose trees run on this. A test has a thread of its own.
pub(crate) fn run(on: On, test: fn()) {
    CURRENT.set(on);
    test();
}

/// Makes of each fn a test on each of these: `name::tokio_uds`.
#[macro_export]
macro_rules! on_each {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use $crate::on;

            #[test]
            fn smol_socketpair() {
                on::run(on::SMOL_SOCKETPAIR, super::$name);
            }

            #[test]
            fn tokio_uds() {
                on::run(on::TOKIO_UDS, super::$name);
            }

            #[test]
            fn tokio_multi_thread_tcp() {
                on::run(on::TOKIO_MULTI_THREAD_TCP, super::$name);
            }
        })+
    };
}
