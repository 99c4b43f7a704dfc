//! Bad input of a user, to roots, nurseries and calls: an error that names what is wrong and what
//! to do, before anything is spawned.

use std::collections::BTreeMap;
use std::future::IntoFuture as _;
use std::os::unix::net::UnixListener;

use tractor::error::{ChildPhase, Misuse, RegistrarError};
use tractor::scope;
use tractor::{Address, Error, Result, RootConfig, module, open_nursery, open_root_actor};
use tractor_core::error::Misuse as Core;

use crate::program::{self, again, is_program, temp_dir};
use crate::remote_type;

/// `main` without the line that makes a program able to spawn.
fn main_without_init() -> Result<()> {
    let result = futures_lite::future::block_on(open_nursery(async |an| {
        let result = an.start_actor("never").await;
        eprintln!("children: {:?}", an.children());
        result.map(|_| ())
    }));
    eprintln!("not initialised: {}", matches!(&result, Err(Error::Misuse(Misuse::NotInitialised))));
    result
}

#[test]
fn spawning_without_init_is_refused_before_anything_is_spawned() {
    const THIS: &str = "spawning_without_init_is_refused_before_anything_is_spawned";
    if is_program() {
        program::exit(main_without_init());
    }
    let ended = program::run(again(module_path!(), THIS));
    assert_eq!(ended.code(), Some(1), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines[..2], ["children: []", "not initialised: true"], "{ended:?}");
    assert!(lines[2].contains("tractor::init();") && lines[2].contains("main"), "{ended:?}");
    // A child would have been this test once more, and said so.
    assert_eq!(ended.stdout.matches("running 1 test").count(), 1, "{ended:?}");
}

#[tractor::test(matrix)]
async fn missing_executable_is_named() {
    let result: Result<()> =
        open_nursery(async |an| an.start_actor("ghost").exe("/no/such/program").await.map(|_| ()))
            .await;
    let Err(Error::ActorFailed(failed)) = &result else { panic!("{result:?}") };
    assert_eq!((failed.name(), failed.phase()), ("ghost", ChildPhase::Spawning));
    assert_eq!((failed.pid(), failed.status()), (None, None), "nothing was spawned");
    let text = failed.to_string();
    assert!(text.contains("/no/such/program") && text.contains("No such file"), "{text}");
}

#[tractor::test(matrix)]
async fn missing_directory_of_a_child_is_named() {
    let result: Result<()> =
        open_nursery(async |an| an.start_actor("lost").cwd("/no/such/directory").await.map(|_| ()))
            .await;
    let Err(Error::ActorFailed(failed)) = &result else { panic!("{result:?}") };
    assert_eq!((failed.pid(), failed.phase()), (None, ChildPhase::Spawning));
    assert!(failed.to_string().contains("/no/such/directory"), "{failed}");
}

async fn open_root(config: RootConfig) -> Result<()> {
    open_root_actor(config, async |_| panic!("the body must not run")).await
}

#[tractor::test(matrix)]
async fn runtime_directory_that_cannot_be_made_is_named() {
    let dir = temp_dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.join("below"), "/proc/tractor".into()] {
        let error = open_root(RootConfig::default().runtime_dir(&path)).await.unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{error:?}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tractor::test(matrix)]
async fn registry_address_in_use_is_named() -> Result<()> {
    let dir = temp_dir();
    let path = dir.path().join("registry");
    let _held = UnixListener::bind(&path)?;
    let addr: Address = format!("/unix{}", path.display()).parse().unwrap();
    let error = open_root(RootConfig::default().registry_addrs([addr])).await.unwrap_err();
    assert!(matches!(error, Error::Registrar(RegistrarError::Occupied(_))), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(path.exists(), "it is not ours to remove");
    Ok(())
}

#[tractor::test(matrix)]
async fn registry_address_that_other_machines_reach_is_refused() {
    for text in ["/ip4/0.0.0.0/tcp/1616", "/ip4/10.0.0.1/tcp/1616", "/ip6/::/tcp/1616"] {
        let addr: Address = text.parse().unwrap();
        let error = open_root(RootConfig::default().registry_addrs([addr])).await.unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::Config(_))), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(text) && said.contains("listen on 127.0.0.1"), "{said}");
    }
}

