//! DISC: trees that share a registry. Several roots of one process are as good as several programs
//! for all that is not about the end of a process: each is a tree of its own. Those that are about
//! it are in `disc_programs`.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_lite::future::zip;
use tractor::error::RegistrarError;
use tractor::scope::{self, checkpoint, fail_after};
use tractor::{
    Address, Error, Result, RootConfig, current_actor, find_actor, get_registry, get_root, module,
    open_nursery, open_root_actor, query_actor, unblock, wait_for_actor,
};
use tractor_core::msg::{Msg, Request};
use tractor_core::{Cid, Text, Uid};

use crate::disc_base::{aid, recv, send, uid};
use crate::marks::{self, unique};
use crate::program::{TempDir, temp_dir};

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn socket(dir: &TempDir) -> Address {
    format!("/unix{}/registry.sock", dir.path().display()).parse().unwrap()
}

/// A port that nobody has: the kernel does not give it to others soon.
pub(crate) fn port() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port }
}

pub(crate) fn root(name: &str, registry: impl IntoIterator<Item = Address>) -> RootConfig {
    RootConfig::default().name(name).registry_addrs(registry)
}

#[tractor::rpc]
async fn who() -> String {
    current_actor().map(|a| a.name().to_owned()).unwrap_or_default()
}

/// The names in the registry, in order.
async fn names() -> Result<Vec<String>> {
    let mut names: Vec<String> =
        get_registry().await?.into_iter().map(|(uid, _)| uid.name.to_string()).collect();
    names.sort();
    Ok(names)
}

/// Waits until those are the names in the registry.
pub(crate) async fn until_registered(expected: &[&str]) -> Result<()> {
    let wait = async {
        while names().await? != expected {
            checkpoint().await?;
        }
        Ok(())
    };
    match fail_after(LIMIT, wait).await {
        Err(Error::TooSlow) => panic!("{:?}, and not {expected:?}", names().await?),
        done => done?,
    }
}

/// Two trees side by side, each of which has done its part. They share a registry.
pub(crate) async fn both(
    first: impl Future<Output = Result<()>>,
    second: impl Future<Output = Result<()>>,
) -> Result<()> {
    let (first, second) = zip(first, second).await;
    first?;
    second
}

