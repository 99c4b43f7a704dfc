//! A root and its registry: it keeps one, or joins one that it finds (`docs/protocol.md` §6.10).

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tractor_core::election::{self, Verdict};
use tractor_core::{Address, ConnId, Found};
use tractor_transports::{Listener, Stream};

use super::registrars;
use crate::child::own_address;
use crate::error::{Error, RegistrarError, Result};
use crate::host::{Claim, Home};
use crate::root::RootConfig;
use crate::scope;
use crate::shared::{Shared, TreeInfo, check_reach};
use crate::wait::wait;

/// How long a root looks for its place, when another is always faster or always gone.
const ELECTION_MAX: Duration = Duration::from_secs(3);

/// Between two elections.
const ELECTION_DELAY: Duration = Duration::from_millis(50);

/// What a root is to listen on, and whether it may join.
pub(crate) struct Plan {
    name: String,
    /// The registry's addresses, in an order that all programs have: two that start at once meet at
    /// the first, and don't take one each.
    wanted: Vec<Address>,
    /// Where it listens besides.
    bind: Vec<Address>,
    keeps: bool,
    parent_link: crate::ParentLink,
    home: Address,
}

impl Plan {
    /// # Errors
    /// When other machines can reach an address.
    pub(crate) fn new(config: &RootConfig, home: &Home) -> Result<Plan> {
        let mut wanted = config.registry_addrs.clone();
        wanted.sort();
        wanted.dedup();
        for addr in wanted.iter().chain(&config.bind_addrs) {
            check_reach(addr)?;
        }
        Ok(Plan {
            name: config.name.clone(),
            wanted,
            bind: config.bind_addrs.clone(),
            keeps: config.ensure_registry,
            parent_link: config.parent_link,
            home: home.registry.clone(),
        })
    }

    /// Whether somebody else may be at one of the addresses. Else there is nothing to find out.
    pub(crate) fn is_open(&self) -> bool {
        self.wanted.iter().any(is_definite)
    }

    /// Keeps the registry.
    ///
    /// # Errors
    /// When an address can't be bound. Then none is.
    pub(crate) fn keep(&self, shared: &Arc<Shared>) -> Result<()> {
        let mut addrs = self.wanted.clone();
        if addrs.is_empty() {
            addrs.push(self.home.clone());
        }
        let registry = addrs.len();
        addrs.extend(self.bind.iter().filter(|addr| !self.wanted.contains(addr)).cloned());
        // The tree's other sockets are in its own directory, which is swept when it is killed.
        if self.wanted.iter().any(|addr| addr.uds_path().is_some()) {
            addrs.push(self.own_socket(shared));
        }
        let bound = self.bind_all(shared, &addrs)?;
        let registry: Vec<Address> = bound[..registry].iter().map(|l| l.local_addr()).collect();
        shared.command(|inner, _| inner.core.keep_registry())?;
        let addrs = self.serve(shared, bound, registry)?;
        shared.command(|inner, now| inner.core.booted(now, addrs))?;
        Ok(())
    }

    /// Finds out who is there, and keeps the registry or joins one.
    ///
    /// # Errors
    /// [`Error::Registrar`]; when an address can't be bound; [`Error::Cancelled`].
    pub(crate) async fn settle(&self, shared: &Arc<Shared>) -> Result<()> {
        let give_up = shared.executor.now() + ELECTION_MAX;
        loop {
            let found = ask_all(shared, &self.wanted).await?;
            let failed = match election::decide(&found, self.keeps) {
                Verdict::Keep => match self.keep(shared) {
                    // Another root was faster. It is about to answer.
                    Err(Error::Io(e)) if e.kind() == io::ErrorKind::AddrInUse => Error::Io(e),
                    done => return done,
                },
                Verdict::Join(addrs) => match self.join(shared, addrs).await {
                    // It ended just now.
                    Err(Error::Registrar(e @ RegistrarError::Unreachable(_))) => {
                        Error::Registrar(e)
                    }
                    done => return done,
                },
                Verdict::Kept(addrs) => return Err(Error::Registrar(RegistrarError::Kept(addrs))),
                Verdict::Occupied(addrs) => {
                    return Err(Error::Registrar(RegistrarError::Occupied(addrs)));
                }
            };
            if shared.executor.now() >= give_up {
                return Err(failed);
            }
            scope::sleep(ELECTION_DELAY).await?;
        }
    }

    /// Is a client of the registrars at these addresses.
    async fn join(&self, shared: &Arc<Shared>, registry: Vec<Address>) -> Result<()> {
        registrars::connect(shared, &registry).await?;
        let own = match self.bind.is_empty() {
            true => self.beside(shared, &registry),
            false => self.bind.clone(),
        };
        let bound = self.bind_all(shared, &own)?;
        let addrs = self.serve(shared, bound, registry)?;
        registrars::register(shared).await?;
        shared.command(|inner, now| inner.core.booted(now, addrs))?;
        Ok(())
    }

