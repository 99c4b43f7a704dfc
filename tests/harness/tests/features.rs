//! Two actors that speak any of the extensions each: what their tasks see is the same whatever the
//! two agree on.

use tractor_core::msg::Features;
use tractor_harness::op::Op;
use tractor_harness::random::Source;
use tractor_harness::world::World;

/// One dialog of each kind, and each way to end; `@` is what the actors speak.
const PROGRAM: &str = "
    actor p @
    actor q @
    connect p q
    run
    start p.a q context
    run
    accept q.a context
    started q.a
    open q.a
    run
    open p.a
    run
    send p.a n=4 val=1
    run
    send p.a val=1
    send q.a n=3 val=2
    run
    send q.a val=3
    run
    stop p.a
    run
    finish q.a val=9
    run
    start p.b q call
    run
    accept q.b call
    finish q.b val=4
    run
    start p.g q stream
    run
    accept q.g stream
    run
    open p.g
    run
    send q.g n=3 val=1
    finish q.g
    run
    start q.d p context
    run
    accept p.d context
    started p.d
    run
    cancel q.d
    run
    cancelled p.d
    run
    start p.e q call
    run
    accept q.e call
    fail q.e Sour
    run
    start p.u q call
    run
    accept q.u call
    run
    close p q
    run
";

/// What the tasks of both hear: items, however many came at once, and outcomes.
fn heard(speaks: [Features; 2]) -> Vec<String> {
    let mut world = World::new();
    let mut actors = speaks.iter();
    let mut heard: Vec<String> = Vec::new();
    for line in PROGRAM.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let line = match line.strip_suffix('@') {
            Some(actor) => format!("{actor}features={}", actors.next().expect("two").0),
            None => line.to_string(),
        };
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        let op = Op::parse(&words[0], &words[1..]).expect("an op");
        world.apply(&op).unwrap_or_else(|refused| panic!("{speaks:?}: {line}: {refused}"));
        heard.extend(std::mem::take(&mut world.trace).iter().filter_map(|line| news(line)));
    }
    heard.sort_by_key(|line| line.split(' ').take(2).collect::<String>());
    heard
}

/// `p a: items 1 1` is two of `p a: item 1`; an outcome is as it is; the rest is nothing to a task.
fn news(line: &str) -> Option<String> {
    let (task, what) = line.split_once(": ")?;
    let is_task = task.split(' ').count() == 2 && !task.contains(['→', '⇒']);
    match what.strip_prefix("items ") {
        Some(items) if is_task => {
            let each = |item: &str| format!("{task}: item {item}");
            Some(items.split(' ').map(each).collect::<Vec<_>>().join("\n"))
        }
        _ => (is_task && what.starts_with("done: ")).then(|| line.to_string()),
    }
}

fn lines(speaks: [Features; 2]) -> Vec<String> {
    heard(speaks).iter().flat_map(|text| text.lines()).map(String::from).collect()
}

#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn whatever_two_actors_agree_on_their_tasks_see_the_same() {
    let expected = lines([Features::ALL; 2]);
    let seen = expected.join("\n");
    let parts = ["p a: item 3", "q a: item 1", "p g: done: returned", "q d: done: cancelled"];
    for part in parts.into_iter().chain(["p e: done: errored", "p u: done: lost q"]) {
        assert!(seen.contains(part), "no `{part}` in\n{seen}");
    }
    let any = Features::ALL.0 + 1;
    let mut source = Source::seed(1);
    for bits in 0..any {
        let other = Features(source.below(any as usize) as u32);
        let mine = Features(bits);
        for others in [Features::ALL, Features::BASE, mine, other] {
            assert_eq!(lines([mine, others]), expected, "{mine:?} with {others:?}");
            assert_eq!(lines([others, mine]), expected, "{others:?} with {mine:?}");
        }
    }
}
