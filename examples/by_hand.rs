//! A parent and a child by hand: no runtime, no socket, no process, no clock.
//!
//! The core (`tractor_core::Actor`) decides everything and does nothing. Whoever drives it does
//! five things in a loop, and this program does each of them in a few lines:
//!
//! 1. tell it facts: `recv_buf` + `handle_input`            (`Side::read`)
//! 2. pop what it wants done: `poll_output`                 (`World::perform`)
//! 3. write what waits: `take_outbox` + `put_back`          (`Side::write`)
//! 4. wake it when it asked for it: `next_deadline`         (`World::sleep`)
//! 5. call its commands, as an application's tasks would    (`main`)
//!
//! Here time is a number, a process is an entry in a struct, and the socket between the two hands
//! over one byte at a time. So the program prints the same on every run, on every machine.
//!
//! Run it: `cargo run --example by_hand`

use tractor_core::error::Misuse;
use tractor_core::msg::{FuncType, SpawnSpec};
use tractor_core::supervise::{ChildConfig, ExitStatus, Link};
use tractor_core::{
    Actor, Call, ChildId, Config, ConnId, DialogEvent, DialogId, Effect, Event, Input, Instant,
    NurseryEvent, Outcome, Output, OverrunPolicy, Payload,
};

fn main() -> Result<(), Misuse> {
    let mut world = World::new();

    println!("--- spawn: the parent's core asks for a process, and the world makes one");
    let nursery = world.parent.actor.open_nursery(world.now, None)?;
    let spec = SpawnSpec {
        parent_main_data: EMPTY_MAP.into(),
        runtime_vars: EMPTY_MAP.into(),
        enable_modules: vec![("app".into(), "".into())],
        reg_addrs: Vec::new(),
        bind_addrs: None,
    };
    let config = ChildConfig {
        name: "child".into(),
        isolated: false,
        budget: None,
        spec,
        link: Link::Handed,
    };
    let (_, link) = world.parent.actor.spawn(world.now, nursery, config)?;
    world.parent.conn = Some(link);
    world.run();

    println!("--- call: one question, one answer");
    let call = |func_type, func| Call { func_type, ns: "app", func, kwargs: EMPTY_MAP };
    let parent = &mut world.parent.actor;
    parent.start(world.now, link, &call(FuncType::Call, "double"))?;
    world.run();
    let (now, task) = (world.now, world.child_task());
    let child = world.child();
    child.accept(now, task, FuncType::Call)?;
    child.finish(now, task, number(42))?;
    world.run();

    println!("--- context: two linked tasks, with a stream between them");
    let parent = &mut world.parent.actor;
    let context = parent.start(world.now, link, &call(FuncType::Context, "count"))?;
    world.run();
    let task = world.child_task();
    let child = world.child();
    child.accept(now, task, FuncType::Context)?;
    child.started(now, task, number(0))?;
    child.open_stream(now, task, OverrunPolicy::Backpressure)?;
    world.run();
    world.parent.actor.open_stream(world.now, context, OverrunPolicy::Backpressure)?;
    for n in 1..=3 {
        world.child().send(now, task, number(n)).expect("the credit is larger than this");
    }
    world.run();

    println!("--- cancel: it crosses the child's own return, and the return was first");
    world.parent.actor.cancel(world.now, context)?;
    world.child().finish(now, task, number(3))?;
    world.run();

    println!("--- kill: the process dies while a call is under way; its nursery is told how");
    let parent = &mut world.parent.actor;
    parent.start(world.now, link, &call(FuncType::Call, "crash"))?;
    world.run();
    world.kill_child(9);
    world.run();

    println!("--- the end: nothing is left");
    world.parent.actor.join_nursery(world.now, nursery)?;
    world.parent.actor.body_ended(world.now);
    world.run();
    println!("parent  {:?}", world.parent.actor.census());
    Ok(())
}

