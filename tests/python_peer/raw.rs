//! A parent by hand, which says what a Python parent would: for what happens before an actor
//! serves, and for parents that do odd things.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tractor_core::msg::codec::RuntimeVars;
use tractor_core::msg::{Aid, Features, FuncType, Msg, RemoteError, Request, SpawnSpec, Start};
use tractor_core::{Address, Cid, Text, Uid};

use crate::functions::SLOW;
use crate::orders::EXECUTOR;
use crate::program::LIMIT;
use crate::python::Python;
use crate::runner::{Test, test};

pub(crate) fn tests() -> Vec<Test> {
    let all: [(&str, fn()); 9] = [
        ("queues_calls_until_it_is_ready", queues),
        ("has_the_name_that_it_is_given", is_named),
        ("refuses_asyncio", refuses_asyncio),
        ("serves_although_there_is_no_registrar", serves_without_registrar),
        ("says_that_there_is_no_parent", says_no_parent),
        ("ends_with_the_connection", ends_with_the_connection),
        ("outlives_the_thread_that_started_it", outlives_the_thread),
        ("comes_again_when_it_was_too_fast", comes_again),
        ("answers_in_time_and_ends_its_own_children", ends_its_own),
    ];
    all.map(|(name, body)| test(format!("child_of_a_parent_by_hand_{name}"), body)).to_vec()
}

/// With a Python for the child's own child.
pub(crate) fn tests_with(python: &Python, what: &str) -> Test {
    let python = python.clone();
    let name = format!("child_of_a_parent_by_hand_has_a_child_that_is_{what}");
    test(name, move || has_a_child_that_is_python(&python))
}

const UUID: &str = "aa36a914-1155-44be-a503-21c2c5f1b215";

/// A parent, before it has told its child anything.
struct Parent {
    child: Child,
    listener: TcpListener,
    socket: TcpStream,
    /// Who the child says it is.
    them: Aid,
    /// The thread that has started it, and what ends that.
    starter: Option<(Sender<()>, JoinHandle<()>)>,
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn us() -> Uid {
    Uid { name: "by_hand".into(), uuid: "0f0e0d0c".into() }
}

/// The child's command, for a parent at this port.
fn command(uid: &str, port: u16, more: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let parent = format!("('127.0.0.1', {port})");
    command.args(["-m", "tractor._child", "--uid", uid, "--parent_addr", &parent]).args(more);
    command.env(EXECUTOR, "smol").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::piped());
    command
}

impl Parent {
    fn start(uid: &str, more: &[&str]) -> Parent {
        Parent::start_with(uid, more, |_| {})
    }

    fn start_with(uid: &str, more: &[&str], change: impl FnOnce(&mut Command)) -> Parent {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = command(uid, port, more);
        change(&mut command);
        let ((tell, told), (end, ended)) = (channel(), channel());
        let starter = std::thread::spawn(move || {
            tell.send(command.spawn().unwrap()).unwrap();
            // Until the other end is dropped.
            let _ = ended.recv();
        });
        let child = told.recv().unwrap();
        let socket = accept(&listener);
        let starter = Some((end, starter));
        let mut parent = Parent { child, listener, socket, them: aid(), starter };
        parent.meet();
        parent
    }

    fn meet(&mut self) {
        self.say(&Msg::Aid(aid()));
        let Msg::Aid(them) = self.hear() else { panic!("no Aid") };
        self.them = them;
    }

    fn say(&mut self, msg: &Msg) {
        let mut body = Vec::new();
        msg.encode(Features::BASE, &mut body);
        let len = u32::try_from(body.len()).unwrap().to_le_bytes();
        self.socket.write_all(&[&len[..], &body].concat()).unwrap();
    }

    fn hear(&mut self) -> Msg {
        let mut len = [0; 4];
        self.socket.read_exact(&mut len).unwrap();
        let mut body = vec![0; u32::from_le_bytes(len) as usize];
        self.socket.read_exact(&mut body).unwrap();
        Msg::decode(Bytes::from(body)).unwrap()
    }

