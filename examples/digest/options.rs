//! What the user asks for.

use std::ffi::OsString;
use std::path::PathBuf;

/// The short help.
pub(crate) const USAGE: &str = "\
usage: digest [--workers N] [--restart] [--] PATH
  Prints the SHA-256 of PATH, or of the files under it, as sha256sum does.
  --workers N  so many processes; one per core by default
  --restart    replace a worker that dies, instead of giving up";

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Options {
    /// A file or a directory.
    pub(crate) path: PathBuf,
    /// How many worker processes: at least 1.
    pub(crate) workers: usize,
    /// Whether workers that die are replaced.
    pub(crate) restart: bool,
}

/// What a command line says.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// Do it.
    Run(Options),
    /// Explain yourself.
    Help,
    /// Nothing that makes sense, and why.
    Wrong(String),
}

impl Options {
    /// Reads the arguments, without the program's name.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Parsed {
        let mut paths = Vec::new();
        let mut options = Options { path: PathBuf::new(), workers: cores(), restart: false };
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Parsed::Help,
                Some("--restart") => options.restart = true,
                Some("--workers") => match args.next().as_deref().and_then(number) {
                    Some(workers) => options.workers = workers,
                    None => return Parsed::Wrong("--workers wants a number from 1 to 1024".into()),
                },
                Some("--") => paths.extend(args.by_ref()),
                _ if arg.as_encoded_bytes().starts_with(b"-") => {
                    return Parsed::Wrong(format!("there is no option {arg:?}"));
                }
                _ => paths.push(arg),
            }
        }
        let [path] = paths.as_slice() else {
            return Parsed::Wrong(format!("one PATH is wanted, not {}", paths.len()));
        };
        if path.is_empty() {
            return Parsed::Wrong("PATH is empty".into());
        }
        Parsed::Run(Options { path: path.into(), ..options })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn number(arg: &std::ffi::OsStr) -> Option<usize> {
    arg.to_str()?.parse().ok().filter(|n| (1..=1024).contains(n))
}
