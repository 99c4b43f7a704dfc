//! What the runtime promises, with real processes: the cases of the reference's test-suite that
//! need them, by id, and what is ours alone. `docs/cases.md` maps each id to its test.
//!
//! A child of a `#[tractor::test]` is this binary again, told to run that very test, which makes it
//! the actor it is. So the endpoints are beside the tests, as they would be in a program.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

#[path = "behaviours/bad_input.rs"]
mod bad_input;
#[path = "behaviours/bcast.rs"]
mod bcast;
#[path = "behaviours/blocking.rs"]
mod blocking;
#[path = "behaviours/cache.rs"]
mod cache;
#[path = "behaviours/cancel.rs"]
mod cancel;
#[path = "behaviours/children.rs"]
mod children;
#[path = "behaviours/cluster.rs"]
mod cluster;
#[path = "behaviours/ctx.rs"]
mod ctx;
#[path = "behaviours/disc.rs"]
mod disc;
#[path = "behaviours/disc_base.rs"]
mod disc_base;
#[path = "behaviours/disc_programs.rs"]
mod disc_programs;
#[path = "behaviours/disc_roots.rs"]
mod disc_roots;
#[path = "behaviours/errors.rs"]
mod errors;
#[path = "behaviours/fault.rs"]
mod fault;
#[path = "behaviours/generators.rs"]
mod generators;
#[path = "behaviours/groups.rs"]
mod groups;
#[path = "behaviours/harness.rs"]
mod harness;
#[path = "behaviours/interrupt.rs"]
mod interrupt;
#[path = "behaviours/ipc.rs"]
mod ipc;
#[path = "behaviours/legacy.rs"]
mod legacy;
#[path = "behaviours/limits.rs"]
mod limits;
#[path = "behaviours/local.rs"]
mod local;
#[path = "behaviours/marks.rs"]
mod marks;
#[path = "behaviours/misuse.rs"]
mod misuse;
#[path = "behaviours/msg.rs"]
mod msg;
#[path = "behaviours/oob.rs"]
mod oob;
#[path = "behaviours/parallel.rs"]
mod parallel;
#[path = "behaviours/peer.rs"]
mod peer;
#[path = "behaviours/program.rs"]
mod program;
#[path = "behaviours/relay.rs"]
mod relay;
#[path = "behaviours/remote.rs"]
mod remote;
#[path = "behaviours/rpc.rs"]
mod rpc;
#[path = "behaviours/run.rs"]
mod run;
#[path = "behaviours/service.rs"]
mod service;
#[path = "behaviours/spawn.rs"]
mod spawn;
#[path = "behaviours/stream_cases.rs"]
mod stream_cases;
#[path = "behaviours/streams.rs"]
mod streams;
#[path = "behaviours/trio.rs"]
mod trio;

use std::time::Duration;

use tractor::Error;

/// Longer than any test may take.
const FOREVER: Duration = Duration::from_secs(3600);

/// The type of a remote error, where it happened. Fails for any other error.
#[track_caller]
fn remote_type(error: &Error) -> &str {
    match error.remote() {
        Some(remote) => remote.type_name(),
        None => panic!("not a remote error: {error:?}"),
    }
}

/// Ends a process from outside, as the kernel or an operator would.
fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether there is such a process, be it a zombie.
fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
