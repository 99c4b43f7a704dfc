//! Runs tests, and takes the arguments that `cargo test` is given most: names, `--exact`, `--skip`
//! and `--list`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// A test and its name.
#[derive(Clone)]
pub(crate) struct Test {
    name: String,
    body: Arc<dyn Fn()>,
}

pub(crate) fn test(name: impl Into<String>, body: impl Fn() + 'static) -> Test {
    Test { name: name.into(), body: Arc::new(body) }
}

/// What was asked for.
#[derive(Default)]
struct Options {
    names: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
}

impl Options {
    fn parse() -> Options {
        let mut options = Options::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => options.exact = true,
                "--list" => options.list = true,
                "--skip" => options.skipped.extend(args.next()),
                // How libtest prints, and on how many threads.
                flag if flag.starts_with('-') => {}
                name => options.names.push(name.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |part: &String| if self.exact { name == part } else { name.contains(part) };
        (self.names.is_empty() || self.names.iter().any(fits)) && !self.skipped.iter().any(fits)
    }
}

/// Runs them one after the other.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let options = Options::parse();
    let wanted: Vec<&Test> = tests.iter().filter(|test| options.wants(&test.name)).collect();
    if options.list {
        wanted.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", wanted.len());
    let failed: Vec<&str> =
        wanted.iter().filter(|test| !passes(test)).map(|test| test.name.as_str()).collect();
    println!("\ntest result: {} passed, {} failed", wanted.len() - failed.len(), failed.len());
    for name in &failed {
        println!("    {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn passes(test: &Test) -> bool {
    let start = Instant::now();
    let passed = catch_unwind(AssertUnwindSafe(|| (test.body)())).is_ok();
    let word = if passed { "ok" } else { "FAILED" };
    println!("test {} ... {word} ({:.2?})", test.name, start.elapsed());
    passed
}
