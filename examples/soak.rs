//! Kills processes of real trees at random, and looks who survives.
//!
//! ```text
//! cargo run --release --example soak -- [KILLS] [SEED]        1000 kills of seed 1 take a minute
//! ```
//!
//! A tree is seven processes: a root, two children, four leaves that idle, stream, block, are busy
//! or start children without end. A victim is hit anywhere between the birth of its tree and its
//! full bloom:
//! * `root`: the root of a tree of its own. Some of its tree may be stopped (SIGSTOP).
//! * `child`: anybody below such a root, which then ends its tree and fails.
//! * `isolated`: anybody in a tree below this very program, which goes on.
//!
//! The time is that from the kill until nobody of the tree is left. Exit code 1: somebody survived,
//! or this program holds more descriptors or threads than before.
//!
//! One case is counted apart: a process that was stopped in its first milliseconds, before it could
//! ask the kernel to die with its parent. It ends when it is continued.

#[path = "../tests/zombies/procs.rs"]
mod procs;
#[path = "../tests/zombies/tree.rs"]
mod tree;

use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tractor::{ActorNursery, Error, Result, scope};

use procs::{Process, Random, TAG};

/// The environment variable that makes this program a root with the leaves it names.
const LEAF: &str = "SOAK_LEAF";

/// Processes of a tree in bloom, when its leaves have no children.
const TREE: usize = 7;

/// After this long whoever lives is a survivor: the teardown budget and as much again.
const LIMIT: Duration = Duration::from_secs(5);

/// The longest that a tree may take on a busy machine, unless somebody in it is stopped.
const ORPHAN_LIMIT: Duration = Duration::from_secs(3);

/// How long the last threads and timers get to be gone before they are counted.
const SETTLE: Duration = Duration::from_millis(300);

#[tractor::main]
async fn main() -> Result<ExitCode> {
    if let Ok(leaf) = std::env::var(LEAF) {
        tree::say!("node 0 {}", std::process::id());
        tree::grow("0".into(), 2, 2, leaf).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut args = std::env::args().skip(1).map_while(|arg| arg.parse().ok());
    let (kills, seed) = (args.next().unwrap_or(1000), args.next().unwrap_or(1));
    tractor::open_nursery(async |an| Soak::new(seed)?.run(&an, kills).await).await
}

/// What kind of victim.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Root,
    Child,
    Isolated,
}

/// How long each of a class took, and how many survived.
struct Figures {
    class: Class,
    times: Vec<Duration>,
    survivors: usize,
    /// Stopped before they were armed; gone when continued.
    unarmed: usize,
}

struct Soak {
    random: Random,
    seed: u64,
    home: PathBuf,
    /// How long a tree takes to bloom.
    bloom: Duration,
    figures: [Figures; 3],
}

impl Soak {
    fn new(seed: u64) -> Result<Soak> {
        let home = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
        std::fs::create_dir(&home)?;
        let figures = [Class::Root, Class::Child, Class::Isolated];
        let figures =
            figures.map(|class| Figures { class, times: Vec::new(), survivors: 0, unarmed: 0 });
        Ok(Soak { random: Random(seed), seed, home, bloom: Duration::ZERO, figures })
    }

    async fn run(mut self, an: &ActorNursery, kills: u64) -> Result<ExitCode> {
        self.bloom = self.measure_bloom()?;
        // The first one starts the threads that stay.
        self.kill_isolated(an, 0).await?;
        self.figures.iter_mut().for_each(|f| f.times.clear());
        scope::sleep(SETTLE).await?;
        let (start, before) = (Instant::now(), census());
        for number in 1..=kills {
            match self.random.below(10) {
                0..5 => self.kill_in_tree(Class::Root, number)?,
                5..8 => self.kill_in_tree(Class::Child, number)?,
                _ => self.kill_isolated(an, number).await?,
            }
            procs::reap_orphans();
        }
        scope::sleep(SETTLE).await?;
        let after = census();
        println!(
            "{kills} kills, seed {}, {:.1?}, bloom {:.1?}",
            self.seed,
            start.elapsed(),
            self.bloom
        );
        self.figures.iter_mut().for_each(Figures::print);
        println!("descriptors and threads: {before:?} before, {after:?} after");
        println!("directories left to sweep: {}", self.directories());
        std::fs::remove_dir_all(&self.home)?;
        let survivors: usize = self.figures.iter().map(|f| f.survivors).sum();
        let good = survivors == 0 && after.0 <= before.0 && after.1 <= before.1;
        Ok(ExitCode::from(u8::from(!good)))
    }

