//! FAULT: links that break, and peers that are gone: everybody who waits for them is told at once.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, Shutdown};
use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};
use serde::{Deserialize, Serialize};
use tractor::scope::{self, sleep};
use tractor::{Context, Error, Portal, Result, module, open_nursery, wait_for_actor};

use crate::{FOREVER, exists, kill, marks};

/// What happens in the middle of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Break {
    Nothing,
    /// Both ends hear of it, and both processes live.
    TheLink,
    /// The child's end goes away, and its process lives on as another program.
    TheChildsEnd,
}

const ITEMS: u32 = 200;
const BREAK_AT: u32 = 100;

/// Cuts all of this process's connections.
fn cut_links() -> std::io::Result<()> {
    let me = process::pidfd_open(process::getpid(), PidfdFlags::empty())?;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let fd = entry?.file_name().to_string_lossy().parse().unwrap();
        // The descriptor of this very listing is gone by the end of it.
        let Ok(fd) = process::pidfd_getfd(&me, fd, PidfdGetfdFlags::empty()) else { continue };
        match net::shutdown(&fd, Shutdown::Both) {
            Ok(()) | Err(Errno::NOTSOCK | Errno::NOTCONN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[tractor::context]
async fn echo_until_the_break(
    ctx: Context<(), u32, u32>,
    what: Break,
    stop_first: bool,
) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    loop {
        let item = stream.recv().await?;
        stream.send(item).await?;
        if item < BREAK_AT || what == Break::Nothing {
            continue;
        }
        if stop_first {
            stream.stop();
            scope::checkpoint().await?;
        }
        match what {
            Break::TheLink => cut_links()?,
            _ => return Err(Command::new("/bin/sleep").arg("3600").exec().into()),
        }
    }
}

/// In the reference somebody has to lose patience, and interrupt it.
async fn fault_01(what: Break, stop_first: bool) {
    let began = Instant::now();
    let (mut pid, mut received) = (None, 0);
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("breaker").enable(module!()).isolated().await?;
        pid = child.pid();
        let task = echo_until_the_break { what, stop_first };
        let block = child.open_context(task, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for item in 0..ITEMS {
                stream.send(item).await?;
                match stream.recv().await {
                    Err(Error::EndOfStream) if stop_first => return ctx.wait_for_result().await,
                    echoed => assert_eq!(echoed?, item),
                }
                received += 1;
            }
            Err(Error::Interrupted { signal: 2 })
        });
        let result = block.await;
        if what != Break::Nothing {
            lost("the block", result.clone());
        }
        result
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(!exists(pid.unwrap()), "reaped");
    let error = result.unwrap_err();
    if what == Break::Nothing {
        assert!(matches!(error, Error::Interrupted { signal: 2 }), "{error:?}");
        assert_eq!(received, ITEMS);
    } else {
        lost("the nursery", Err::<(), _>(error));
        assert!((BREAK_AT..=BREAK_AT + 1).contains(&received), "{received}");
    }
}

#[tractor::test(matrix)]
async fn fault_01_ipc_channel_break_during_stream() {
    use Break::{Nothing, TheChildsEnd, TheLink};
    for what in [Nothing, TheLink, TheChildsEnd] {
        fault_01(what, false).await;
    }
}

#[tractor::test(matrix)]
async fn fault_01_ipc_channel_break_after_the_stream_was_stopped() {
    for what in [Break::TheLink, Break::TheChildsEnd] {
        fault_01(what, true).await;
    }
}

/// Ends its stream, and then becomes another program: the link to the parent breaks, and the
/// process lives on.
#[tractor::context]
async fn close_stream_and_break_the_link(ctx: Context<(), u32, u32>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    stream.recv().await?;
    stream.stop();
    scope::checkpoint().await?;
    let error = Command::new("/bin/sleep").arg("3600").exec();
    Err(error.into())
}

/// The parent hears of the break while it waits for the context's end, where the reference finds
/// out when it gives up waiting; and the process that lingers is ended by force, within the budget.
/// (It is isolated, or the nursery would hear of it too, and cancel the body at once.)
#[tractor::test(matrix)]
async fn fault_02_stream_closed_right_after_ipc_break_and_zombie_lord_engages() {
    let began = Instant::now();
    let mut pid = None;
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("breaker").enable(module!()).isolated().await?;
        pid = child.pid();
        let block = child.open_context(close_stream_and_break_the_link {}, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            stream.send(1).await?;
            let waits = scope::move_on_after(Duration::from_secs(1), ctx.wait_for_result());
            let ended = waits.await.expect("told before the limit is over");
            assert!(matches!(ended, Err(Error::ActorFailed(_))), "{ended:?}");
            Err(Error::Interrupted { signal: 2 })
        });
        block.await
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(!exists(pid.unwrap()), "reaped");
    let error = result.unwrap_err();
    let types: Vec<&str> = error.leaves().into_iter().map(Error::type_name).collect();
    assert_eq!(types, ["KeyboardInterrupt", "ActorFailed"], "{error:?}");
}

#[tractor::rpc]
async fn sleep_forever() -> Result<()> {
    sleep(FOREVER).await
}

#[tractor::context]
async fn never_start(_ctx: Context<(), (), ()>) -> Result<()> {
    sleep(FOREVER).await
}

/// Opens its stream and never reads.
#[tractor::context]
async fn never_read(ctx: Context<(), (), String>) -> Result<()> {
    ctx.started(()).await?;
    let _stream = ctx.open_stream().await?;
    sleep(FOREVER).await
}

