//! The streams of tasks: what each side writes and reads.

use tractor_core::dialog::table::Side;
use tractor_core::error::SendError;
use tractor_core::msg::FuncType;
use tractor_core::{DialogId, Outcome, OverrunPolicy, Payload};

use super::kernel::{self, HostId};
use super::mail::item;
use super::plan::StreamPlan;
use super::program::{Boxed, settled};
use super::task::{Cx, Done, Failure, join};

/// Opens this side; false when it can't be.
pub fn open_stream(cx: &Cx, dialog: DialogId, stream: StreamPlan, side: Side) -> bool {
    let policy = stream.policies[side as usize];
    cx.look(|k| {
        let mail = k.hosts[cx.host].mail.dialogs.entry(dialog).or_default();
        mail.brakes = policy == OverrunPolicy::Backpressure;
    });
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
    let drops = matches!(stream.policies[side as usize], OverrunPolicy::DropOldest(_));
    // A base peer ends a generator that was cancelled as one that is through.
    let unsure = func == FuncType::Stream && cx.look(|k| k.options.base);
    let expected = Expected { count: receive, enough, closes: stream.closes, drops, unsure };
    let group = cx.in_group();
    flows(cx, dialog, true);
    let writer = async {
        match sends {
            true => write(&group, dialog, send, stream.len, func).await,
            false => Ok(()),
        }
    };
    let reader = async {
        if reads {
            had_enough = read(&group, dialog, stream.read_ms, expected).await?;
            if had_enough {
                group.cancel();
            }
        }
        Ok(())
    };
    let tasks: Vec<Boxed<'_, Done>> = vec![Box::pin(writer), Box::pin(reader)];
    let result = join(cx, &group, tasks).await;
    flows(cx, dialog, false);
    settled(cx, &group, result)?;
    Ok(had_enough)
}

fn flows(cx: &Cx, dialog: DialogId, flows: bool) {
    cx.look(|k| {
        let mail = k.hosts[cx.host].mail.dialogs.get_mut(&dialog);
        mail.into_iter().for_each(|mail| mail.flows = flows);
    });
}

/// Sends so many items, and says that no more come.
async fn write(cx: &Cx, dialog: DialogId, count: u32, len: usize, func: FuncType) -> Done {
    for number in 0..count {
        let bytes = item(number, len);
        loop {
            let sent = cx.command(|actor, now| actor.send(now, dialog, Payload::Borrowed(&bytes)));
            if sent != Err(SendError::Blocked) {
                cx.look(|k| k.checks.blocked.remove(&(cx.host, dialog)));
            }
            match sent {
                Ok(()) => break,
                Err(SendError::Blocked) => {
                    cx.look(|k| {
                        k.cover.hit("stream: blocked");
                        let since = k.passed();
                        // Who is woken in vain has waited since the first time.
                        k.checks.blocked.entry((cx.host, dialog)).or_insert(since);
                    });
                    let room = cx.wait(|k| {
                        let mail = k.hosts[cx.host].mail.dialogs.get_mut(&dialog)?;
                        let go_on = mail.writable || mail.done.is_some() || mail.cancelled;
                        mail.writable = false;
                        go_on.then_some(())
                    });
                    let room = room.await;
                    if room.is_err() {
                        cx.look(|k| k.checks.blocked.remove(&(cx.host, dialog)));
                    }
                    room?;
                }
                Err(SendError::Overrun) => {
                    cx.look(|k| k.cover.hit("stream: nobody opened it"));
                    return Err(Failure::lost());
                }
                // It has ended: its outcome tells.
                Err(_) => return Ok(()),
            }
        }
    }
    if func == FuncType::Context {
        cx.command(|actor, now| actor.stop(now, dialog).ok());
    }
    Ok(())
}

/// What a reader expects.
#[derive(Clone, Copy)]
struct Expected {
    /// So many items, if all is well.
    count: u32,
    /// It reads no more than these.
    enough: Option<u32>,
    /// It wants no more after these.
    closes: Option<u32>,
    /// It drops items that it does not read in time.
    drops: bool,
    /// The end does not tell whether that was all.
    unsure: bool,
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
    read_ms: u64,
    expected: Expected,
) -> Result<bool, Failure> {
    let (mut next, mut read) = (0, 0_u32);
    loop {
        if expected.enough == Some(read) {
            return Ok(true);
        }
        if expected.closes == Some(read) {
            cx.look(|k| k.cover.hit("stream: closed by its reader"));
            cx.command(|actor, now| actor.close_receiver(now, dialog));
            return Ok(false);
        }
        match cx.wait(|k| find(k, cx.host, dialog)).await? {
            Found::Item(number, len) => {
                cx.look(|k| {
                    k.cover.hit("stream: item");
                    let holds = number == next || (expected.drops && number > next);
                    k.checks.must("order", holds, || format!("{number} instead of {next}"));
                });
                (next, read) = (number + 1, read + 1);
                cx.command(|actor, now| actor.consumed(now, dialog, 1, len));
                if read_ms > 0 && read.is_multiple_of(16) {
                    cx.sleep(read_ms).await?;
                }
            }
            Found::End(by_sender) => {
                let all = !by_sender || expected.unsure || next == expected.count;
                let text = || format!("{next} of {} in {}", expected.count, cx.host);
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
    let returned = matches!(mail.done, Some(Outcome::Returned(_)));
    let over = mail.cancelled || (mail.done.is_some() && !returned);
    (mail.stopped || returned || over).then_some(Found::End(!over))
}