    /// How long a tree takes until all of it are up: the middle one of five.
    fn measure_bloom(&mut self) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let mut tree = Tree::start("idle", "bloom", &self.home)?;
            for _ in 0..TREE {
                // The tree's end would be an error that shows soon enough.
                let _ = tree.news.recv_timeout(LIMIT);
            }
            times.push(start.elapsed());
            tree.root.kill()?;
            tree.ended(LIMIT);
        }
        times.sort();
        Ok(times[2])
    }

    /// A moment between the birth of a tree and a little after its bloom.
    fn moment(&mut self) -> Duration {
        let micros = u64::try_from(self.bloom.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.random.below(micros * 5 / 4))
    }

    /// Kills somebody in a tree with a root of its own.
    fn kill_in_tree(&mut self, class: Class, number: u64) -> Result<()> {
        let leaf = match class {
            Class::Root => format!("mixed{}", self.random.below(5)),
            // Those that don't listen to their parents would be told twice, and then we would
            // measure that.
            _ => ["idle", "stream"][self.random.below(2) as usize].to_owned(),
        };
        let tag = format!("soak-{}-{number}", std::process::id());
        let mut tree = Tree::start(&leaf, &tag, &self.home)?;
        std::thread::sleep(self.moment());
        let root = tree.root.id();
        let mut victim = root;
        if class == Class::Child {
            victim = self.await_child(&tag, root).unwrap_or(root);
        } else if self.random.below(4) == 0
            && let Some(stopped) = self.pick(&tag, root)
        {
            procs::signal(stopped, Signal::STOP);
        }
        let killed = Instant::now();
        procs::signal(victim, Signal::KILL);
        let mut ended = tree.ended(ORPHAN_LIMIT);
        let late = ended.is_none() && self.continue_stopped(&tag);
        if ended.is_none() {
            ended = tree.ended(LIMIT);
        }
        tree.root.kill()?;
        tree.root.wait()?;
        let left = procs::tagged(&tag);
        if !(late && ended.is_some() && left.is_empty()) {
            self.count(class, ended.map(|at| at.saturating_duration_since(killed)), &left, number);
        }
        Ok(())
    }

    /// Continues those that were stopped before they were armed. Whether there were any.
    fn continue_stopped(&mut self, tag: &str) -> bool {
        let stopped: Vec<Process> =
            procs::tagged(tag).into_iter().filter(|p| p.state == 'T').collect();
        for process in &stopped {
            procs::signal(process.pid, Signal::CONT);
        }
        self.figures[0].unarmed += stopped.len();
        !stopped.is_empty()
    }

    /// Kills somebody in a tree below this program.
    async fn kill_isolated(&mut self, an: &ActorNursery, number: u64) -> Result<()> {
        let tag = format!("soak-{}-{number}", std::process::id());
        let moment = self.moment();
        let own = std::process::id();
        let top = tree::actor(an, "top").isolated().env(TAG, &tag);
        let top = top.stdout(tractor::Stdio::Null).stderr(tractor::Stdio::Null);
        let function = tree::node { path: "0".into(), depth: 2, fanout: 2, leaf: "idle".into() };
        let tree = async { top.run(function).await?.result().await };
        let mut killed = None;
        let killer = async {
            scope::sleep(moment).await?;
            let mut victim = None;
            while victim.is_none() {
                victim = self.pick(&tag, own);
                scope::checkpoint().await?;
            }
            killed = Some(Instant::now());
            victim.map(|victim| procs::signal(victim, Signal::KILL));
            futures_lite::future::pending::<Result<()>>().await
        };
        // However it ends: it was killed, and says so in one of several ways.
        let ended: Result<()> = futures_lite::future::or(tree, killer).await;
        let killed = killed.unwrap_or_else(Instant::now);
        let gone = procs::wait_gone(&tag, LIMIT);
        let left = gone.as_ref().err().cloned().unwrap_or_default();
        if ended.is_ok() {
            return Err(Error::from(std::io::Error::other("a killed tree ended well")));
        }
        self.count(Class::Isolated, gone.ok().map(|_| killed.elapsed()), &left, number);
        Ok(())
    }

    /// Somebody of a tree, but not its root. `None`: there is nobody else yet.
    fn pick(&mut self, tag: &str, root: u32) -> Option<u32> {
        let mut others: Vec<Process> = procs::tagged(tag);
        others.retain(|process| process.pid != root);
        let count = u64::try_from(others.len()).ok().filter(|count| *count > 0)?;
        others.get(self.random.below(count) as usize).map(|process| process.pid)
    }

    /// The same, once there is somebody.
    fn await_child(&mut self, tag: &str, root: u32) -> Option<u32> {
        procs::wait_for(LIMIT, || self.pick(tag, root)).map(|(pid, _)| pid)
    }

    fn count(&mut self, class: Class, took: Option<Duration>, left: &[Process], number: u64) {
        let Some(figures) = self.figures.iter_mut().find(|f| f.class == class) else { return };
        figures.times.push(took.unwrap_or(LIMIT));
        if took.is_none() || !left.is_empty() {
            eprintln!("kill {number} of seed {}: survivors: {left:#?}", self.seed);
            figures.survivors += left.len().max(1);
            for process in left {
                procs::signal(process.pid, Signal::KILL);
            }
        }
    }

    /// What killed roots have left in the runtime directory.
    fn directories(&self) -> usize {
        std::fs::read_dir(self.home.join("tractor")).map_or(0, Iterator::count)
    }
}

