//! DISC: a registrar that speaks the base protocol alone, as a Python program does.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tractor::scope::fail_after;
use tractor::{
    Address, Change, Result, find_actor, get_registry, open_root_actor, query_actor,
    wait_for_actor, watch,
};
use tractor_core::msg::{Aid, Features, FuncType, Msg, Request, codec};
use tractor_core::wire::frame::put_frame;
use tractor_core::{Text, Uid};

use crate::disc::{root, socket};
use crate::marks::{self, unique};
use crate::program::temp_dir;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn send(socket: &mut UnixStream, msg: &Msg) -> std::io::Result<()> {
    let mut frame = Vec::new();
    put_frame(&mut frame, |out| msg.encode(Features::BASE, out));
    socket.write_all(&frame)
}

pub(crate) fn recv(socket: &mut UnixStream) -> Option<Msg> {
    let mut len = [0; 4];
    socket.read_exact(&mut len).ok()?;
    let mut body = vec![0; u32::from_le_bytes(len) as usize];
    socket.read_exact(&mut body).ok()?;
    Some(Msg::decode(body.into()).unwrap())
}

pub(crate) fn aid(uid: &Uid, is_registrar: bool) -> Msg {
    let (uid, pid) = (uid.clone(), Some(4_000_000));
    Msg::Aid(Aid { uid, pid, is_registrar: Some(is_registrar), is_probe: false, ext: None })
}

pub(crate) fn uid(name: &str) -> Uid {
    Uid { name: Text::from(name), uuid: Text::from("6e1f2bd5-2b2a-4b8c-8a52-0f0e0c0b0a09") }
}

type Records = Arc<Mutex<Vec<(Uid, Vec<Address>)>>>;

/// A registrar as the base has it: a list, from which nothing goes by itself.
#[derive(Clone, Default)]
struct Registrar {
    records: Records,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Registrar {
    fn listen(&self, path: &Path) {
        let (listener, registrar) = (UnixListener::bind(path).unwrap(), self.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (registrar, mut socket) = (registrar.clone(), socket.unwrap());
                std::thread::spawn(move || registrar.serve(&mut socket));
            }
        });
    }

    fn serve(&self, socket: &mut UnixStream) -> Option<()> {
        send(socket, &aid(&uid("arbiter"), true)).ok()?;
        while let Some(msg) = recv(socket) {
            let Msg::Request { cid, request, .. } = msg else { continue };
            let ack = Msg::StartAck { cid: cid.clone(), functype: FuncType::Call };
            let pld = self.answer(&request).into();
            send(socket, &ack).ok()?;
            send(socket, &Msg::Return { cid, pld }).ok()?;
        }
        Some(())
    }

    fn answer(&self, request: &Request) -> Vec<u8> {
        let (mut records, mut out) = (self.records.lock().unwrap(), Vec::new());
        let asked = |what| self.asked.lock().unwrap().push(what);
        match request {
            Request::Register { uid, addr } => {
                asked("register");
                records.push((uid.clone(), vec![addr.clone()]));
                out.push(0xc0);
            }
            Request::Unregister { uid } => {
                asked("unregister");
                records.retain(|(of, _)| of != uid);
                out.push(0xc0);
            }
            Request::Find { name } | Request::Wait { name } => {
                asked("find");
                match records.iter().find(|(uid, _)| uid.name == *name) {
                    Some((_, addrs)) => codec::encode_addrs(addrs, &mut out),
                    None => out.push(0xc0),
                }
            }
            Request::ReportDead { addr } => {
                asked("report");
                records.retain(|(_, addrs)| !addrs.contains(addr));
                out.push(0xc0);
            }
            Request::List => {
                let all: Vec<_> = records.iter().map(|(uid, a)| (uid, a.as_slice())).collect();
                codec::encode_registry(&all, &mut out);
            }
            other => panic!("a base registrar is not asked that: {other:?}"),
        }
        out
    }

    fn names(&self) -> Vec<String> {
        self.records.lock().unwrap().iter().map(|(uid, _)| uid.name.to_string()).collect()
    }
}

/// It is joined, asked in its own words, polled for what changes, and told when an actor ends.
#[tractor::test]
async fn base_registrar_is_joined_and_left() -> Result<()> {
    let (dir, registrar, done) = (temp_dir(), Registrar::default(), unique("base registrar"));
    registrar.listen(&dir.path().join("registry.sock"));
    let nobody: Address = format!("/unix{}/nobody.sock", dir.path().display()).parse().unwrap();
    registrar.records.lock().unwrap().push((uid("ghost"), vec![nobody]));
    let watcher = open_root_actor(root("watcher", [socket(&dir)]), async |actor| {
        assert!(!actor.is_registrar());
        let mut ones = watch("one")?;
        marks::set(&done);
        let Change::Added { uid, addrs } = fail_after(LIMIT, ones.next()).await?? else {
            panic!("nobody can have gone")
        };
        assert_eq!(query_actor("one").await?, addrs);
        wait_for_actor("one", async |one| {
            assert_eq!(one.uid(), &uid);
            one.cancel_actor().await
        })
        .await?;
        assert_eq!(fail_after(LIMIT, ones.next()).await??, Change::Gone { uid });
        // Who does not answer is reported, and not found.
        assert!(find_actor("ghost", async |found| Ok(found.is_none())).await?);
        assert_eq!(get_registry().await?.len(), 1);
        Ok(())
    });
    let one = async {
        marks::happened(&done).await;
        let ended = open_root_actor(root("one", [socket(&dir)]), async |_| {
            tractor::scope::sleep(LIMIT).await
        });
        assert!(matches!(ended.await, Err(tractor::Error::Cancelled)));
        Ok(())
    };
    crate::disc::both(watcher, one).await?;
    assert_eq!(registrar.names(), [""; 0], "both have taken their records back");
    let asked = registrar.asked.lock().unwrap().clone();
    let count = |what| asked.iter().filter(|asked| **asked == what).count();
    assert_eq!((count("register"), count("unregister"), count("report")), (2, 2, 1), "{asked:?}");
    Ok(())
}
