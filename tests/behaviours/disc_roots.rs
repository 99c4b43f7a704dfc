//! Roots that share a registry: what is ours alone, of which the reference has no case.

use std::os::unix::net::UnixListener;
use std::pin::Pin;
use std::task::Poll;

use tractor::error::RegistrarError;
use tractor::scope::fail_after;
use tractor::{
    Change, Error, Result, current_actor, find_actor, module, open_nursery, open_root_actor,
    query_actor, watch,
};

use crate::disc::{
    LIMIT, both, idle_root, port, refused, root, socket, until_listening, until_registered,
};
use crate::marks::{self, unique};
use crate::program::{TempDir, temp_dir};

#[tractor::rpc]
async fn who() -> String {
    current_actor().map(|a| a.name().to_owned()).unwrap_or_default()
}

/// Two addresses lead to two registrars: both know their client, and it finds whom either knows.
#[tractor::test]
async fn client_of_two_registrars_is_known_to_both() -> Result<()> {
    let (one, two, done) = (temp_dir(), temp_dir(), unique("two registrars"));
    let keeper = async |name: &str, at: &TempDir| {
        let until = [done.clone(), format!("{done} {name}")];
        let config = root(name, [socket(at)]).enable(module!());
        open_root_actor(config, async |_| {
            until_registered(&["client", name]).await?;
            marks::set(&until[1]);
            marks::happened(&until[0]).await;
            until_registered(&[name]).await
        })
        .await
    };
    let client = async {
        until_listening(&socket(&one)).await;
        until_listening(&socket(&two)).await;
        let config = root("client", [socket(&one), socket(&two)]);
        open_root_actor(config, async |actor| {
            assert!(!actor.is_registrar());
            for name in ["keeper_1", "keeper_2"] {
                marks::happened(&format!("{done} {name}")).await;
                let who = async |found: Option<tractor::Portal>| found.unwrap().run(who {}).await;
                assert_eq!(find_actor(name, who).await?, name);
            }
            assert!(query_actor("nobody").await?.is_empty());
            Ok(())
        })
        .await?;
        marks::set(&done);
        Ok(())
    };
    both(both(keeper("keeper_1", &one), keeper("keeper_2", &two)), client).await
}

/// Of many that start at once, one keeps the registry, and all the others join it.
#[tractor::test]
async fn roots_that_start_at_once_elect_one() -> Result<()> {
    for at in ["a socket", "a port", "both"] {
        let (dir, done) = (temp_dir(), unique("election"));
        let addrs = match at {
            "a socket" => vec![socket(&dir)],
            "a port" => vec![port()],
            _ => vec![socket(&dir), port()],
        };
        // What one that was killed has left.
        drop(UnixListener::bind(dir.path().join("registry.sock")).unwrap());
        let names: Vec<String> = (0..6).map(|n| format!("root_{n}")).collect();
        let roots = names.clone().into_iter().enumerate().map(|(n, name)| {
            let mut addrs = addrs.clone();
            // Each names them in an order of its own.
            let by = n % addrs.len();
            addrs.rotate_left(by);
            let (done, expected) = (done.clone(), names.clone());
            Box::pin(open_root_actor(root(&name, addrs), async move |actor| {
                until_registered(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await?;
                marks::set(&format!("{done} {n}"));
                for other in 0..expected.len() {
                    marks::happened(&format!("{done} {other}")).await;
                }
                Ok(actor.is_registrar())
            }))
        });
        let keepers = all_of(roots.collect()).await?;
        assert_eq!(keepers.iter().filter(|keeps| **keeps).count(), 1, "{at}");
    }
    Ok(())
}

/// The results of several futures, polled side by side.
async fn all_of<T>(futures: Vec<Pin<Box<impl Future<Output = Result<T>>>>>) -> Result<Vec<T>> {
    let mut running: Vec<_> = futures.into_iter().map(|f| (f, None)).collect();
    std::future::poll_fn(|cx| {
        let mut open = false;
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(done) => *result = Some(done),
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

#[tractor::test]
async fn root_that_must_keep_the_registry_does_not_join() -> Result<()> {
    let (dir, done) = (temp_dir(), unique("ensure"));
    let keeper = idle_root(root("daemon", [socket(&dir)]).ensure_registry(true), &done);
    let late = async {
        until_listening(&socket(&dir)).await;
        let error = refused(root("late", [socket(&dir)]).ensure_registry(true)).await;
        assert_eq!(error, RegistrarError::Kept(vec![socket(&dir)]));
        assert!(error.to_string().contains("leaving `ensure_registry` out"), "{error}");
        marks::set(&done);
        Ok(())
    };
    both(keeper, late).await
}

async fn next(watch: &mut tractor::Watch) -> Result<(bool, String)> {
    Ok(match fail_after(LIMIT, watch.next()).await?? {
        Change::Added { uid, addrs } => {
            assert!(!addrs.is_empty());
            (true, uid.uuid.to_string())
        }
        Change::Gone { uid } => (false, uid.uuid.to_string()),
        other => panic!("{other:?}"),
    })
}

/// Who comes and goes is told, in the registrar and in its clients.
#[tractor::test(executors = ["smol", "tokio", "tokio-multi-thread"], links = ["socketpair", "uds"])]
async fn watch_tells_who_comes_and_goes() -> Result<()> {
    let (dir, done) = (temp_dir(), unique("watch"));
    let watcher = async |actor: &tractor::Actor| {
        let who = actor.name().to_owned();
        let mut watch = watch("worker")?;
        marks::set(&format!("{done} watched by {who}"));
        let (one, two) = (next(&mut watch).await?, next(&mut watch).await?);
        assert!(one.0 && two.0 && one.1 != two.1);
        marks::set(&format!("{done} told {who}"));
        let (gone, gone_too) = (next(&mut watch).await?, next(&mut watch).await?);
        assert!(!gone.0 && !gone_too.0, "both are gone");
        marks::set(&format!("{done} over for {who}"));
        Ok::<_, Error>(())
    };
    let keeper = open_root_actor(root("daemon", [socket(&dir)]), async |actor| {
        watcher(&actor).await?;
        marks::happened(&format!("{done} over for client")).await;
        Ok(())
    });
    let client = async {
        until_listening(&socket(&dir)).await;
        let watching = open_root_actor(root("client", [socket(&dir)]), async |actor| {
            watcher(&actor).await?;
            marks::happened(&format!("{done} over for daemon")).await;
            Ok(())
        });
        let working = open_root_actor(root("works", [socket(&dir)]), async |_| {
            open_nursery(async |an| {
                for who in ["daemon", "client"] {
                    marks::happened(&format!("{done} watched by {who}")).await;
                }
                an.start_actor("worker").await?;
                an.start_actor("worker").await?;
                an.start_actor("other").await?;
                for who in ["daemon", "client"] {
                    marks::happened(&format!("{done} told {who}")).await;
                }
                an.cancel().await
            })
            .await
        });
        both(watching, working).await
    };
    both(keeper, client).await
}
