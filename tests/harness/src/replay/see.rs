//! What the driver does for a core, and what the application sees.

use tractor_core::msg::FuncType;
use tractor_core::{
    ConnId, DialogEvent, Effect, EndReason, Event, Input, Life, NurseryEvent, Outcome, Output,
};

use super::player::{At, Id, Line, Player};
use crate::show;

impl<'a> Player<'a> {
    /// Performs what the cores decided, and writes what waits, until nothing is left to do.
    pub(super) fn settle(&mut self) {
        let mut any = true;
        while any {
            any = false;
            for core in 0..self.cores.len() {
                while let Some(output) = self.cores[core].poll_output() {
                    any = true;
                    self.perform(core, output);
                }
                while let Some(conn) = self.cores[core].next_dirty() {
                    any |= self.write(core, conn);
                }
            }
            any |= self.shut_closing();
        }
    }

    fn perform(&mut self, core: usize, output: Output) {
        match output {
            Output::Event(event) => self.see(core, event),
            Output::Effect(effect) => self.carry_out(core, effect),
            _ => {}
        }
    }

    fn write(&mut self, core: usize, conn: ConnId) -> bool {
        let Some(mut out) = self.cores[core].take_outbox(conn) else { return false };
        let bytes = crate::front(&out, usize::MAX);
        out.advance(bytes.len());
        self.cores[core].put_back(self.now, conn, out);
        let name = self.name((core, conn));
        let mut rest = &bytes[..];
        while let Some(len) = rest.first_chunk().map(|len| u32::from_le_bytes(*len) as usize + 4) {
            self.written.push((name, rest[..len].to_vec()));
            rest = &rest[len..];
        }
        true
    }

