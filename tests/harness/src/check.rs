//! What must hold whatever happens: checked at every step of every script, fuzz run and random run.

use std::collections::{BTreeMap, BTreeSet};

use tractor_core::{
    ChildId, ConnId, DialogEvent, DialogId, Effect, Event, NurseryEvent, NurseryId,
};

use crate::world::{Host, World};

/// What was seen so far, per actor.
#[derive(Debug, Default)]
pub struct Rules {
    done: BTreeSet<(String, DialogId)>,
    cancelled: BTreeSet<(String, DialogId)>,
    children_ended: BTreeSet<(String, ChildId)>,
    nurseries_closed: BTreeSet<(String, NurseryId)>,
    conns_closed: BTreeSet<(String, ConnId)>,
    /// Outcomes by actor and label.
    pub outcomes: BTreeMap<(String, String), u32>,
}

impl Rules {
    /// Checks an event against what was seen before.
    pub fn event(&mut self, host: &Host, event: &Event) {
        let name = host.name.clone();
        match event {
            Event::Dialog(id, event) => {
                let key = (name, *id);
                assert!(!self.done.contains(&key), "D1: {event:?} after the outcome");
                assert!(host.tasks.contains_key(id), "D1: {event:?} for nobody");
                if matches!(event, DialogEvent::Done(_)) {
                    let label = host.tasks[id].label.clone();
                    *self.outcomes.entry((host.name.clone(), label)).or_default() += 1;
                    self.done.insert(key);
                }
            }
            Event::Nursery(id, event) => {
                let key = (name, *id);
                assert!(!self.nurseries_closed.contains(&key), "P1: {event:?} after Closed");
                if matches!(event, NurseryEvent::Closed) {
                    self.nurseries_closed.insert(key);
                }
            }
            Event::Opened { conn, .. } => {
                assert!(!self.conns_closed.contains(&(name, *conn)), "H3: opened after closed");
            }
            Event::Closed { conn, .. } => {
                assert!(self.conns_closed.insert((name, *conn)), "H3: closed twice");
            }
            Event::Ended { .. } => assert!(!host.ended, "ended twice"),
            _ => {}
        }
    }

    /// A child is reported once (P2).
    pub fn child_ended(&mut self, at: &str, child: ChildId) {
        assert!(self.children_ended.insert((at.into(), child)), "P2: reported twice");
    }

    /// Checks an effect against what was seen before.
    pub fn effect(&mut self, host: &Host, effect: &Effect) {
        match effect {
            Effect::CancelTask { dialog } => {
                let task = host.tasks.get(dialog).expect("only a task that runs is cancelled");
                assert!(task.callee && !task.over, "only a task that runs is cancelled");
                assert!(self.cancelled.insert((host.name.clone(), *dialog)), "told once");
            }
            Effect::Signal { child, .. } => {
                let known = host.children.contains_key(child);
                assert!(known, "only a child of ours is signalled");
            }
            _ => {}
        }
    }
}

/// Two actors of ours never break a rule, whatever their applications and the world do to them.
/// But a process may die in the middle of a frame, an application may answer with another kind of
/// function than it was asked for, and a peer may be too slow.
pub fn line(line: &str) {
    let excused = [
        "middle of a frame",
        "StartAck of another kind",
        "handshake took too long",
        "does not read its replies",
    ];
    let breach = line.contains("violation:") && !excused.iter().any(|e| line.contains(e));
    assert!(!breach, "{line}");
}

/// What must hold once everything has ended.
pub fn at_rest(world: &World) {
    for host in &world.hosts {
        let Some(actor) = &host.actor else { continue };
        let census = actor.census();
        assert_eq!(census, Default::default(), "something is left at {}", host.name);
        assert!(
            actor.next_deadline().is_none(),
            "{} waits for {:?}",
            host.name,
            actor.next_deadline()
        );
        for task in host.tasks.values() {
            assert!(task.over, "{}.{} has no outcome", host.name, task.label);
        }
    }
}
