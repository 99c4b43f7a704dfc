//! Shared resources in virtual time; with real actors they are tested in `tests/behaviours`.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use futures_lite::future::or;

use super::*;
use crate::scope::tests::{Log, World, quiet_panic, secs};
use crate::scope::{checkpoint, finally, move_on_after, open_nursery, sleep};

struct Fixture {
    world: World,
    cache: Arc<Cache>,
    opened: Arc<AtomicUsize>,
}

impl Fixture {
    fn new() -> Self {
        Self { world: World::new(), cache: Arc::default(), opened: Arc::default() }
    }

    /// What `maybe_open_context` does: the actor hosts. Opening and closing take 1 s each; the
    /// value counts the openings.
    fn share<T: Send, F, Fut>(
        &self,
        key: &'static str,
        closing: Result<()>,
        body: F,
    ) -> impl Future<Output = Result<T>> + Send
    where
        F: FnOnce(Cached, Arc<usize>) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        let (log, opened) = (self.world.log.clone(), self.opened.clone());
        let open = async move |lease: Lease<usize>| {
            let closed = log.clone();
            let body = async move {
                sleep(secs(1)).await?;
                let count = opened.fetch_add(1, SeqCst) + 1;
                log.add(format!("+{key}{count}"));
                lease.hold(count).await
            };
            let close = async move {
                sleep(secs(1)).await?;
                closed.add(format!("-{key}"));
                closing
            };
            finally(body, close).await
        };
        self.share_with(key, open, body)
    }

    fn share_with<T: Send, O, Opening, F, Fut>(
        &self,
        key: &'static str,
        open: O,
        body: F,
    ) -> impl Future<Output = Result<T>> + Send
    where
        O: FnOnce(Lease<usize>) -> Opening + Send + 'static,
        Opening: Future<Output = Result<()>> + Send + 'static,
        F: FnOnce(Cached, Arc<usize>) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        let (root, cache) = (self.world.root.clone(), self.cache.clone());
        let host = move |instance: Instance| {
            Far::spawn(&root, CancelScope::new(), async {
                instance.await;
                Ok(())
            });
        };
        async move { share(&cache, Key::of::<usize>(&key)?, host, open, body).await }
    }

    #[track_caller]
    fn is_clean(&self) {
        assert_eq!(self.cache.lock().len(), 0, "the cache is empty");
        assert_eq!((self.world.root.lost(), self.world.root.reaping()), (0, 0));
    }
}

type Use = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A user that stays for a time.
fn stay(
    log: &Log,
    name: &'static str,
    time: u64,
) -> impl FnOnce(Cached, Arc<usize>) -> Use + Send + use<> {
    let log = log.clone();
    move |cached, value| {
        Box::pin(async move {
            log.add(format!("{name}:{cached:?}{value}"));
            sleep(secs(time)).await?;
            log.add(format!("{name}-"));
            Ok(())
        })
    }
}

#[test]
fn one_instance_for_many_and_the_last_one_waits_for_its_end() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    w.run(open_nursery(async |tn| {
        tn.start_soon(f.share("k", Ok(()), stay(log, "a", 2)));
        tn.start_soon(f.share("k", Ok(()), stay(log, "b", 1)));
        let last = f.share("k", Ok(()), stay(log, "c", 3));
        tn.start_soon(async {
            last.await?;
            log.add(format!("c left at {:?}", w.now()));
            Ok(())
        });
        Ok(())
    }))
    .unwrap()
    .unwrap();
    let expected = "+k1 a:Miss1 b:Hit1 c:Hit1 b- a- c- -k c left at 5s";
    assert_eq!(log.take(), expected);
    f.is_clean();
}

#[test]
fn who_comes_while_it_closes_waits_and_opens_a_new_one() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    w.run(open_nursery(async |tn| {
        tn.start_soon(f.share("k", Ok(()), stay(log, "a", 1)));
        sleep(secs(5) / 2).await?; // It closes from second 2 to 3.
        f.share("k", Ok(()), stay(log, "b", 0)).await
    }))
    .unwrap()
    .unwrap();
    assert_eq!(log.take(), "+k1 a:Miss1 a- -k +k2 b:Miss2 b- -k");
    assert_eq!(w.now(), secs(5));
    f.is_clean();
}

