//! What the application around a core does, by the frames it wrote in the recording.

use tractor_core::msg::{FuncType, Msg, Request, Start};
use tractor_core::{Call, Life, OverrunPolicy, relayed};

use super::expect::{Names, decode};
use super::player::{Id, Player, Stream, Task, owned, refused};
use crate::recording::Recorded;

impl<'a> Player<'a> {
    /// The command behind a frame, when it was the application's and not the runtime's own.
    pub(super) fn command(&mut self, frame: &'a Recorded, names: &Names) -> Result<(), String> {
        match decode(&names.to_ours(&frame.frame))? {
            Msg::Aid(_) => self.open(&frame.conn).map(|_| ()),
            Msg::Start(start) => self.start(frame, &start),
            Msg::Request { request, .. } => self.request(frame, request),
            msg if self.is_answer_of_runtime(frame) => {
                debug_assert!(!matches!(msg, Msg::Yield { .. }), "the runtime streams nothing");
                Ok(())
            }
            msg => self.in_task(frame, msg),
        }
    }

    fn is_answer_of_runtime(&self, frame: &Recorded) -> bool {
        let dialog = frame.cid().and_then(|cid| self.plan.dialogs.get(cid));
        dialog.is_some_and(|dialog| dialog.is_request) || frame.tag() == "SpawnSpec"
    }

    // Asking.

    fn start(&mut self, frame: &'a Recorded, start: &Start) -> Result<(), String> {
        let (core, conn) = self.open(&frame.conn)?;
        let call = Call {
            func_type: self.plan.dialogs[frame.cid().unwrap_or_default()].func_type,
            ns: start.ns.as_str(),
            func: start.func.as_str(),
            kwargs: &start.kwargs,
        };
        let id = self.cores[core].start(self.now, conn, &call).map_err(refused)?;
        self.begin((core, id), frame, false);
        self.set_main(frame, (core, id))
    }

    /// A child that was made for one task ends with it.
    fn set_main(&mut self, frame: &Recorded, id: Id) -> Result<(), String> {
        let dialog = self.plan.recording.name.as_str();
        if self.hints.for_one_task.contains(&(dialog, frame.to.as_str())) {
            let child = self.plan.end(&frame.conn, &frame.to);
            let child = *self.children.get(&child).ok_or("no such child")?;
            self.cores[id.0].set_main(child, id.1).map_err(refused)?;
        }
        Ok(())
    }

    fn request(&mut self, frame: &'a Recorded, request: Request) -> Result<(), String> {
        let (core, conn) = self.open(&frame.conn)?;
        match request {
            Request::CancelActor { .. } => {
                let child = self.plan.end(&frame.conn, &frame.to);
                match self.children.get(&child) {
                    Some(&child) if self.is_link(frame) => {
                        self.cores[core].cancel_child(self.now, child).map_err(refused)
                    }
                    _ => self.cores[core].cancel_peer(self.now, conn).map_err(refused),
                }
            }
            Request::CancelTask { .. } => {
                let target = frame.msg["kwargs"]["cid"].as_str().unwrap_or_default();
                let (core, id) = *self.by_cid.get(target).ok_or("no such dialog")?;
                self.cores[core].cancel(self.now, id).map_err(refused)
            }
            request => {
                let id = self.cores[core].request(self.now, conn, request).map_err(refused)?;
                self.begin((core, id), frame, false);
                Ok(())
            }
        }
    }

    fn is_link(&self, frame: &Recorded) -> bool {
        matches!(self.plan.links[frame.conn.as_str()], super::plan::Link::Family { .. })
    }

    /// A dialog of ours begins.
    pub(super) fn begin(&mut self, id: Id, frame: &Recorded, callee: bool) {
        self.begin_named(id, frame.cid().unwrap_or_default(), callee);
    }

    pub(super) fn begin_named(&mut self, id: Id, cid: &str, callee: bool) {
        let label = self.plan.label(Some(cid)).to_string();
        let cid = cid.to_string();
        self.by_cid.insert(cid.clone(), id);
        let task = Task { cid, label, callee, told: false, over: false, stream: Stream::Unopened };
        assert!(self.tasks.insert(id, task).is_none(), "a dialog begins once");
    }

    /// The task whose dialog a frame belongs to.
    pub(super) fn task(&self, frame: &Recorded) -> Result<Id, String> {
        let id = frame.cid().and_then(|cid| self.by_cid.get(cid)).copied();
        id.ok_or_else(|| format!("no task for {}", self.plan.label(frame.cid())))
    }

