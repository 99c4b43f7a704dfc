//! Bytes into a connection in various states. Whatever they do to it, another connection's dialog
//! goes on, and in the end nothing is left.

use crate::world::World;

/// A byte that says in which state and in what pieces, then what the peer says.
pub fn run(data: &[u8]) {
    let Some((&mode, data)) = data.split_first() else { return };
    let setup = match mode % 5 {
        0 => "actor p\nactor x raw\nconnect x p",
        1 => "actor p\nactor x raw\nconnect x p\ninject x p aid\nrun",
        2 => "actor p registrar\nactor x raw\nconnect x p\ninject x p aid base\nrun",
        3 => "actor p\nnursery p n\nspawn p x\nforked x\ndeliver x p",
        _ => "actor p registrar\nnursery p n\nspawn p x\nspawned x\nrun",
    };
    let mut world = World::after(setup);
    for line in ["actor r", "connect r p", "run", "start r.b p call", "run"] {
        must(&mut world, line);
    }
    for line in ["start p.a x context", "start p.g x stream", "run"] {
        let _ = world.step(line);
    }
    let Ok(end) = world.end("p", "x") else { return };
    world.split = usize::from(mode / 5);
    world.ends[end].inbox.extend(data);
    world.run();
    end_all(&mut world);
    must(&mut world, "accept p.b call");
    must(&mut world, "finish p.b val=1");
    world.run();
    assert!(world.trace.iter().any(|line| line == "r b: done: returned 1"), "isolation");
}

fn must(world: &mut World, line: &str) {
    if let Err(e) = world.step(line) {
        panic!("{line}: {e}");
    }
}

/// Ends the tasks that the bytes may have started.
fn end_all(world: &mut World) {
    let tasks: Vec<String> = world.hosts[0]
        .tasks
        .values()
        .filter(|t| t.callee && t.label != "b")
        .map(|t| format!("cancelled p.{}", t.label))
        .collect();
    for line in tasks {
        // A label may hold blanks or come twice: then it is another's, or none.
        let _ = world.step(&line);
    }
}