#[test]
fn an_opening_is_given_up_with_the_task_that_wanted_it() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    w.run(open_nursery(async |tn| {
        let wanted = f.share("k", Ok(()), stay(log, "a", 9));
        tn.start_soon(async {
            let cut = move_on_after(secs(1) / 2, wanted).await;
            log.add(format!("cut {} at {:?}", cut.is_none(), w.now()));
        });
        checkpoint().await?;
        // Waits for the end of the first one, and then opens.
        f.share("k", Ok(()), stay(log, "b", 1)).await
    }))
    .unwrap()
    .unwrap();
    let expected = "-k cut true at 1.5s +k1 b:Miss1 b- -k";
    assert_eq!((log.take().as_str(), w.now()), (expected, secs(9) / 2));
    f.is_clean();
}

#[test]
fn an_opening_that_fails_fails_who_wanted_it_and_the_next_one_tries_again() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    w.run(open_nursery(async |tn| {
        let fails = async |_lease| {
            sleep(secs(1)).await?;
            Err(Error::TooSlow)
        };
        let failing = f.share_with("k", fails, stay(log, "a", 9));
        tn.start_soon(async {
            let failed = failing.await;
            assert!(matches!(failed, Err(Error::TooSlow)), "bare: {failed:?}");
        });
        checkpoint().await?;
        f.share("k", Ok(()), stay(log, "b", 1)).await?;
        let panics = async |_lease| -> Result<()> { quiet_panic("opening") };
        let failed = f.share_with("k", panics, stay(log, "c", 1)).await;
        assert!(matches!(failed, Err(Error::Panic(_))), "{failed:?}");
        Ok(())
    }))
    .unwrap()
    .unwrap();
    assert_eq!(log.take(), "+k1 b:Miss1 b- -k");
    f.is_clean();
}

#[test]
fn a_cancelled_last_user_waits_and_a_closing_error_wins() {
    for (closing, wins) in [(Ok(()), false), (Err(Error::TooSlow), true)] {
        let f = Fixture::new();
        let (w, log) = (&f.world, &f.world.log);
        let user = f.share("k", closing, stay(log, "a", 90));
        let out = w.run(move_on_after(secs(2), user)).unwrap();
        match wins {
            true => assert!(matches!(out, Some(Err(Error::TooSlow))), "{out:?}"),
            false => assert!(out.is_none(), "{out:?}"),
        }
        assert_eq!((log.take().as_str(), w.now()), ("+k1 a:Miss1 -k", secs(3)));
        f.is_clean();
    }
}

#[test]
fn an_instance_that_fails_cancels_its_users_and_each_is_told() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    let told = AtomicUsize::new(0);
    w.run(open_nursery(async |tn| {
        for name in ["a", "b"] {
            let fails = async |lease: Lease<usize>| {
                let limited = move_on_after(secs(2), lease.hold(1));
                limited.await.unwrap_or(Err(Error::TooSlow))
            };
            let user = f.share_with("k", fails, stay(log, name, 90));
            let told = &told;
            tn.start_soon(async move {
                let failed = user.await;
                assert!(matches!(failed, Err(Error::TooSlow)), "{failed:?}");
                told.fetch_add(1, SeqCst);
            });
        }
        Ok(())
    }))
    .unwrap()
    .unwrap();
    assert_eq!((log.take().as_str(), w.now()), ("a:Miss1 b:Hit1", secs(2)));
    assert_eq!(told.into_inner(), 2);
    f.is_clean();
}

#[test]
fn an_instance_that_ends_by_itself_is_a_misuse() {
    let f = Fixture::new();
    let ends = async |_lease| Ok(());
    let failed = f.world.run(f.share_with("k", ends, stay(&f.world.log, "a", 1))).unwrap();
    assert!(matches!(failed, Err(Error::Misuse(_))), "{failed:?}");
    f.is_clean();
}

#[test]
fn a_user_that_is_dropped_leaves_and_the_actor_waits() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    w.run(async {
        let user = f.share("k", Ok(()), stay(log, "a", 90));
        let limit = async {
            sleep(secs(2)).await?;
            Ok(())
        };
        or(user, limit).await.unwrap();
        log.add("dropped");
    });
    assert_eq!((log.take().as_str(), w.now()), ("+k1 a:Miss1 dropped -k", secs(3)));
    f.is_clean();
}

