//! One actor: its application, its driver and its peers do anything, with things that are there,
//! that are gone and that never were. Nothing panics, a refused command changes nothing, nobody
//! hears of a thing after its end, and in the end nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tractor_core::msg::{Features, FuncType};
use tractor_core::supervise::ExitStatus;
use tractor_core::{
    ChildId, Config, ConnId, DialogEvent, DialogId, Effect, Event, Input, Life, NurseryEvent,
    NurseryId, Outbound, Output, Text,
};

use super::stage::Stage;
use crate::random::Source;

mod commands;
mod peers;

/// The number of a thing that never was.
const NOBODY: u64 = 77;

/// A run.
struct Run {
    stage: Stage,
    source: Source,
    conns: Vec<ConnId>,
    dialogs: Vec<DialogId>,
    /// What kind of function was asked for.
    funcs: BTreeMap<DialogId, FuncType>,
    children: Vec<ChildId>,
    nurseries: Vec<NurseryId>,
    /// What was taken to be written, and is not back.
    out: BTreeMap<ConnId, Outbound>,
    /// Tasks that the application runs.
    tasks: BTreeSet<DialogId>,
    /// Whatever nobody may hear of any more.
    over: BTreeSet<String>,
}

/// Settings, then operations.
pub fn run(data: &[u8]) {
    let mut run = Run::new(Source::bytes(data));
    while !run.source.is_empty() {
        run.step();
        run.look();
    }
    run.rest();
}

/// Limits that are soon reached.
fn config(source: &mut Source) -> Config {
    let mut config = Config::new("actor");
    config.is_registrar = source.below(2) == 1;
    config.features = [Features::ALL, Features::ALL, Features::BASE][source.below(3)];
    (config.conns_max, config.half_open_max) = (6, 3);
    (config.dialogs_max, config.queued_starts_max) = (4, 2);
    config.strays_max = 20;
    config.frame_len_max = 5000;
    (config.lane_bytes_max, config.unread_bytes_max) = (500, 1000);
    (config.answers_bytes_max, config.backlog_bytes_max) = (3000, 2000);
    (config.registry_max, config.waiters_max) = (3, 3);
    (config.base_items, config.window_items) = (4, 100);
    config
}

impl Run {
    fn new(mut source: Source) -> Run {
        let stage = Stage::new(config(&mut source));
        let mut run = Run {
            stage,
            source,
            conns: Vec::new(),
            dialogs: Vec::new(),
            funcs: BTreeMap::new(),
            children: Vec::new(),
            nurseries: Vec::new(),
            out: BTreeMap::new(),
            tasks: BTreeSet::new(),
            over: BTreeSet::new(),
        };
        run.stage.actor.enable("app");
        match run.source.below(3) {
            0 => run.conns.push(run.stage.actor.attach_parent(run.stage.now)),
            1 => run.stage.actor.body_started(),
            _ => {
                let booted = run.stage.actor.booted(run.stage.now, Vec::new());
                assert_eq!(booted, Ok(()));
            }
        }
        for _ in 0..run.source.below(3) {
            let conn = run.stage.actor.accepted(run.stage.now).expect("there is room");
            run.conns.push(conn);
            run.introduce(conn);
        }
        run
    }

    fn step(&mut self) {
        match self.source.below(16) {
            0..=5 => self.peer(),
            6..=8 => self.wire(),
            9 => self.fact(),
            _ => self.command(),
        }
        self.stage.drain();
    }

    /// One that there is or was, or one that never was.
    fn conn(&mut self) -> ConnId {
        let known = self.conns.len();
        let at = self.source.below(known + 1);
        self.conns.get(at).copied().unwrap_or(ConnId::from_u64(NOBODY))
    }

    /// One that lives, as a rule.
    fn dialog(&mut self) -> DialogId {
        let mut from = self.dialogs.clone();
        if self.source.below(8) > 0 {
            from.retain(|id| self.stage.actor.conn_of(*id).is_some());
        }
        let at = self.source.below(from.len().min(8) + 1);
        from.iter().rev().nth(at).copied().unwrap_or(DialogId::from_u64(NOBODY))
    }

    fn child(&mut self) -> ChildId {
        let at = self.source.below(self.children.len() + 1);
        self.children.get(at).copied().unwrap_or(ChildId::from_u64(NOBODY))
    }

    /// Writing, in parts, and time.
    fn wire(&mut self) {
        let (now, conn) = (self.stage.now, self.conn());
        match self.source.below(8) {
            0 => {
                let ms = [1, 50, 400, 600, 3000, 6000][self.source.below(6)];
                self.stage.now = now + Duration::from_millis(ms);
                self.stage.fact(Input::Timeout);
            }
            1..=3 if !self.out.contains_key(&conn) => {
                let taken = self.stage.actor.take_outbox(conn);
                self.out.extend(taken.map(|out| (conn, out)));
            }
            _ => {
                let part = [1, 10, 200, usize::MAX][self.source.below(4)];
                let Some(mut out) = self.out.remove(&conn) else { return };
                let len: usize = out.slices().map(<[u8]>::len).sum();
                out.advance(part.min(len));
                self.stage.actor.put_back(now, conn, out);
            }
        }
    }

