//! The example `digest`, run as a user runs it, and treated as badly as can be.

#![allow(clippy::unwrap_used, reason = "the helpers are test code, which clippy can't see")]

#[path = "digest/program.rs"]
mod program;
#[path = "digest/tree.rs"]
mod tree;

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use program::{Ended, Running, Worker, digest, kill, run, start, start_printing_to, until};
use rustix::process::{Signal, kill_process};
use tree::{TempDir, beyond_path_max, forbid, line, odd_tree, replace, sha256sum};

const SUCCESS: Option<i32> = Some(0);
const FAILURE: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);

/// The exit code, and that there was nothing to say.
fn quiet(ended: &Ended, code: Option<i32>) {
    assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{ended:?}");
}

fn sorted(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    lines.sort();
    lines
}

#[test]
fn prints_what_sha256sum_prints() {
    let dir = odd_tree();
    for (cwd, path) in [
        (Path::new("/"), dir.path().as_os_str()),
        (dir.path(), OsStr::new(".")),
        (dir.path(), OsStr::new("a/")),
        (dir.path(), OsStr::new("a//b")),
        (dir.path(), OsStr::new("link to a directory/")),
        (dir.path(), OsStr::new("back\\slash")),
        (dir.path(), OsStr::new("plain")),
    ] {
        let mut command = digest();
        command.current_dir(cwd).arg("--").arg(path);
        let ended = start(command).ended();
        quiet(&ended, SUCCESS);
        if let Some(expected) = sha256sum(cwd, path) {
            assert_eq!(ended.out, expected, "{path:?}: {ended:?}");
        }
    }
}

#[test]
fn escapes_names_that_would_break_the_line() {
    let dir = odd_tree();
    let mut command = digest();
    command.current_dir(dir.path()).args(["--workers", "2", "."]);
    let out = start(command).ended().out;
    assert_eq!(out.len(), 15, "each file once, and nothing else");
    for (content, name) in [
        (&b"new\nline"[..], "./new\\nline"),
        (b"back\\slash", "./back\\\\slash"),
        (b"carriage\rreturn", "./carriage\\rreturn"),
        (b"all\\of\nthem\r", "./all\\\\of\\nthem\\r"),
        (b"sub\ndir/file", "./sub\\ndir/file"),
    ] {
        let escaped = [b"\\", &line(Path::new(name), content)[..]].concat();
        assert!(out.contains(&escaped), "{name}");
    }
    for (name, content) in [("empty", &b""[..]), ("-n", b"-n"), ("a/b/c/d/deep", b"a/b/c/d/deep")] {
        assert!(out.contains(&line(&Path::new(".").join(name), content)), "{name}");
    }
    let name = b"not utf-8 \xff\xfe";
    let bytes = line(&Path::new(".").join(OsStr::from_bytes(name)), name);
    assert!(out.contains(&bytes));
}

/// A tree of many small files, and what is to come out.
fn many(count: usize) -> (TempDir, Vec<Vec<u8>>) {
    let dir = TempDir::new();
    let mut expected = Vec::new();
    for n in 0..count {
        let content = n.to_string();
        let path = dir.write(format!("{}/{n}", n % 10), content.as_bytes());
        expected.push(line(&path, content.as_bytes()));
    }
    (dir, sorted(expected))
}

#[test]
fn many_files_are_done_once_each_by_any_number_of_workers() {
    let (dir, expected) = many(3000);
    for workers in ["1", "3", "7"] {
        let ended = run([OsStr::new("--workers"), OsStr::new(workers), dir.path().as_os_str()]);
        quiet(&ended, SUCCESS);
        assert_eq!(ended.out, expected, "{workers} workers");
    }
}

#[test]
fn an_empty_directory_has_no_digests() {
    let dir = TempDir::new();
    let ended = run([dir.path()]);
    quiet(&ended, SUCCESS);
    assert!(ended.out.is_empty());
}

#[test]
fn what_cannot_be_found_by_its_path_is_told_and_the_rest_is_done() {
    let (dir, expected) = many(100);
    let beyond = beyond_path_max(&dir);
    let ended = run([dir.path()]);
    assert_eq!(ended.code, FAILURE, "{ended:?}");
    assert_eq!(ended.out, expected);
    assert_eq!(ended.err, format!("digest: {beyond:?}: File name too long (os error 36)"));
}

#[test]
fn what_cannot_be_read_is_told() {
    // A regular file, of the worker's own process, which can be opened, but not read at 0.
    let ended = run(["/proc/self/mem"]);
    assert_eq!((ended.code, ended.out.len()), (FAILURE, 0), "{ended:?}");
    assert_eq!(ended.err, "digest: \"/proc/self/mem\": Input/output error (os error 5)");
}

