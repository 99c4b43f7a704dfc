//! PEER: cancelled by a third actor, and what everybody hears of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tractor::context::ContextState;
use tractor::scope::{self, finally, sleep};
use tractor::{
    Context, Error, ParentContext, Portal, Raise, Result, current_actor, find_actor, module,
    open_nursery, query_actor, wait_for_actor,
};

use crate::{FOREVER, remote_type};

// PEER-02 and PEER-03: root has contexts with three actors, and one of them ends another.

/// Sends for ever: the victim of the others.
#[tractor::context]
async fn stream_forever(ctx: Context<(), u64, ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    for n in 0.. {
        stream.send(n).await?;
        sleep(Duration::from_millis(5)).await?;
    }
    Ok(())
}

/// What an end of a context knows of its end.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    canceller: Option<String>,
    cancel_called: bool,
    cancel_acked: bool,
    state: String,
    errors_are_one: bool,
}

fn seen<E: tractor::endpoint::ContextEndpoint>(ctx: &ParentContext<E>) -> Seen {
    let canceller = ctx.canceller().map(|uid| uid.name.to_string());
    let by = |error: Option<Error>| match error {
        Some(Error::ContextCancelled(ctxc)) => ctxc.canceller().map(|uid| uid.name.to_string()),
        _ => None,
    };
    Seen {
        errors_are_one: by(ctx.remote_error()) == canceller && by(ctx.maybe_error()) == canceller,
        canceller,
        cancel_called: ctx.cancel_called(),
        cancel_acked: ctx.cancel_acked(),
        state: ctx.state().to_string(),
    }
}

/// Reads from the sleeper too, and says what became of that, before it fails of it.
#[tractor::context]
async fn just_call(ctx: Context<(), Seen, ()>) -> Result<()> {
    let mut told = None;
    wait_for_actor("sleeper", async |sleeper: Portal| {
        let mut kept = None;
        let block = sleeper.open_context(stream_forever {}, async |peer_ctx, ()| {
            kept = Some(peer_ctx.clone());
            let mut stream = peer_ctx.open_stream().await?;
            stream.recv().await?;
            ctx.started(()).await?;
            told = Some(ctx.open_stream().await?);
            while stream.next().await?.is_some() {}
            Ok(())
        });
        let result = block.await;
        assert!(ctx.canceller().is_none(), "nobody cancelled this one");
        if let (Some(peer_ctx), Some(told)) = (&kept, &mut told) {
            told.send(seen(peer_ctx)).await?;
            // The root is to hear of the sleeper by itself first.
            told.recv().await?;
        }
        result
    })
    .await
}

#[tractor::context]
async fn cancel_the_sleeper(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let mut told = ctx.open_stream().await?;
    told.recv().await?;
    find_actor("sleeper", async |sleeper: Option<Portal>| {
        sleeper.expect("it sleeps").cancel_actor().await
    })
    .await?;
    sleep(FOREVER).await
}

/// The three contexts, kept for after their ends.
#[derive(Default)]
struct Kept {
    sleeper: Option<ParentContext<stream_forever>>,
    caller: Option<ParentContext<just_call>>,
    canceller: Option<ParentContext<cancel_the_sleeper>>,
    /// What the second caller of the sleeper saw.
    of_caller: Option<Seen>,
}

