//! RELAY: what is left of an error on its way: its source, its value, its causes.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tractor::error::Misuse;
use tractor::scope::{self, sleep};
use tractor::{
    BoxError, Context, Error, Portal, Raise, Result, current_actor, module, open_nursery,
};

use crate::{FOREVER, remote_type};

macro_rules! errors {
    ($($(#[$attribute:meta])* $name:ident;)+) => {
        $($(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        struct $name {
            wanted: String,
            left: u32,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "no {}, only {} of something else", self.wanted, self.left)
            }
        }

        impl std::error::Error for $name {})+
    };
}

errors! {
    /// Registered at link time.
    #[derive(Serialize, Deserialize)]
    OutOfCheese;
    /// Registered by nobody.
    #[derive(Serialize, Deserialize)]
    OutOfLuck;
}

tractor::reg_error!(OutOfCheese);

fn brie() -> OutOfCheese {
    OutOfCheese { wanted: "brie".into(), left: 3 }
}

#[tractor::rpc]
async fn fail_registered() -> Result<(), OutOfCheese> {
    Err(brie())
}

#[tractor::rpc]
async fn fail_unregistered() -> Result<(), OutOfLuck> {
    Err(OutOfLuck { wanted: "luck".into(), left: 0 })
}

/// A program's own error inside of ours.
#[tractor::rpc]
async fn fail_registered_as_ours() -> Result<()> {
    Err(brie()).raise()
}

#[tractor::rpc]
async fn fail_registered_boxed() -> Result<(), BoxError> {
    Err(brie())?
}

#[tractor::test(matrix)]
async fn relay_03_registered_custom_err_relayed() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("cheesemonger").enable(module!()).await?;
        let errors = [
            child.run(fail_registered {}).await.unwrap_err(),
            child.run(fail_registered_as_ours {}).await.unwrap_err(),
            child.run(fail_registered_boxed {}).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.downcast(), Some(brie()), "{error:?}");
            assert_eq!(error.downcast::<OutOfLuck>(), None);
            let remote = error.remote().unwrap();
            assert_eq!(remote.downcast(), Some(brie()));
            assert_eq!(remote.type_name(), "OutOfCheese");
            assert_eq!(remote.message(), "no brie, only 3 of something else");
        }
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn relay_04_unregistered_err_still_relayed() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let error = child.run(fail_unregistered {}).await.unwrap_err();
        assert_eq!(error.downcast::<OutOfLuck>(), None);
        let remote = error.remote().unwrap();
        assert_eq!(remote.type_name(), "OutOfLuck");
        assert_eq!(remote.message(), "no luck, only 0 of something else");
        assert!(error.to_string().contains("OutOfLuck in child@"), "{error}");
        child.cancel_actor().await
    })
    .await
}

/// An error that never left this process is found in the same way.
#[tractor::test(matrix)]
async fn local_error_is_downcast_like_a_remote_one() {
    let result: Result<()> = open_nursery(async |_| Err(brie()).raise()).await;
    assert_eq!(result.unwrap_err().downcast(), Some(brie()));
}

/// Opens a nursery in each actor, to this depth, and fails in the last.
#[tractor::rpc]
async fn descend(depth: u32) -> Result<()> {
    if depth == 0 {
        return Err(brie()).raise();
    }
    let next = descend { depth: depth - 1 };
    open_nursery(async |an| an.start_actor(format!("hop{depth}")).run(next).await?.result().await)
        .await
}

/// Four actors send it on: the source stays, the way grows, and the value is still itself.
#[tractor::test(matrix)]
async fn relay_over_four_hops_keeps_source_and_value() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("hop4").enable(module!()).await?;
        let error = child.run(descend { depth: 3 }).await.unwrap_err();
        let remote = error.remote().unwrap();
        assert_eq!(remote.type_name(), "OutOfCheese");
        assert_eq!(remote.boxed_type_name(), "RemoteActorError");
        assert_eq!(remote.source_actor().name.as_str(), "hop1");
        let way: Vec<&str> = remote.relay_path().iter().map(|uid| uid.name.as_str()).collect();
        assert_eq!(way, ["hop1", "hop2", "hop3", "hop4"]);
        assert_eq!(remote.relayer(), child.uid());
        assert_eq!(error.downcast(), Some(brie()));
        child.cancel_actor().await
    })
    .await
}

/// An error with a chain of causes.
#[derive(Debug)]
struct Because(&'static str, Option<Box<Because>>);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Because {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.1.as_ref().map(|cause| &**cause as _)
    }
}

#[tractor::rpc]
async fn fail_because() -> Result<(), Because> {
    let nail = Because("no nail", None);
    let shoe = Because("no shoe", Some(nail.into()));
    Err(Because("no horse", Some(shoe.into())))
}

/// What caused an error can be walked as if it had happened here, and is printed.
#[tractor::test(matrix)]
async fn causes_of_a_remote_error_are_a_chain() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let error = child.run(fail_because {}).await.unwrap_err();
        let causes = std::iter::successors(std::error::Error::source(&error), |e| (*e).source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        assert_eq!(causes, ["no shoe", "no nail"]);
        let printed = format!("{error:?}");
        let expected = ": no horse\n  caused by: no shoe\n  caused by: no nail";
        assert!(printed.ends_with(expected), "{printed}");
        child.cancel_actor().await
    })
    .await
}

#[tractor::rpc]
async fn be_interrupted() -> Result<()> {
    Err(Error::Interrupted { signal: 2 })
}

