//! The streams of tasks: what each side writes and reads.

use tractor_core::dialog::table::Side;
use tractor_core::error::SendError;
use tractor_core::msg::FuncType;
use tractor_core::{DialogId, OverrunPolicy, Payload};

use super::kernel::{self, HostId};
use super::mail::item;
use super::plan::StreamPlan;
use super::program::{Boxed, settled};
use super::task::{Cx, Done, Failure, join};

/// Opens this side; false when it can't be.
pub fn open_stream(cx: &Cx, dialog: DialogId, stream: StreamPlan, side: Side) -> bool {
    let policy = match stream.strict[side as usize] {
        true => OverrunPolicy::Error,
        false => OverrunPolicy::Backpressure,
    };
    cx.command(|actor, now| actor.open_stream(now, dialog, policy)).is_ok()
}

/// Sends and receives at once. Whether the reader has had enough.
pub async fn flow(
    cx: &Cx,
    dialog: DialogId,
    stream: StreamPlan,
    side: Side,
    func: FuncType,
) -> Result<bool, Failure> {
    let (send, receive) = match side {
        Side::Caller => (stream.up, stream.down),
        Side::Callee => (stream.down, stream.up),
    };
    let sends = func == FuncType::Context || side == Side::Callee;
    let reads = func == FuncType::Context || side == Side::Caller;
    let enough = stream.enough.filter(|_| side == Side::Caller);
    let mut had_enough = false;
    let group = cx.in_group();
    let writer = async {
        match sends {
            true => write(&group, dialog, send, stream.len, func).await,
            false => Ok(()),
        }
    };
    let reader = async {
        if reads {
            had_enough = read(&group, dialog, receive, stream.read_ms, enough).await?;
            if had_enough {
                group.cancel();
            }
        }
        Ok(())
    };
    let tasks: Vec<Boxed<'_, Done>> = vec![Box::pin(writer), Box::pin(reader)];
    let result = join(cx, &group, tasks).await;
    settled(cx, &group, result)?;
    Ok(had_enough)
}

/// Sends so many items, and says that no more come.
async fn write(cx: &Cx, dialog: DialogId, count: u32, len: usize, func: FuncType) -> Done {
    for number in 0..count {
        let bytes = item(number, len);
        loop {
            let sent = cx.command(|actor, now| actor.send(now, dialog, Payload::Borrowed(&bytes)));
            match sent {
                Ok(()) => break,
                Err(SendError::Blocked) => {
                    cx.look(|k| {
                        k.cover.hit("stream: blocked");
                        let since = k.passed();
                        k.checks.blocked.insert((cx.host, dialog), since);
                    });
                    let room = cx.wait(|k| {
                        let mail = k.hosts[cx.host].mail.dialogs.get_mut(&dialog)?;
                        let go_on = mail.writable || mail.done.is_some() || mail.cancelled;
                        mail.writable = false;
                        go_on.then_some(())
                    });
                    let room = room.await;
                    cx.look(|k| k.checks.blocked.remove(&(cx.host, dialog)));
                    room?;
                }
                // It has ended, or the peer does not listen: its outcome tells.
                Err(_) => return Ok(()),
            }
        }
    }
    if func == FuncType::Context {
        cx.command(|actor, now| actor.stop(now, dialog).ok());
    }
    Ok(())
}

/// What a reader finds.
enum Found {
    Item(u32, usize),
    /// No more come; whether the stream was ended by its sender.
    End(bool),
}

/// Reads until no more come; true when it had enough before.
async fn read(
    cx: &Cx,
    dialog: DialogId,
    expected: u32,
    read_ms: u64,
    enough: Option<u32>,
) -> Result<bool, Failure> {
    let mut next = 0;
    loop {
        if enough == Some(next) {
            return Ok(true);
        }
        match cx.wait(|k| find(k, cx.host, dialog)).await? {
            Found::Item(number, len) => {
                cx.look(|k| {
                    k.cover.hit("stream: item");
                    k.checks.must("order", number == next, || format!("{number} after {next}"));
                });
                next += 1;
                cx.command(|actor, now| actor.consumed(now, dialog, 1, len));
                if read_ms > 0 && next % 16 == 0 {
                    cx.sleep(read_ms).await?;
                }
            }
            Found::End(by_sender) => {
                let all = !by_sender || next == expected;
                let text = || format!("{next} of {expected} in {}", cx.host);
                cx.look(|k| k.checks.must("all items", all, text));
                return Ok(false);
            }
        }
    }
}

fn find(k: &mut kernel::Kernel, host: HostId, dialog: DialogId) -> Option<Found> {
    let mail = k.hosts[host].mail.dialogs.get_mut(&dialog)?;
    if let Some((number, len)) = mail.items.pop_front() {
        return Some(Found::Item(number, len));
    }
    let over = mail.done.is_some() || mail.cancelled;
    (mail.stopped || over).then_some(Found::End(mail.stopped && !over))
}