    fn tell(&mut self, reg_addrs: Vec<Address>) {
        let mut vars = Vec::new();
        RuntimeVars { enable_tpts: vec!["tcp".into()], ..RuntimeVars::default() }.encode(&mut vars);
        self.say(&Msg::SpawnSpec(SpawnSpec {
            parent_main_data: Bytes::from_static(&[0x80]),
            runtime_vars: vars.into(),
            enable_modules: vec![("interop".into(), "".into()), ("elsewhere".into(), "".into())],
            reg_addrs,
            bind_addrs: None,
        }));
    }

    fn ask(&mut self, cid: &'static str, func: &'static str, kwargs: &[u8]) {
        let kwargs = Bytes::copy_from_slice(kwargs);
        let (cid, ns) = (Cid::Text(cid.into()), "interop".into());
        self.say(&Msg::Start(Start { cid, ns, func: func.into(), kwargs, uid: us() }));
    }

    /// Asks it to end, and waits until it has.
    fn end(mut self) {
        let cid = Cid::Text("end".into());
        self.say(&Msg::Request { cid, uid: us(), request: Request::CancelActor { budget: None } });
        assert!(matches!(self.hear(), Msg::StartAck { .. }));
        assert!(matches!(self.hear(), Msg::CancelAck { .. }));
        let (status, stderr) = self.ended();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    }

    fn ended(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (status, stderr)
    }

