//! This program as a child of a Python parent.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::functions::STUCK;
use crate::orders::EXECUTOR;
use crate::program::{Ended, Running, TempDir, run, start, temp_dir};
use crate::python::Python;
use crate::runner::{Test, test};

/// What is tried on each executor, over each kind of address.
pub(crate) const ON: [(&str, &str); 4] =
    [("smol", "tcp"), ("smol", "uds"), ("tokio", "tcp"), ("tokio-multi-thread", "uds")];

pub(crate) fn tests(python: &Python) -> Vec<Test> {
    let mut tests = Vec::new();
    for on in ON {
        let python = python.clone();
        let name = format!("child_of_python_serves::{}_{}", on.0.replace('-', "_"), on.1);
        tests.push(test(name, move || serves(&python, on)));
    }
    let mut add = |name: &str, body: fn(&Python)| {
        let python = python.clone();
        tests.push(test(format!("child_of_python_{name}"), move || body(&python)));
    };
    add("dies_with_its_parent_at_any_moment", dies_at_any_moment);
    add("dies_with_its_parent_though_stuck", dies_though_stuck);
    add("dies_with_its_parent_though_stopped", dies_though_stopped);
    add("is_killed_and_its_parent_goes_on", is_killed);
    tests
}

/// A Python parent whose child is this program.
struct Parent {
    command: Command,
    _dir: TempDir,
}

fn parent(python: &Python, (executor, link): (&str, &str)) -> Parent {
    let dir = temp_dir();
    let mut command = python.peer("parent");
    command.arg("--exec").arg(std::env::current_exe().unwrap());
    let bind = match link {
        "uds" => format!("/unix{}/parent.sock", dir.path().display()),
        _ => "/ip4/127.0.0.1/tcp/0".to_owned(),
    };
    command.args(["--bind", &bind]).env(EXECUTOR, executor);
    Parent { command, _dir: dir }
}

/// Everything that a base peer can ask of an actor, in the base's order; then it is cancelled,
/// takes its record back, and exits with 0.
fn serves(python: &Python, on: (&str, &str)) {
    let ended: Ended = run(parent(python, on).command);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let last = ended.stdout.lines().last().unwrap_or_default();
    assert_eq!(last, r#"{"event": "exit", "code": 0, "unregistered": true}"#, "{ended:?}");
}

/// Nothing of a tree is left so long after its root was killed; most of it is a busy machine's.
const SURVIVORS_MAX: Duration = Duration::from_secs(5);

/// The process that the Python parent has started, once there is one.
fn child_of(parent: &Running) -> Pid {
    let start = Instant::now();
    loop {
        let all = parent.processes();
        let found = all.iter().find(|line| line.contains(" -m tractor._child "));
        if let Some((pid, _)) = found.and_then(|line| line.split_once(' ')) {
            return Pid::from_raw(pid.parse().unwrap()).unwrap();
        }
        assert!(start.elapsed() < crate::program::LIMIT, "no child was started: {all:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the parent, and waits until nothing is left of either.
pub(crate) fn kill_parent(parent: Running) {
    parent.signal(Signal::KILL);
    let start = Instant::now();
    parent.ended();
    assert!(start.elapsed() < SURVIVORS_MAX, "gone after {:?}", start.elapsed());
}

/// Whatever it was doing: connecting, booting, registering, serving.
fn dies_at_any_moment(python: &Python) {
    for (n, millis) in [0, 3, 6, 10, 15, 25, 50, 100, 200, 400].into_iter().enumerate() {
        let parent = parent(python, ON[n % ON.len()]);
        let running = start(parent.command);
        child_of(&running);
        std::thread::sleep(Duration::from_millis(millis));
        kill_parent(running);
    }
}

/// No task of it runs any more: the lifeline is a thread.
fn dies_though_stuck(python: &Python) {
    let mut parent = parent(python, ON[0]);
    parent.command.arg("cancel_call").env(STUCK, "1");
    let running = start(parent.command);
    running.says("stuck");
    kill_parent(running);
}

/// Not even the lifeline runs until the kernel wakes it.
fn dies_though_stopped(python: &Python) {
    let mut parent = parent(python, ON[1]);
    parent.command.arg("cancel_call").env(STUCK, "1");
    let running = start(parent.command);
    running.says("stuck");
    kill_process(child_of(&running), Signal::STOP).unwrap();
    kill_parent(running);
}

/// The parent sees its end, as that of any process.
fn is_killed(python: &Python) {
    let mut parent = parent(python, ON[0]);
    parent.command.arg("cancel_call").env(STUCK, "1");
    let running = start(parent.command);
    running.says("stuck");
    kill_process(child_of(&running), Signal::KILL).unwrap();
    let ended = running.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
}