/// One actor, the connection between the two, and what to call it in the printout.
struct Side {
    name: &'static str,
    actor: Actor,
    conn: Option<ConnId>,
}

impl Side {
    /// Writes all that waits: what a driver gives to `writev`. A real socket may take less of it;
    /// then `put_back` keeps the rest.
    fn write(&mut self, now: Instant) -> Vec<u8> {
        let Some(conn) = self.conn else { return Vec::new() };
        let Some(mut out) = self.actor.take_outbox(conn) else { return Vec::new() };
        let bytes: Vec<u8> = out.slices().flatten().copied().collect();
        out.advance(bytes.len());
        self.actor.put_back(now, conn, out);
        bytes
    }

    /// Reads one byte: what a driver gets from `read`, only in the smallest pieces there are.
    fn read(&mut self, now: Instant, byte: u8) {
        let Some(conn) = self.conn else { return };
        let Some(buf) = self.actor.recv_buf(conn) else { return };
        buf[0] = byte;
        self.actor.handle_input(now, Input::Received { conn, len: 1 });
    }
}

/// The parent, the child once it is spawned, and the time.
struct World {
    now: Instant,
    parent: Side,
    child: Option<Side>,
    /// The process, as the parent knows it.
    process: Option<ChildId>,
    /// The last task that the child was asked for.
    task: Option<DialogId>,
    bytes: usize,
}

impl World {
    fn new() -> World {
        let now = Instant::default();
        let mut actor = Actor::new(Config::new("parent"), [1; 32], now);
        actor.body_started();
        actor.booted(now, Vec::new()).expect("it has just begun");
        let parent = Side { name: "parent", actor, conn: None };
        World { now, parent, child: None, process: None, task: None, bytes: 0 }
    }

    /// Lets both sides do all they want to do, until nobody wants anything.
    fn run(&mut self) {
        let before = self.bytes;
        while self.perform() || self.carry() {}
        if self.bytes > before {
            println!("        ({} bytes went over, one by one)", self.bytes - before);
        }
    }

    /// Performs what the cores decided, in their order. Whether there was anything.
    fn perform(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.parent.actor.poll_output() {
            any = true;
            match output {
                Output::Event(event) => tell(self.parent.name, &event),
                Output::Effect(effect) => self.parent_effect(effect),
                _ => {}
            }
        }
        while let Some(output) = self.child.as_mut().and_then(|c| c.actor.poll_output()) {
            any = true;
            match output {
                Output::Event(event) => self.child_event(&event),
                Output::Effect(effect) => self.child_effect(effect),
                _ => {}
            }
        }
        any
    }

    /// Carries what is written to the other side, byte by byte. Whether there was anything.
    fn carry(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        let (down, up) = (self.parent.write(self.now), child.write(self.now));
        for byte in &down {
            child.read(self.now, *byte);
        }
        for byte in &up {
            self.parent.read(self.now, *byte);
        }
        self.bytes += down.len() + up.len();
        !down.is_empty() || !up.is_empty()
    }

    /// Lets time pass up to the next deadline of the parent's.
    fn sleep(&mut self) {
        if let Some((at, why)) = self.parent.actor.next_deadline() {
            println!("world   {:?} later: {why:?}", self.now.until(at));
            self.now = at;
            self.parent.actor.handle_input(at, Input::Timeout);
        }
    }