/// A root that does nothing until the mark is set.
pub(crate) async fn idle_root(config: RootConfig, until: &str) -> Result<()> {
    open_root_actor(config, async |_| {
        marks::happened(until).await;
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn disc_01_reg_then_unreg() -> Result<()> {
    open_root_actor(RootConfig::default(), async |actor| {
        assert_eq!(names().await?, ["root"]);
        open_nursery(async |an| {
            let child = an.start_actor("actor").enable(module!()).await?;
            let registry = get_registry().await?;
            let own = registry.iter().find(|(uid, _)| uid == child.uid()).unwrap();
            assert_eq!((registry.len(), own.1.is_empty()), (2, false));
            child.cancel_actor().await
        })
        .await?;
        let left: Vec<Uid> = get_registry().await?.into_iter().map(|(uid, _)| uid).collect();
        assert_eq!(left, [actor.uid().clone()], "at once");
        Ok(())
    })
    .await
}

/// Addresses as text, of either kind.
#[tractor::test]
async fn disc_02_reg_then_unreg_maddr() -> Result<()> {
    let dir = temp_dir();
    for addr in [socket(&dir), port()] {
        let text = addr.to_string();
        open_root_actor(root("root", [text.parse().unwrap()]), async |actor| {
            assert!(actor.is_registrar());
            assert_eq!(actor.registry_addrs()[0].to_string(), text);
            open_nursery(async |an| {
                let child = an.start_actor("actor").await?;
                until_registered(&["actor", "root"]).await?;
                child.cancel_actor().await
            })
            .await?;
            until_registered(&["root"]).await
        })
        .await?;
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of it");
    Ok(())
}

#[tractor::rpc]
async fn say_hello(other: String) -> Result<String> {
    wait_for_actor(&other, async |other| other.run(who {}).await).await
}

#[tractor::test(matrix)]
async fn disc_03_trynamic_trio() -> Result<()> {
    open_nursery(async |an| {
        let start = |name: &str| an.start_actor(name).enable(module!());
        let (donny, gretchen) =
            zip(start("donny").into_future(), start("gretchen").into_future()).await;
        let (donny, gretchen) = (donny?, gretchen?);
        let to_gretchen = donny.run(say_hello { other: "gretchen".into() });
        let to_donny = gretchen.run(say_hello { other: "donny".into() });
        let (one, other) = zip(to_gretchen, to_donny).await;
        assert_eq!((one?.as_str(), other?.as_str()), ("gretchen", "donny"));
        an.cancel().await
    })
    .await
}

/// One of two trees keeps the registry, the other and its child are found through it, and are gone
/// when that tree is.
#[tractor::test(executors = ["smol", "tokio", "tokio-multi-thread"], links = ["socketpair", "uds"])]
async fn disc_05_subactors_unregister_from_a_remote_registrar() -> Result<()> {
    let dir = temp_dir();
    let at = || [socket(&dir)];
    let keeper = open_root_actor(root("daemon", at()), async |actor| {
        assert!(actor.is_registrar());
        assert_eq!(actor.registry_addrs(), at());
        until_registered(&["client", "daemon", "sub_0", "sub_1", "sub_2"]).await?;
        wait_for_actor("sub_1", async |sub| {
            assert_eq!((sub.run(who {}).await?.as_str(), sub.link()), ("sub_1", Some("uds")));
            Ok(())
        })
        .await?;
        find_actor("client", async |client| client.unwrap().cancel_actor().await).await?;
        until_registered(&["daemon"]).await
    });
    let client = async {
        until_listening(&socket(&dir)).await;
        let ended = open_root_actor(root("client", at()), async |actor| {
            assert!(!actor.is_registrar());
            open_nursery(async |an| {
                for n in 0..3 {
                    an.start_actor(format!("sub_{n}")).enable(module!()).await?;
                }
                scope::sleep(LIMIT).await
            })
            .await
        })
        .await;
        assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
        Ok(())
    };
    both(keeper, client).await
}

// A base peer, which registers over a connection that it closes at once.

async fn register_base(registrar: &Path, uid: &Uid, addr: &Address) -> Result<()> {
    let known = uid.clone();
    let (registrar, uid, addr) = (registrar.to_owned(), uid.clone(), addr.clone());
    unblock(move || {
        let mut socket = UnixStream::connect(registrar).unwrap();
        send(&mut socket, &aid(&uid, false)).unwrap();
        let request = Request::Register { uid: uid.clone(), addr };
        let cid = Cid::Text(Text::from("reg"));
        send(&mut socket, &Msg::Request { cid, uid, request }).unwrap();
        while !matches!(recv(&mut socket).unwrap(), Msg::Return { .. }) {}
    })
    .await?;
    // Who is connected is found without the registry: that must be over.
    let here = current_actor()?;
    let gone = async {
        while here.peers().contains(&known) {
            checkpoint().await?;
        }
        Ok(())
    };
    fail_after(LIMIT, gone).await?
}

/// Answers whoever asks who is there, until a connection that says nothing tells it to end.
fn base_listener(path: &Path, uid: Uid) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let Some(Msg::Aid(theirs)) = recv(&mut socket) else { return };
            send(&mut socket, &aid(&uid, false)).unwrap();
            if !theirs.is_probe {
                while recv(&mut socket).is_some() {}
            }
        }
    })
}

/// Whose address does not answer is not found, and its record goes; whose does is found again.
#[tractor::test]
async fn disc_08_stale_entry_is_deleted() -> Result<()> {
    let dir = temp_dir();
    let (registry, service) = (dir.path().join("registry.sock"), dir.path().join("service.sock"));
    let addr: Address = format!("/unix{}", service.display()).parse().unwrap();
    let uid = uid("service");
    let listening = base_listener(&service, uid.clone());
    let done = unique("disc_08");
    let keeper = open_root_actor(root("daemon", [socket(&dir)]), async |_| {
        register_base(&registry, &uid, &addr).await?;
        find_actor("service", async |found| {
            assert_eq!(found.unwrap().uid(), &uid);
            Ok(())
        })
        .await?;
        drop(UnixStream::connect(&service).unwrap());
        unblock(move || listening.join().unwrap()).await?;
        assert!(find_actor("service", async |found| Ok(found.is_none())).await?);
        until_registered(&["daemon"]).await?;
        // The same, found by another.
        register_base(&registry, &uid, &addr).await?;
        marks::set(&format!("{done} again"));
        marks::happened(&format!("{done} found")).await;
        until_registered(&["daemon"]).await
    });
    let client = async {
        marks::happened(&format!("{done} again")).await;
        open_root_actor(root("client", [socket(&dir)]), async |_| {
            assert!(find_actor("service", async |found| Ok(found.is_none())).await?);
            assert_eq!(names().await?, ["client", "daemon"], "told, and found to be so");
            Ok(())
        })
        .await?;
        marks::set(&format!("{done} found"));
        Ok(())
    };
    both(keeper, client).await
}