#[test]
fn what_may_not_be_read_is_told_and_the_rest_is_done() {
    let (dir, mut expected) = many(100);
    let secret = dir.write("secret", b"of mine");
    let mut err = format!("digest: {secret:?}: Permission denied (os error 13)");
    if !forbid(&secret) {
        // Root reads everything.
        expected.push(line(&secret, b"of mine"));
        err.clear();
    }
    let ended = run([dir.path()]);
    assert_eq!(ended.out, sorted(expected));
    assert_eq!((ended.code == SUCCESS, ended.err), (err.is_empty(), err));
}

#[test]
fn a_path_that_is_no_file_or_directory_is_told() {
    let dir = odd_tree();
    let nowhere = dir.path().join("nowhere");
    let ended = run([&nowhere]);
    assert_eq!((ended.code, ended.out.len()), (FAILURE, 0), "{ended:?}");
    assert_eq!(ended.err, format!("digest: {nowhere:?}: No such file or directory (os error 2)"));
    for name in ["link", "fifo"] {
        let path = dir.path().join(name);
        let ended = run([&path]);
        assert_eq!((ended.code, ended.out.len()), (FAILURE, 0), "{ended:?}");
        let why = "neither a regular file nor a directory";
        assert_eq!(ended.err, format!("digest: {path:?}: {why}"));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_explained() {
    for (args, why) in [
        (&[][..], "one PATH is wanted, not 0"),
        (&["a", "b"], "one PATH is wanted, not 2"),
        (&[""], "PATH is empty"),
        (&["--frobnicate", "a"], "there is no option \"--frobnicate\""),
        (&["--workers", "0", "a"], "--workers wants a number from 1 to 1024"),
        (&["--workers"], "--workers wants a number from 1 to 1024"),
    ] {
        let ended = run(args);
        assert_eq!((ended.code, ended.out.len()), (USAGE, 0), "{args:?}: {ended:?}");
        let (first, usage) = ended.err.split_once('\n').unwrap();
        assert_eq!(first, format!("digest: {why}"), "{args:?}");
        assert!(usage.starts_with("usage: digest "), "{args:?}: {ended:?}");
    }
    let ended = run(["--help"]);
    quiet(&ended, SUCCESS);
    assert!(ended.out.iter().any(|line| line.starts_with(b"usage: digest ")), "{ended:?}");
}

/// A run whose two workers are at endless files.
struct Busy {
    dir: TempDir,
    endless: [PathBuf; 2],
    running: Running,
    workers: [Worker; 2],
}

fn busy(args: &[&str]) -> Busy {
    let dir = TempDir::new();
    let endless = [dir.endless("endless-0"), dir.endless("endless-1")];
    let mut command = digest();
    command.args(args).args(["--workers", "2"]).arg(dir.path());
    let running = start(command);
    let workers = [running.wait_reader(&endless[0]), running.wait_reader(&endless[1])];
    Busy { dir, endless, running, workers }
}

#[test]
fn a_worker_that_is_killed_is_the_end_of_all() {
    let busy = busy(&[]);
    kill(&busy.workers[0]);
    let ended = busy.running.ended();
    assert_eq!((ended.code, ended.out.len()), (FAILURE, 0), "{ended:?}");
    let Worker { pid, name } = &busy.workers[0];
    let pid = format!("(pid {})", pid.as_raw_nonzero());
    for part in ["digest: ", name, &pid, "signal 9", "SIGKILL"] {
        assert!(ended.err.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(ended.err.lines().count(), 1, "told once: {ended:?}");
}

#[test]
fn a_worker_that_hangs_then_is_no_failure_of_its_own() {
    let busy = busy(&[]);
    // It can't hear the cancel, so it has to be killed, by us and in time.
    kill_process(busy.workers[1].pid, Signal::STOP).unwrap();
    kill(&busy.workers[0]);
    let ended = busy.running.ended();
    assert_eq!((ended.code, ended.out.len()), (FAILURE, 0), "{ended:?}");
    assert!(ended.err.contains(&busy.workers[0].name), "{ended:?}");
    assert_eq!(ended.err.lines().count(), 1, "told once: {ended:?}");
}

#[test]
fn with_restart_each_worker_may_be_killed_once() {
    let Busy { dir, endless, running, workers } = busy(&["--restart"]);
    for (file, worker) in endless.iter().zip(&workers) {
        replace(file, b"not so endless");
        kill(worker);
    }
    let ended = running.ended();
    assert_eq!(ended.code, SUCCESS, "{ended:?}");
    let expected = endless.iter().map(|file| line(file, b"not so endless")).collect();
    assert_eq!(ended.out, sorted(expected), "in {dir:?}");
    for Worker { pid, name } in &workers {
        let pid = format!("(pid {})", pid.as_raw_nonzero());
        let told = ended.err.lines().filter(|l| l.contains(name.as_str()) && l.contains(&pid));
        assert_eq!(told.count(), 1, "{name} {pid}: {ended:?}");
    }
    assert_eq!(ended.err.lines().count(), 2, "{ended:?}");
}

#[test]
fn a_restart_loses_nothing_of_what_was_under_way() {
    let (dir, mut expected) = many(500);
    let endless = dir.endless("endless");
    let mut command = digest();
    command.args(["--restart", "--workers", "1"]).arg(dir.path());
    let running = start(command);
    let worker = running.wait_reader(&endless);
    replace(&endless, b"short");
    kill(&worker);
    let ended = running.ended();
    expected.push(line(&endless, b"short"));
    assert_eq!((ended.code, ended.out), (SUCCESS, sorted(expected)), "{}", ended.err);
}

#[test]
fn a_file_that_kills_every_worker_is_given_up() {
    let dir = TempDir::new();
    let endless = dir.endless("endless");
    let mut command = digest();
    command.args(["--restart", "--workers", "1"]).arg(dir.path());
    let mut running = start(command);
    let mut killed = Vec::new();
    while let Some(worker) = next_reader(&mut running, &endless, &killed) {
        kill(&worker);
        killed.push(worker);
    }
    let ended = running.ended();
    assert_eq!((ended.code, ended.out.len(), killed.len()), (FAILURE, 0, 5), "{ended:?}");
    let last = format!("(pid {})", killed[4].pid.as_raw_nonzero());
    assert!(ended.err.lines().last().unwrap().contains(&last), "{ended:?}");
}

/// The next worker that reads the file; `None` when the run has ended.
fn next_reader(running: &mut Running, file: &Path, before: &[Worker]) -> Option<Worker> {
    until("another worker reads the file, or the end", || {
        let next = running.reader(file).filter(|worker| !before.contains(worker));
        match running.is_over() {
            true => Some(None),
            false => next.map(Some),
        }
    })
}

/// A run of which all is done but one endless file. Its digests are out by then.
fn almost_done() -> (Running, TempDir, Vec<Vec<u8>>) {
    let (dir, expected) = many(100);
    let endless = dir.endless("endless");
    let mut command = digest();
    command.args(["--workers", "2"]).arg(dir.path());
    let running = start(command);
    running.wait_reader(&endless);
    until("what can be done is printed", || (running.out().len() == 100).then_some(()));
    (running, dir, expected)
}

#[test]
fn ctrl_c_ends_all_and_what_was_done_is_out() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        for group in [true, false] {
            let (running, _dir, expected) = almost_done();
            match group {
                // As a terminal does.
                true if signal == Signal::INT => running.signal_group(signal),
                _ => running.signal(signal),
            }
            let ended = running.ended();
            quiet(&ended, Some(code));
            assert_eq!(ended.out, expected);
        }
    }
}

#[test]
fn a_root_that_is_killed_leaves_nobody_behind() {
    let busy = busy(&[]);
    busy.running.signal(Signal::KILL);
    busy.running.wait_gone();
    let ended = busy.running.ended();
    assert_eq!((ended.signal, ended.out.len(), ended.err.as_str()), (Some(9), 0, ""));
    drop(busy.dir);
}

#[test]
fn a_reader_that_leaves_is_a_quiet_end() {
    let (dir, _) = many(500);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = digest();
    command.arg(dir.path());
    quiet(&start_printing_to(writer, command).ended(), SUCCESS);
}

#[test]
fn ctrl_c_is_heard_while_nobody_reads() {
    let (dir, _) = many(500);
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = digest();
    command.arg(dir.path());
    let running = start_printing_to(writer.try_clone().unwrap(), command);
    until("the pipe is full", || is_full(&writer).then_some(()));
    running.signal(Signal::INT);
    quiet(&running.ended(), Some(130));
    drop(reader);
}

fn is_full(pipe: &std::io::PipeWriter) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(pipe, PollFlags::OUT)], Some(&now)).unwrap() == 0
}

#[test]
fn a_terminal_has_a_progress_bar_which_is_gone_at_the_end() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let (dir, expected) = many(100);
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let slave = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let slave = rustix::fs::open(name.as_c_str(), slave, rustix::fs::Mode::empty()).unwrap();
    let mut command = digest();
    command.arg(dir.path()).stdout(Stdio::piped()).stderr(slave);
    let mut child = command.spawn().unwrap();
    drop(command); // its end of the terminal
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert!(child.wait().unwrap().success());
    let shown = read_all(&terminal);
    assert_eq!(out.split(|b| *b == b'\n').count(), expected.len() + 1);
    assert!(shown.contains(" MiB, ") && shown.contains(" files"), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[K"), "{shown:?}");
}

/// What was shown on a terminal, whose other end is closed.
fn read_all(terminal: &impl std::os::fd::AsFd) -> String {
    let mut shown = Vec::new();
    let mut buf = [0; 4096];
    // EIO is how a terminal says that there is nothing left.
    while let Ok(len @ 1..) = rustix::io::read(terminal, &mut buf) {
        shown.extend_from_slice(&buf[..len]);
    }
    String::from_utf8(shown).unwrap()
}
