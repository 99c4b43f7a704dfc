//! IPC: where actors listen. LOG: the level that children inherit.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use tractor::error::RegistrarError;
use tractor::{Address, Error, Result, current_actor, module, open_nursery, open_root_actor};

use crate::disc::root;
use crate::program::{self, again, exit, is_program, temp_dir, test_args};

/// The directory of a registry's socket is made, for its user alone.
#[tractor::test(matrix)]
async fn ipc_08_uds_bindspace_created_implicitly() -> Result<()> {
    let dir = temp_dir();
    let space = dir.path().join("not/there/yet");
    let addr: Address = format!("/unix{}/registry.sock", space.display()).parse().unwrap();
    open_root_actor(root("root", [addr.clone()]), async |actor| {
        let mode = std::fs::metadata(&space)?.permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(actor.registry_addrs(), std::slice::from_ref(&addr));
        assert!(actor.addrs().contains(&addr));
        Ok(())
    })
    .await?;
    assert_eq!(std::fs::read_dir(&space)?.count(), 0, "and left empty");
    Ok(())
}

/// Children know the registry's addresses.
#[tractor::test]
async fn ipc_08_children_are_told_of_the_registry() -> Result<()> {
    let dir = temp_dir();
    let addr: Address = format!("/unix{}/registry.sock", dir.path().display()).parse().unwrap();
    open_root_actor(root("root", [addr.clone()]), async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            assert_eq!(child.run(registry_addrs {}).await?, [addr.to_string()]);
            child.cancel_actor().await
        })
        .await
    })
    .await
}

#[tractor::rpc]
async fn registry_addrs() -> Result<Vec<String>> {
    Ok(current_actor()?.registry_addrs().iter().map(ToString::to_string).collect())
}

/// An address that something else listens at is not taken, and named.
#[tractor::test]
async fn ipc_09_uds_double_listen_is_an_error() -> Result<()> {
    let dir = temp_dir();
    let path = dir.path().join("taken.sock");
    let _held = UnixListener::bind(&path)?;
    let taken: Address = format!("/unix{}", path.display()).parse().unwrap();
    let mine: Address = format!("/unix{}/registry.sock", dir.path().display()).parse().unwrap();
    // Asked for besides the registry's: nobody is asked there, it is bound or not.
    let config = root("root", [mine.clone()]).bind_addrs([taken.clone()]);
    let error = open_root_actor(config, async |_| Ok(())).await.unwrap_err();
    let Error::Io(error) = &error else { panic!("{error:?}") };
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("taken.sock"), "{error}");
    // As the registry's own.
    let error = open_root_actor(root("root", [taken.clone()]), async |_| Ok(())).await;
    let Err(Error::Registrar(RegistrarError::Occupied(addrs))) = error else { panic!("{error:?}") };
    assert_eq!(addrs, [taken]);
    assert!(path.exists(), "it is not ours to remove");
    assert!(!std::path::Path::new(&mine.uds_path().unwrap()).exists(), "nothing stays bound");
    Ok(())
}

mod talkative {
    use super::*;

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        let name = std::env::var(program::ROLE_ENV).unwrap();
        let level = if name.ends_with("debug") { "debug" } else { "error" };
        let config = tractor::RootConfig::named("root").loglevel(level);
        open_root_actor(config, async |_| {
            open_nursery(async |an| {
                let child = an.start_actor("child").enable_of::<nest>();
                let child = child.args(test_args(super::HERE, &name)).await?;
                child.run(nest { test: name }).await?;
                child.cancel_actor().await
            })
            .await
        })
        .await
    }
}

const HERE: &str = module_path!();

/// Starts a grandchild.
#[tractor::rpc]
async fn nest(test: String) -> Result<()> {
    open_nursery(async |an| {
        let leaf = an.start_actor("leaf").args(test_args(HERE, &test)).await?;
        leaf.cancel_actor().await
    })
    .await
}

fn says_of_itself(test: &str) -> [bool; 2] {
    let ended = program::run(again(HERE, test));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    let says = |who: &str| {
        let mut lines = ended.stderr.lines();
        lines.any(|line| line.starts_with("DEBUG") && line.contains(&format!("({who}@")))
    };
    [says("child"), says("leaf")]
}

/// The root's level is that of all its tree.
#[test]
fn log_level_is_passed_down_debug() {
    if is_program() {
        exit(talkative::main());
    }
    assert_eq!(says_of_itself("log_level_is_passed_down_debug"), [true, true]);
}

#[test]
fn log_level_is_passed_down_error() {
    if is_program() {
        exit(talkative::main());
    }
    assert_eq!(says_of_itself("log_level_is_passed_down_error"), [false, false]);
}