/// The first question is not answered; the next one is.
#[tractor::test]
async fn disc_09_registry_probe_retries_transient_handshake() -> Result<()> {
    let dir = temp_dir();
    let front = dir.path().join("front.sock");
    let listener = UnixListener::bind(&front).unwrap();
    let behind = dir.path().join("registry.sock");
    std::thread::spawn(move || {
        let _silent = listener.accept().unwrap();
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), UnixStream::connect(&behind).unwrap());
            pump(near.try_clone().unwrap(), far.try_clone().unwrap());
            pump(far, near);
        }
    });
    let done = unique("disc_09");
    let joined = async {
        marks::happened(&format!("{done} kept")).await;
        let addr: Address = format!("/unix{}", front.display()).parse().unwrap();
        let began = Instant::now();
        open_root_actor(root("client", [addr]), async |actor| {
            assert!(!actor.is_registrar() && began.elapsed() >= Duration::from_secs(1));
            until_registered(&["client", "daemon"]).await
        })
        .await?;
        marks::set(&done);
        Ok(())
    };
    let keeper = open_root_actor(root("daemon", [socket(&dir)]), async |_| {
        marks::set(&format!("{done} kept"));
        marks::happened(&done).await;
        Ok(())
    });
    both(keeper, joined).await
}

/// What comes in at one end goes out at the other.
fn pump(mut from: UnixStream, mut to: UnixStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

pub(crate) async fn refused(config: RootConfig) -> RegistrarError {
    let error =
        open_root_actor(config, async |_| -> Result<()> { panic!("it must not run") }).await;
    let Err(Error::Registrar(error)) = error else { panic!("{error:?}") };
    error
}

#[tractor::test]
async fn disc_11_transport_only_listener_is_not_registrar() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let addr = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port };
    let error = refused(root("root", [addr.clone()])).await;
    assert_eq!(error, RegistrarError::Occupied(vec![addr.clone()]));
    let text = error.to_string();
    assert!(text.contains(&format!("{addr} is occupied, but")), "{text}");
    assert!(text.contains("did not answer as a registrar"), "{text}");
    Ok(())
}

/// Nor is an actor one that keeps no registry.
#[tractor::test]
async fn disc_11_actor_without_registry_is_no_registrar() -> Result<()> {
    let done = unique("disc_11");
    let (dir, taken) = (temp_dir(), port());
    let keeper = idle_root(root("daemon", [socket(&dir)]), &done);
    let others = async {
        let client = root("client", [socket(&dir)]).bind_addrs([taken.clone()]);
        let client = open_root_actor(client, async |actor| {
            assert!(!actor.is_registrar());
            assert_eq!(actor.addrs(), std::slice::from_ref(&taken));
            marks::set(&format!("{done} client"));
            marks::happened(&done).await;
            Ok(())
        });
        let refused = async {
            marks::happened(&format!("{done} client")).await;
            let error = refused(root("late", [taken.clone()])).await;
            assert_eq!(error, RegistrarError::Occupied(vec![taken.clone()]));
            marks::set(&done);
            Ok(())
        };
        both(client, refused).await
    };
    both(keeper, others).await
}

/// A registrar listens at its registry's addresses and at those that it is to be bound to.
#[tractor::test]
async fn disc_13_registrar_root_tpt_bind_addrs() -> Result<()> {
    let dir = temp_dir();
    let (reg, one, two) = (socket(&dir), port(), port());
    for bind in [vec![reg.clone()], vec![reg.clone(), one.clone()], vec![one, two]] {
        let config = root("root", [reg.clone()]).bind_addrs(bind.clone());
        open_root_actor(config, async |actor| {
            let bound = actor.addrs();
            assert!(actor.is_registrar() && bound.contains(&reg), "{bound:?}");
            assert!(bind.iter().all(|addr| bound.contains(addr)), "{bound:?}");
            assert_eq!(actor.registry_addrs(), std::slice::from_ref(&reg));
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// A client listens at an address of the registry's kind, which is its own.
#[tractor::test]
async fn disc_15_non_registrar_default_random_bind() -> Result<()> {
    let dir = temp_dir();
    for addr in [socket(&dir), port()] {
        let done = unique("disc_15");
        let keeper = idle_root(root("daemon", [addr.clone()]), &done);
        let client = async {
            until_listening(&addr).await;
            open_root_actor(root("client", [addr.clone()]), async |actor| {
                let own = actor.addrs();
                assert_eq!(own.len(), 1);
                assert!(!actor.is_registrar() && own[0] != addr, "{own:?}");
                assert_eq!(own[0].uds_path().is_some(), addr.uds_path().is_some());
                assert_eq!(query_actor("client").await?, own);
                Ok(())
            })
            .await?;
            marks::set(&done);
            Ok(())
        };
        both(keeper, client).await?;
    }
    Ok(())
}

/// Waits until somebody listens there.
pub(crate) async fn until_listening(addr: &Address) {
    let listens = || match addr {
        Address::Tcp { host, port } => std::net::TcpStream::connect((*host, *port)).is_ok(),
        addr => UnixStream::connect(addr.uds_path().unwrap()).is_ok(),
    };
    while !listens() {
        futures_lite::future::yield_now().await;
    }
}

/// A root in two transports has its tree in both.
#[tractor::test]
async fn disc_17_registrar_merge_binds_union() -> Result<()> {
    let dir = temp_dir();
    let any = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 0 };
    open_root_actor(root("root", [socket(&dir)]).bind_addrs([any]), async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("both").enable(module!()).await?;
            let addrs = query_actor("both").await?;
            let is_uds = |addr: &Address| addr.uds_path().is_some();
            assert_eq!(addrs.iter().map(is_uds).collect::<Vec<_>>(), [true, false], "{addrs:?}");
            assert_ne!(Some(dir.path().to_str().unwrap()), addrs[0].uds_path().as_deref());
            child.cancel_actor().await
        })
        .await
    })
    .await
}

