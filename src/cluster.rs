//! Clusters: several workers of one kind, and contexts with all of them.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::{Deref, Index};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::context::ParentContext;
use crate::endpoint::{ContextEndpoint, Module};
use crate::error::{Error, Result};
use crate::nursery::{ActorBuilder, ActorNursery, open_nursery};
use crate::portal::Portal;
use crate::root::current_actor;
use crate::scope::{self, Gathering, Lease};

/// Changes what each worker is to be.
type Each = Arc<dyn Fn(ActorBuilder) -> ActorBuilder + Send + Sync>;

/// What a cluster is to be: how many workers, what they serve, what they are called.
#[derive(Clone)]
#[must_use = "a cluster is opened by `open_actor_cluster`"]
pub struct Cluster {
    modules: Vec<Module>,
    count: Option<usize>,
    names: Option<Vec<String>>,
    each: Option<Each>,
}

impl Cluster {
    /// Workers in which the functions of `module` may be called: one for each core of the machine.
    pub fn of(module: Module) -> Self {
        Cluster { modules: vec![module], count: None, names: None, each: None }
    }

    /// Lets others call the functions of this module too.
    pub fn enable(mut self, module: Module) -> Self {
        self.modules.push(module);
        self
    }

    /// So many workers.
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// What they are called, in order; and how many there are, if that is not said. By default they
    /// are `<actor>.worker_<i>`, after the actor that opens the cluster.
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Has each worker's builder changed before it is started: `.each(|w| w.stderr(Stdio::Tee))`.
    pub fn each(
        mut self,
        change: impl Fn(ActorBuilder) -> ActorBuilder + Send + Sync + 'static,
    ) -> Self {
        self.each = Some(Arc::new(change));
        self
    }

    /// Their names.
    fn worker_names(&self, actor: &str) -> Result<Vec<String>> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let count = self.count.or(self.names.as_ref().map(Vec::len)).unwrap_or_else(cores);
        if count == 0 {
            return Err(Error::config("a cluster has at least one worker"));
        }
        let Some(names) = &self.names else {
            return Ok((0..count).map(|i| format!("{actor}.worker_{i}")).collect());
        };
        if names.len() != count {
            let text = format!("{} names for a cluster of {count}", names.len());
            return Err(Error::config(text));
        }
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !seen.insert(*name)) {
            Some(name) => Err(Error::config(format!("two workers of the cluster are `{name}`"))),
            None => Ok(names.clone()),
        }
    }

    fn worker(&self, an: &ActorNursery, name: &str) -> ActorBuilder {
        let mut builder = an.start_actor(name);
        for module in &self.modules {
            builder = builder.enable(module.clone());
        }
        match &self.each {
            Some(change) => change(builder),
            None => builder,
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("modules", &self.modules)
            .field("count", &self.count)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// The portals of a cluster, in the order of its workers: a slice, `portals[0]`, in which they are
/// found by name too, `portals["root.worker_0"]`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Portals(Arc<[Portal]>);

impl Portals {
    /// The worker of this name.
    pub fn get_named(&self, name: &str) -> Option<&Portal> {
        self.iter().find(|portal| portal.name() == name)
    }
}

impl Deref for Portals {
    type Target = [Portal];

    fn deref(&self) -> &[Portal] {
        &self.0
    }
}

impl Index<usize> for Portals {
    type Output = Portal;

    fn index(&self, at: usize) -> &Portal {
        &self.0[at]
    }
}

/// # Panics
/// When there is none of that name.
impl Index<&str> for Portals {
    type Output = Portal;

    fn index(&self, name: &str) -> &Portal {
        self.get_named(name).unwrap_or_else(|| panic!("no worker of this cluster is `{name}`"))
    }
}

impl<'a> IntoIterator for &'a Portals {
    type Item = &'a Portal;
    type IntoIter = std::slice::Iter<'a, Portal>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Starts all workers of a cluster at once and runs `body` with portals to them. Ends when `body`
/// has: then the workers are cancelled, and waited for.
///
/// ```no_run
/// # #[tractor::rpc]
/// # async fn square(n: u64) -> u64 { n * n }
/// # #[tractor::main]
/// # async fn main() -> tractor::Result<()> {
/// use tractor::Cluster;
///
/// tractor::open_actor_cluster(Cluster::of(tractor::module!()).count(4), async |portals| {
///     for (n, portal) in (0..).zip(&portals) {
///         println!("{}: {}", portal.name(), portal.run(square { n }).await?);
///     }
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// Outside of an actor it opens a root actor first.
///
/// # Errors
/// As [`open_nursery`]; [`Error::Misuse`] for a cluster of nothing, and when there are not as many
/// names as workers, or two are the same: before anything is started.
///
/// # Cancel safety
/// As [`open_nursery`].
pub async fn open_actor_cluster<T, F, Fut>(cluster: Cluster, body: F) -> Result<T>
where
    T: Send,
    F: FnOnce(Portals) -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    open_nursery(async |an| {
        let portals = start(&an, &cluster).await?;
        let value = body(portals).await?;
        an.cancel().await?;
        Ok(value)
    })
    .await
}

async fn start(an: &ActorNursery, cluster: &Cluster) -> Result<Portals> {
    let names = cluster.worker_names(current_actor()?.name())?;
    let started: Vec<_> = names.iter().map(|_| OnceLock::new()).collect();
    scope::open_nursery(async |tn| {
        for (name, started) in names.iter().zip(&started) {
            let worker = cluster.worker(an, name).into_future();
            tn.start_soon(async move {
                let portal = worker.await?;
                started.get_or_init(|| portal);
                Ok(())
            });
        }
        Ok(())
    })
    .await?;
    Ok(Portals(started.into_iter().filter_map(OnceLock::into_inner).collect()))
}

/// Opens a context with each of several actors, all at once, and runs `body` with them and what
/// their tasks called `started` with, in the order given. When `body` has ended they are closed at
/// once, and all of their tasks are waited for.
///
/// ```no_run
/// # #[tractor::context]
/// # async fn ready(ctx: tractor::Context<u32, u32, u32>) -> tractor::Result<()> {
/// #     ctx.started(1).await
/// # }
/// # async fn all(portals: tractor::Portals) -> tractor::Result<()> {
/// tractor::gather_contexts(portals.iter().map(|portal| (portal, ready {})), async |contexts| {
///     for (ctx, pid) in &contexts {
///         println!("{pid} is ready");
///         ctx.open_stream().await?.send(1).await?;
///     }
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// Other resources are gathered by [`scope::gather`].
///
/// # Errors
/// As [`scope::gather`] and [`Portal::open_context`].
///
/// # Cancel safety
/// As [`Portal::open_context`].
pub fn gather_contexts<'f, P, E, T, F, Fut>(
    contexts: impl IntoIterator<Item = (P, E)>,
    body: F,
) -> Gathering<'f, T>
where
    P: Borrow<Portal>,
    E: ContextEndpoint,
    F: FnOnce(Vec<(ParentContext<E>, E::Started)>) -> Fut + Send + 'f,
    Fut: Future<Output = Result<T>> + Send + 'f,
    T: Send + 'f,
{
    let open = |(portal, endpoint): (P, E)| {
        let portal = portal.borrow().clone();
        move |lease: Lease<_>| async move {
            portal.open_context(endpoint, async |ctx, first| lease.hold((ctx, first)).await).await
        }
    };
    scope::gather(contexts.into_iter().map(open), body)
}
