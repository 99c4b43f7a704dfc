//! A tree of processes, three levels deep, that describes itself from inside.

use tractor::{Result, current_actor, module, open_nursery};

/// Runs in every actor but the root: tells who and where it is, starts two children of its own
/// unless it is a leaf, and has them tell the same.
#[tractor::rpc]
async fn describe(depth: usize, levels_below: usize) -> Result<Vec<String>> {
    let me = current_actor()?;
    let parent = me.parent().map_or("nobody".to_owned(), |parent| parent.name().to_owned());
    let mut lines = vec![format!("{}{}, a child of {parent}", "  ".repeat(depth), me.name())];
    if levels_below > 0 {
        lines.extend(grow(me.name(), depth + 1, levels_below - 1).await?);
    }
    Ok(lines)
}

/// Starts two children of this actor and asks them. They are gone when it returns.
async fn grow(name: &str, depth: usize, levels_below: usize) -> Result<Vec<String>> {
    open_nursery(async |an| {
        // Both start before either is asked, so each level boots side by side with its siblings.
        let left = an.start_actor(format!("{name}.left")).enable(module!()).await?;
        let right = an.start_actor(format!("{name}.right")).enable(module!()).await?;
        let mut lines = Vec::new();
        for child in [left, right] {
            lines.extend(child.run(describe { depth, levels_below }).await?);
            child.cancel_actor().await?; // daemons live until someone cancels them
        }
        Ok(lines)
    })
    .await
}

#[tractor::main]
async fn main() -> Result<()> {
    println!("root");
    for line in grow("root", 1, 2).await? {
        println!("{line}");
    }
    println!("all gone"); // the nursery has closed: every process below us was reaped
    Ok(())
}
