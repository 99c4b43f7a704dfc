//! Worlds that are ready for use, and ways to drive them.

use std::time::Duration;

use crate::op::Op;
use crate::world::World;

impl World {
    /// A parent `p` with a running child `c`.
    pub fn pair() -> World {
        World::after("actor p\nchild p c")
    }

    /// Two actors, `q` connected to `p`.
    pub fn peers() -> World {
        World::after("actor p\nactor q\nconnect q p\nrun")
    }

    /// The world after these lines.
    ///
    /// # Panics
    /// When a line is no op, or is refused.
    pub fn after(script: &str) -> World {
        let mut world = World::new();
        for line in script.lines() {
            if let Err(e) = world.step(line) {
                panic!("{line}: {e}");
            }
        }
        world.trace.clear();
        world
    }

    /// Does what a line says.
    ///
    /// # Errors
    /// What is wrong with the line, or why the core refused it.
    pub fn step(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        let (verb, words) = words.split_first().ok_or("an empty line")?;
        self.apply(&Op::parse(verb, words)?)
    }

    /// Delivers everything and lets all deadlines within `bound` come, until nothing happens.
    pub fn drive_bounded(&mut self, bound: Duration) {
        let end = self.now + bound;
        self.run();
        while let Some((at, _)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.advance(self.now.until(at));
            self.run();
        }
    }
}