#[tractor::test]
async fn disc_22_register_duplicate_name() -> Result<()> {
    open_nursery(async |an| {
        let one = an.start_actor("doggy").enable(module!()).await?;
        let two = an.start_actor("doggy").enable(module!()).await?;
        assert_eq!(query_actor("doggy").await?.len(), 2);
        wait_for_actor("doggy", async |found| {
            assert!([one.uid(), two.uid()].contains(&found.uid()));
            assert_eq!(found.run(who {}).await?, "doggy");
            Ok(())
        })
        .await?;
        // From another actor: the youngest.
        let asker = an.start_actor("asker").enable(module!()).await?;
        assert_eq!(asker.run(which { name: "doggy".into() }).await?, two.uid().uuid.to_string());
        an.cancel().await
    })
    .await
}

#[tractor::rpc]
async fn which(name: String) -> Result<String> {
    find_actor(&name, async |found| Ok(found.unwrap().uid().uuid.to_string())).await
}

/// Stuck, all of them: each is killed within the budget, side by side.
#[tractor::test]
async fn disc_23_dup_name_cancel_cascade_escalates_to_hard_kill() -> Result<()> {
    for count in [2, 8] {
        let (began, portals) = open_nursery(async |an| {
            let mut portals = Vec::new();
            for _ in 0..count {
                let child = an.start_actor("doggy").enable(module!()).await?;
                std::mem::forget(Box::pin(child.run(stall {})));
                portals.push(child);
            }
            let began = Instant::now();
            an.cancel().await?;
            Ok((began, portals))
        })
        .await?;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        for portal in portals {
            portal.run(who {}).await.unwrap_err();
        }
    }
    Ok(())
}

#[tractor::rpc]
async fn stall() {
    std::thread::sleep(crate::FOREVER);
}

/// The root of a tree that joined is its own tree's root, whoever keeps the registry.
#[tractor::test(executors = ["smol", "tokio", "tokio-multi-thread"], links = ["socketpair", "uds"])]
async fn disc_24_non_registrar_spawns_child() -> Result<()> {
    let (dir, done) = (temp_dir(), unique("disc_24"));
    let keeper = idle_root(root("daemon", [socket(&dir)]), &done);
    let client = async {
        until_listening(&socket(&dir)).await;
        open_root_actor(root("root", [socket(&dir)]), async |actor| {
            assert!(!actor.is_registrar());
            let own = actor.uid().clone();
            get_root(async |root| {
                assert_eq!(root.uid(), &own);
                Ok(())
            })
            .await?;
            open_nursery(async |an| {
                let child = an.start_actor("sub").enable(module!()).await?;
                let (root, parent) = child.run(root_and_parent {}).await?;
                assert_eq!((root.as_str(), root.as_str()), (own.uuid.as_str(), parent.as_str()));
                child.cancel_actor().await
            })
            .await
        })
        .await?;
        marks::set(&done);
        Ok(())
    };
    both(keeper, client).await
}

#[tractor::rpc]
async fn root_and_parent() -> Result<(String, String)> {
    let parent = current_actor()?.parent().unwrap().uid().uuid.to_string();
    get_root(async |root| Ok((root.uid().uuid.to_string(), parent))).await
}
