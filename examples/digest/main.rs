//! The digests of all files under a path, computed by one process per core.
//!
//! ```text
//!  digest (root) --names-->  worker-0   reads and hashes, one file after the other
//!                <-digests-
//!                --names-->  worker-1   ...
//!                <-digests-
//! ```
//!
//! What it prints is what `find PATH -type f -print0 | xargs -0 sha256sum` does, in the order in
//! which files get done. A worker that dies takes the run along, unless `--restart` is given: then
//! a new process does what it left. Whatever happens, no process is left behind.
//!
//! Read `worker.rs` first, then `pool.rs`; the rest is an ordinary program.
//!
//! Run it: `cargo run --release --example digest -- src`

mod files;
mod options;
mod output;
mod pool;
mod worker;

use std::io::ErrorKind;
use std::process::ExitCode;

use options::{Options, Parsed, USAGE};
use output::Output;
use tractor::Error;

#[tractor::main]
async fn main() -> ExitCode {
    match Options::parse(std::env::args_os().skip(1)) {
        Parsed::Run(options) => digest(&options).await,
        Parsed::Help => {
            output::say(USAGE);
            ExitCode::SUCCESS
        }
        Parsed::Wrong(why) => {
            output::complain(&format!("{why}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

async fn digest(options: &Options) -> ExitCode {
    let output = Output::new();
    let ended = pool::run(options, &output).await;
    let complete = output.finish();
    match ended {
        Ok(()) if complete => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => exit_code(&error),
    }
}

/// How the program ends on an error, which it tells unless the user knows it already.
fn exit_code(error: &Error) -> ExitCode {
    if let Some(signal) = error.interrupted() {
        // What a shell expects of a program that a signal ended: 130 for a Ctrl-C.
        return ExitCode::from(u8::try_from(128 + signal).unwrap_or(1));
    }
    let nobody_reads =
        |leaf: &&Error| matches!(leaf, Error::Io(error) if error.kind() == ErrorKind::BrokenPipe);
    if error.leaves().iter().any(nobody_reads) {
        return ExitCode::SUCCESS; // `digest PATH | head`
    }
    output::complain(&error.to_string());
    ExitCode::FAILURE
}
