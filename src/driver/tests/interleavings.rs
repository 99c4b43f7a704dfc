//! Tasks that write, and the driver that writes, reads and waits for room: in many interleavings.
//! See docs/testing.md.

use std::collections::BTreeMap;
use std::future::poll_fn;

use tractor_core::error::SendError;
use tractor_core::msg::{FuncType, codec};
use tractor_core::{
    Actor, Call, DialogEvent, DialogId, Effect, Event, Output, OverrunPolicy, Payload,
};
use tractor_transports::mem::{Pipes, pair};

use super::*;
use crate::boxes::Mailbox;
use crate::shared::Settings;
use crate::tests::explore::explore;
use crate::tests::{Signal, Threads, block_on, join, spawn};

const RUNS: usize = 300;

/// How many items each dialog sends.
const ITEMS: u8 = 5;

const EMPTY_MAP: &[u8] = &[0x80];

/// A string of this length, of the number alone.
fn item(number: u8) -> Vec<u8> {
    const LEN: u8 = 70;
    let mut item = vec![0xd9, LEN];
    item.resize(2 + usize::from(LEN), number);
    item
}

/// The far end: a core, and as little as it needs.
struct Peer {
    core: Actor,
    conn: ConnId,
    stream: Box<dyn Stream>,
    /// How many items each dialog has brought.
    counts: BTreeMap<DialogId, u8>,
}

impl Peer {
    fn new(stream: Box<dyn Stream>) -> Peer {
        let now = Instant::default();
        let mut core = Actor::new(Config::new("peer"), [2; 32], now);
        core.enable("app");
        core.body_started();
        core.booted(now, Vec::new()).unwrap();
        let address = tractor_core::Address::Tcp { host: [127, 0, 0, 1].into(), port: 1 };
        let conn = core.connect(now, address).unwrap();
        core.handle_input(now, Input::Connected { conn });
        Peer { core, conn, stream, counts: BTreeMap::new() }
    }

    /// Ready when nothing more comes.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.react();
            self.write(cx);
            let buf = self.core.recv_buf(self.conn).unwrap();
            match std::task::ready!(self.stream.poll_read(cx, buf)).unwrap() {
                0 => return Poll::Ready(()),
                len => {
                    let input = Input::Received { conn: self.conn, len };
                    self.core.handle_input(Instant::default(), input);
                }
            }
        }
    }

    fn react(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Effect(Effect::StartTask { dialog, .. }) => self.begin(dialog),
                Output::Event(Event::Dialog(dialog, DialogEvent::Items(batch))) => {
                    batch.chunks.into_iter().for_each(|chunk| self.take(dialog, &chunk));
                }
                _ => {}
            }
        }
    }

    fn begin(&mut self, dialog: DialogId) {
        let (core, now) = (&mut self.core, Instant::default());
        core.accept(now, dialog, FuncType::Context).unwrap();
        core.started(now, dialog, Payload::Borrowed(&[0])).unwrap();
        core.open_stream(now, dialog, OverrunPolicy::Backpressure).unwrap();
        self.counts.insert(dialog, 0);
    }

    fn take(&mut self, dialog: DialogId, chunk: &tractor_core::Chunk) {
        let items: Vec<_> = match chunk.count {
            1 => vec![chunk.plds.clone()],
            _ => codec::items(&chunk.plds).collect(),
        };
        let (now, count) = (Instant::default(), self.counts.get_mut(&dialog).unwrap());
        for one in items {
            assert_eq!(one, item(*count), "in order, and whole");
            *count += 1;
            self.core.consumed(now, dialog, 1, one.len());
        }
        if *count == ITEMS {
            self.core.finish(now, dialog, Payload::Borrowed(&[0])).unwrap();
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        while let Some(mut out) = self.core.take_outbox(self.conn) {
            while !out.is_empty() {
                let slices: Vec<_> = out.slices().map(IoSlice::new).collect();
                match self.stream.try_write(&slices) {
                    Ok(len) => out.advance(len),
                    Err(_) if self.stream.poll_writable(cx).is_ready() => {}
                    Err(_) => {
                        self.core.put_back(Instant::default(), self.conn, out);
                        return;
                    }
                }
            }
            self.core.put_back(Instant::default(), self.conn, out);
        }
    }
}