    pub(super) fn over(&mut self, id: Id) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.over = true;
        }
    }

    // In a dialog.

    fn in_task(&mut self, frame: &'a Recorded, msg: Msg) -> Result<(), String> {
        if let Msg::Error { cid: None, error } = msg {
            // What fails while it boots is the application's to tell, and nothing else is.
            if self.cores[0].life() == Life::Booting {
                self.cores[0].report_to_parent(self.now, error);
            }
            return Ok(());
        }
        if frame.text("boxed_type_str") == Some("ModuleNotExposed") {
            // Told by the runtime: no task was asked for.
            return Ok(());
        }
        let at = self.task(frame)?;
        let (core, id) = at;
        let now = self.now;
        match msg {
            Msg::StartAck { functype, .. } => {
                self.cores[core].accept(now, id, functype).map_err(refused)
            }
            Msg::Started { pld, .. } => {
                self.cores[core].started(now, id, owned(&pld)).map_err(refused)?;
                self.open_stream(at)
            }
            Msg::Yield { pld, .. } => {
                self.open_stream(at)?;
                self.cores[core].send(now, id, owned(&pld)).map_err(refused)
            }
            Msg::Stop { .. } => self.stop(at, frame),
            Msg::Return { pld, .. } => {
                self.leave_stream(at)?;
                self.cores[core].finish(now, id, owned(&pld)).map_err(refused)?;
                self.over(at);
                Ok(())
            }
            Msg::Error { .. } => self.fail(at, frame, msg),
            msg => Err(format!("nobody sends {msg:?}")),
        }
    }

    /// Opens its end of the stream, where the dialog has one.
    pub(super) fn open_stream(&mut self, (core, id): Id) -> Result<(), String> {
        let Some(task) = self.tasks.get_mut(&(core, id)) else { return Ok(()) };
        let is_generator =
            task.callee && self.plan.dialogs[task.cid.as_str()].func_type == FuncType::Stream;
        if task.stream != Stream::Unopened || is_generator || !self.plan.streams(&task.cid) {
            return Ok(());
        }
        task.stream = Stream::Open;
        let dialog = self.plan.recording.name.as_str();
        let allows = self.hints.allows_overruns.contains(&(dialog, task.label.as_str()));
        let policy = match allows {
            true => OverrunPolicy::DropOldest(616),
            false => OverrunPolicy::Backpressure,
        };
        self.cores[core].open_stream(self.now, id, policy).map_err(refused)
    }

    fn stop(&mut self, at: Id, frame: &Recorded) -> Result<(), String> {
        let (core, id) = at;
        let task = &self.tasks[&at];
        let dialog = &self.plan.dialogs[task.cid.as_str()];
        if task.callee && dialog.func_type == FuncType::Stream {
            // A generator's `Stop` is its end.
            return match task.told {
                true => {
                    self.cancelled(at);
                    Ok(())
                }
                false => {
                    self.over(at);
                    let nil = (&[0xc0][..]).into();
                    self.cores[core].finish(self.now, id, nil).map_err(refused)
                }
            };
        }
        let next = self.plan.said_later(self.me, &task.cid, frame.seq).next();
        if task.told && next.is_some_and(|f| f.text("boxed_type_str") == Some("ContextCancelled")) {
            // A cancelled task leaves its stream without a word: its runtime stops it.
            return Ok(());
        }
        self.leave_stream((core, id))
    }

    /// The block around the stream is done. Whether anybody is told is for the core to know.
    fn leave_stream(&mut self, (core, id): Id) -> Result<(), String> {
        let task = self.tasks.get_mut(&(core, id)).filter(|task| task.stream == Stream::Open);
        let Some(task) = task else { return Ok(()) };
        task.stream = Stream::Left;
        self.cores[core].stop(self.now, id).map_err(refused)
    }

    fn fail(&mut self, at: Id, frame: &Recorded, msg: Msg) -> Result<(), String> {
        let Msg::Error { error, .. } = msg else { return Ok(()) };
        let (core, id) = at;
        let task = &self.tasks[&at];
        if error.boxed_type == "StreamOverrun" {
            // Told by the receiver's runtime.
            return Ok(());
        }
        if !task.callee {
            return Err(format!("{}: the caller complains", frame.place));
        }
        if task.told || error.boxed_type == "ContextCancelled" {
            self.cancelled(at);
            return Ok(());
        }
        let error = match (error.boxed_type == "RemoteActorError", self.received.clone()) {
            (true, Some(received)) => relayed(received, self.cores[core].uid()),
            _ => error,
        };
        self.cores[core].fail(self.now, id, error);
        self.over(at);
        Ok(())
    }

    /// The task ends because it was cancelled.
    pub(super) fn cancelled(&mut self, at: Id) {
        self.cores[at.0].cancelled(self.now, at.1);
        self.over(at);
    }
}
