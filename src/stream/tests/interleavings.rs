use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tractor_core::dialog::table::Side;
use tractor_core::{Chunk, Config, DialogId, OverrunPolicy, Uid};

use crate::context::{RawContext, Record};
use crate::error::Error;
use crate::scope::open_nursery;
use crate::shared::{Parts, Settings, Shared};
use crate::stream::fanout::Reader;
use crate::stream::inbox::{Far, Inbox};
use crate::tests::explore::explore;
use crate::tests::{Signal, Threads, block_on, join, spawn};

const RUNS: usize = 1_500;

/// How many items come.
const ITEMS: u8 = 4;

/// A stream whose items a check puts into its mailbox.
struct Source {
    shared: Arc<Shared>,
    dialog: DialogId,
}

impl Source {
    /// With its first reader, for which so many items are kept.
    fn new(capacity: usize) -> (Source, Reader) {
        let shared = Shared::new(Parts {
            config: Config::new("root"),
            host: Arc::new(crate::host::System),
            executor: Arc::new(Threads::default()),
            scopes: None,
            settings: Settings::default(),
        });
        let dialog = DialogId::from_u64(1);
        let uid = Uid { name: "peer".into(), uuid: "".into() };
        let record = {
            let mut inner = shared.lock();
            inner.mailbox(dialog);
            Arc::new(Record::new(&inner, dialog, Side::Caller, &uid))
        };
        let ctx = RawContext::caller(shared.clone(), dialog, record);
        let inbox = Inbox::new(ctx, Far::Context, OverrunPolicy::Backpressure);
        (Source { shared, dialog }, Reader::first(inbox, capacity))
    }

    /// All items, one by one, and the end.
    fn run(&self) {
        for item in 0..ITEMS {
            let chunk = Chunk { count: 1, plds: Bytes::copy_from_slice(&[item]) };
            self.tell(|mailbox| mailbox.items.push_back(chunk));
        }
        self.tell(|mailbox| mailbox.outcome = Some(Ok(Bytes::new())));
    }

    fn tell(&self, news: impl FnOnce(&mut crate::boxes::Mailbox)) {
        let mut inner = self.shared.lock();
        let mailbox = inner.mailbox(self.dialog);
        news(mailbox);
        let woken = mailbox.wakers.take();
        drop(inner);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// What a reader gets: items, and how many were missed in between.
#[derive(Debug, PartialEq)]
enum Got {
    Item(u8),
    Missed(u64),
}

async fn read_all(mut reader: Reader) -> Vec<Got> {
    let mut all = Vec::new();
    loop {
        all.push(match poll_fn(|cx| reader.poll(cx)).await {
            Ok(Some(item)) => Got::Item(item[0]),
            Ok(None) => return all,
            Err(Error::Lagged(missed)) => Got::Missed(missed),
            Err(error) => panic!("{error}"),
        });
    }
}

fn everything() -> Vec<Got> {
    (0..ITEMS).map(Got::Item).collect()
}

/// Whoever takes the items for all, no reader waits for one that is there: the next one comes only
/// when all have it.
#[test]
fn every_reader_gets_every_item_in_order() {
    explore(RUNS, || {
        let (source, first) = Source::new(usize::from(ITEMS));
        let readers = [first.another(), first.another(), first];
        let has: [[Signal; ITEMS as usize]; 3] = Default::default();
        let mut told = has.clone().into_iter();
        let threads = readers.map(|mut reader| {
            let told = told.next().unwrap();
            spawn(move || {
                for (item, told) in (0..ITEMS).zip(&told) {
                    let got = block_on(poll_fn(|cx| reader.poll(cx))).unwrap();
                    assert_eq!(got.unwrap()[0], item);
                    told.set();
                }
            })
        });
        for item in 0..ITEMS {
            let chunk = Chunk { count: 1, plds: Bytes::copy_from_slice(&[item]) };
            source.tell(|mailbox| mailbox.items.push_back(chunk));
            has.iter().for_each(|told| block_on(told[usize::from(item)].wait()));
        }
        join(threads);
    });
}

#[test]
fn who_was_overtaken_is_told_of_every_item() {
    explore(RUNS, || {
        let (source, first) = Source::new(1);
        let readers = [first.another(), first];
        let threads = readers.map(|reader| spawn(move || block_on(read_all(reader))));
        source.run();
        for got in join(threads) {
            let mut next = 0;
            for one in &got {
                match one {
                    Got::Item(item) => assert_eq!(u64::from(*item), next, "{got:?}"),
                    Got::Missed(_) => {}
                }
                next += if let Got::Missed(missed) = one { *missed } else { 1 };
            }
            assert_eq!(next, u64::from(ITEMS), "{got:?}");
        }
    });
}

/// One that leaves takes no wake-up with it.
#[test]
fn a_reader_that_leaves_holds_up_nobody() {
    explore(RUNS, || {
        let (source, first) = Source::new(usize::from(ITEMS));
        let (stays, mut leaves) = (first.another(), first);
        let threads = [
            spawn(move || block_on(read_all(stays))),
            spawn(move || {
                let first = block_on(poll_fn(|cx| leaves.poll(cx))).unwrap();
                assert_eq!(first.unwrap()[0], 0);
                vec![]
            }),
        ];
        source.run();
        assert_eq!(join(threads)[0], everything());
    });
}

/// Tasks of one thread run by turns: as they give way to each other, none of them loses an item,
/// and be there room for a single one.
#[test]
fn readers_that_run_by_turns_lose_nothing() {
    explore(RUNS, || {
        let (source, first) = Source::new(1);
        let second = first.another();
        let readers = spawn(move || {
            block_on(open_nursery(async |tn| {
                for reader in [first, second] {
                    tn.start_soon(async move { assert_eq!(read_all(reader).await, everything()) });
                }
                Ok(())
            }))
        });
        source.run();
        join([readers]).remove(0).unwrap();
    });
}