/// That somebody was told that the peer is gone.
#[track_caller]
fn lost<T: std::fmt::Debug>(what: &str, result: Result<T>) {
    let told = matches!(result, Err(Error::ActorFailed(_) | Error::PeerLost { .. }));
    assert!(told, "{what}: {result:?}");
}

/// Waits for the peer in all ways there are, until it is gone.
async fn wait_in_all_ways(peer: &Portal, ready: &str) -> Result<()> {
    let waits = |n: usize| marks::set(&format!("{ready} {n}"));
    scope::open_nursery(async |tn| {
        tn.start_soon(async {
            waits(0);
            lost("a call", peer.run(sleep_forever {}).await);
        });
        tn.start_soon(async {
            waits(1);
            let never = peer.open_context(never_start {}, async |_, ()| Ok(()));
            lost("a context that never starts", never.await);
        });
        tn.start_soon(async {
            let block = peer.open_context(never_read {}, async |ctx, ()| {
                waits(2);
                let result = ctx.wait_for_result().await;
                lost("a result", result.clone());
                result
            });
            lost("its block", block.await);
        });
        tn.start_soon(async {
            let block = peer.open_context(never_read {}, async |ctx, ()| {
                let (mut tx, mut rx) = ctx.open_stream().await?.split();
                let reads = async {
                    waits(3);
                    lost("a reader", rx.recv().await);
                };
                let writes = async {
                    loop {
                        if let Err(error) = tx.send("x".repeat(1 << 20)).await {
                            break lost::<()>("a writer", Err(error));
                        }
                        waits(4);
                    }
                };
                futures_lite::future::zip(reads, writes).await;
                Ok(())
            });
            lost("the block of the two", block.await);
        });
        tn.start_soon(async {
            let block = peer.open_context(never_read {}, async |_, ()| {
                waits(5);
                sleep(FOREVER).await
            });
            lost("a block that does something else", block.await);
        });
        tn.start_soon(async {
            waits(6);
            peer.wait_closed().await
        });
        Ok(())
    })
    .await
}

const WAYS: usize = 7;
const AT_ONCE: Duration = Duration::from_secs(1);

/// A child that can't even answer is killed.
#[tractor::test(matrix)]
async fn death_of_a_child_wakes_everybody_who_waits_for_it() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("victim").enable(module!()).isolated().await?;
        let pid = child.pid().unwrap();
        scope::open_nursery(async |tn| {
            tn.start_soon(wait_in_all_ways(&child, "victim"));
            for n in 0..WAYS {
                marks::happened(&format!("victim {n}")).await;
            }
            let began = Instant::now();
            kill(pid);
            let failure = an.next_failure().await?;
            assert_eq!(failure.pid(), Some(pid));
            child.wait_closed().await?;
            assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
            Ok(())
        })
        .await
    })
    .await
}

/// Waits for its sibling, and says so to the parent.
#[tractor::context]
async fn wait_for_sibling(ctx: Context<(), (), ()>, name: String) -> Result<()> {
    wait_for_actor(&name, async |sibling: Portal| {
        let waits = wait_in_all_ways(&sibling, "sibling");
        let says = async {
            for n in 0..WAYS {
                marks::happened(&format!("sibling {n}")).await;
            }
            ctx.started(()).await
        };
        let (all_told, said) = futures_lite::future::zip(waits, says).await;
        said.and(all_told)
    })
    .await
}

/// The same with a peer that is nobody's child here.
#[tractor::test(matrix)]
async fn death_of_a_peer_wakes_everybody_who_waits_for_it() -> Result<()> {
    open_nursery(async |an| {
        let victim = an.start_actor("victim").enable(module!()).isolated().await?;
        let child = an.start_actor("waiter").enable(module!()).await?;
        let task = wait_for_sibling { name: "victim".into() };
        let block = child.open_context(task, async |ctx, ()| {
            let began = Instant::now();
            kill(victim.pid().unwrap());
            ctx.wait_for_result().await?;
            assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
            Ok(())
        });
        block.await?;
        child.cancel_actor().await
    })
    .await
}

mod cannot_begin {
    //! A program whose children have two error types of one name, which is refused.

    use super::*;

    pub(super) const NAME: &str = "er_01_child_that_can_not_begin_tells_its_parent_why";

    async fn start_it() -> Result<()> {
        open_nursery(async |an| {
            let args = crate::program::test_args(super::HERE, NAME);
            an.start_actor("confused").args(args).await.map(drop)
        })
        .await
    }

    pub(super) fn main() -> Result<()> {
        if std::env::var_os("TRACTOR_CHILD").is_some() {
            crate::relay::register_namesakes();
        }
        tractor::init();
        #[tractor::main]
        async fn main() -> Result<()> {
            start_it().await
        }
        let error = main().unwrap_err();
        let [Error::ActorFailed(failed)] = error.leaves()[..] else { panic!("{error:?}") };
        let told = failed.error().expect("it said why");
        assert!(told.message().contains("two error types"), "{failed}");
        assert!(error.to_string().contains(told.message()), "{error}");
        assert_eq!(told.source_actor().name.as_str(), "confused");
        Ok(())
    }
}

const HERE: &str = module_path!();

/// What an actor fails of as a whole, before any task, is in the report of its end.
#[test]
fn er_01_child_that_can_not_begin_tells_its_parent_why() {
    if crate::program::is_program() {
        crate::program::exit(cannot_begin::main());
    }
    let ended = crate::program::run(crate::program::again(HERE, cannot_begin::NAME));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}
