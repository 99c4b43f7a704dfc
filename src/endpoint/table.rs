//! What one actor lets others call: the endpoints of the enabled modules, found by name.

use std::collections::BTreeSet;
use std::fmt;

use super::{Endpoint, EndpointPath, Exposed};

/// The endpoints of an actor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The names under which something may be asked for: what was enabled, and the namespaces of
    /// `endpoints`.
    namespaces: BTreeSet<String>,
    /// Sorted by (ns, name), each of which occurs once.
    endpoints: Vec<Endpoint>,
}

/// Why a name leads to no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookupError {
    /// The namespace is not enabled; whether it exists is nobody's business.
    ModuleNotExposed,
    /// The namespace is enabled, and has no such endpoint.
    NoSuchFunction,
}

impl Table {
    /// The link-time endpoints whose Rust module or wire namespace is in `enabled`, and all of
    /// `exposed`: naming an endpoint by hand is enabling it.
    ///
    /// # Errors
    ///
    /// If any two endpoints of the program have one name, enabled or not: then which of them is
    /// called would depend on the order in which they were linked.
    pub(crate) fn build<S: AsRef<str>>(
        enabled: impl IntoIterator<Item = S>,
        exposed: &Exposed,
    ) -> Result<Table, DuplicateEndpoint> {
        let linked = inventory::iter::<Endpoint>.into_iter().copied();
        let known = unique(linked.chain(exposed.endpoints().copied()))?;
        let by_hand: BTreeSet<EndpointPath> = exposed.endpoints().map(|it| it.path).collect();
        let mut namespaces: BTreeSet<String> =
            enabled.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let mut endpoints = known;
        endpoints.retain(|Endpoint { path, .. }| {
            namespaces.contains(path.ns)
                || namespaces.contains(path.module)
                || by_hand.contains(path)
        });
        namespaces.extend(endpoints.iter().map(|endpoint| endpoint.path.ns.to_owned()));
        Ok(Table { namespaces, endpoints })
    }

    /// The endpoint that a peer asks for.
    ///
    /// # Errors
    ///
    /// If it may not be called, or is not there.
    pub(crate) fn lookup(&self, ns: &str, name: &str) -> Result<&Endpoint, LookupError> {
        if !self.namespaces.contains(ns) {
            return Err(LookupError::ModuleNotExposed);
        }
        let key = |endpoint: &Endpoint| (endpoint.path.ns, endpoint.path.name).cmp(&(ns, name));
        let index =
            self.endpoints.binary_search_by(key).map_err(|_| LookupError::NoSuchFunction)?;
        self.endpoints.get(index).ok_or(LookupError::NoSuchFunction)
    }

    /// The namespaces that may be called into.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(String::as_str)
    }
}

/// Sorts by name. One endpoint may come twice (linked and by hand), two of one name may not.
fn unique(endpoints: impl Iterator<Item = Endpoint>) -> Result<Vec<Endpoint>, DuplicateEndpoint> {
    let mut endpoints: Vec<Endpoint> = endpoints.collect();
    let key = |endpoint: &Endpoint| {
        let EndpointPath { module, ns, name, file, line } = endpoint.path;
        (ns, name, module, file, line)
    };
    endpoints.sort_by_key(key);
    endpoints.dedup_by_key(|endpoint| endpoint.path);
    for pair in endpoints.windows(2) {
        let [first, second] = [pair[0].path, pair[1].path];
        if (first.ns, first.name) == (second.ns, second.name) {
            return Err(DuplicateEndpoint { places: Box::new([first, second]) });
        }
    }
    Ok(endpoints)
}

/// Two endpoints have one name on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateEndpoint {
    places: Box<[EndpointPath; 2]>,
}

impl DuplicateEndpoint {
    /// Where the two are.
    pub fn places(&self) -> &[EndpointPath; 2] {
        &self.places
    }
}

impl fmt::Display for DuplicateEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.places();
        write!(
            f,
            "two endpoints are named `{first}`: at {}:{} and at {}:{}; \
             rename one, or give it `name = \"..\"` or `ns = \"..\"`",
            first.file, first.line, second.file, second.line
        )
    }
}

impl std::error::Error for DuplicateEndpoint {}