/// Who starts a child while another one's failure ends the nursery has done nothing wrong.
#[tractor::test(matrix)]
async fn nursery_that_a_failure_ends_takes_no_children_and_blames_nobody() {
    let failed: Result<()> = open_nursery(async |an| {
        let first = an.start_actor("first").exe("/nonexistent/program").await;
        assert!(matches!(first, Err(Error::ActorFailed(_))), "{first:?}");
        let second = scope::shield(an.start_actor("second").into_future()).await;
        assert!(matches!(second, Err(Error::Cancelled)), "{second:?}");
        Ok(())
    })
    .await;
    assert!(matches!(failed, Err(Error::ActorFailed(_))), "{failed:?}");
}

#[tractor::test(matrix)]
async fn closed_nursery_takes_no_children() -> Result<()> {
    open_root_actor(RootConfig::default(), async |_| {
        let closed = open_nursery(async |an| {
            an.cancel().await?;
            let refused = an.start_actor("late").await.unwrap_err();
            let Error::Misuse(Misuse::Core(Core::NurseryClosed)) = refused else {
                panic!("{refused:?}")
            };
            Ok(an)
        })
        .await?;
        let refused = closed.start_actor("later still").await.unwrap_err();
        assert!(matches!(refused, Error::Misuse(Misuse::Core(Core::NoSuchNursery))), "{refused:?}");
        closed.cancel().await // of what has ended: no error
    })
    .await
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Layer {
    width: u32,
}

#[tractor::rpc]
async fn build(name: String, layers: Vec<Layer>) -> usize {
    name.len() + layers.len()
}

/// The message of the error that a call with these arguments gets.
async fn refused(child: &tractor::Portal, kwargs: &impl serde::Serialize) -> String {
    let result: Result<usize> = child.call(module!().name(), "build", kwargs).await;
    let error = result.expect_err("the arguments are wrong");
    assert_eq!(remote_type(&error), "TypeError", "{error:?}");
    error.remote().unwrap().message().to_owned()
}

#[tractor::test(matrix)]
async fn wrong_arguments_are_named() -> Result<()> {
    #[derive(serde::Serialize)]
    struct Wide {
        width: &'static str,
    }
    #[derive(serde::Serialize)]
    struct Wrong {
        name: &'static str,
        layers: [Wide; 1],
    }
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let missing = refused(&child, &BTreeMap::from([("name", "x")])).await;
        assert!(missing.contains("`layers`"), "{missing}");
        let unknown = BTreeMap::from([("name", "x"), ("layers", "y"), ("colour", "red")]);
        let unknown = refused(&child, &unknown).await;
        assert!(unknown.contains("`colour`") || unknown.contains("`layers`"), "{unknown}");
        let nested = Wrong { name: "x", layers: [Wide { width: "wide" }] };
        let nested = refused(&child, &nested).await;
        assert!(nested.contains("`layers[0].width`"), "{nested}");
        let none = refused(&child, &()).await;
        assert!(none.contains("`name`"), "{none}");
        let layers = vec![Layer { width: 1 }];
        assert_eq!(child.run(build { name: "abc".into(), layers }).await?, 4, "it still serves");
        child.cancel_actor().await
    })
    .await
}

/// Arguments without names are refused here: the far side could not tell what they are for.
#[tractor::test(matrix)]
async fn arguments_without_names_are_refused_at_the_call() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let result: Result<usize> = child.call(module!().name(), "build", &("x", 3)).await;
        assert!(matches!(result, Err(Error::Misuse(Misuse::Config(_)))), "{result:?}");
        let layers = Vec::new();
        assert_eq!(child.run(build { name: "abc".into(), layers }).await?, 3, "nothing changed");
        child.cancel_actor().await
    })
    .await
}

/// The result is of another type than the caller takes it for.
#[tractor::test(matrix)]
async fn result_of_another_type_is_an_error_here() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let kwargs = BTreeMap::from([("name", "abc")]);
        let result: Result<String> = child.call(module!().name(), "shout", &kwargs).await;
        assert_eq!(result?, "ABC");
        let result: Result<Vec<u8>> = child.call(module!().name(), "shout", &kwargs).await;
        let Err(Error::MsgType(error)) = result else { panic!("{result:?}") };
        assert!(error.remote.is_none(), "it was found here: {error:?}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn shout(name: &str) -> String {
    name.to_uppercase()
}
