//! Attribute macros of tractor. Use them through the `tractor` crate, which re-exports them: what
//! they expand to names `::tractor::__private`.
//!
//! * [`macro@rpc`], [`macro@context`] and [`macro@stream`] make a fn callable from another actor,
//! * [`macro@main`] and [`macro@test`] run an async fn as an actor program.
//!
//! Each of them is a function from tokens to tokens (`endpoint::expand`, `entry::expand_main`,
//! `entry::expand_test`), so that they are tested without a compiler. A refused item is answered
//! with one `compile_error!` and the item itself, as far as it can stand alone: so its callers
//! still compile and the user reads one error.

mod args;
mod endpoint;
mod entry;
mod params;
mod remote;
mod result;
mod stream;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a free async fn callable from another actor: `portal.run(add { a: 3, b: 4 }).await?`.
///
/// The fn stays what it is, and is called locally as `add(3, 4).await`. Next to it, in the type
/// namespace, comes a struct of the same name and visibility whose fields are the parameters.
///
/// ```ignore
/// #[tractor::rpc]
/// async fn add(a: u64, b: u64) -> u64 {
///     a + b
/// }
///
/// #[tractor::rpc(ns = "pkg.mod", name = "shout")]        // what a peer in another language says
/// async fn loud(text: &str) -> tractor::Result<String> {
///     Ok(text.to_uppercase())
/// }
/// ```
///
/// # What is accepted
///
/// * Parameters are plain identifiers. `&str`, `&[T]` and `&T` are owned in the struct (`String`,
///   `Vec<T>`, `T`) and borrowed for the call. `#[serde(..)]` on a parameter goes to its field;
///   `#[cfg(..)]` goes to both.
/// * A result type whose last path segment ends in `Result` is fallible; its error converts into
///   `tractor::BoxError`. Any other result is sent as it is, and must not be a `Result` under
///   another name (a compile-time error). A result `&'static str` arrives as a `String`.
/// * No generics, no `impl Trait`, no `self`, no patterns.
///
/// # Arguments
///
/// * `ns = ".."`: the namespace on the wire; the Rust module's path if absent.
/// * `name = ".."`: the name on the wire; the fn's name if absent.
/// * `crate = ".."`: where the `tractor` crate is, if it is not `::tractor`.
#[proc_macro_attribute]
pub fn rpc(args: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(endpoint::Kind::Rpc, args.into(), item.into()).into()
}

/// Makes a free async fn the remote half of a context: a task in another actor that is linked to
/// the task which opened it, and can exchange a stream of messages with it.
///
/// Like [`macro@rpc`] (same arguments, same rules), but the first parameter is the context. Its
/// three types are: what `started` sends, items to the parent, items from the parent. It is no
/// field of the struct.
///
/// ```ignore
/// #[tractor::context]
/// async fn counter(ctx: Context<u64, u64, u64>, from: u64) -> tractor::Result<u64> {
///     ctx.started(from).await?;
///     Ok(from + 1)
/// }
///
/// portal.open_context(counter { from: 3 }, async |ctx, first: u64| { .. }).await?
/// ```
#[proc_macro_attribute]
pub fn context(args: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(endpoint::Kind::Context, args.into(), item.into()).into()
}

/// Makes a free fn a generator: a task in another actor whose items are read by the task which
/// opened it, and which ends no later than that task's block.
///
/// Like [`macro@rpc`] (same arguments, same rules for parameters), in one of two forms.
///
/// ```ignore
/// #[tractor::stream]                     // items go through the first parameter: it is no field
/// async fn count(mut out: SendHalf<u64>, to: u64) -> tractor::Result<()> {
///     for n in 0..to {
///         out.send(n).await?;
///     }
///     Ok(())
/// }
///
/// #[tractor::stream]                     // or the fn returns them
/// fn squares(to: u64) -> impl Stream<Item = u64> + Send {
///     futures_lite::stream::iter((0..to).map(|n| n * n))
/// }
///
/// portal.open_stream_from(count { to: 3 }, async |mut numbers: RecvHalf<u64>| { .. }).await?
/// ```
///
/// # What is accepted
///
/// * `async fn` with a first parameter `out: SendHalf<T>`, whose result is `()` or a
///   `Result<(), E>`. The stream ends when the fn does, with its error if it fails: dropping or
///   stopping `out` only says that no more is sent.
/// * `fn` whose result is `impl Stream<Item = T>`, and can be sent to another thread. When `T` is a
///   `Result`, an `Err` ends the stream with that error.
/// * Errors convert into `tractor::BoxError`, and arrive behind the items before them.
#[proc_macro_attribute]
pub fn stream(args: TokenStream, item: TokenStream) -> TokenStream {
    endpoint::expand(endpoint::Kind::Stream, args.into(), item.into()).into()
}

/// Declares functions that live elsewhere, in another program or another language, so that they are
/// called by naming their arguments, as ours are: `portal.run(add { a: 3, b: 4 }).await?`.
///
/// ```ignore
/// tractor::remote! {
///     ns "pkg.mod";
///
///     /// Adds up.
///     pub async fn add(a: u64, b: u64) -> u64;
///     context trainer(model: String) -> (String, Progress, Command, Model);
///     stream count(to: u64) -> u64;
///     async fn import_(what: &str) -> Option<Thing> = "import";
/// }
/// ```
///
/// * `ns "..";` is the namespace on the wire (in Python: the module) of what comes after it, up to
///   the next one.
/// * `async fn` is called and answers once; `-> T` is what it returns.
/// * `context` has four types: what it starts with, items from it, items to it, what it returns.
/// * `stream` is an async generator; `-> T` is what it yields.
/// * `= "name"` behind it is its name on the wire, where that is no name in Rust.
/// * Parameters, docs, `#[cfg]` and visibility are as those of [`macro@rpc`]. Nothing is said about
///   errors: each call may fail.
/// * `crate "path";` at the beginning is where the `tractor` crate is, if it is not `::tractor`.
#[proc_macro]
pub fn remote(tokens: TokenStream) -> TokenStream {
    remote::expand(tokens.into()).into()
}

/// Runs an async `main`: as the child actor if this process was spawned as one, else as the root.
///
/// ```ignore
/// #[tractor::main]                            // or #[tractor::main(executor = "smol")]
/// async fn main() -> tractor::Result<()> {
///     Ok(())
/// }
/// ```
///
/// # Arguments
///
/// * `executor = "smol"`: the default where the feature `smol` is on; or `"tokio"` or
///   `"tokio-multi-thread"`, with the feature `tokio`.
/// * `crate = ".."`: where the `tractor` crate is, if it is not `::tractor`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand_main(args.into(), item.into()).into()
}

/// A test that is an actor program: it may spawn children, and fails if it takes too long.
///
/// Returns `()` or `Result<(), E>` with `E: Debug`. Other attributes (`#[should_panic]`, `#[cfg]`,
/// ..) keep their meaning.
///
/// ```ignore
/// #[tractor::test(timeout = 2.5)]
/// async fn replies() -> tractor::Result<()> {
///     Ok(())
/// }
/// ```
///
/// # Arguments
///
/// * `timeout = 30`: seconds, an integer or a float.
/// * `executors = ["smol", "tokio", "tokio-multi-thread"]`: one test for each, of those whose
///   feature is on.
/// * `links = ["socketpair", "uds", "tcp"]`: one test for each; a child with another link fails it.
/// * `matrix`: all executors and all links.
///
/// With several, the fn becomes a module of tests: `replies::tokio_uds`.
/// * `crate = ".."`: where the `tractor` crate is, if it is not `::tractor`.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand_test(args.into(), item.into()).into()
}