    /// What it says of why it can't begin.
    fn failure(&mut self) -> RemoteError {
        match self.hear() {
            Msg::Error { cid: None, error } => error,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(start.elapsed() < LIMIT, "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn aid() -> Aid {
    let pid = Some(u64::from(std::process::id()));
    Aid { uid: us(), pid, is_registrar: Some(false), is_probe: false, ext: None }
}

fn plain() -> String {
    format!("('child', '{UUID}')")
}

/// `{"a": 3, "b": 4}`.
const ADD: &[u8] = b"\x82\xa1a\x03\xa1b\x04";

fn hears_seven(parent: &mut Parent, cids: &[&'static str]) {
    let mut heard: Vec<Msg> = (0..2 * cids.len()).map(|_| parent.hear()).collect();
    for cid in cids {
        let name = Cid::Text((*cid).into());
        for wanted in [
            Msg::StartAck { cid: name.clone(), functype: FuncType::Call },
            Msg::Return { cid: name, pld: Bytes::from_static(&[7]) },
        ] {
            let next = heard.iter().position(|msg| *msg == wanted);
            heard.remove(next.unwrap_or_else(|| panic!("no {wanted:?} in {heard:?}")));
        }
    }
}

/// Calls may come with the instructions. A module that is not there costs nothing.
fn queues() {
    let mut parent = Parent::start(&plain(), &["--loglevel", "CANCEL"]);
    parent.tell(Vec::new());
    parent.ask("1", "add", ADD);
    parent.ask("2", "add", ADD);
    hears_seven(&mut parent, &["1", "2"]);
    parent.end();
}

fn is_named() {
    let name = "it's a \"name\", (or) not";
    let mut parent = Parent::start(r#"('it\'s a "name", (or) not', 'not-a-uuid')"#, &[]);
    assert_eq!(parent.them.uid, Uid { name: name.into(), uuid: Text::from("not-a-uuid") });
    assert_eq!(parent.them.pid, Some(u64::from(parent.child.id())));
    parent.tell(Vec::new());
    parent.end();
}

/// The parent is told, as one that nobody connects to waits for ever; and so are people.
fn refuses_asyncio() {
    let mut parent = Parent::start(&plain(), &["--loglevel", "ERROR", "--asyncio"]);
    parent.tell(Vec::new());
    let error = parent.failure();
    assert!(error.message.unwrap().as_str().contains("--asyncio"));
    let (status, stderr) = parent.ended();
    assert_eq!(status.code(), Some(70), "{stderr}");
    assert!(stderr.contains("--asyncio"), "{stderr}");
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// It makes itself known once there is one.
fn serves_without_registrar() {
    let mut parent = Parent::start(&plain(), &[]);
    let port = free_port();
    parent.tell(vec![Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port }]);
    parent.ask("1", "add", ADD);
    hears_seven(&mut parent, &["1"]);
    let registrar = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let (mut socket, _) = registrar.accept().unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut begin = [0; 8];
    socket.read_exact(&mut begin).unwrap();
    drop((socket, registrar));
    parent.end();
}

fn says_no_parent() {
    let port = free_port();
    let mut child = command(&plain(), port, &[]).spawn().unwrap();
    let status = wait(&mut child);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(status.code(), Some(70), "{stderr}");
    assert!(stderr.contains(&format!("/tcp/{port}")), "{stderr}");
}

/// A parent that lives, and has closed its end.
fn ends_with_the_connection() {
    let mut parent = Parent::start(&plain(), &[]);
    parent.tell(Vec::new());
    parent.ask("1", "add", ADD);
    hears_seven(&mut parent, &["1"]);
    parent.socket.shutdown(std::net::Shutdown::Both).unwrap();
    let (status, stderr) = parent.ended();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

/// The kernel's parent-death signal is about threads. The one that started this child is gone.
fn outlives_the_thread() {
    let mut parent = Parent::start(&plain(), &[]);
    parent.tell(Vec::new());
    let (end, starter) = parent.starter.take().unwrap();
    drop(end);
    starter.join().unwrap();
    parent.ask("1", "add", ADD);
    hears_seven(&mut parent, &["1"]);
    parent.end();
}

/// A Python parent sends SIGTERM to who has not answered after 0.5 s, which would be its end.
fn ends_its_own() {
    let mut parent = Parent::start(&plain(), &[]);
    parent.tell(Vec::new());
    parent.ask("1", "brood", b"\x80");
    assert!(matches!(parent.hear(), Msg::StartAck { .. }));
    let Msg::Started { pld, .. } = parent.hear() else { panic!("it has not started") };
    let own: u32 = rmp_serde::from_slice(&pld).unwrap();
    let own = format!("/proc/{own}");
    assert!(std::fs::exists(&own).unwrap());
    let start = Instant::now();
    let cid = Cid::Text("end".into());
    parent.say(&Msg::Request { cid, uid: us(), request: Request::CancelActor { budget: None } });
    assert!(matches!(parent.hear(), Msg::StartAck { .. }));
    assert!(matches!(parent.hear(), Msg::CancelAck { .. }));
    assert!(start.elapsed() < SLOW, "{:?}", start.elapsed());
    let Msg::Error { error, .. } = parent.hear() else { panic!("no error") };
    assert_eq!(error.boxed_type.as_str(), "ContextCancelled");
    let (status, stderr) = parent.ended();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    assert!(start.elapsed() >= SLOW, "{:?}", start.elapsed());
    assert!(!std::fs::exists(own).unwrap());
}

fn has_a_child_that_is_python(python: &Python) {
    let mut parent = Parent::start_with(&plain(), &[], |command| {
        command.env("TRACTOR_PYTHON", &python.interpreter).env("PYTHONPATH", &python.modules);
        // Not everybody has a directory for what there is at run time.
        command.env("PYTHONWARNINGS", "ignore");
    });
    parent.tell(Vec::new());
    parent.ask("1", "add_in_python", ADD);
    hears_seven(&mut parent, &["1"]);
    parent.end();
}

/// The reference looks for its child once it has started it, and never sees one that came before.
fn comes_again() {
    let mut parent = Parent::start(&plain(), &[]);
    let mut missed = std::mem::replace(&mut parent.socket, accept(&parent.listener));
    parent.meet();
    parent.tell(Vec::new());
    parent.ask("1", "add", ADD);
    hears_seven(&mut parent, &["1"]);
    // Of the other one nothing is left.
    assert_eq!(missed.read(&mut [0]).unwrap(), 0);
    parent.end();
}