impl Figures {
    fn print(&mut self) {
        self.times.sort();
        let at = |percent: usize| {
            let index = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
            self.times.get(index).copied().unwrap_or_default()
        };
        let name = match self.class {
            Class::Root => "root",
            Class::Child => "child",
            Class::Isolated => "isolated",
        };
        let (count, survivors) = (self.times.len(), self.survivors);
        let (p50, p99, max) = (at(50), at(99), at(100));
        println!(
            "{name:8} {count:5} kills, {survivors} survivors, \
             gone after p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}"
        );
        if self.unarmed > 0 {
            println!(
                "{:8} {:5} were stopped before they were armed, gone once continued",
                "", self.unarmed
            );
        }
    }
}

/// Descriptors and threads of this program.
fn census() -> (usize, usize) {
    (procs::fds(std::process::id()), procs::threads(std::process::id()))
}

/// A root of its own. Its pipe is held by all of its tree: when it ends, so has the last of them.
struct Tree {
    root: std::process::Child,
    /// `None` is a node that came up, else when the last holder of the pipe was gone.
    news: Receiver<Option<Instant>>,
}

impl Tree {
    fn start(leaf: &str, tag: &str, home: &Path) -> Result<Tree> {
        let (lines, stdout) = std::io::pipe()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(LEAF, leaf).env(TAG, tag).env("XDG_RUNTIME_DIR", home).process_group(0);
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
        let root = procs::adopt(|| command.spawn())?;
        // Our own hold on the pipe.
        drop(command);
        let (tell, news) = channel();
        // Nobody listens any more once the tree's end was told.
        std::thread::spawn(move || watch(lines, &|what| tell.send(what).unwrap_or_default()));
        Ok(Tree { root, news })
    }

    /// When the last of the tree was gone.
    fn ended(&mut self, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            match self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(None) => {}
                Ok(ended) => return ended,
                Err(_) => return None,
            }
        }
    }
}

fn watch(lines: PipeReader, tell: &dyn Fn(Option<Instant>)) {
    for _ in BufReader::new(lines).lines().map_while(std::io::Result::ok) {
        tell(None);
    }
    tell(Some(Instant::now()));
}
