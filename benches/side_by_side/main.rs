//! What an actor costs, next to what nothing at all would cost: the same work over bare sockets,
//! in the same run, on the same core.
//!
//! ```text
//! cargo bench --bench side_by_side                 all figures, one or two minutes
//! cargo bench --bench side_by_side -- --quick      the same with less of everything
//! cargo bench --bench side_by_side -- rpc stream   only figures whose name has one of these words
//! cargo bench --bench side_by_side -- --core 1     on another core than the first one allowed
//! ```
//!
//! Every figure is measured several times, floor, smol and tokio in turn, and each repeat makes its
//! own processes. What is printed are medians. The ratios are medians of the repeats' ratios: how
//! many times *worse* than the floor we are on smol, and on tokio than on smol. All processes are
//! pinned to one core: on two, the time to wake an idle core is most of every figure, for all.
//!
//! * `floor.rs`: the work over bare sockets, by `async-io` without anything of ours.
//! * `ours.rs`: the work of an actor program.
//!
//! This measures and never judges: it is no test, and does nothing when it is run as one.

mod floor;
mod ours;
mod report;

use std::time::Duration;

use report::{Figure, Sample, Target, Unit};

/// How much of everything.
struct Size {
    repeats: usize,
    calls: u32,
    items: u64,
    blobs: u64,
    spawns: usize,
    cancels: usize,
}

const FULL: Size =
    Size { repeats: 9, calls: 20_000, items: 1_000_000, blobs: 10_000, spawns: 20, cancels: 3 };

const QUICK: Size =
    Size { repeats: 3, calls: 5_000, items: 300_000, blobs: 3_000, spawns: 8, cancels: 1 };

/// Children in the cancel figure, and calls or items under way in the `x64` figures.
const CHILDREN: usize = 16;
const WINDOW: u32 = 64;

const SMALL: u32 = 64;
const LARGE: u32 = 64 << 10;

fn main() {
    // First: this same program is the child of all sides.
    tractor::init();
    floor::serve_if_child();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    if has("--test") || !(has("--bench") || has("--quick")) {
        return; // `cargo test --benches` only wants to know that it starts.
    }
    let core = args.iter().skip_while(|arg| *arg != "--core").nth(1).and_then(|n| n.parse().ok());
    let pinned = pin(core);
    let wanted: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with("--") && arg.parse::<usize>().is_err())
        .collect();
    let size = if has("--quick") { &QUICK } else { &FULL };
    let said: Vec<&str> = args.iter().map(String::as_str).filter(|a| *a != "--bench").collect();
    report::head(&said.join(" "), pinned, size.repeats);
    for figure in figures(size) {
        if wanted.is_empty() || wanted.iter().any(|word| figure.name.contains(word)) {
            figure.measure(size.repeats);
        }
    }
}

/// All figures, with the targets of the project.
fn figures(size: &'static Size) -> Vec<Figure> {
    let (calls, items, blobs) = (size.calls, size.items, size.blobs);
    let pipelined = calls * 5;
    vec![
        Figure::new("rpc p50", Unit::Micros, Target::Ratio(2.0))
            .floor(move || floor::ping(calls))
            .ours(move || ours::calls(calls)),
        Figure::new("rpc, 64 under way", Unit::PerSecond, Target::None)
            .floor(move || floor::echo(pipelined, WINDOW))
            .ours(move || ours::calls_in_flight(pipelined, WINDOW)),
        Figure::new("stream of u64", Unit::PerSecond, Target::AtLeast(2e6))
            .floor(move || floor::stream(8, items))
            .ours(move || ours::stream_numbers(items)),
        Figure::new("stream of 64 B", Unit::PerSecond, Target::AtLeast(2e6))
            .floor(move || floor::stream(SMALL, items))
            .ours(move || ours::stream_blobs(SMALL, items)),
        Figure::new("stream of 1 KiB", Unit::MegabytesOf(1 << 10), Target::None)
            .floor(move || floor::stream(1 << 10, items / 4))
            .ours(move || ours::stream_blobs(1 << 10, items / 4)),
        Figure::new("stream of 64 KiB", Unit::MegabytesOf(LARGE), Target::Ratio(2.0))
            .floor(move || floor::stream(LARGE, blobs))
            .ours(move || ours::stream_blobs(LARGE, blobs)),
        Figure::new("stream of 64 KiB as Vec<u8>", Unit::MegabytesOf(LARGE), Target::None)
            .floor(move || floor::stream(LARGE, blobs / 10))
            .ours(move || ours::stream_vecs(LARGE, blobs / 10)),
        Figure::new("echo, window 64", Unit::PerSecond, Target::None)
            .floor(move || floor::echo(pipelined, WINDOW))
            .ours(move || ours::echo(pipelined, WINDOW)),
        Figure::new("spawn to first answer", Unit::Millis, Target::Ratio(2.0))
            .floor(move || floor::spawn(size.spawns))
            .ours(move || ours::spawn(size.spawns)),
        Figure::new("cancel 16 to reaped", Unit::Millis, Target::Ratio(3.0))
            .floor(move || floor::close_all(size.cancels, CHILDREN))
            .ours(move || ours::cancel_all(size.cancels, CHILDREN)),
        Figure::new("memory of a child", Unit::Mebibytes, Target::None)
            .floor(floor::memory)
            .ours(ours::memory),
    ]
}

/// Pins this process, and so its children, to one core.
fn pin(core: Option<usize>) -> Option<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None).ok()?;
    let core = core.or_else(|| (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core)))?;
    let mut one = CpuSet::new();
    one.set(core);
    sched_setaffinity(None, &one).ok().map(|()| core)
}

/// The resident memory of a process, as the kernel counts it.
fn resident(pid: u32) -> Sample {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

/// The middle one of what was timed.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
