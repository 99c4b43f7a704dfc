//! Two programs that share a registry: one of ours and one in Python, each as the one that serves.

use std::process::Command;

use tractor::scope::sleep;
use tractor::{Portal, Result, current_actor, find_actor, get_registry};

use crate::children::ON;
use crate::functions::FOREVER;
use crate::orders::{REGISTRY, root};
use crate::parents;
use crate::program::{TempDir, run, start, temp_dir};
use crate::python::Python;
use crate::runner::{Test, test};

pub(crate) fn tests(python: &Python) -> Vec<Test> {
    let mut tests = Vec::new();
    for on in ON {
        let on_name = format!("{}_{}", on.0.replace('-', "_"), on.1);
        let one = python.clone();
        let name = format!("client_of_a_python_registrar::{on_name}");
        tests.push(test(name, move || uses_python(&one, on)));
        let one = python.clone();
        let name = format!("registrar_that_python_comes_to::{on_name}");
        tests.push(test(name, move || serves_python(&one, on)));
    }
    tests
}

/// Joins the registrar that Python is, uses it, and ends it.
pub(crate) async fn join() -> Result<()> {
    let actor = current_actor()?;
    assert!(!actor.is_registrar(), "Python is");
    let names = |all: Vec<(tractor::Uid, _)>| -> Vec<String> {
        all.iter().map(|(uid, _)| uid.name.to_string()).collect()
    };
    let registered = names(get_registry().await?);
    assert!(registered.contains(&actor.name().to_owned()), "{registered:?}");
    let found = async |found: Option<Portal>| {
        let py = found.expect("it is registered");
        parents::use_portal(&py).await?;
        py.cancel_actor().await
    };
    find_actor("py", found).await
}

/// Keeps the registry and serves, until Python cancels it.
pub(crate) async fn serve() -> Result<()> {
    assert!(current_actor()?.is_registrar());
    eprintln!("serving {}", current_actor()?.registry_addrs()[0]);
    sleep(FOREVER).await
}

/// Where the one that serves listens.
fn place(link: &str) -> (TempDir, String) {
    let dir = temp_dir();
    let addr = match link {
        "uds" => format!("/unix{}/registry.sock", dir.path().display()),
        _ => "/ip4/127.0.0.1/tcp/0".to_owned(),
    };
    (dir, addr)
}

/// With what it prints where it is read line by line.
fn told_on_stderr(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" >&2"]).arg(command.get_program());
    shell.args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    shell
}

/// What stands between `"addr": "` and the next quote.
fn address(ready: &str) -> &str {
    let (_, addr) = ready.split_once("\"addr\": \"").expect("it says where it is");
    addr.split('"').next().unwrap()
}

fn uses_python(python: &Python, on: (&str, &str)) {
    let (_dir, bind) = place(on.1);
    let mut server = python.peer("server");
    server.args(["--name", "py", "--bind", &bind]);
    let server = start(told_on_stderr(&server));
    let ready = server.says_what_begins_with("{\"event\": \"ready\"");
    let mut client = root(python, "join", on);
    client.env(REGISTRY, address(&ready));
    let ended = run(client);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let ended = server.ended();
    assert_eq!(ended.code(), Some(0), "cancelled, and nothing that ends a Python peer: {ended:?}");
}

fn serves_python(python: &Python, on: (&str, &str)) {
    let (_dir, bind) = place(on.1);
    let mut server = root(python, "serve", on);
    server.env(REGISTRY, &bind);
    let server = start(server);
    let addr = server.says_what_begins_with("serving ");
    // Not `report_dead`: that reports an actor that lives, and is not believed here (§6.6).
    for more in [&["probe", "registry", "unknown", "wait_late"][..], &["--find", "root"]] {
        let mut client = python.peer("client");
        client.args(["--registrar", &addr]).args(more);
        let ended = run(client);
        assert_eq!(ended.code(), Some(0), "{more:?}: {ended:?}");
    }
    // The last step has cancelled it.
    let ended = server.ended();
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.ends_with("Error: cancelled\n"), "{ended:?}");
}