#[test]
fn one_that_never_closes_is_cut_with_the_budget() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    let open = async |lease: Lease<usize>| {
        lease.hold(1).await?;
        pending().await
    };
    let user = f.share_with("k", open, stay(log, "a", 90));
    let out = w.run(move_on_after(secs(2), user));
    assert!(matches!(out, Some(None)), "{out:?}");
    assert!(w.root.lost() > 0, "and is counted");
    assert_eq!(f.cache.lock().len(), 0);
}

#[test]
fn a_host_that_is_cancelled_closes_it_and_frees_its_users() {
    let f = Fixture::new();
    let (w, log) = (&f.world, &f.world.log);
    let cache = &f.cache;
    w.run(open_nursery(async |tn| {
        let user = tn
            .start(async |status: crate::scope::Status<Nursery<'_>>| {
                open_nursery(async |host| {
                    status.started(host);
                    pending::<Result<()>>().await
                })
                .await
                .or_else(|error| {
                    if matches!(error, Error::Cancelled) { Ok(()) } else { Err(error) }
                })
            })
            .await
            .map(|host| {
                let closed = log.clone();
                let open = async move |lease: Lease<usize>| {
                    finally(lease.hold(1), async move {
                        sleep(secs(1)).await?;
                        closed.add("-k");
                        Ok(())
                    })
                    .await
                };
                let key = Key::of::<usize>(&"k").unwrap();
                let spawner = host.clone();
                let spawn = move |instance: Instance| spawner.start_soon(instance);
                let used = share(cache, key, spawn, open, stay(log, "a", 90));
                (host, used)
            });
        let (host, used) = user?;
        tn.start_soon(async {
            let freed = used.await;
            assert!(matches!(freed, Err(Error::Cancelled)), "{freed:?}");
            log.add(format!("free at {:?}", w.now()));
        });
        sleep(secs(2)).await?;
        host.cancel();
        Ok(())
    }))
    .unwrap()
    .unwrap();
    assert_eq!((log.take().as_str(), w.now()), ("a:Miss1 -k free at 3s", secs(3)));
    f.is_clean();
}

#[test]
fn keys_are_their_bytes() {
    assert_eq!(Key::of::<u8>(&"a").unwrap(), Key::of::<u8>(&"a".to_owned()).unwrap());
    assert_ne!(Key::of::<u8>(&"a").unwrap(), Key::of::<u16>(&"a").unwrap(), "of another type");
    assert_ne!(Key::of::<u8>(&("a", 1)).unwrap(), Key::of::<u8>(&("a", 2)).unwrap());
}

/// Users on several threads, some of which are cut at any moment: never are there two instances,
/// and nothing is left.
#[cfg(feature = "smol")]
#[test]
fn races_of_users_leave_nothing() {
    use crate::scope::Root;
    use tractor_executors::smol::Smol;

    let root = Root::new(Smol::global(), secs(60));
    let cache: Arc<Cache> = Arc::default();
    let (living, used) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for round in 0..150_u32 {
        let nursery = open_nursery(async |tn| {
            for n in 0..4_u32 {
                let (root, cache) = (root.clone(), cache.clone());
                let (living, used) = (living.clone(), used.clone());
                let open = async move |lease: Lease<()>| {
                    assert_eq!(living.fetch_add(1, SeqCst), 0, "one at a time");
                    let gone = living.clone();
                    finally(
                        async {
                            checkpoint().await?;
                            lease.hold(()).await
                        },
                        async move {
                            let _ = checkpoint().await;
                            gone.fetch_sub(1, SeqCst);
                        },
                    )
                    .await
                };
                let host = move |instance: Instance| {
                    Far::spawn(&root, CancelScope::new(), async {
                        instance.await;
                        Ok(())
                    });
                };
                tn.start_soon_parallel(async move {
                    let key = Key::of::<()>(&"k")?;
                    let user = share(&cache, key, host, open, async |_, _| {
                        used.fetch_add(1, SeqCst);
                        checkpoint().await
                    });
                    let limit = std::time::Duration::from_micros(u64::from(round * (n + 1) % 97));
                    match n % 2 {
                        0 => user.await,
                        _ => move_on_after(limit, user).await.unwrap_or(Ok(())),
                    }
                });
            }
            Ok(())
        });
        futures_lite::future::block_on(root.run(&CancelScope::new(), nursery)).unwrap().unwrap();
        assert_eq!((cache.lock().len(), living.load(SeqCst)), (0, 0), "round {round}");
    }
    assert!(used.load(SeqCst) >= 300, "those without a limit all had it");
}
