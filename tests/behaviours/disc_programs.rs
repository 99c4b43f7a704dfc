//! DISC: several programs with one registry, and what is left when one of them is killed.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tractor::error::RegistrarError;
use tractor::scope;
use tractor::{
    Address, Error, Result, RootConfig, SendHalf, find_actor, module, open_nursery,
    open_root_actor, run_daemon,
};

use crate::FOREVER;
use crate::disc::{both, root, socket, until_listening, until_registered};
use crate::program::{self, Ended, Running, again, is_program, start, temp_dir, test_args};

const HERE: &str = module_path!();

/// The registry's address, in the environment of a program.
const REGISTRY: &str = "TRACTOR_TEST_REGISTRY";

/// What a program is to be.
const PART: &str = "TRACTOR_TEST_PART";

fn registry() -> Address {
    std::env::var(REGISTRY).unwrap().parse().unwrap()
}

fn command(part: &str, registry: &Address) -> Command {
    let mut command = again(HERE, "program_of_these_tests");
    command.env(PART, part).env(REGISTRY, registry.to_string());
    command
}

/// Starts a daemon, and waits until it listens.
async fn daemon(registry: &Address) -> Running {
    let daemon = start(command("daemon", registry));
    until_listening(registry).await;
    daemon
}

fn interrupt(running: Running) -> Ended {
    running.signal(Signal::INT);
    running.ended()
}

// The programs.

#[test]
fn program_of_these_tests() {
    if !is_program() {
        return;
    }
    let done = match std::env::var(PART).unwrap().as_str() {
        "daemon" => {
            run_daemon([module!()], RootConfig::named("daemon").registry_addrs([registry()]))
        }
        "looks_up" => looks_up(),
        "stranger" => stranger(),
        _ => family::main(),
    };
    let interrupted = done.as_ref().err().and_then(Error::interrupted);
    if let (Err(error), Some(signal)) = (&done, interrupted) {
        eprintln!("ended: {error}");
        std::process::exit(128 + signal);
    }
    program::exit(done)
}

#[tractor::rpc]
async fn pid() -> u32 {
    std::process::id()
}

#[tractor::stream]
async fn ticks(mut out: SendHalf<u64>) -> Result<()> {
    for n in 0.. {
        out.send(n).await?;
        scope::sleep(Duration::from_millis(5)).await?;
    }
    Ok(())
}

mod family {
    use super::*;

    /// A root with three children, which sleeps, or reads what they yield.
    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        let config = RootConfig::named("client").registry_addrs([registry()]);
        open_root_actor(config, async |_| open_nursery(children).await).await
    }

    async fn children(an: tractor::ActorNursery) -> Result<()> {
        scope::open_nursery(async |tn| {
            for n in 0..3 {
                let child = an.start_actor(format!("sub_{n}")).enable_of::<pid>();
                let child = child.args(test_args(HERE, "program_of_these_tests")).await?;
                if std::env::var(PART).unwrap() == "streaming" {
                    tn.start_soon(async move {
                        child
                            .open_stream_from(ticks {}, async |mut ticks| {
                                while ticks.next().await?.is_some() {}
                                Ok(())
                            })
                            .await
                    });
                }
            }
            scope::sleep(FOREVER).await
        })
        .await
    }
}

/// Counts its own descriptors around ten thousand look-ups.
fn looks_up() -> Result<()> {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let trees = async {
        let client = async {
            until_listening(&registry()).await;
            open_root_actor(RootConfig::named("client").registry_addrs([registry()]), async |_| {
                let look = async || {
                    find_actor("daemon", async |found| Ok(found.is_some())).await?;
                    find_actor("keeper", async |found| found.unwrap().run(pid {}).await).await?;
                    find_actor("nobody", async |found| {
                        assert!(found.is_none());
                        Ok(())
                    })
                    .await
                };
                look().await?;
                let before = open();
                for _ in 0..3_334 {
                    look().await?;
                }
                let after = open();
                assert!(after <= before + 8, "{before} descriptors, and then {after}");
                find_actor("keeper", async |found| found.unwrap().cancel_actor().await).await
            })
            .await
        };
        let keeper = RootConfig::named("keeper").registry_addrs([registry()]).enable(module!());
        let keeper = async {
            match open_root_actor(keeper, async |_| scope::sleep(FOREVER).await).await {
                Err(Error::Cancelled) => Ok(()),
                ended => ended,
            }
        };
        both(keeper, client).await
    };
    futures_lite::future::block_on(trees)
}

/// Becomes another user and connects: nothing is said to it.
fn stranger() -> Result<()> {
    let mut socket = UnixStream::connect(registry().uds_path().unwrap())?;
    let mut heard = Vec::new();
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    std::io::Read::read_to_end(&mut socket, &mut heard)?;
    assert!(heard.is_empty(), "{heard:?}");
    Ok(())
}

// The tests.

/// A program is interrupted, in whose tree three children sleep or stream: nobody of them is left
/// in another program's registry.
async fn interrupted_family(part: &str) -> Result<()> {
    let dir = temp_dir();
    let registry = socket(&dir);
    let daemon = daemon(&registry).await;
    let client = start(command(part, &registry));
    open_root_actor(root("observer", [registry.clone()]), async |_| {
        let all = ["client", "daemon", "observer", "sub_0", "sub_1", "sub_2"];
        until_registered(&all).await?;
        client.signal(Signal::INT);
        until_registered(&["daemon", "observer"]).await
    })
    .await?;
    assert_eq!(client.ended().code(), Some(130));
    assert_eq!(interrupt(daemon).code(), Some(130));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of it");
    Ok(())
}

#[tractor::test]
async fn disc_04_subactors_unregister_on_cancel() -> Result<()> {
    interrupted_family("sleeping").await
}

