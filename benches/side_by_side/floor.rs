//! The floor: the same work over a bare socketpair between two processes, by `async-io`, the
//! reactor under our default executor, without a runtime, a codec or a task.

use std::env;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio, exit};
use std::time::Instant;

use async_io::{Async, block_on};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::report::Sample;
use crate::{median, resident};

/// The argument that makes this program a child of the floor.
const CHILD: &str = "--floor-child";

/// Bytes of one command to a child: what, how long, how many.
const COMMAND_LEN: usize = 13;

/// Send everything back.
const ECHO: u8 = 1;
/// Send so many frames of that length.
const STREAM: u8 = 2;

/// What one write of a stream gathers.
const GATHER: usize = 64 << 10;

const LEN: u32 = 64;

// The child.

/// Becomes the floor's child, and never returns, if this process was started as one.
pub(crate) fn serve_if_child() {
    if env::args().nth(1).as_deref() != Some(CHILD) {
        return;
    }
    // The end of the socket is the end of the child.
    let _ = block_on(serve());
    exit(0);
}

async fn serve() -> io::Result<()> {
    let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut link = Async::new(link)?;
    let mut command = [0; COMMAND_LEN];
    loop {
        link.read_exact(&mut command).await?;
        step_back();
        let [what, a, b, c, d, count @ ..] = command;
        let len = u32::from_le_bytes([a, b, c, d]);
        let count = u64::from_le_bytes(count);
        match what {
            ECHO => serve_echo(&mut link, count * u64::from(len)).await?,
            _ => serve_stream(&mut link, len as usize, count).await?,
        }
    }
}

async fn serve_echo(link: &mut Async<UnixStream>, mut left: u64) -> io::Result<()> {
    let mut buf = vec![0; GATHER];
    while left > 0 {
        let n = link.read(&mut buf).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        link.write_all(&buf[..n]).await?;
        left -= n as u64;
    }
    Ok(())
}

/// Frames: a length, and the bytes; as many in one write as fit.
async fn serve_stream(link: &mut Async<UnixStream>, len: usize, count: u64) -> io::Result<()> {
    let payload = vec![7; len];
    let mut buf = Vec::with_capacity(GATHER + len);
    for _ in 0..count {
        buf.extend_from_slice(&(len as u32).to_le_bytes());
        buf.extend_from_slice(&payload);
        if buf.len() >= GATHER {
            link.write_all(&buf).await?;
            buf.clear();
        }
    }
    link.write_all(&buf).await
}

/// `async-io` has a helper thread that waits for events while nobody else does. Once it waits, and
/// the thread that it wakes runs on the same core and waits again before the helper could step
/// back, it goes on waiting for every later event too, at twice the cost. That is not the floor.
fn step_back() {
    std::thread::yield_now();
}

// The parent.

/// A child with its socket.
struct Peer {
    link: UnixStream,
    child: Child,
}

impl Peer {
    fn spawn() -> Peer {
        let (link, theirs) = UnixStream::pair().expect("a socketpair");
        let program = env::current_exe().expect("our own path");
        let mut command = Command::new(program);
        command.arg(CHILD).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = command.spawn().expect("a child");
        Peer { link, child }
    }

    /// Gives the command and runs `work` with the socket, and ends the child.
    fn with<T>(mut self, command: (u8, u32, u64), work: impl AsyncFnOnce(&mut Link) -> T) -> T {
        let value = block_on(async {
            let mut link = Async::new(self.link).expect("a socket");
            send(&mut link, command).await;
            step_back();
            work(&mut link).await
        });
        self.child.wait().expect("it ends when its socket does");
        value
    }
}

type Link = Async<UnixStream>;

async fn send(link: &mut Link, (what, len, count): (u8, u32, u64)) {
    let mut bytes = vec![what];
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    link.write_all(&bytes).await.expect("written");
}