/// Waits until the dialog's mailbox has it.
async fn until(shared: &Shared, dialog: DialogId, has: impl Fn(&Mailbox) -> bool) {
    poll_fn(|cx| {
        shared.poll(|inner| {
            let mailbox = inner.mailbox(dialog);
            if has(mailbox) {
                return Poll::Ready(());
            }
            mailbox.wakers.add(cx.waker());
            Poll::Pending
        })
    })
    .await;
}

/// A task of ours: starts one of the peer's, sends it all items, and waits for its end.
async fn talk(shared: &Shared, conn: ConnId) {
    poll_fn(|cx| {
        shared.poll(|inner| match inner.core.peer(conn) {
            Some(_) => Poll::Ready(()),
            None => {
                inner.conn_wakers.add(cx.waker());
                Poll::Pending
            }
        })
    })
    .await;
    let call = Call { func_type: FuncType::Context, ns: "app", func: "count", kwargs: EMPTY_MAP };
    let dialog = shared.command(|inner, now| {
        let dialog = inner.core.start(now, conn, &call).unwrap();
        inner.mailbox(dialog);
        dialog
    });
    until(shared, dialog, |mailbox| mailbox.started.is_some()).await;
    let policy = OverrunPolicy::Backpressure;
    shared.command(|inner, now| inner.core.open_stream(now, dialog, policy)).unwrap();
    for number in 0..ITEMS {
        poll_fn(|cx| try_send(shared, dialog, &item(number), cx)).await;
    }
    until(shared, dialog, |mailbox| mailbox.outcome.is_some()).await;
    assert!(shared.lock().outcome(dialog).unwrap().is_ok());
}

fn try_send(shared: &Shared, dialog: DialogId, item: &[u8], cx: &Context<'_>) -> Poll<()> {
    shared.command_lazily(|inner, now| {
        match inner.core.send(now, dialog, Payload::Borrowed(item)) {
            Ok(()) => Poll::Ready(()),
            Err(SendError::Blocked) => {
                inner.mailbox(dialog).wakers.add(cx.waker());
                Poll::Pending
            }
            Err(error) => panic!("{error}"),
        }
    })
}

/// Two tasks of ours on threads of their own write through a narrow pipe, beside the driver.
fn conversation(capacity: usize, chunk_max: usize) {
    let shared = Shared::new(Parts {
        config: Config::new("root"),
        host: Arc::new(crate::host::System),
        executor: Arc::new(Threads::default()),
        scopes: None,
        settings: Settings::default(),
    });
    let mut driver = Driver::new(shared.clone());
    let conn = shared.command(|inner, now| {
        inner.core.body_started();
        inner.core.booted(now, Vec::new()).unwrap();
        inner.core.accepted(now).unwrap()
    });
    let (near, far) = pair(Pipes { capacity, chunk_max });
    driver.attach(conn, near);
    let mut peer = Peer::new(far);
    let far_end = spawn(move || block_on(poll_fn(|cx| peer.poll(cx))));
    let tasks = [(); 2].map(|()| {
        let shared = shared.clone();
        spawn(move || block_on(talk(&shared, conn)))
    });
    let over = Signal::default();
    let ends = over.clone();
    let drives = spawn(move || {
        block_on(poll_fn(
            |cx| if ends.poll(cx).is_ready() { Poll::Ready(()) } else { driver.turn(cx) },
        ));
        driver.detach(conn);
    });
    join(tasks);
    over.set();
    join([drives, far_end]);
}

/// Each fills the pipe by far, so that who writes has to leave the rest to the driver.
#[test]
fn all_is_written_in_order_through_a_pipe_that_is_full() {
    explore(RUNS, || conversation(100, 64));
}

/// Nothing ever waits: bursts and crowds are written by the driver's next turn.
#[test]
fn all_is_written_in_order_through_a_pipe_that_is_wide() {
    explore(RUNS, || conversation(1 << 16, 1 << 16));
}
