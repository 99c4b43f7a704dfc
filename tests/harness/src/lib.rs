//! The test harness of the core: whole worlds of actors in one thread, with no socket, no process
//! and no clock, where everything that happens is an [`Op`] and everything seen is a line of text.
//!
//! | module | what |
//! |---|---|
//! | [`op`] | everything that can happen, parsed and printed |
//! | [`world`] | actors, links that split anywhere, processes, one clock |
//! | [`apply`] | an op applied to a world |
//! | [`inject`] | messages that no actor of ours would send |
//! | [`pair`] | worlds that are ready for use, and ways to drive them |
//! | [`show`] | outputs and messages as lines |
//! | [`script`] | golden scripts: ops in, facts out |
//! | [`random`] | random runs from a seed |
//! | [`check`] | what must hold whatever happens |
//! | [`fuzz`] | bodies of the fuzz targets |
//! | [`sim`] | whole trees of actors in simulation, by seed |
//! | [`planted`] | faults that the simulation has to find |
//! | [`recording`] | recorded dialogs of the reference |
//! | [`replay`] | a recording, with our cores as its actors |

pub mod apply;
pub mod check;
pub mod fuzz;
pub mod inject;
pub mod op;
pub mod pair;
pub mod planted;
pub mod random;
pub mod recording;
pub mod replay;
pub mod script;
pub mod show;
pub mod sim;
pub mod world;

pub use op::Op;
pub use world::World;

/// What is to be written, up to so many bytes. Slice by slice: byte by byte, it took most of the
/// time of a run.
pub fn front(out: &tractor_core::Outbound, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for slice in out.slices() {
        let len = slice.len().min(max - bytes.len());
        bytes.extend_from_slice(&slice[..len]);
    }
    bytes
}

/// So many; under Miri, which is a thousand times slower, one in 2000 of them, and one at least.
pub fn runs(count: u64) -> u64 {
    if cfg!(miri) { count.div_ceil(2000) } else { count }
}