/// Runs it all. `raises`: the handler of the news raises an error of its own.
async fn peer_canceller(kept: &mut Kept, raises: bool) -> Result<()> {
    let Kept { sleeper, caller, canceller, of_caller } = kept;
    open_nursery(async |an| {
        let start = |name: &'static str| an.start_actor(name).enable(module!());
        let sleeper_actor = start("sleeper").await?;
        let (caller_actor, canceller_actor) =
            (start("just_caller").await?, start("canceller").await?);
        sleeper_actor
            .open_context(stream_forever {}, async |sleeper_ctx, ()| {
                *sleeper = Some(sleeper_ctx.clone());
                caller_actor
                    .open_context(just_call {}, async |caller_ctx, ()| {
                        *caller = Some(caller_ctx.clone());
                        let mut of_it = caller_ctx.open_stream().await?;
                        let block =
                            canceller_actor.open_context(cancel_the_sleeper {}, async |ctx, ()| {
                                *canceller = Some(ctx.clone());
                                let mut go = ctx.open_stream().await?;
                                // It waits before the news can come, and so is told first.
                                let news = sleeper_ctx.wait_for_result();
                                let (ended, _) = futures_lite::future::zip(news, go.send(())).await;
                                let Err(Error::ContextCancelled(ctxc)) = &ended else {
                                    panic!("{ended:?}")
                                };
                                assert_eq!(ctxc.canceller().unwrap().name.as_str(), "canceller");
                                assert!(
                                    caller_ctx.canceller().is_none() && ctx.canceller().is_none()
                                );
                                if raises {
                                    "x".parse::<u32>().raise()?;
                                }
                                // The news cancel the blocks around: this is seen all the same.
                                *of_caller = scope::shield(async {
                                    let seen = of_it.next().await.ok().flatten();
                                    of_it.send(()).await.map(|()| seen)
                                })
                                .await?;
                                ended
                            });
                        block.await
                    })
                    .await
            })
            .await
    })
    .await
}

#[tractor::test(matrix)]
async fn peer_02_peer_canceller() {
    let mut kept = Kept::default();
    let error = peer_canceller(&mut kept, false).await.unwrap_err();
    for leaf in error.leaves() {
        let Error::ContextCancelled(ctxc) = leaf else { panic!("{error:?}") };
        assert_eq!(ctxc.type_name(), "ContextCancelled");
        assert_eq!(ctxc.canceller().unwrap().name.as_str(), "canceller");
    }
    let by_canceller = |seen: &Seen| {
        assert_eq!(seen.canceller.as_deref(), Some("canceller"), "{seen:?}");
        assert_eq!(seen.state, "cancelled", "{seen:?}");
        assert!(seen.errors_are_one && !seen.cancel_acked, "{seen:?}");
    };
    by_canceller(&seen(&kept.sleeper.unwrap()));
    let of_caller = kept.of_caller.expect("it was told before the end");
    by_canceller(&of_caller);
}

#[tractor::test(matrix)]
async fn peer_03_peer_canceller_whose_news_lead_to_an_error() {
    let mut kept = Kept::default();
    let error = peer_canceller(&mut kept, true).await.unwrap_err();
    assert!(
        error.leaves().iter().any(|leaf| leaf.type_name() == "ParseIntError"),
        "a cancellation masks no error: {error:?}"
    );
    let sleeper = seen(&kept.sleeper.unwrap());
    assert_eq!(sleeper.canceller.as_deref(), Some("canceller"));
    assert!(sleeper.cancel_called && !sleeper.cancel_acked, "{sleeper:?}");
    // The block of this one failed of something else, and cancelled it.
    let canceller = kept.canceller.unwrap();
    assert_eq!(canceller.canceller().as_ref().map(|uid| uid.name.as_str()), Some("root"));
    assert!(canceller.cancel_called());
    assert_eq!(canceller.local_error().unwrap().type_name(), "ParseIntError");
    let caller = kept.caller.unwrap();
    assert!(caller.cancel_called());
    assert!(matches!(caller.state(), ContextState::SelfCancelled | ContextState::Cancelled));
}

// PEER-04: a service spawns an actor for a client, in the task that the root has opened.

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    name: String,
    fails_after: Option<u32>,
}

#[tractor::context]
async fn echo(ctx: Context<(), u32, u32>, fails_after: Option<u32>) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    while let Some(n) = stream.next().await? {
        if fails_after == Some(n) {
            "x".parse::<u32>().raise()?;
        }
        stream.send(n).await?;
    }
    Ok(())
}

/// Starts actors as it is asked to, in a nursery of its own.
#[tractor::context]
async fn serve_spawns(ctx: Context<(), String, Order>) -> Result<()> {
    open_nursery(async |an| {
        ctx.started(()).await?;
        let mut orders = ctx.open_stream().await?;
        while let Some(order) = orders.next().await? {
            let bro = an.start_actor(order.name).enable(module!()).await?;
            orders.send(bro.uid().name.to_string()).await?;
        }
        sleep(FOREVER).await
    })
    .await
}

