//! This program as the root of a tree with children that run Python.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::sleep as sleep_here;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use tractor::scope::sleep;
use tractor::{
    Absorb as _, ActorNursery, Error, ForeignContext, Portal, RecvHalf, Result, Stdio, find_actor,
    get_registry, open_nursery,
};

use crate::any::Any;
use crate::children::{ON, kill_parent};
use crate::orders::root;
use crate::program::{Ended, Running, run, start as start_program, temp_dir};
use crate::python::Python;
use crate::runner::{Test, test};

const NS: &str = "interop";
const FOREVER: Duration = Duration::from_secs(3600);

/// What a root can be told to do.
pub(crate) async fn obey(order: &str) -> Result<()> {
    open_nursery(async |an| match order {
        "use" => use_all(&an).await,
        "sleep" => wait_for_ever(&an).await,
        "miss" => no_such_module(&an).await,
        "find" => no_such_interpreter(&an).await,
        "exit" => never_connects(&an).await,
        "stop" => is_stopped(&an).await,
        other => panic!("nobody knows how to {other}"),
    })
    .await
}

async fn start(an: &ActorNursery, name: &str) -> Result<Portal> {
    an.start_python(name, [NS]).stderr(Stdio::Tee).await
}

fn args<const N: usize>(args: [(&'static str, Any); N]) -> BTreeMap<&'static str, Any> {
    BTreeMap::from(args)
}

/// Everything that can be asked of an actor.
async fn use_all(an: &ActorNursery) -> Result<()> {
    let py = start(an, "it's py").await?;
    use_portal(&py).await?;
    // It has registered by itself, and can be found.
    let found = async |found: Option<Portal>| {
        let found = found.expect("it is registered");
        found.call::<i64>(NS, "add", &args([("a", Any::Signed(-1)), ("b", Any::Signed(1))])).await
    };
    assert_eq!(find_actor("it's py", found).await?, 0);
    assert_eq!(get_registry().await?.len(), 2);
    py.cancel_actor().await?;
    py.wait_closed().await?;
    assert_eq!(get_registry().await?.len(), 1);
    eprintln!("used");
    Ok(())
}

/// Everything that can be asked of one that runs Python.
pub(crate) async fn use_portal(py: &Portal) -> Result<()> {
    calls(py).await?;
    streams(py).await?;
    contexts(py).await?;
    many_items(py).await?;
    cancels(py).await
}

async fn calls(py: &Portal) -> Result<()> {
    let two = args([("a", Any::Unsigned(1)), ("b", Any::Unsigned(2))]);
    assert_eq!(py.call::<u64>(NS, "add", &two).await?, 3);
    let value = Any::List(vec![
        Any::None,
        Any::Bool(true),
        Any::Signed(-7),
        Any::Float(1.5),
        Any::Text("✓".into()),
        Any::Bytes(vec![0, 255]),
        Any::Map(vec![(Any::Text("a".into()), Any::List(vec![]))]),
    ]);
    let back: Any = py.call(NS, "echo", &args([("x", value.clone())])).await?;
    assert_eq!(back, value);
    let large = "x".repeat(3_000_000);
    let back: String = py.call(NS, "echo", &args([("x", Any::Text(large.clone()))])).await?;
    assert_eq!(back, large);
    let kind = args([("kind", Any::Text("KeyError".into()))]);
    let failed = py.call::<()>(NS, "fail", &kind).await;
    let Err(Error::Remote(error)) = failed else { panic!("{failed:?}") };
    assert_eq!((error.type_name(), error.source_actor()), ("KeyError", py.uid()));
    let failed = py.call::<()>("os", "getpid", &()).await;
    assert!(matches!(failed, Err(Error::ModuleNotExposed(_))), "{failed:?}");
    let failed = py.call::<()>(NS, "add", &()).await;
    assert_eq!(failed.unwrap_err().type_name(), "TypeError");
    Ok(())
}

async fn streams(py: &Portal) -> Result<()> {
    let five = args([("n", Any::Unsigned(5))]);
    let all = py.call_stream(NS, "count_to", &five, async |mut numbers: RecvHalf<u64>| {
        let mut all = Vec::new();
        while let Some(n) = numbers.next().await? {
            all.push(n);
        }
        Ok(all)
    });
    assert_eq!(all.await?, [1, 2, 3, 4, 5]);
    let some = py.call_stream(NS, "count_forever", &(), async |mut numbers: RecvHalf<u64>| {
        Ok([numbers.recv().await?, numbers.recv().await?])
    });
    assert_eq!(some.await?, [1, 2]);
    Ok(())
}

async fn contexts(py: &Portal) -> Result<()> {
    let ten = args([("start", Any::Unsigned(10))]);
    type Counter = ForeignContext<i64, i64, i64, i64>;
    let sum = py.call_context(NS, "counter", &ten, async |ctx: Counter, first| {
        assert_eq!(first, 10);
        let mut stream = ctx.open_stream().await?;
        for step in [1, 2, -3] {
            stream.send(step).await?;
            eprintln!("a sum: {}", stream.recv().await?);
        }
        stream.stop();
        ctx.wait_for_result().await
    });
    assert_eq!(sum.await?, 10);
    let kind = args([("kind", Any::Text("ValueError".into()))]);
    type Failing = ForeignContext<String, u64, u64, ()>;
    let failed = py.call_context(NS, "fail_streaming", &kind, async |ctx: Failing, first| {
        assert_eq!(first, "ok");
        let mut stream = ctx.open_stream().await?;
        assert_eq!(stream.recv().await?, 1);
        // It may say that it stops before it says that it failed.
        while stream.next().await?.is_some() {}
        Ok(())
    });
    let failed = failed.await;
    let Err(Error::Remote(error)) = failed else { panic!("{failed:?}") };
    assert_eq!(error.type_name(), "ValueError");
    Ok(())
}

/// A reader that is busy with each item is not overrun, however fast we are.
async fn many_items(py: &Portal) -> Result<()> {
    const MANY: i64 = 1000;
    let zero = args([("start", Any::Unsigned(0))]);
    type Counter = ForeignContext<i64, i64, i64, i64>;
    let sum = py.call_context(NS, "counter", &zero, async |ctx: Counter, _| {
        let (mut items, mut sums) = ctx.open_stream().await?.split();
        tractor::scope::open_nursery(async |tn| {
            tn.start_soon(async move {
                for _ in 0..MANY {
                    items.send(1).await?;
                }
                items.stop();
                Ok(())
            });
            for sum in 1..=MANY {
                assert_eq!(sums.recv().await?, sum);
            }
            Ok(())
        })
        .await?;
        ctx.wait_for_result().await
    });
    assert_eq!(sum.await?, MANY);
    Ok(())
}

async fn cancels(py: &Portal) -> Result<()> {
    type Sleeping = ForeignContext<String, (), (), ()>;
    let slept = py.call_context(NS, "sleep_until_cancelled", &(), async |ctx: Sleeping, _| {
        ctx.cancel().await?;
        ctx.wait_for_result().await
    });
    assert_eq!(slept.await.absorb()?, None);
    // A call that nobody waits for any more is cancelled there, too.
    let hour = args([("seconds", Any::Float(3600.0))]);
    let limit = Duration::from_millis(50);
    let nap = tractor::scope::move_on_after(limit, py.call::<f64>(NS, "nap", &hour)).await;
    assert!(nap.is_none(), "{nap:?}");
    Ok(())
}

async fn wait_for_ever(an: &ActorNursery) -> Result<()> {
    let first = start(an, "first").await?;
    start(an, "second").await?;
    eprintln!("sleeps with {}", first.pid().expect("a child is a process"));
    sleep(FOREVER).await
}

/// It says why it can't begin, and the nursery fails of that.
async fn no_such_module(an: &ActorNursery) -> Result<()> {
    let py = start(an, "first").await?;
    an.start_python("second", ["no.such.module"]).stderr(Stdio::Null).isolated().await?;
    let failure = an.next_failure().await?;
    assert_eq!((failure.name(), failure.error().unwrap().type_name()), ("second", MISSING));
    // The other one lives on.
    let two = args([("a", Any::Unsigned(1)), ("b", Any::Unsigned(2))]);
    assert_eq!(py.call::<u64>(NS, "add", &two).await?, 3);
    an.start_python("third", ["no.such.module"]).stderr(Stdio::Null).await?;
    sleep(FOREVER).await
}

/// What Python says of a module that it does not find.
const MISSING: &str = "ModuleNotFoundError";

async fn no_such_interpreter(an: &ActorNursery) -> Result<()> {
    let missing = an.start_python("py", [NS]).python("/no/such/python").await;
    let Err(Error::Misuse(why)) = missing else { panic!("{missing:?}") };
    assert!(why.to_string().contains("`/no/such/python`"), "{why}");
    assert_eq!(an.children(), [""; 0], "nothing was started");
    Ok(())
}

/// Known at once, and not when the boot deadline has come.
async fn never_connects(an: &ActorNursery) -> Result<()> {
    an.start_python("py", [NS]).python("false").await?;
    Ok(())
}

/// It does not answer, nor hear SIGTERM.
async fn is_stopped(an: &ActorNursery) -> Result<()> {
    let py = start(an, "py").await?;
    let pid = py.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    py.cancel_actor().await?;
    py.wait_closed().await
}

/// `what` names the Python that is tried.
pub(crate) fn tests(python: &Python, what: &str) -> Vec<Test> {
    let mut tests = Vec::new();
    for on in ON {
        let python = python.clone();
        let executor = on.0.replace('-', "_");
        let name = format!("child_that_is_{what}_is_used::{executor}_{}", on.1);
        tests.push(test(name, move || is_used(&python, on)));
    }
    let mut add = |name: &str, body: fn(&Python)| {
        let python = python.clone();
        tests.push(test(format!("child_that_is_{what}_{name}"), move || body(&python)));
    };
    add("dies_with_its_parent_at_any_moment", dies_at_any_moment);
    add("is_killed_and_takes_the_nursery_along", is_killed);
    add("ends_with_ctrl_c", is_interrupted);
    add("is_ended_by_force_when_it_is_stopped", is_forced);
    add("says_that_it_has_no_module", has_no_module);
    add("needs_an_interpreter", |python| succeeds(python, "find"));
    add("never_connects", |python| {
        let ended = run(root(python, "exit", ON[0]));
        assert!(ended.stderr.contains("failed while connecting"), "{ended:?}");
        assert!(ended.stderr.contains("exit code 1"), "{ended:?}");
    });
    tests
}

fn succeeds(python: &Python, order: &str) {
    let ended = run(root(python, order, ON[0]));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

/// Says of itself that it sleeps, with this child.
fn sleeping(python: &Python, on: (&str, &str)) -> (Running, Pid) {
    sleeping_in(None, python, on)
}

/// With this directory for what there is at run time.
fn sleeping_in(dir: Option<&Path>, python: &Python, on: (&str, &str)) -> (Running, Pid) {
    let mut command = root(python, "sleep", on);
    if let Some(dir) = dir {
        command.env("XDG_RUNTIME_DIR", dir);
    }
    let running = start_program(command);
    let said = running.says_what_begins_with("sleeps with ");
    (running, Pid::from_raw(said.parse().unwrap()).unwrap())
}

/// Its process is foreign, and dies with its parent all the same: while it is being made, while it
/// boots, while it serves.
fn dies_at_any_moment(python: &Python) {
    for (n, millis) in [0, 2, 4, 8, 15, 30, 60, 120, 250, 500].into_iter().enumerate() {
        let running = start_program(root(python, "sleep", ON[n % ON.len()]));
        sleep_here(Duration::from_millis(millis));
        kill_parent(running);
    }
    for on in ON {
        let (running, child) = sleeping(python, on);
        kill_process(child, Signal::STOP).unwrap();
        kill_parent(running);
    }
}

/// It leaves no socket behind either.
fn is_killed(python: &Python) {
    for on in ON {
        let dir = temp_dir();
        let (running, child) = sleeping_in(Some(dir.path()), python, on);
        kill_process(child, Signal::KILL).unwrap();
        let ended = running.ended();
        assert_eq!(ended.code(), Some(1), "{ended:?}");
        let report = "Error: actor first@";
        let last = ended.stderr.lines().find(|line| line.starts_with(report));
        let last = last.unwrap_or_else(|| panic!("{ended:?}"));
        assert!(last.contains("killed by signal 9 (SIGKILL)"), "{ended:?}");
        let left = std::fs::read_dir(dir.path().join("tractor")).unwrap().count();
        assert_eq!(left, 0, "{}", dir.path().display());
    }
}

/// The terminal sends it to all processes of the tree.
fn is_interrupted(python: &Python) {
    for on in ON {
        let (running, _) = sleeping(python, on);
        running.signal_group(Signal::INT);
        let ended = running.ended();
        assert_eq!(ended.code(), Some(130), "{ended:?}");
    }
}

fn is_forced(python: &Python) {
    let start = Instant::now();
    succeeds(python, "stop");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

fn has_no_module(python: &Python) {
    let ended = run(root(python, "miss", ON[0]));
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("Error: actor third@"), "{ended:?}");
    assert!(ended.stderr.contains(MISSING), "{ended:?}");
}

fn is_used(python: &Python, on: (&str, &str)) {
    let ended: Ended = run(root(python, "use", on));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.ends_with("used\n"), "{ended:?}");
}