    fn fact(&mut self) {
        let (conn, child) = (self.conn(), self.child());
        let why: Option<Text> = (self.source.below(2) == 0).then(|| "reset".into());
        let status = [ExitStatus::Code(0), ExitStatus::Code(1), ExitStatus::Signal(9)];
        let status = status[self.source.below(3)];
        let input = match self.source.below(8) {
            0 => Input::Connected { conn },
            1..=3 => Input::Disconnected { conn, why },
            4 => Input::Spawned { child, pid: 100 },
            5 => Input::SpawnFailed { child, why: "no such program".into() },
            6 => Input::ChildExited { child, status },
            _ => Input::Timeout,
        };
        self.stage.fact(input);
    }

    /// What was decided: nobody hears of what is over, and only what runs is cancelled.
    fn look(&mut self) {
        while self.stage.actor.next_dirty().is_some() {}
        for output in std::mem::take(&mut self.stage.outputs) {
            match output {
                Output::Event(event) => self.on_event(&event),
                Output::Effect(effect) => self.on_effect(&effect),
                _ => {}
            }
        }
    }

    /// Something happens to a thing; whether that is its end.
    fn happens(&mut self, thing: String, is_end: bool, what: &dyn std::fmt::Debug) {
        assert!(!self.over.contains(&thing), "{thing} is over: {what:?}");
        if is_end {
            self.over.insert(thing);
        }
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Dialog(id, what) => {
                let is_end = matches!(what, DialogEvent::Done(_));
                self.happens(format!("dialog {id}"), is_end, event);
            }
            Event::Nursery(id, what) => {
                if let NurseryEvent::Ended { child, .. } = what {
                    self.happens(format!("child {child}"), true, event);
                }
                let is_end = matches!(what, NurseryEvent::Closed);
                self.happens(format!("nursery {id}"), is_end, event);
            }
            Event::Opened { conn, .. } => self.happens(format!("conn {conn}"), false, event),
            Event::Closed { conn, .. } => self.happens(format!("conn {conn}"), true, event),
            Event::Ended { .. } => self.happens("actor".into(), true, event),
            _ => {}
        }
    }

    fn on_effect(&mut self, effect: &Effect) {
        match effect {
            Effect::StartTask { dialog, .. } => {
                assert!(self.tasks.insert(*dialog), "a task is started once");
                self.dialogs.push(*dialog);
            }
            Effect::CancelTask { dialog } => {
                assert!(self.tasks.contains(dialog), "only a task that runs is cancelled");
                self.happens(format!("cancel {dialog}"), true, effect);
            }
            Effect::Signal { child, .. } => {
                // A process that nobody asked for is killed.
                let is_known = self.children.contains(child) || *child == ChildId::from_u64(NOBODY);
                assert!(is_known, "only a child of ours is signalled");
            }
            _ => {}
        }
    }

    /// Everything ends: then nothing is left.
    fn rest(&mut self) {
        self.stage.actor.body_ended(self.stage.now);
        for _ in 0..4 {
            self.stage.drain();
            self.look();
            self.end_all();
        }
        let mut fired = 0;
        while let Some((at, timer)) = self.stage.actor.next_deadline() {
            self.stage.now = self.stage.now.max(at);
            self.stage.fact(Input::Timeout);
            self.look();
            fired += 1;
            assert!(fired < 1000, "{timer:?} comes again and again");
        }
        self.end_all();
        self.look();
        assert_eq!(self.stage.actor.census(), Default::default(), "something is left");
        assert_eq!(self.stage.actor.life(), Life::Ended);
    }

    fn end_all(&mut self) {
        let now = self.stage.now;
        for (conn, out) in std::mem::take(&mut self.out) {
            self.stage.actor.put_back(now, conn, out);
        }
        for id in std::mem::take(&mut self.tasks) {
            self.stage.actor.cancelled(now, id);
        }
        for id in self.nurseries.clone() {
            // It may have closed by itself.
            let _ = self.stage.actor.join_nursery(now, id);
        }
        for child in self.children.clone() {
            let status = ExitStatus::Signal(9);
            self.stage.fact(Input::ChildExited { child, status });
        }
        for conn in self.conns.clone() {
            self.stage.fact(Input::Disconnected { conn, why: None });
        }
    }

    fn func(&mut self) -> FuncType {
        [FuncType::Call, FuncType::Context, FuncType::Context, FuncType::Stream]
            [self.source.below(4)]
    }
}