    fn parent_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { child, .. } => {
                let uid = self.parent.actor.child_uid(child).expect("asked for just now").clone();
                println!("parent  effect: spawn {uid}");
                let mut config = Config::new(uid.name.as_str());
                config.uuid = Some(uid.uuid.to_string());
                let mut actor = Actor::new(config, [2; 32], self.now);
                let conn = Some(actor.attach_parent(self.now));
                self.child = Some(Side { name: "child", actor, conn });
                self.process = Some(child);
                self.parent.actor.handle_input(self.now, Input::Spawned { child, pid: 4711 });
            }
            effect => println!("parent  effect: {effect:?}"),
        }
    }

    /// What a child's runtime does: it becomes ready once it has its instructions.
    fn child_event(&mut self, event: &Event) {
        tell("child", event);
        if let Event::Spec(spec) = event {
            let now = self.now;
            let child = self.child();
            spec.enable_modules.iter().for_each(|(name, _)| child.enable(name.as_str()));
            child.booted(now, Vec::new()).expect("booted once");
        }
    }

    fn child_effect(&mut self, effect: Effect) {
        match effect {
            Effect::StartTask { dialog, ns, func, .. } => {
                println!("child   effect: run {ns}.{func}");
                self.task = Some(dialog);
            }
            effect => println!("child   effect: {effect:?}"),
        }
    }

    /// The process is gone, and the kernel tells how. That its link has ended too may be seen
    /// before or after that, or, if somebody else holds it open, never: the core waits a little.
    fn kill_child(&mut self, signal: i32) {
        let Some(child) = self.process else { return };
        self.child = None;
        println!("world   signal {signal} kills the child");
        let status = ExitStatus::Signal(signal);
        self.parent.actor.handle_input(self.now, Input::ChildExited { child, status });
        self.sleep();
    }

    fn child(&mut self) -> &mut Actor {
        &mut self.child.as_mut().expect("it was spawned").actor
    }

    fn child_task(&self) -> DialogId {
        self.task.expect("it was started")
    }
}

/// Prints an event as one line.
fn tell(name: &str, event: &Event) {
    match event {
        Event::Opened { peer, .. } => println!("{name:7} opened: the peer is {}", peer.uid),
        Event::Closed { why, .. } => println!("{name:7} closed: {why}"),
        Event::Spec(_) => println!("{name:7} has its instructions"),
        Event::Nursery(_, NurseryEvent::Ready { .. }) => println!("{name:7} its child is ready"),
        Event::Nursery(_, NurseryEvent::Ended { end, .. }) => {
            let how = end.status.map(|s| s.to_string()).unwrap_or_default();
            println!("{name:7} its child {} ended: {how}; failed: {}", end.uid, end.failed);
        }
        Event::Nursery(_, event) => println!("{name:7} nursery: {event:?}"),
        Event::Dialog(_, DialogEvent::Started(pld)) => println!("{name:7} started with {}", pld[0]),
        Event::Dialog(_, DialogEvent::Items(batch)) => {
            // An item is MessagePack; these are small numbers, a byte each.
            let items: Vec<u8> = batch.chunks.iter().flat_map(|c| c.plds.to_vec()).collect();
            println!("{name:7} items: {items:?}");
        }
        Event::Dialog(_, DialogEvent::Done(outcome)) => match &**outcome {
            Outcome::Returned(pld) => println!("{name:7} outcome: returned {}", pld[0]),
            Outcome::PeerLost { peer, child } => {
                let status = child.as_ref().and_then(|end| end.status);
                let how = status.map(|s| s.to_string()).unwrap_or_default();
                println!("{name:7} outcome: {peer} was lost: {how}");
            }
            outcome => println!("{name:7} outcome: {outcome:?}"),
        },
        Event::Dialog(_, event) => println!("{name:7} dialog: {event:?}"),
        Event::Ended { forced } => println!("{name:7} ended; forced: {forced}"),
        event => println!("{name:7} event: {event:?}"),
    }
}

/// A MessagePack map without entries.
const EMPTY_MAP: &[u8] = &[0x80];

/// A small number in MessagePack is the byte itself.
fn number(n: u8) -> Payload<'static> {
    const NUMBERS: [u8; 128] = {
        let mut all = [0; 128];
        let mut n = 0;
        while n < 128 {
            all[n] = n as u8;
            n += 1;
        }
        all
    };
    Payload::from(&NUMBERS[usize::from(n)..=usize::from(n)])
}