async fn hundred_rounds(portal: &Portal, fails_after: Option<u32>) -> Result<()> {
    portal
        .open_context(echo { fails_after }, async |ctx, ()| {
            let mut stream = ctx.open_stream().await?;
            for n in 0..100 {
                stream.send(n).await?;
                assert_eq!(stream.recv().await?, n);
            }
            Ok(())
        })
        .await
}

/// Has a little brother made for it by the server, and talks with that.
#[tractor::context]
async fn be_a_client(ctx: Context<(), (), ()>, fails_after: Option<u32>) -> Result<()> {
    let body = find_actor("spawn_server", async |server: Option<Portal>| {
        let server = server.expect("it serves");
        let block = server.open_context(serve_spawns {}, async |spawns, ()| {
            let mut orders = spawns.open_stream().await?;
            orders.send(Order { name: "little_bro".into(), fails_after }).await?;
            assert_eq!(orders.recv().await?, "little_bro");
            let talk = async |bro: Portal| hundred_rounds(&bro, fails_after).await;
            ctx.started(()).await?;
            wait_for_actor("little_bro", talk).await?;
            sleep(FOREVER).await
        });
        block.await
    });
    // A handler of the cancellation makes no other error of it.
    finally(body, async {}).await
}

#[tractor::test(matrix)]
async fn peer_04_peer_spawns_and_cancels_service_subactor() -> Result<()> {
    open_nursery(async |an| {
        let server = an.start_actor("spawn_server").enable(module!()).await?;
        let client = an.start_actor("client").enable(module!()).await?;
        let block = server.open_context(serve_spawns {}, async |spawn_ctx, ()| {
            let task = be_a_client { fails_after: None };
            let block = client.open_context(task, async |client_ctx, ()| {
                wait_for_actor("little_bro", async |bro| hundred_rounds(&bro, None).await).await?;
                client_ctx.cancel().await?;
                let ended = client_ctx.wait_for_result().await;
                let Err(Error::ContextCancelled(ctxc)) = ended else { panic!("{ended:?}") };
                assert_eq!(ctxc.canceller(), Some(current_actor()?.uid()));
                assert!(client_ctx.cancel_acked());
                Ok(())
            });
            block.await?;
            spawn_ctx.cancel().await?;
            assert!(spawn_ctx.wait_for_result().await.is_err());
            assert!(spawn_ctx.cancel_acked());
            Ok(())
        });
        block.await?;
        // It went with the client's task, in whose nursery at the server it was. That it is gone
        // comes over another connection than that the task is.
        let gone = async {
            while !query_actor("little_bro").await?.is_empty() {
                sleep(Duration::from_millis(1)).await?;
            }
            Ok::<_, Error>(())
        };
        scope::fail_after(Duration::from_secs(2), gone).await??;
        an.cancel().await
    })
    .await
}

#[tractor::test(matrix)]
async fn peer_04_service_subactor_fails_in_the_dialog_with_its_client() {
    let mut kept = None;
    let result: Result<()> = open_nursery(async |an| {
        let server = an.start_actor("spawn_server").enable(module!()).await?;
        let client = an.start_actor("client").enable(module!()).await?;
        let block = server.open_context(serve_spawns {}, async |_, ()| {
            let task = be_a_client { fails_after: Some(50) };
            let block = client.open_context(task, async |client_ctx, ()| {
                kept = Some(client_ctx.clone());
                client_ctx.wait_for_result().await
            });
            block.await
        });
        block.await
    })
    .await;
    let error = result.unwrap_err();
    assert_eq!(remote_type(&error), "ParseIntError", "bare: {error:?}");
    let remote = error.remote().unwrap();
    assert_eq!(remote.boxed_type_name(), "RemoteActorError");
    assert_eq!(remote.source_actor().name.as_str(), "little_bro");
    assert_eq!(remote.relayer().name.as_str(), "client");
    let client_ctx = kept.unwrap();
    assert!(!client_ctx.cancel_acked());
    assert_eq!(client_ctx.state(), ContextState::Failed);
    for known in [client_ctx.maybe_error(), client_ctx.outcome().unwrap().err()] {
        assert_eq!(remote_type(&known.unwrap()), "ParseIntError");
    }
}
