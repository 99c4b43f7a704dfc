//! RPC: calls, who may call what, and answers that nobody waits for any more.
//!
//! RPC-01 and RPC-02 are about a write that fails at one exact moment, so they drive the core by
//! hand: there the transport is this file.

use tractor::endpoint::Module;
use tractor::{Error, Result, RootConfig, current_actor, module, open_nursery, open_root_actor};
use tractor_core::msg::FuncType;
use tractor_core::{
    Actor, Address, Call, Config, ConnId, DialogId, Effect, Input, Instant, Output, Text,
};

use crate::remote_type;

/// A server's core and a client's, with a link between them.
struct Pair {
    server: (Actor, ConnId),
    client: (Actor, ConnId),
}

fn actor(name: &str, seed: u8) -> Actor {
    let mut actor = Actor::new(Config::new(name), [seed; 32], Instant::default());
    actor.body_started();
    actor.enable("app");
    actor.booted(Instant::default(), Vec::new()).unwrap();
    actor
}

/// Moves what `from` has written to `to`.
fn carry(from: &mut (Actor, ConnId), to: &mut (Actor, ConnId)) {
    let Some(mut out) = from.0.take_outbox(from.1) else { return };
    let bytes: Vec<u8> = out.slices().flatten().copied().collect();
    out.advance(bytes.len());
    from.0.put_back(Instant::default(), from.1, out);
    for byte in bytes {
        to.0.recv_buf(to.1).unwrap()[0] = byte;
        to.0.handle_input(Instant::default(), Input::Received { conn: to.1, len: 1 });
    }
}

impl Pair {
    fn connected() -> Pair {
        let (mut server, mut client) = (actor("server", 1), actor("client", 2));
        let server_end = server.accepted(Instant::default()).unwrap();
        let addr: Address = "/unix/run/server".parse().unwrap();
        let client_end = client.connect(Instant::default(), addr).unwrap();
        client.handle_input(Instant::default(), Input::Connected { conn: client_end });
        let mut pair = Pair { server: (server, server_end), client: (client, client_end) };
        pair.exchange();
        pair
    }

    fn exchange(&mut self) {
        for _ in 0..4 {
            carry(&mut self.client, &mut self.server);
            carry(&mut self.server, &mut self.client);
        }
    }

    /// The client calls; the server is told to run this task.
    fn task(&mut self) -> DialogId {
        let call = Call { func_type: FuncType::Call, ns: "app", func: "work", kwargs: &[0x80] };
        self.client.0.start(Instant::default(), self.client.1, &call).unwrap();
        self.exchange();
        let tasks: Vec<DialogId> = self.server_effects(|effect| match effect {
            Effect::StartTask { dialog, .. } => Some(dialog),
            _ => None,
        });
        assert_eq!(tasks.len(), 1);
        tasks[0]
    }

    fn server_effects<T>(&mut self, pick: impl Fn(Effect) -> Option<T>) -> Vec<T> {
        std::iter::from_fn(|| self.server.0.poll_output())
            .filter_map(|output| match output {
                Output::Effect(effect) => pick(effect),
                _ => None,
            })
            .collect()
    }

    /// The server's next write fails: what it wanted to say stays with it, and the link is gone.
    fn break_link(&mut self) {
        let (server, conn) = &mut self.server;
        let out = server.take_outbox(*conn).expect("there is something to be written");
        server.put_back(Instant::default(), *conn, out);
        let why = Some(Text::from_static("broken pipe"));
        server.handle_input(Instant::default(), Input::Disconnected { conn: *conn, why });
    }

    fn assert_idle(&self) {
        let census = self.server.0.census();
        assert_eq!((census.tasks, census.dialogs), (0, 0), "{census:?}");
    }
}

