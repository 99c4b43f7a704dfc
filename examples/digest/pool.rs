//! The root's side: as many workers as asked for, each kept busy with files.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Mutex, PoisonError};

use serde_bytes::ByteBuf;
use tractor::context::ParentContext;
use tractor::{ActorNursery, Error, Portal, scope};

use crate::files::{File, Unreadable, files};
use crate::options::Options;
use crate::output::Output;
use crate::worker;

/// Prints the digests of all files. Returns when that is done and all workers are gone.
pub(crate) async fn run(options: &Options, output: &Output) -> tractor::Result<()> {
    let work = Work::new(options, output);
    tractor::open_nursery(async |an| {
        scope::open_nursery(async |tasks| {
            tasks.start_soon(output.show_progress(&options.path));
            scope::open_nursery(async |slots| {
                for n in 0..options.workers {
                    slots.start_soon(slot(an.clone(), n, &work, options.restart));
                }
                Ok(())
            })
            .await?;
            tasks.cancel(); // the progress bar, which would never end
            Ok(())
        })
        .await
    })
    .await
}

/// Keeps one worker at work until there is none, or with `restart` one worker after the other.
async fn slot(an: ActorNursery, n: usize, work: &Work<'_>, restart: bool) -> tractor::Result<()> {
    let mut hand = Hand::default();
    loop {
        let failed = match one_worker(&an, n, work, &mut hand, restart).await {
            Err(Error::ActorFailed(failed)) if restart => failed,
            ended => return ended,
        };
        hand.died += 1;
        if hand.died == DEATHS_MAX {
            return Err(Error::ActorFailed(failed));
        }
        work.output.warn(&format!("{failed}; starting another"));
    }
}

/// So many workers in a row may die without a single digest: then it isn't bad luck.
const DEATHS_MAX: u32 = 5;

async fn one_worker(
    an: &ActorNursery,
    n: usize,
    work: &Work<'_>,
    hand: &mut Hand,
    restart: bool,
) -> tractor::Result<()> {
    let mut worker = an.start_actor(format!("worker-{n}")).enable_of::<worker::digests>();
    if restart {
        worker = worker.isolated(); // else its death is the end of all
    }
    let portal: Portal = worker.await?;
    portal.open_context(worker::digests {}, async |ctx, ()| feed(ctx, work, hand).await).await?;
    portal.cancel_actor().await
}

/// Gives the worker files and prints its digests, until nothing is left.
async fn feed(
    ctx: ParentContext<worker::digests>,
    work: &Work<'_>,
    hand: &mut Hand,
) -> tractor::Result<()> {
    let mut stream = ctx.open_stream().await?;
    if !hand.files.is_empty() {
        // What the worker before this one has left undone.
        stream.send(hand.files.iter().map(name).collect()).await?;
    }
    loop {
        while let Some(batch) = hand.take_batch(work) {
            stream.send(batch).await?;
        }
        if hand.files.is_empty() {
            return Ok(());
        }
        // The worker answers in the order it was asked in.
        for digest in stream.recv().await? {
            let Some(file) = hand.files.front() else { break };
            work.output.digest(file, &digest).await?;
            // Only now, and nothing can come between: this block is cancelled, at an await, when
            // the worker dies, and then the next worker does what is in the hand.
            hand.files.pop_front();
            hand.died = 0;
        }
    }
}

/// A name is bytes, in whatever encoding.
fn name(file: &File) -> ByteBuf {
    ByteBuf::from(file.path.as_os_str().as_bytes())
}

/// The files that a worker was given and that aren't done, in that order.
#[derive(Default)]
struct Hand {
    files: VecDeque<File>,
    /// A file that no batch may wait for: the first of the next.
    large: Option<File>,
    /// How many workers died over them since the last digest.
    died: u32,
}

impl Hand {
    /// Takes files up, and returns their names. `None`: the hand is full, or there are no more.
    fn take_batch(&mut self, work: &Work<'_>) -> Option<Vec<ByteBuf>> {
        let mut names = Vec::new();
        while names.len() < BATCH_LEN && self.has_room() {
            let Some(file) = self.large.take().or_else(|| work.next()) else { break };
            if file.len >= HAND_BYTES_MAX && !names.is_empty() {
                self.large = Some(file);
                break;
            }
            names.push(name(&file));
            self.files.push_back(file);
        }
        (!names.is_empty()).then_some(names)
    }

    /// Enough to keep a worker busy while its last digests are on the way, and little enough that
    /// the others get their share of large files.
    fn has_room(&self) -> bool {
        let bytes: u64 = self.files.iter().map(|file| file.len).sum();
        self.files.len() < 2 * BATCH_LEN && bytes < HAND_BYTES_MAX
    }
}

/// So many names go together: small files take less time than a message.
const BATCH_LEN: usize = 32;
const HAND_BYTES_MAX: u64 = 8 << 20;

/// The files nobody was given yet.
struct Work<'a> {
    files: Mutex<Box<dyn Iterator<Item = Result<File, Unreadable>> + Send>>,
    output: &'a Output,
}

impl<'a> Work<'a> {
    fn new(options: &Options, output: &'a Output) -> Work<'a> {
        Work { files: Mutex::new(Box::new(files(&options.path))), output }
    }

    /// The next file. What can't be read on the way there is told.
    fn next(&self) -> Option<File> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match files.next()? {
                Ok(file) => return Some(file),
                Err(unreadable) => self.output.unreadable(&unreadable),
            }
        }
    }
}
