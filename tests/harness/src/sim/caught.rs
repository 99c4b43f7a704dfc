//! A run that panics, as a report: what the panic says and where, and all that was kept until then.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Once;

use super::Options;
use super::cover::Cover;
use super::run::Report;
use super::trace::Kept;
use crate::random::Source;

/// The check that a run breaks which panics.
pub const PANIC: &str = "panic";

/// How a run is played: [`play_into`](super::play_into), or something around it.
pub type Play<'a> = &'a dyn Fn(Source, Option<Options>, Option<Rc<Kept>>) -> Report;

thread_local! {
    /// Whether this thread's panics are awaited: then they are noted, and not printed.
    static AWAITED: Cell<bool> = const { Cell::new(false) };

    /// What the first of them said, and where.
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays a run. One that panics breaks the check [`PANIC`].
pub fn caught(play: Play<'_>, source: Source, options: Option<Options>, keep: bool) -> Report {
    watch();
    let kept = keep.then(Rc::<Kept>::default);
    AWAITED.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| play(source, options, kept.clone())));
    AWAITED.set(false);
    let said = SAID.take();
    result.unwrap_or_else(|_| {
        let kept = kept.unwrap_or_default();
        let names = kept.names.take();
        Report {
            broken: vec![(PANIC, said.unwrap_or_default())],
            hash: 0,
            cover: Cover::default(),
            events: 0,
            actors: names.len(),
            notes: kept.notes.take(),
            names,
        }
    })
}

/// Has the process's panic hook note what is awaited, and do what it did before for the rest. Once.
fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !AWAITED.get() {
                return before(info);
            }
            let at = info.location().map_or_else(String::new, |at| format!(" at {at}"));
            let payload = info.payload();
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("no text");
            SAID.with_borrow_mut(|said| said.get_or_insert_with(|| format!("{text}{at}")).len());
        }));
    });
}