/// The reference lets the task run on for nobody. Here too it runs, and may clean up; but it is
/// told that it is cancelled, as there is nobody left to work for.
#[test]
fn rpc_01_task_runs_although_its_ack_could_not_be_sent() {
    let mut pair = Pair::connected();
    let task = pair.task();
    pair.server.0.accept(Instant::default(), task, FuncType::Call).unwrap();
    assert_eq!(pair.server.0.census().tasks, 1, "it is in the table while it runs");
    pair.break_link();
    let told = pair.server_effects(|e| {
        matches!(e, Effect::CancelTask { dialog } if dialog == task).then_some(())
    });
    assert_eq!(told.len(), 1, "the task is told, once");
    assert_eq!(pair.server.0.census().tasks, 1, "and is in the table until it has ended");
    pair.server.0.cancelled(Instant::default(), task);
    pair.assert_idle();
}

#[test]
fn rpc_02_error_for_a_closed_connection_is_swallowed() {
    let mut pair = Pair::connected();
    let task = pair.task();
    pair.server.0.accept(Instant::default(), task, FuncType::Call).unwrap();
    pair.exchange(); // the ack arrives
    let error = pair.server.0.own_error("ValueError", "doggy");
    pair.server.0.fail(Instant::default(), task, error);
    pair.break_link();
    pair.assert_idle();
    let sent: Vec<Effect> = pair.server_effects(Some);
    assert!(sent.iter().all(|e| matches!(e, Effect::Close { .. })), "nothing is raised: {sent:?}");
}

/// What the root lets its child call.
#[tractor::rpc]
async fn sleep_it_off() -> &'static str {
    "yo"
}

/// Runs in the child, and calls into the root.
#[tractor::rpc]
async fn call_root(name: String) -> Result<String> {
    let root = current_actor()?.parent().expect("a child has a parent");
    assert_eq!(root.name(), "root");
    root.call(module!().name(), &name, &()).await
}

/// A root with these modules, and one child that calls `name` in it.
async fn child_calls_root(modules: Vec<Module>, name: &str) -> Result<String> {
    let config = modules.into_iter().fold(RootConfig::default(), RootConfig::enable);
    let name = name.to_owned();
    open_root_actor(config, async |_| {
        open_nursery(async |an| an.run_in_actor(call_root { name }).await?.result().await).await
    })
    .await
}

#[tractor::test(matrix)]
async fn rpc_03_root_without_modules_refuses() {
    let error = child_calls_root(Vec::new(), "sleep_it_off").await.unwrap_err();
    assert_eq!(remote_type(&error), "ModuleNotExposed", "{error:?}");
}

#[tractor::test(matrix)]
async fn rpc_03_root_with_the_module_answers() -> Result<()> {
    assert_eq!(child_calls_root(vec![module!()], "sleep_it_off").await?, "yo");
    Ok(())
}

#[tractor::test(matrix)]
async fn rpc_03_root_without_the_function_says_so() {
    let error = child_calls_root(vec![module!()], "no_such_function").await.unwrap_err();
    assert_eq!(remote_type(&error), "AttributeError", "{error:?}");
    let remote = error.remote().unwrap();
    assert!(remote.message().contains("no_such_function"), "{error:?}");
    assert_eq!(remote.source_actor().name.as_str(), "root");
    let path: Vec<&str> = remote.relay_path().iter().map(|uid| uid.name.as_str()).collect();
    assert_eq!(path, ["root", "call_root"], "it went through the child, and came back");
}

#[tractor::rpc]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

mod elsewhere {
    #[tractor::rpc]
    pub(super) async fn multiply(a: u64, b: u64) -> u64 {
        a * b
    }
}

/// The allow-list: a module that was not enabled is as good as not there.
#[tractor::test(matrix)]
async fn only_enabled_modules_can_be_called() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable_of::<add>().await?;
        assert_eq!(child.run(add { a: 3, b: 4 }).await?, 7);
        match child.run(elsewhere::multiply { a: 3, b: 4 }).await {
            Err(Error::ModuleNotExposed(error)) => {
                assert!(error.message().contains("elsewhere"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(child.run(add { a: 5, b: 6 }).await?, 11, "nothing else has changed");
        let both = an.start_actor("both").enable(module!()).enable_of::<elsewhere::multiply>();
        let both = both.await?;
        assert_eq!(both.run(add { a: 3, b: 4 }).await?, 7);
        assert_eq!(both.run(elsewhere::multiply { a: 3, b: 4 }).await?, 12);
        an.cancel().await
    })
    .await
}