/// A ping-pong of 64 bytes, in microseconds.
pub(crate) fn ping(count: u32) -> Sample {
    let warm = count / 10;
    Peer::spawn().with((ECHO, LEN, u64::from(warm + count)), async |link| {
        let mut buf = [7; LEN as usize];
        let mut times = Vec::with_capacity(count as usize);
        for n in 0..warm + count {
            let begun = Instant::now();
            link.write_all(&buf).await.expect("written");
            link.read_exact(&mut buf).await.expect("read");
            if n >= warm {
                times.push(begun.elapsed());
            }
        }
        median(times).as_secs_f64() * 1e6
    })
}

/// Echoes of 64 bytes a second, with so many under way.
pub(crate) fn echo(count: u32, window: u32) -> Sample {
    Peer::spawn().with((ECHO, LEN, u64::from(count)), async |link| {
        let begun = Instant::now();
        let mut buf = vec![7; GATHER];
        link.write_all(&vec![7; (window * LEN) as usize]).await.expect("written");
        let (mut to_send, mut to_come) = ((count - window) * LEN, (count * LEN) as usize);
        while to_come > 0 {
            let n = link.read(&mut buf).await.expect("read");
            assert!(n > 0, "the child has gone");
            to_come -= n;
            let more = to_send.min(n as u32);
            to_send -= more;
            link.write_all(&buf[..more as usize]).await.expect("written");
        }
        f64::from(count) / begun.elapsed().as_secs_f64()
    })
}

/// Frames a second from the child, each looked at.
pub(crate) fn stream(len: u32, count: u64) -> Sample {
    Peer::spawn().with((STREAM, len, count), async |link| {
        let begun = Instant::now();
        let frame = 4 + len as usize;
        let mut buf = vec![0; GATHER + 2 * frame];
        let (mut filled, mut got, mut sum) = (0, 0, 0);
        while got < count {
            let n = link.read(&mut buf[filled..]).await.expect("read");
            assert!(n > 0, "the child has gone");
            filled += n;
            let mut at = 0;
            while filled - at >= frame {
                sum += u64::from(buf[at + frame - 1]);
                at += frame;
                got += 1;
            }
            buf.copy_within(at..filled, 0);
            filled -= at;
        }
        assert_eq!(sum, 7 * count, "every frame came");
        count as f64 / begun.elapsed().as_secs_f64()
    })
}

/// From before the spawn to the first answer, in milliseconds.
pub(crate) fn spawn(count: usize) -> Sample {
    let one = || {
        let begun = Instant::now();
        Peer::spawn().with((ECHO, LEN, 1), async |link| {
            let mut buf = [7; LEN as usize];
            link.write_all(&buf).await.expect("written");
            link.read_exact(&mut buf).await.expect("read");
            begun.elapsed()
        })
    };
    median((0..count).map(|_| one()).collect()).as_secs_f64() * 1e3
}

/// From closing the sockets of so many children to the last one reaped, in milliseconds.
pub(crate) fn close_all(count: usize, children: usize) -> Sample {
    let one = || {
        let mut peers: Vec<Peer> = (0..children).map(|_| Peer::spawn()).collect();
        peers.iter_mut().for_each(|peer| answer(&mut peer.link));
        let begun = Instant::now();
        let (links, children): (Vec<_>, Vec<_>) =
            peers.into_iter().map(|p| (p.link, p.child)).unzip();
        drop(links);
        for mut child in children {
            child.wait().expect("it ends when its socket does");
        }
        begun.elapsed()
    };
    median((0..count).map(|_| one()).collect()).as_secs_f64() * 1e3
}

/// Has a child answer once, so that it is known to run.
fn answer(link: &mut UnixStream) {
    use std::io::{Read as _, Write as _};
    let mut bytes = vec![ECHO];
    bytes.extend_from_slice(&LEN.to_le_bytes());
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(&[7; LEN as usize]);
    link.write_all(&bytes).expect("written");
    link.read_exact(&mut [0; LEN as usize]).expect("read");
}

/// The memory of a child that has answered once, in MiB.
pub(crate) fn memory() -> Sample {
    let mut peer = Peer::spawn();
    answer(&mut peer.link);
    let memory = resident(peer.child.id());
    drop(peer.link);
    peer.child.wait().expect("it ends when its socket does");
    memory
}