    /// The recorded name of a connection.
    fn name(&self, at: At) -> &'a str {
        let found = self.conns.iter().find(|(_, known)| **known == at);
        found.map_or("?", |(name, _)| name)
    }

    /// Shuts the connections that are closed and written out.
    fn shut_closing(&mut self) -> bool {
        let closing = std::mem::take(&mut self.closing);
        let any = !closing.is_empty();
        for (core, conn) in closing {
            self.shut.push(self.name((core, conn)));
            self.cores[core].handle_input(self.now, Input::Disconnected { conn, why: None });
        }
        any
    }

    fn carry_out(&mut self, core: usize, effect: Effect) {
        match effect {
            Effect::Connect { conn, .. } => {
                self.cores[core].handle_input(self.now, Input::Connected { conn });
            }
            Effect::Close { conn } | Effect::Abort { conn } => {
                self.closing.insert((core, conn));
            }
            Effect::StartTask { dialog, conn, ns, func, .. } => {
                let func = format!("{ns}.{func}");
                let at = (core, conn);
                let found = self.asked.iter().position(|a| a.at == at && a.func == func);
                let asked = self.asked.remove(found.expect("only what was asked for is started"));
                self.begin_named((core, dialog), &asked.cid, true);
                self.say_line(format!("task {}", self.plan.label(Some(&asked.cid))));
            }
            Effect::CancelTask { dialog } => self.told((core, dialog)),
            Effect::Signal { child, signal } => {
                let signal = format!("{signal:?}").to_lowercase();
                self.say_line(format!("{signal} {}", self.child_name(child)));
            }
            _ => {}
        }
    }

    /// A task is told to end. It does so when the recorded one did, or at once.
    fn told(&mut self, id: Id) {
        let by = self.cores[id.0].cancelled_by(id.1).map(|uid| uid.name.to_string());
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.told = true;
        let line = format!("cancel task {} by {}", task.label, by.unwrap_or_default());
        let cid = task.cid.clone();
        let later = self.plan.said_later(self.me, &cid, self.seq).next().is_some();
        self.say_line(line);
        if !later {
            self.cancelled(id);
        }
    }

    fn child_name(&self, id: tractor_core::ChildId) -> &'a str {
        let known = self.children.iter().find(|(_, known)| **known == id);
        known.map_or("?", |(child, _)| self.plan.actors[*child].name.as_str())
    }

    // Events.

    fn see(&mut self, core: usize, event: Event) {
        match event {
            Event::Dialog(id, event) => self.see_dialog((core, id), event),
            Event::Opened { .. } | Event::Closed { .. } if core > 0 => self.see_late(core, &event),
            Event::Closing { .. } | Event::Ended { .. } if core > 0 => {}
            Event::Nursery(_, event) => {
                self.see_nursery(&event);
                if let NurseryEvent::Ended { child, .. } = event {
                    self.child_ended(child);
                }
            }
            Event::Opened { conn, peer } => {
                self.say_line(format!("{} opened: {}", self.name((core, conn)), peer.uid.name));
            }
            Event::Closed { conn, why } => {
                self.say_line(format!("{} closed: {why}", self.name((core, conn))));
            }
            Event::Spec(spec) => {
                for (module, _) in &spec.enable_modules {
                    self.cores[core].enable(module.as_str());
                }
            }
            Event::CancelAcked { conn, acked } => {
                let how = if acked { "agreed" } else { "did not agree" };
                self.say_line(format!("{}: {how} to end", self.name((core, conn))));
            }
            Event::Closing { why: EndReason::Cancelled { by }, .. } => {
                self.say_line(format!("must end: cancelled by {}", by.name));
            }
            Event::Closing { why, .. } => self.say_line(format!("must end: {why:?}")),
            Event::Ended { forced } => {
                let how = if forced { " by force" } else { "" };
                self.say_line(format!("has ended{how}"));
            }
            _ => {}
        }
    }

    /// What another of the same name sees after the actor's end.
    fn see_late(&mut self, core: usize, event: &Event) {
        match event {
            Event::Opened { conn, .. } => {
                self.say_line(format!("{} opened after the end", self.name((core, *conn))));
            }
            Event::Closed { conn, .. } => {
                self.say_line(format!("{} closed after the end", self.name((core, *conn))));
            }
            _ => {}
        }
    }

    fn see_nursery(&mut self, event: &NurseryEvent) {
        let line = match event {
            NurseryEvent::Ready { child } => format!("{} is ready", self.child_name(*child)),
            NurseryEvent::Ended { child, end } => {
                format!("{} ended: {}", self.child_name(*child), show::child_end(end))
            }
            NurseryEvent::MainFailed { child, dialog } => {
                let label = self.tasks.get(&(0, *dialog)).map_or("?", |task| task.label.as_str());
                format!("{}'s one task {label} failed", self.child_name(*child))
            }
            NurseryEvent::CancelBody => "cancel the nursery's body".into(),
            NurseryEvent::Closed => "the nursery is closed".into(),
            _ => return,
        };
        self.say_line(line);
    }

    fn see_dialog(&mut self, id: Id, event: DialogEvent) {
        let label = self.tasks.get(&id).map_or("?".into(), |task| task.label.clone());
        match event {
            DialogEvent::Items(batch) => {
                let count = batch.chunks.iter().map(|chunk| chunk.count).sum();
                let len = batch.chunks.iter().map(|chunk| chunk.plds.len()).sum();
                self.items(&label, count);
                let dialog = self.plan.recording.name.as_str();
                if !self.hints.never_reads.contains(&(dialog, label.as_str())) {
                    self.cores[id.0].consumed(self.now, id.1, count, len);
                }
            }
            DialogEvent::Done(outcome) => {
                self.say_line(format!("{label}: done: {}", show::outcome(&outcome)));
                self.done(id, *outcome);
            }
            DialogEvent::Accepted => {
                self.say_line(format!("{label}: accepted"));
                self.open_early(id, FuncType::Stream);
            }
            DialogEvent::Started(_) => {
                self.say_line(format!("{label}: {}", show::dialog_event(&event)));
                self.open_early(id, FuncType::Context);
            }
            event => self.say_line(format!("{label}: {}", show::dialog_event(&event))),
        }
    }

    /// A caller opens its end of the stream as soon as it can. When what it was told of is over
    /// already, it can't.
    fn open_early(&mut self, id: Id, kind: FuncType) {
        let task = self.tasks.get(&id);
        let dialog = task.and_then(|task| self.plan.dialogs.get(task.cid.as_str()));
        if dialog.is_some_and(|dialog| dialog.func_type == kind) {
            let _ = self.open_stream(id);
        }
    }

    fn done(&mut self, id: Id, outcome: Outcome) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.over |= !task.callee;
        let registered = task.label.starts_with("self.register_actor");
        match outcome {
            Outcome::Errored { error, .. } => self.received = Some(error),
            Outcome::Returned(_) if registered && self.cores[id.0].life() == Life::Booting => {
                // It is bound and registered: now it serves.
                let done = self.cores[id.0].booted(self.now, Vec::new());
                done.expect("it was booting");
            }
            _ => {}
        }
    }

    // The log.

    pub(super) fn say_line(&mut self, line: String) {
        self.log.push(Line::Text(line));
    }

    fn items(&mut self, label: &str, count: u32) {
        match self.log.last_mut() {
            Some(Line::Items(last, before)) if last == label => *before += count as usize,
            _ => self.log.push(Line::Items(label.into(), count as usize)),
        }
    }

    /// What the application saw, line by line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.log.iter().map(|line| match line {
            Line::Text(text) => text.clone(),
            Line::Items(label, count) => format!("{label}: {count} items"),
        })
    }
}
