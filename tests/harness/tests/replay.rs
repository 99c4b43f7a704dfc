//! The recorded dialogs of the reference, replayed against both sides of the core: each recorded
//! actor is played by a core of ours, which must write what the actor wrote.
//!
//! What the applications see meanwhile is in the files beside this one; `REWRITE=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use tractor_harness::recording::{Recording, read_all};
use tractor_harness::replay::{Cuts, Difference, Differs, Hints, Plan, both_sides, one_side};
use tractor_harness::script;

#[path = "replay/differences.rs"]
mod differences;

/// What the wire does not tell.
const HINTS: Hints = Hints {
    crashed: &[("d_errors", "child"), ("k_run_in_actor", "badimp")],
    for_one_task: &[("k_run_in_actor", "ria"), ("k_run_in_actor", "riaerr")],
    never_reads: &[("i_overrun", "eps.child_sends_fast"), ("i_overrun", "eps.slow_reader")],
    allows_overruns: &[("i_overrun", "eps.child_sends")],
};

/// How else bytes may come: nothing may depend on it.
const CUTS: [Cuts; 5] =
    [Cuts::Bytes, Cuts::Random(1), Cuts::Random(22), Cuts::Random(333), Cuts::Random(4444)];

/// All of them; under Miri one.
fn cuts() -> impl Iterator<Item = Cuts> {
    CUTS.into_iter().skip(if cfg!(miri) { CUTS.len() - 1 } else { 0 })
}

/// The recorded scenarios. The one of the debugger's lock is not for us to answer.
fn recordings() -> Vec<Recording> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core/tests/transcripts");
    let mut all = read_all(&dir);
    all.retain(|recording| recording.name != "q_debug");
    assert_eq!(all.len(), if cfg!(miri) { 1 } else { 19 });
    all
}

fn recording(name: &str) -> Recording {
    recordings().into_iter().find(|recording| recording.name.starts_with(name)).unwrap()
}

fn differences(of: &Recording) -> Vec<Difference> {
    differences::ALL.iter().filter(|d| d.dialog == of.name).copied().collect()
}

/// Our actors: a probe is none.
fn players(plan: &Plan<'_>) -> impl Iterator<Item = usize> {
    (0..plan.actors.len()).filter(|actor| !plan.actors[*actor].is_probe)
}

/// Name and id of an actor.
fn who(plan: &Plan<'_>, actor: usize) -> String {
    let actor = &plan.actors[actor];
    format!("{}@{}", actor.name, &actor.uuid[..8])
}

/// Of what an application saw, what there is to show for it in the end.
fn outcomes(log: &[String]) -> Vec<&str> {
    let ends = |line: &&str| line.contains(": done: ") || line.contains(" ended: ");
    log.iter().map(String::as_str).filter(ends).collect()
}

/// What is to be seen of a recording: each actor against what was recorded; then, where that is
/// something else, how it ends when all actors are ours.
fn seen(recording: &Recording) -> String {
    let (plan, differences) = (Plan::new(recording), differences(recording));
    let alone = players(&plan).map(|actor| (actor, played(&plan, actor, &differences)));
    let alone: BTreeMap<usize, Vec<String>> = alone.collect();
    let together = both_sides(&plan, &differences, &HINTS, Cuts::Frames).unwrap();
    for cuts in cuts() {
        let again = both_sides(&plan, &differences, &HINTS, cuts).unwrap();
        assert_eq!(again, together, "{}: {cuts:?}", recording.name);
    }
    let mut out = String::new();
    for (actor, log) in &alone {
        writeln!(out, "{}\n  {}\n", who(&plan, *actor), log.join("\n  ")).unwrap();
    }
    for (actor, log) in &together {
        let ends = outcomes(log);
        if ends != outcomes(&alone[actor]) {
            let who = who(&plan, *actor);
            writeln!(out, "{who}, when all are ours\n  {}\n", ends.join("\n  ")).unwrap();
        }
    }
    out.truncate(out.trim_end().len() + 1);
    out
}

/// Plays one actor, and again with the bytes cut otherwise.
fn played(plan: &Plan<'_>, actor: usize, differences: &[Difference]) -> Vec<String> {
    let log = one_side(plan, actor, differences, &HINTS, Cuts::Frames).unwrap();
    for cuts in cuts() {
        let again = one_side(plan, actor, differences, &HINTS, cuts).unwrap();
        assert_eq!(again, log, "{} {} {cuts:?}", plan.recording.name, who(plan, actor));
    }
    log
}

#[test]
fn every_actor_writes_what_the_reference_wrote() {
    let mut faults = Vec::new();
    for recording in recordings() {
        let path = golden(&recording.name);
        let seen = seen(&recording);
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        if golden == seen {
            continue;
        }
        match script::rewrite() {
            true => std::fs::write(&path, seen).unwrap(),
            false => faults.push(first_difference(&recording.name, &golden, &seen)),
        }
    }
    assert!(faults.is_empty(), "\n{}\nREWRITE=1 accepts what is new", faults.join("\n"));
}

fn first_difference(name: &str, was: &str, is: &str) -> String {
    let lines = |text: &'static str| std::iter::repeat(text);
    let mut pairs = was.lines().chain(lines("(end)")).zip(is.lines().chain(lines("(end)")));
    let (was, is) = pairs.find(|(was, is)| was != is).unwrap();
    format!("{name}\n  was: {was}\n  is:  {is}")
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/replay/{name}.txt"))
}

