//! What people and programs see: digests on stdout, complaints and the progress bar on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tractor::scope;

use crate::files::{File, Unreadable, files};
use crate::worker::Digest;

/// Where everything goes. All tasks share it.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether there is a progress bar.
    bar: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the bar is on the screen now.
    drawn: bool,
    /// Files that could not be read.
    failed: u64,
    done: Amount,
    found: Amount,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    files: u64,
    bytes: u64,
}

impl Amount {
    fn add(&mut self, file: &File) {
        self.files += 1;
        self.bytes += file.len;
    }
}

impl Output {
    /// The bar is for people only: without a terminal there is none.
    pub(crate) fn new() -> Output {
        Output { bar: io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// Prints a digest as soon as somebody reads.
    pub(crate) async fn digest(&self, file: &File, digest: &Digest) -> tractor::Result<()> {
        match digest {
            Ok(digest) => {
                writable().await?;
                let mut state = self.quiet();
                // One write for each line: whatever ends us later, it is out.
                let written = io::stdout().lock().write_all(&line(&file.path, &digest[..]));
                written.map_err(|e| io::Error::new(e.kind(), format!("stdout: {e}")))?;
                state.done.add(file);
            }
            Err(why) => {
                self.unreadable(&Unreadable { path: file.path.clone(), why: why.clone() });
                self.lock().done.add(file);
            }
        }
        Ok(())
    }

    /// Tells of a file that has no digest. The exit code will tell, too.
    pub(crate) fn unreadable(&self, unreadable: &Unreadable) {
        self.quiet().failed += 1;
        complain(&format!("{:?}: {}", unreadable.path, unreadable.why));
    }

    /// Tells of something that is not the end.
    pub(crate) fn warn(&self, text: &str) {
        let _quiet = self.quiet();
        complain(text);
    }

    /// Takes the bar away. Whether each file has its digest.
    pub(crate) fn finish(&self) -> bool {
        self.quiet().failed == 0
    }

    /// Counts what there is to do and draws the bar, for ever.
    pub(crate) async fn show_progress(&self, path: &Path) -> tractor::Result<()> {
        if !self.bar {
            return Ok(());
        }
        let mut uncounted = files(path).flatten();
        loop {
            // In pieces, as the digests must not wait for it.
            let piece: Vec<File> = uncounted.by_ref().take(1024).collect();
            {
                let mut state = self.lock();
                piece.iter().for_each(|file| state.found.add(file));
                state.draw();
            }
            match piece.is_empty() {
                true => scope::sleep(REDRAW).await?,
                false => scope::checkpoint().await?,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with the bar off the screen, so that something else can be printed.
    fn quiet(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if std::mem::take(&mut state.drawn) {
            eprint("\r\x1b[K");
        }
        state
    }
}

const REDRAW: Duration = Duration::from_millis(100);

impl State {
    fn draw(&mut self) {
        const WIDTH: u64 = 30;
        let (done, found) = (self.done.bytes, self.found.bytes.max(self.done.bytes).max(1));
        let full = (u128::from(done) * u128::from(WIDTH) / u128::from(found)) as usize;
        let bar = format!("{:#<full$}{:.<empty$}", "", "", empty = WIDTH as usize - full);
        let (mib, of_mib) = (done >> 20, found >> 20);
        let (files, of_files) = (self.done.files, self.found.files.max(self.done.files));
        eprint(&format!("\r\x1b[K[{bar}] {mib}/{of_mib} MiB, {files}/{of_files} files"));
        self.drawn = true;
    }
}

/// Waits until somebody reads what we print. A write that blocks would block this thread, and with
/// it the actor, which has to hear a Ctrl-C meanwhile.
async fn writable() -> tractor::Result<()> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    while poll(&mut [PollFd::new(&io::stdout(), PollFlags::OUT)], Some(&now)) == Ok(0) {
        scope::sleep(Duration::from_millis(5)).await?;
    }
    Ok(())
}

/// A line as `sha256sum` prints it: a name that would break the line is escaped, and a backslash in
/// front of the digest says so.
fn line(path: &Path, digest: &[u8]) -> Vec<u8> {
    let name = path.as_os_str().as_bytes();
    let mut text = String::with_capacity(2 * digest.len() + 2);
    for byte in digest {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("  ");
    let mut line = text.into_bytes();
    if !name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        line.extend_from_slice(name);
    } else {
        line.insert(0, b'\\');
        for byte in name {
            match byte {
                b'\\' => line.extend_from_slice(b"\\\\"),
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\r' => line.extend_from_slice(b"\\r"),
                _ => line.push(*byte),
            }
        }
    }
    line.push(b'\n');
    line
}

/// A line for the user on stdout.
pub(crate) fn say(text: &str) {
    // Who closed stdout does not want to know.
    let _ = writeln!(io::stdout(), "{text}");
}

/// A line for the user on stderr.
pub(crate) fn complain(text: &str) {
    eprint(&format!("digest: {text}\n"));
}

/// As `eprint!`, which panics when stderr is closed.
fn eprint(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
