//! What `#[tractor::test]` runs a test with.

use std::ffi::OsString;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tractor_core::Address;
use tractor_executors::Executor;

use crate::ambient::{self, WithRoot};
use crate::root::{ParentLink, RootConfig, over};
use crate::shared::Shared;
use crate::{current, init, os, scope};

/// One test, as the macro knows it.
#[derive(Clone, Copy, Debug)]
pub struct TestSpec {
    /// `module_path!()` of the test.
    pub module_path: &'static str,
    /// The test's function.
    pub name: &'static str,
    /// The limit. After it the tree is printed, and the test fails.
    pub timeout: Duration,
    /// The name of the executor.
    pub executor: &'static str,
    /// The kind of link between parents and children: `socketpair`, `uds` or `tcp`.
    pub link: &'static str,
}

impl TestSpec {
    /// The path under which the test harness knows the test: without the crate.
    fn path(&self) -> String {
        match self.module_path.split_once("::") {
            Some((_, modules)) => format!("{modules}::{}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The arguments that lead the test harness of a child to this very test.
    fn child_args(&self) -> Vec<OsString> {
        vec![self.path().into(), "--exact".into(), "--nocapture".into()]
    }
}

/// Runs a test. Its children are the same binary, told to run this very test, which leads them here
/// again, where they become the actors they are.
///
/// # Panics
/// When the test takes longer than its limit, or leaves a process or a directory behind, or when
/// a child had another kind of link than the test is about.
pub fn run_test<F: Future>(spec: TestSpec, body: impl FnOnce() -> F) -> F::Output {
    if std::env::var_os(crate::os::MARKER_ENV).is_some() {
        // The harness's own stdout is muted; what the actor prints goes where people look.
        let _ = rustix::stdio::dup2_stdout(rustix::stdio::stderr());
        ambient::set_test(spec.child_args(), spec.link);
    }
    init::init();
    let executor = test_executor(&spec);
    let dir = TestDir::create(&spec);
    let mut config = linked(RootConfig::named("root"), spec.link).runtime_dir(dir.0.clone());
    config.child_args = spec.child_args();
    config.mute_children = true;
    config.executor = Some(executor.clone());
    let opened = Opened::default();
    config.opened = Some(opened.clone());
    let limit = Limit { executor: executor.clone(), spec };
    let test = async {
        let scopes = scope::Root::new(executor.clone(), scope::DEFAULT_BUDGET);
        let output = WithRoot::new(config, scopes.run_all(body())).await;
        settle(&opened, spec.link).await;
        output
    };
    let output = init::block_on(executor.as_ref(), limit.run(test));
    check_processes(&spec);
    dir.check_empty();
    output
}

/// The roots that a test opened.
type Opened = Arc<Mutex<Vec<Arc<Shared>>>>;

/// Waits for the roots that the test dropped: they end in the background. The test's limit bounds
/// it. Then no descriptor of theirs is open, and each child had the link it was to have.
async fn settle(opened: &Opened, link: &str) {
    let roots = std::mem::take(&mut *opened.lock().unwrap_or_else(PoisonError::into_inner));
    for root in roots {
        over(&root).await;
        let inner = root.lock();
        assert_eq!(inner.conns.len(), 0, "the tree of {} left connections open", root.uid);
        let others: Vec<_> = inner.links_seen.iter().filter(|seen| **seen != link).collect();
        assert!(others.is_empty(), "children of a test about {link} had {others:?}");
    }
}

/// Fails the test when a process of its trees is left: they all carry the test's path. Programs
/// that it started have trees of their own.
fn check_processes(spec: &TestSpec) {
    let (path, us) = (spec.path(), std::process::id());
    let all = os::probe::process_tree(us);
    let is_actor = |process: &os::probe::ProcessInfo| process.cmdline.contains("_subactor[");
    // As a word: one test's path may be the beginning of another's.
    let carries = |process: &os::probe::ProcessInfo| process.cmdline.split(' ').any(|w| w == path);
    let in_our_tree = |process: &os::probe::ProcessInfo| {
        let mut above = process.ppid;
        while above != us {
            match all.iter().find(|p| p.pid == above).filter(|p| is_actor(p)) {
                Some(parent) => above = parent.ppid,
                None => return false,
            }
        }
        true
    };
    let left: Vec<_> = all.iter().filter(|p| is_actor(p) && carries(p) && in_our_tree(p)).collect();
    assert!(left.is_empty(), "the test left processes behind: {left:?}");
}

/// What a tree is whose children have this kind of link.
fn linked(config: RootConfig, link: &str) -> RootConfig {
    match link {
        crate::LINK_SOCKETPAIR => config,
        "uds" => config.parent_link(ParentLink::ConnectBack),
        "tcp" => {
            let any = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 0 };
            config.parent_link(ParentLink::ConnectBack).registry_addrs([any])
        }
        other => panic!("there is no link of the kind `{other}`"),
    }
}

/// Each test has an executor of its own, on its own thread.
fn test_executor(spec: &TestSpec) -> Arc<dyn Executor> {
    match spec.executor {
        #[cfg(feature = "smol")]
        "smol" => Arc::new(tractor_executors::smol::Smol::new()),
        #[cfg(feature = "tokio")]
        "tokio" => Arc::new(tokio(tractor_executors::tokio::Tokio::current_thread())),
        #[cfg(feature = "tokio")]
        "tokio-multi-thread" => Arc::new(tokio(tractor_executors::tokio::Tokio::multi_thread())),
        other => init::executor(other)
            .unwrap_or_else(|| panic!("the executor `{other}` needs the feature of that name")),
    }
}

#[cfg(feature = "tokio")]
fn tokio(
    made: std::io::Result<tractor_executors::tokio::Tokio>,
) -> tractor_executors::tokio::Tokio {
    made.unwrap_or_else(|e| panic!("can't make a tokio runtime: {e}"))
}

/// A directory of the test's own, for its tree.
struct TestDir(std::path::PathBuf);

impl TestDir {
    fn create(spec: &TestSpec) -> TestDir {
        use std::os::unix::fs::DirBuilderExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tractor-test-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        assert!(made.is_ok(), "{}: can't make {}: {made:?}", spec.name, path.display());
        TestDir(path)
    }

    /// Fails the test when its tree left something behind.
    fn check_empty(&self) {
        let left: Vec<_> = std::fs::read_dir(&self.0)
            .map(|entries| entries.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        assert!(left.is_empty(), "the test's tree left files behind: {left:?}");
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        // A test that failed may have left something; it is reported by then.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The test's limit.
struct Limit {
    executor: Arc<dyn Executor>,
    spec: TestSpec,
}

impl Limit {
    async fn run<F: Future>(self, body: F) -> F::Output {
        let mut timer = self.executor.timer();
        timer.set(Some(self.executor.now() + self.spec.timeout));
        let mut body = Box::pin(body);
        std::future::poll_fn(|cx| {
            if let std::task::Poll::Ready(output) = body.as_mut().poll(cx) {
                return std::task::Poll::Ready(output);
            }
            if timer.poll_expired(cx).is_ready() {
                let tree = current::dump();
                panic!("{} takes longer than {:?}:\n{tree}", self.spec.name, self.spec.timeout);
            }
            std::task::Poll::Pending
        })
        .await
    }
}