/// The counterpart of a keyboard interrupt has its name on the wire. It is the task's error, and
/// not the end of the actor: what ends a tree is decided at its root.
#[tractor::test(matrix)]
async fn interrupt_of_a_remote_task_is_its_error() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        for _ in 0..2 {
            let error = child.run(be_interrupted {}).await.unwrap_err();
            assert_eq!(remote_type(&error), "KeyboardInterrupt");
            assert_eq!(error.interrupted(), None, "nobody interrupted this program");
        }
        child.cancel_actor().await
    })
    .await
}

mod namesakes {
    //! Two types of one path, as two blocks of one function make them.

    use super::*;

    pub(super) fn register_both() {
        {
            #[derive(Debug, Serialize, Deserialize)]
            struct Namesake;
            impl fmt::Display for Namesake {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("the first")
                }
            }
            impl std::error::Error for Namesake {}
            tractor::reg_error::<Namesake>();
            tractor::reg_error::<Namesake>(); // of one type it is idempotent
        }
        {
            #[derive(Debug, Serialize, Deserialize)]
            struct Namesake;
            impl fmt::Display for Namesake {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("the second")
                }
            }
            impl std::error::Error for Namesake {}
            tractor::reg_error::<Namesake>();
        }
    }

    #[tractor::main]
    pub(super) async fn main() -> Result<()> {
        register_both();
        let result = open_nursery(async |_| Ok(())).await;
        let Err(Error::Misuse(Misuse::Config(text))) = &result else { panic!("{result:?}") };
        assert!(text.contains("register_both::Namesake"), "{text}");
        eprintln!("refused");
        Ok(())
    }
}

/// Two types that can't be told apart, in this process.
pub(crate) fn register_namesakes() {
    namesakes::register_both();
}

/// A program of its own, as what is registered is so for the whole process.
#[test]
fn two_error_types_of_one_path_are_refused() {
    if crate::program::is_program() {
        crate::program::exit(namesakes::main());
    }
    let name = "two_error_types_of_one_path_are_refused";
    let ended = crate::program::run(crate::program::again(module_path!(), name));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.ends_with("refused\n"), "{ended:?}");
}

mod by_hand {
    //! A type that no item can register, as it is generic.

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Out<T> {
        of: T,
    }

    impl<T> fmt::Display for Out<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("out of something")
        }
    }

    impl<T: fmt::Debug> std::error::Error for Out<T> {}

    #[tractor::rpc]
    pub(super) async fn fail_generic() -> Result<(), Out<String>> {
        Err(Out { of: "cheese".into() })
    }

    async fn find_it_again() -> Result<()> {
        open_nursery(async |an| {
            let args = crate::program::test_args(module_path!(), "").map(|arg| {
                arg.replace("by_hand::", NAME) // the test is one module up
            });
            let child = an.start_actor("child").enable(module!()).args(args).await?;
            let error = child.run(fail_generic {}).await.unwrap_err();
            assert_eq!(error.downcast(), Some(Out { of: "cheese".to_owned() }));
            assert_eq!(error.downcast::<Out<u32>>(), None);
            child.cancel_actor().await
        })
        .await
    }

    pub(super) const NAME: &str = "type_registered_by_the_function_is_found_again";

    pub(super) fn main() -> Result<()> {
        tractor::reg_error::<Out<String>>();
        tractor::init();
        #[tractor::main]
        async fn main() -> Result<()> {
            find_it_again().await
        }
        main()
    }
}

#[test]
fn type_registered_by_the_function_is_found_again() {
    if crate::program::is_program() {
        crate::program::exit(by_hand::main());
    }
    let ended = crate::program::run(crate::program::again(module_path!(), by_hand::NAME));
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

/// Ends badly in its own way, or well, when it is cancelled.
#[tractor::context]
async fn masked(ctx: Context<(), (), ()>, fails: bool) -> Result<()> {
    ctx.started(()).await?;
    let body = async {
        if fails {
            // Cancelled or not, it gets this far.
            scope::shield(sleep(Duration::from_millis(20))).await?;
            return Err(brie()).raise();
        }
        sleep(FOREVER).await
    };
    let cleanup = async {
        sleep(Duration::from_millis(50)).await?;
        Err::<(), _>(Error::Cancelled) // what a cleanup would say that gave up
    };
    scope::finally(body, cleanup).await
}

async fn cancel_masked(child: &Portal, fails: bool) -> (Result<()>, Option<Result<()>>) {
    let mut seen = None;
    let block = child.open_context(masked { fails }, async |ctx, ()| {
        ctx.cancel().await?;
        seen = Some(ctx.wait_for_result().await);
        Ok(())
    });
    (block.await, seen)
}

/// A task that is cancelled and then fails has failed: its cleanup's own cancellation hides
/// nothing.
#[tractor::test(matrix)]
async fn relay_01_unmasked_remote_exc() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        let (block, seen) = cancel_masked(&child, false).await;
        let Some(Err(Error::ContextCancelled(ctxc))) = seen else { panic!("{seen:?}") };
        assert_eq!(ctxc.canceller(), Some(current_actor()?.uid()));
        block?; // absorbed

        let (block, _) = cancel_masked(&child, true).await;
        let error = block.unwrap_err();
        assert_eq!(remote_type(&error), "OutOfCheese", "{error:?}");
        assert_eq!(error.leaves().len(), 1, "{error:?}");
        assert_eq!(error.downcast(), Some(brie()));
        child.cancel_actor().await
    })
    .await
}