#[tractor::test]
async fn disc_07_close_channel_explicit_remote_registrar() -> Result<()> {
    interrupted_family("streaming").await
}

#[tractor::test]
async fn disc_20_abort_on_sigint() {
    let dir = temp_dir();
    let ended = interrupt(daemon(&socket(&dir)).await);
    assert_eq!(ended.code(), Some(130), "{ended:?}");
    assert!(ended.stderr.contains("interrupted by signal 2"), "{ended:?}");
}

/// A daemon that somebody cancels has done its work.
#[tractor::test]
async fn daemon_that_is_cancelled_ends_well() -> Result<()> {
    let dir = temp_dir();
    let registry = socket(&dir);
    let daemon = daemon(&registry).await;
    open_root_actor(root("client", [registry]), async |_| {
        find_actor("daemon", async |found| {
            let found = found.unwrap();
            assert_ne!(found.run(pid {}).await?, std::process::id());
            found.cancel_actor().await
        })
        .await
    })
    .await?;
    assert_eq!(daemon.ended().code(), Some(0));
    Ok(())
}

/// The registrar is killed. The next one binds the address, be the socket still there, and all that
/// were registered with the first are found through it; nothing else happens to them.
#[tractor::test]
async fn killed_registrar_is_replaced() -> Result<()> {
    let dir = temp_dir();
    let registry = socket(&dir);
    let all = ["client", "daemon", "observer", "sub_0", "sub_1", "sub_2"];
    let first = daemon(&registry).await;
    let client = start(command("sleeping", &registry));
    open_root_actor(root("observer", [registry.clone()]), async |_| {
        until_registered(&all).await?;
        let pids = pids().await?;
        first.signal(Signal::KILL);
        first.ended();
        assert!(std::path::Path::new(&registry.uds_path().unwrap()).exists(), "it is in the way");
        let second = start(command("daemon", &registry));
        // Waits for the next registrar, and then for the record there.
        until_registered(&all).await?;
        assert_eq!(self::pids().await?, pids, "they are the same as before");
        client.signal(Signal::INT);
        until_registered(&["daemon", "observer"]).await?;
        second.signal(Signal::TERM);
        second.ended();
        Ok(())
    })
    .await?;
    assert_eq!(client.ended().code(), Some(130));
    Ok(())
}

/// The processes of the children of the other program.
async fn pids() -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for n in 0..3 {
        let pid = async |found: Option<tractor::Portal>| found.unwrap().run(pid {}).await;
        pids.push(find_actor(&format!("sub_{n}"), pid).await?);
    }
    Ok(pids)
}

/// Without a successor, who asks is told after a while; who is registered goes on.
#[tractor::test]
async fn registrar_that_is_gone_is_waited_for_and_named() -> Result<()> {
    let dir = temp_dir();
    let registry = socket(&dir);
    let daemon = daemon(&registry).await;
    open_root_actor(root("observer", [registry.clone()]), async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            daemon.signal(Signal::KILL);
            daemon.ended();
            let began = Instant::now();
            let error = find_actor("nobody", async |_| Ok(())).await.unwrap_err();
            assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
            let Error::Registrar(RegistrarError::Unreachable(addrs)) = &error else {
                panic!("{error:?}")
            };
            assert_eq!(addrs, std::slice::from_ref(&registry));
            assert!(error.to_string().contains("start the program that keeps"), "{error}");
            child.run(pid {}).await?;
            // Also a child that is started meanwhile, which nobody can find.
            let late = an.start_actor("late").enable(module!()).await?;
            late.run(pid {}).await?;
            an.cancel().await
        })
        .await
    })
    .await
}

/// Whether all threads of the program are stopped: a signal takes its time.
fn is_stopped(running: &Running) -> bool {
    let pid = running.processes()[0].split(' ').next().unwrap().to_owned();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads
        .flatten()
        .all(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap().contains(") T "))
}

/// A registrar that is there and does not answer is as good as none; once it goes on, all is well.
#[tractor::test]
async fn registrar_that_is_stuck_is_named_and_asked_again() -> Result<()> {
    let dir = temp_dir();
    let registry = socket(&dir);
    let daemon = daemon(&registry).await;
    open_root_actor(root("observer", [registry.clone()]), async |_| {
        daemon.signal(Signal::STOP);
        while !is_stopped(&daemon) {
            scope::checkpoint().await?;
        }
        let error = find_actor("nobody", async |_| Ok(())).await.unwrap_err();
        let unreachable = RegistrarError::Unreachable(vec![registry.clone()]);
        assert!(matches!(&error, Error::Registrar(e) if *e == unreachable), "{error:?}");
        daemon.signal(Signal::CONT);
        until_registered(&["daemon", "observer"]).await
    })
    .await?;
    interrupt(daemon);
    Ok(())
}

#[tractor::test]
async fn lookups_leave_no_descriptors() {
    let dir = temp_dir();
    let ended = program::run(command("looks_up", &socket(&dir)));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

/// Only root can be somebody else, so only as root this is tested.
#[tractor::test]
async fn another_user_is_refused() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let dir = temp_dir();
    let registry = socket(&dir);
    open_root_actor(root("daemon", [registry.clone()]), async |actor| {
        // Were the file system's own barriers down.
        let open = |path: &std::path::Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        open(dir.path(), 0o755)?;
        open(std::path::Path::new(&registry.uds_path().unwrap()), 0o666)?;
        let mut command = command("stranger", &registry);
        command.uid(65_534).gid(65_534);
        let ended = tractor::unblock(move || program::run(command)).await?;
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert_eq!(actor.peers(), []);
        Ok(())
    })
    .await
}