/// Without any one of them the replay fails: each is to be seen, and nothing else is different.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn every_difference_occurs() {
    for recording in recordings() {
        let (plan, all) = (Plan::new(&recording), differences(&recording));
        for seq in all.iter().flat_map(|difference| difference.seqs) {
            let mut others = all.clone();
            let place = others.iter().position(|d| d.seqs.contains(seq)).unwrap();
            let one = others.remove(place);
            let rest: Vec<u64> = one.seqs.iter().copied().filter(|other| other != seq).collect();
            others.push(Difference { seqs: rest.leak(), ..one });
            let frame = plan.frame(*seq).expect("a difference is about a frame");
            let actor = plan.end(&frame.conn, &frame.from);
            let result = match one.what {
                Differs::CutShort => both_sides(&plan, &others, &HINTS, Cuts::Frames).map(|_| ()),
                _ => one_side(&plan, actor, &others, &HINTS, Cuts::Frames).map(|_| ()),
            };
            assert!(result.is_err(), "{} seq {seq}: {one:?} is no difference", recording.name);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn every_difference_is_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let protocol = std::fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let chapter = protocol.split("\n## 9. ").nth(1).expect("the chapter of differences");
    for difference in differences::ALL {
        let row = chapter.lines().find(|line| line.contains(&format!("| {} |", difference.why)));
        let row = row.unwrap_or_else(|| panic!("no row for {:?}", difference.why));
        assert!(row.contains(difference.section), "{row}");
        assert!(recordings().iter().any(|recording| recording.name == difference.dialog));
    }
}

/// What one actor of a recording sees, when its peers are the recording.
fn alone(name: &str, actor: &str) -> Vec<String> {
    let recording = recording(name);
    let plan = Plan::new(&recording);
    let at = plan.actors.iter().position(|a| a.name == actor).unwrap();
    one_side(&plan, at, &differences(&recording), &HINTS, Cuts::Frames).unwrap()
}

/// What it sees when all actors are ours.
fn together(name: &str, actor: &str) -> Vec<String> {
    let recording = recording(name);
    let plan = Plan::new(&recording);
    let at = plan.actors.iter().position(|a| a.name == actor).unwrap();
    both_sides(&plan, &differences(&recording), &HINTS, Cuts::Frames).unwrap().remove(&at).unwrap()
}

#[track_caller]
fn saw(log: &[String], line: &str) {
    assert!(log.iter().any(|seen| seen == line), "not seen: {line}\n{}", log.join("\n"));
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn a_cancellation_that_we_asked_for_is_ours() {
    for root in [alone("g_", "root"), together("g_", "root")] {
        for task in ["sleep_forever", "stream_forever", "sleep_forever#2", "sleep_forever#3"] {
            let outcome = "cancelled (absorbed), ContextCancelled via child canceller=root";
            saw(&root, &format!("eps.{task}: done: {outcome}"));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn a_cancellation_by_others_is_not() {
    for root in [alone("h_", "root"), together("h_", "root")] {
        for (task, by) in [("self_cancel", "child"), ("sleep_forever", "peer")] {
            let outcome =
                format!("cancelled (not ours), ContextCancelled via child canceller={by}");
            saw(&root, &format!("eps.{task}: done: {outcome}"));
        }
        // Whoever ends because a third actor asked for it has not failed.
        saw(&root, "child ended: exit code 0, was running");
    }
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn an_overrun_is_the_outcome_on_both_sides() {
    for root in [alone("i_", "root"), together("i_", "root")] {
        let caller = "RemoteActorError[StreamOverrun] via root,child sender=child";
        saw(&root, "eps.child_sends_fast: 64 items");
        saw(&root, &format!("eps.child_sends_fast: done: errored, {caller}"));
        saw(&root, "eps.slow_reader: done: errored, StreamOverrun via child sender=root");
        saw(&root, "eps.child_sends: 200 items");
    }
    let child = alone("i_", "child");
    saw(&child, "cancel task eps.child_sends_fast by root");
    saw(&child, "eps.slow_reader: done: errored, StreamOverrun via child sender=root");
    saw(&child, "eps.slow_reader#2: 30 items");
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn the_source_is_kept_over_all_hops() {
    let error = "errored, RemoteActorError[ValueError] via d1,d2,d3";
    saw(&together("d2_", "root"), &format!("eps.spawn_and_fail: done: {error}"));
    let error = "errored, RemoteActorError[ValueError] via d1,d2";
    saw(&alone("d2_", "d3"), &format!("eps.spawn_and_fail#2: done: {error}"));
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn a_killed_child_is_told_at_once_and_with_its_signal() {
    let root = alone("o_", "root");
    let end = "killed by signal 9 (SIGKILL), was running, FAILED";
    saw(&root, "eps.stream_then_die: 2 items");
    saw(&root, &format!("eps.stream_then_die: done: lost child: {end}"));
    saw(&root, &format!("child ended: {end}"));
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn a_link_that_is_cut_cancels_the_task_behind_it() {
    let recording = recording("o_");
    let plan = Plan::new(&recording);
    let second = plan.actors.iter().rposition(|a| a.name == "child").unwrap();
    let log = one_side(&plan, second, &differences(&recording), &HINTS, Cuts::Frames).unwrap();
    saw(&log, "eps.stream_forever: done: lost root");
    saw(&log, "must end: ParentLost");
}
