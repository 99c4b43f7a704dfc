//! What the reactor waits with: as much of `mio` as it uses, edge-triggered as that is, and made of
//! the checker's locks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::ops::BitOr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::tests::clock;

pub(crate) mod event {
    pub(crate) use super::Event;
}

pub(crate) mod unix {
    pub(crate) use super::SourceFd;
}

/// How often a wait with a timeout looks for news before its time has passed.
const LOOKS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Token(pub(crate) usize);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    read: bool,
    write: bool,
}

impl Interest {
    pub(crate) const READABLE: Self = Self { read: true, write: false };
    pub(crate) const WRITABLE: Self = Self { read: false, write: true };
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { read: self.read | other.read, write: self.write | other.write }
    }
}

#[derive(Debug)]
pub(crate) struct SourceFd<'a>(pub(crate) &'a RawFd);

#[derive(Debug)]
pub(crate) struct Event {
    token: Token,
    is: Interest,
}

impl Event {
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.is.read
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.is.write
    }

    // Nobody closes in a scenario.

    pub(crate) fn is_read_closed(&self) -> bool {
        false
    }

    pub(crate) fn is_write_closed(&self) -> bool {
        false
    }

    pub(crate) fn is_error(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) struct Events(Vec<Event>);

impl Events {
    pub(crate) fn with_capacity(_: usize) -> Self {
        Self(Vec::new())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = std::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A descriptor: how many bytes can be read and written, and who is told of it.
#[derive(Debug, Default)]
struct File {
    bytes: usize,
    room: usize,
    watched: Option<(Token, Interest)>,
    /// News that no wait has told.
    news: bool,
}

impl File {
    fn take_event(&mut self) -> Option<Event> {
        let (token, interest) = self.watched?;
        let is = Interest {
            read: self.bytes > 0 && interest.read,
            write: self.room > 0 && interest.write,
        };
        (std::mem::take(&mut self.news) && (is.read || is.write)).then_some(Event { token, is })
    }
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<RawFd, File>,
    interrupted: Option<Token>,
}

impl State {
    fn take_events(&mut self) -> Vec<Event> {
        let mut events: Vec<_> = self.files.values_mut().filter_map(File::take_event).collect();
        let interrupted = self.interrupted.take();
        events.extend(interrupted.map(|token| Event { token, is: Interest::READABLE }));
        events
    }
}

/// What knows the descriptors, and whom it tells.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    state: Mutex<State>,
    news: Condvar,
}

impl Kernel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no check goes on after a panic")
    }

    fn change<T>(&self, fd: RawFd, change: impl FnOnce(&mut File) -> T) -> T {
        let value = change(self.lock().files.entry(fd).or_default());
        self.news.notify_all();
        value
    }

    /// A byte comes in.
    pub(super) fn put(&self, fd: RawFd) {
        self.change(fd, |file| (file.bytes, file.news) = (file.bytes + 1, true));
    }

    /// There is room for so many bytes more.
    pub(super) fn make_room(&self, fd: RawFd, room: usize) {
        self.change(fd, |file| {
            file.news |= file.room == 0;
            file.room += room;
        });
    }

    pub(super) fn read(&self, fd: RawFd) -> io::Result<usize> {
        take_one(&mut self.lock().files.entry(fd).or_default().bytes)
    }

    pub(super) fn write(&self, fd: RawFd) -> io::Result<usize> {
        take_one(&mut self.lock().files.entry(fd).or_default().room)
    }

    fn wait(&self, timeout: Option<Duration>) -> Vec<Event> {
        let mut state = self.lock();
        for looks in 0.. {
            let events = state.take_events();
            if !events.is_empty() {
                return events;
            }
            match timeout {
                None => state = self.news.wait(state).expect("no check goes on after a panic"),
                Some(time) if looks == LOOKS || time.is_zero() => {
                    clock::pass(time);
                    break;
                }
                Some(_) => {
                    drop(state);
                    thread::yield_now();
                    state = self.lock();
                }
            }
        }
        Vec::new()
    }
}

fn take_one(count: &mut usize) -> io::Result<usize> {
    *count = count.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
    Ok(1)
}

thread_local! {
    static LAST: RefCell<Option<Arc<Kernel>>> = const { RefCell::new(None) };
}

/// That of the reactor that was made last.
pub(super) fn kernel() -> Arc<Kernel> {
    LAST.with_borrow(Clone::clone).expect("a reactor was made")
}

#[derive(Debug)]
pub(crate) struct Registry(Arc<Kernel>);

impl Registry {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.clone()))
    }

    pub(crate) fn register(
        &self,
        fd: &mut SourceFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.0.change(*fd.0, |file| (file.watched, file.news) = (Some((token, interest)), true));
        Ok(())
    }

    pub(crate) fn reregister(
        &self,
        fd: &mut SourceFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.register(fd, token, interest)
    }

    pub(crate) fn deregister(&self, fd: &mut SourceFd<'_>) -> io::Result<()> {
        self.0.change(*fd.0, |file| file.watched = None);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Waker(Arc<Kernel>, Token);

impl Waker {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self(registry.0.clone(), token))
    }

    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.lock().interrupted = Some(self.1);
        self.0.news.notify_all();
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Poll(Registry);

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        let kernel = Arc::new(Kernel::default());
        LAST.set(Some(kernel.clone()));
        Ok(Self(Registry(kernel)))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0
    }

    pub(crate) fn poll(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        events.0 = self.0.0.wait(timeout);
        Ok(())
    }
}
