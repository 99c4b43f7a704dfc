//! Two programs, one registrar: whoever starts first keeps the registry. It is killed, another
//! takes its place, and the second program is found through that one, without having noticed.
//!
//! Started without arguments, this program starts itself again as each of them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tractor::{Address, Result, RootConfig, module, open_root_actor, scope, wait_for_actor};

#[tractor::rpc]
async fn pid() -> u32 {
    std::process::id()
}

fn named(name: &str, registry: &Address) -> RootConfig {
    RootConfig::named(name).registry_addrs([registry.clone()]).enable(module!())
}

/// Each of the programs: says what became of it, and is there until somebody cancels it.
async fn program(name: &str, registry: Address) -> Result<()> {
    let ended = open_root_actor(named(name, &registry), async |me| {
        println!("{}", if me.is_registrar() { "keeps the registry" } else { "joins" });
        scope::sleep(Duration::MAX).await
    });
    match ended.await {
        Err(tractor::Error::Cancelled) => Ok(()),
        ended => ended,
    }
}

/// Starts one, and tells what it says of itself.
fn start(name: &str, registry: &Address) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child = command.args([name, &registry.to_string()]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
    print!("the {name} {line}");
    Ok(child)
}

async fn show(registry: Address) -> Result<()> {
    let mut first = start("first", &registry)?;
    let mut second = start("second", &registry)?;
    first.kill()?;
    first.wait()?;
    println!("the first is killed");
    let mut third = start("third", &registry)?;
    open_root_actor(named("observer", &registry), async |_| {
        let its_pid = wait_for_actor("second", async |second| second.run(pid {}).await).await?;
        println!("the second is found, and is the same: {}", its_pid == second.id());
        // The registrar last: until then all can be found.
        for (name, program) in [("second", &mut second), ("third", &mut third)] {
            wait_for_actor(name, async |it| it.cancel_actor().await).await?;
            println!("the {name} ends well: {}", program.wait()?.success());
        }
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    tractor::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [name, registry] = &args[..] {
        let registry = registry.parse().map_err(tractor::BoxError::from)?;
        return futures_lite::future::block_on(program(name, registry));
    }
    let dir = std::env::temp_dir().join(format!("tractor-two-programs-{}", std::process::id()));
    let registry = Address::Uds { dir: dir.display().to_string(), file: "registry.sock".into() };
    futures_lite::future::block_on(show(registry))?;
    std::fs::remove_dir(dir)?; // it is empty: nobody left a socket, not even the killed one
    Ok(())
}