    /// An address of each kind that the registrars have.
    fn beside(&self, shared: &Arc<Shared>, registry: &[Address]) -> Vec<Address> {
        let mut own: Vec<Address> = Vec::new();
        for addr in registry {
            let addr = match addr {
                Address::Tcp { host, .. } => Address::Tcp { host: *host, port: 0 },
                _ => self.own_socket(shared),
            };
            if !own.contains(&addr) {
                own.push(addr);
            }
        }
        own
    }

    /// A socket in the tree's own directory.
    fn own_socket(&self, shared: &Arc<Shared>) -> Address {
        own_address(&self.home, &self.name, shared.host.pid())
    }

    /// Binds all of them, or none.
    fn bind_all(&self, shared: &Shared, addrs: &[Address]) -> Result<Vec<Box<dyn Listener>>> {
        addrs.iter().map(|addr| self.bind(shared, addr)).collect()
    }

    fn bind(&self, shared: &Shared, addr: &Address) -> Result<Box<dyn Listener>> {
        let is_ours = match (addr, &self.home) {
            (Address::Uds { dir, .. }, Address::Uds { dir: home, .. }) => dir == home,
            _ => false,
        };
        // Nobody else comes into the tree's own directory.
        let claim = if is_ours { Claim::default() } else { shared.host.claim(addr)? };
        let listener = shared.bind(addr)?;
        Ok(Box::new(Claimed { listener, _claim: claim }))
    }

    /// Listens from now on. Where.
    fn serve(
        &self,
        shared: &Arc<Shared>,
        bound: Vec<Box<dyn Listener>>,
        registry_addrs: Vec<Address>,
    ) -> Result<Vec<Address>> {
        let addrs: Vec<Address> = bound.iter().map(|listener| listener.local_addr()).collect();
        let (root_addrs, parent_link) = (addrs.clone(), self.parent_link);
        shared.tree.get_or_init(|| TreeInfo { registry_addrs, root_addrs, parent_link });
        shared.own_addrs.get_or_init(|| addrs.clone());
        shared.serve(bound);
        Ok(addrs)
    }
}

/// Whether it is an address that others can know beforehand.
fn is_definite(addr: &Address) -> bool {
    !matches!(addr, Address::Tcp { port: 0, .. })
}

/// A listener, and the right to be one.
#[derive(Debug)]
struct Claimed {
    /// First, for fields are dropped in this order: the right is given back once it is not used.
    listener: Box<dyn Listener>,
    _claim: Claim,
}

impl Listener for Claimed {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        self.listener.poll_accept(cx)
    }

    fn local_addr(&self) -> Address {
        self.listener.local_addr()
    }
}

/// Asks at all addresses at once. Bounded: each question has its time, and is asked a few times.
async fn ask_all(shared: &Arc<Shared>, addrs: &[Address]) -> Result<Vec<(Address, Found)>> {
    let mut found: Vec<(Address, Found)> =
        addrs.iter().map(|addr| (addr.clone(), Found::Absent)).collect();
    let mut open: Vec<usize> = (0..addrs.len()).filter(|at| is_definite(&addrs[*at])).collect();
    let mut asked = 0;
    while !open.is_empty() {
        let probes = Probes::start(shared, open.iter().map(|at| &addrs[*at]))?;
        asked += 1;
        let answers = probes.answers().await?;
        let mut wait_for = None;
        for (at, answer) in std::mem::take(&mut open).into_iter().zip(answers) {
            found[at].1 = answer;
            if let Some(delay) = election::ask_again_in(answer, asked) {
                open.push(at);
                wait_for = Some(delay);
            }
        }
        if let Some(delay) = wait_for {
            scope::sleep(delay).await?;
        }
    }
    Ok(found)
}

/// Questions that are under way. Dropped, they are no more.
struct Probes<'a> {
    shared: &'a Arc<Shared>,
    conns: Vec<ConnId>,
}

impl<'a> Probes<'a> {
    fn start<'b>(
        shared: &'a Arc<Shared>,
        addrs: impl Iterator<Item = &'b Address>,
    ) -> Result<Probes<'a>> {
        let mut probes = Probes { shared, conns: Vec::new() };
        for addr in addrs {
            let conn = shared.command(|inner, now| {
                let conn = inner.core.probe(now, addr.clone())?;
                inner.probes.insert(conn, None);
                Ok::<_, tractor_core::error::Misuse>(conn)
            })?;
            probes.conns.push(conn);
        }
        Ok(probes)
    }

    async fn answers(&self) -> Result<Vec<Found>> {
        wait(self.shared, |inner, waker| {
            let found = self.conns.iter().map(|conn| inner.probes.get(conn).copied().flatten());
            match found.collect::<Option<Vec<Found>>>() {
                Some(found) => Poll::Ready(found),
                None => {
                    inner.conn_wakers.add(waker);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Drop for Probes<'_> {
    fn drop(&mut self) {
        self.shared.command(|inner, now| {
            for conn in &self.conns {
                inner.probes.remove(conn);
                // Mostly it is closed already.
                let _ = inner.core.close(now, *conn);
            }
        });
    }
}
