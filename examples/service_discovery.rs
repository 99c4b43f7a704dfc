//! A daemon that other programs find by its name.
//!
//! Started without arguments, this program is the show: it starts itself again as the daemon, and
//! twice as a client. Each of them is a program of its own, with a tree of its own; all they know
//! of one another is the registry's address.

use std::process::Command;

use tractor::{Address, Result, RootConfig, module, run_daemon, wait_for_actor};

/// What the daemon is there for.
#[tractor::rpc]
async fn shout(text: String) -> String {
    text.to_uppercase()
}

/// Anybody who knows the address takes part: the first keeps the registry, the others join.
fn named(name: &str, registry: &str) -> Result<RootConfig> {
    let addr: Address = registry.parse().map_err(tractor::BoxError::from)?;
    Ok(RootConfig::named(name).registry_addrs([addr]))
}

async fn client(registry: &str, text: &str) -> Result<()> {
    tractor::open_root_actor(named("client", registry)?, async |_| {
        // Not there yet? Then it is waited for.
        let answer = wait_for_actor("shouter", async |shouter| {
            shouter.run(shout { text: text.to_owned() }).await
        })
        .await?;
        println!("{text} -> {answer}");
        Ok(())
    })
    .await
}

async fn stop(registry: &str) -> Result<()> {
    tractor::open_root_actor(named("operator", registry)?, async |_| {
        wait_for_actor("shouter", async |shouter| shouter.cancel_actor().await).await
    })
    .await
}

fn show() -> Result<()> {
    let dir = std::env::temp_dir().join(format!("tractor-discovery-{}", std::process::id()));
    let registry = format!("/unix{}/registry.sock", dir.display());
    let again = |part: &[&str]| {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part[0]).arg(&registry).args(&part[1..]);
        Ok::<_, std::io::Error>(command)
    };
    let mut daemon = again(&["daemon"])?.spawn()?;
    for text in ["hello", "is anybody there?"] {
        again(&["client", text])?.status()?;
    }
    again(&["stop"])?.status()?;
    println!("the daemon has ended well: {}", daemon.wait()?.success());
    std::fs::remove_dir(dir)?; // it is empty: nobody left a socket
    Ok(())
}

fn main() -> Result<()> {
    tractor::init();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["daemon", registry] => run_daemon([module!()], named("shouter", registry)?),
        ["client", registry, text] => futures_lite::future::block_on(client(registry, text)),
        ["stop", registry] => futures_lite::future::block_on(stop(registry)),
        _ => show(),
    }
}
