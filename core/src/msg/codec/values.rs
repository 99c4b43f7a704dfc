//! Values that messages carry as payloads or raw: addresses, the registry, the runtime variables.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use super::encode::{put_optional, put_text};
use super::input::{self, Fields, LIST_MAX, required};
use crate::addr::Address;
use crate::error::DecodeError;
use crate::id::{Text, Uid};
use crate::msg::{Records, RegistryTag};
use crate::wire::pack::{self, Reader, put_array, put_bool, put_map, put_str, put_uint};

/// Appends an identity: a pair of texts.
pub fn encode_uid(uid: &Uid, out: &mut Vec<u8>) {
    put_array(out, 2);
    put_str(out, uid.name.as_str());
    put_str(out, uid.uuid.as_str());
}

/// Appends an address: a pair of host and port, or of directory and file (`docs/protocol.md` §2.4).
pub fn encode_addr(addr: &Address, out: &mut Vec<u8>) {
    put_array(out, 2);
    match addr {
        Address::Tcp { host, port } => {
            put_str(out, &host.to_string());
            put_uint(out, u64::from(*port));
        }
        Address::Uds { dir, file } => {
            put_str(out, dir);
            put_str(out, file);
        }
    }
}

/// Appends an array of addresses: the answer to `find_actor` and `wait_for_actor`.
pub fn encode_addrs(addrs: &[Address], out: &mut Vec<u8>) {
    put_array(out, addrs.len());
    for addr in addrs {
        encode_addr(addr, out);
    }
}

/// The addresses in the answer to `find_actor` or `wait_for_actor`: none for nil, else one address
/// or an array of them.
///
/// # Errors
/// It is something else, or more than [`LIST_MAX`] of them.
pub fn decode_addrs(pld: &[u8]) -> Result<Vec<Address>, DecodeError> {
    let field = "addrs";
    let mut reader = Reader::new(pld);
    let mut addrs = Vec::new();
    if !reader.nil() {
        let count = reader.array(field)?;
        if count == 2 && reader.is_str() {
            reader = Reader::new(pld);
            addrs.push(input::addr(&mut reader, field)?);
        } else if count > LIST_MAX {
            return Err(DecodeError::TooMany { field });
        } else {
            for _ in 0..count {
                addrs.push(input::addr(&mut reader, field)?);
            }
        }
    }
    reader.end()?;
    Ok(addrs)
}

/// Appends the answer to `get_registry`: a map of `name.uuid` to an array of addresses.
pub fn encode_registry(entries: &[(&Uid, &[Address])], out: &mut Vec<u8>) {
    put_map(out, entries.len());
    for (uid, addrs) in entries {
        put_str(out, &format!("{}.{}", uid.name, uid.uuid));
        encode_addrs(addrs, out);
    }
}

/// The entries in the answer to `get_registry`. A name may have dots in it, an id has none.
///
/// # Errors
/// It is something else, or more than [`RECORDS_MAX`] of them.
pub fn decode_registry(pld: &Bytes) -> Result<Vec<(Uid, Vec<Address>)>, DecodeError> {
    let wrong = DecodeError::WrongType { field: "registry" };
    let mut entries = Vec::new();
    let mut fields = Fields::of_map(pld)?;
    while let Some(key) = fields.key()? {
        if entries.len() == RECORDS_MAX {
            return Err(DecodeError::TooMany { field: "registry" });
        }
        let dot = key.iter().rposition(|byte| *byte == b'.').ok_or(wrong)?;
        let text = |part| Text::from_utf8(pld.slice_ref(part)).ok_or(DecodeError::BadUtf8);
        let uid = Uid { name: text(&key[..dot])?, uuid: text(&key[dot + 1..])? };
        entries.push((uid, fields.addrs("registry")?));
    }
    Ok(entries)
}

/// Appends a tag: a pair of numbers.
pub(super) fn encode_tag(tag: RegistryTag, out: &mut Vec<u8>) {
    put_array(out, 2);
    put_uint(out, tag.stamp);
    put_uint(out, tag.count);
}

pub(super) fn tag(reader: &mut Reader<'_>) -> Result<RegistryTag, DecodeError> {
    match reader.array("seen")? {
        2 => Ok(RegistryTag { stamp: reader.uint("seen")?, count: reader.uint("seen")? }),
        _ => Err(DecodeError::WrongType { field: "seen" }),
    }
}

/// Appends the answer to `watch_actor`: a map of `seen` and `actors`, an array of pairs of an
/// identity and an array of addresses.
pub fn encode_records(tag: RegistryTag, actors: &[(&Uid, &[Address])], out: &mut Vec<u8>) {
    put_map(out, 2);
    put_str(out, "seen");
    encode_tag(tag, out);
    put_str(out, "actors");
    put_array(out, actors.len());
    for (uid, addrs) in actors {
        put_array(out, 2);
        encode_uid(uid, out);
        encode_addrs(addrs, out);
    }
}

/// The answer to `watch_actor`.
///
/// # Errors
/// It is something else.
pub fn decode_records(pld: &Bytes) -> Result<Records, DecodeError> {
    let (mut seen, mut actors) = (None, None);
    let mut fields = Fields::of_map(pld)?;
    while let Some(key) = fields.key()? {
        match key {
            b"seen" => seen = Some(tag(&mut fields.reader)?),
            b"actors" => actors = Some(records(&mut fields)?),
            _ => fields.skip(key)?,
        }
    }
    Ok(Records { tag: required(seen, "seen")?, actors: required(actors, "actors")? })
}

fn records(fields: &mut Fields<'_>) -> Result<Vec<(Uid, Vec<Address>)>, DecodeError> {
    let field = "actors";
    let count = fields.reader.array(field)?;
    if count > RECORDS_MAX {
        return Err(DecodeError::TooMany { field });
    }
    let mut records = Vec::new();
    for _ in 0..count {
        if fields.reader.array(field)? != 2 {
            return Err(DecodeError::WrongType { field });
        }
        records.push((fields.uid(field)?, fields.addrs(field)?));
    }
    Ok(records)
}

/// Actors in an answer of a registrar.
pub const RECORDS_MAX: usize = 1 << 16;

/// What a child learns about its tree: the map `_runtime_vars` of a
/// [`SpawnSpec`](crate::msg::SpawnSpec) (`docs/protocol.md` §3.2).
///
/// Three more variables, which concern Python's debugger, are always written as false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeVars {
    /// `_is_root`: whether the receiver is the tree's root. Never, as it is somebody's child.
    pub is_root: bool,
    /// `_root_mailbox`: where the root can be reached.
    pub root_mailbox: Option<Address>,
    /// `_root_addrs`: all addresses of the root.
    pub root_addrs: Vec<Address>,
    /// `_enable_tpts`: the transports to listen on, `tcp` or `uds`.
    pub enable_tpts: Vec<Text>,
    /// `_registry_addrs`: where to look for actors.
    pub registry_addrs: Vec<Address>,
    /// `_debug_mode`: whether the tree runs under its debugger. Required by a Python child.
    pub debug_mode: bool,
    /// `_is_infected_aio`: whether a Python child runs asyncio. Required by a Python child.
    pub is_infected_aio: bool,
    /// `loglevel`: ours; the level of the child's log.
    pub loglevel: Option<Text>,
    /// `budget_ms`: ours; how long the child's teardown may take.
    pub budget_ms: Option<u64>,
    /// `connect_back`: ours; whether the children of this tree connect back to their parents.
    pub connect_back: bool,
}

impl RuntimeVars {
    /// Appends the map, in the reference's order.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let ours = [self.loglevel.is_some(), self.budget_ms.is_some(), self.connect_back];
        let ours = ours.into_iter().filter(|is_set| *is_set).count();
        let flag = |out: &mut Vec<u8>, key, value| {
            put_str(out, key);
            put_bool(out, value);
        };
        put_map(out, 10 + ours);
        flag(out, "_is_root", self.is_root);
        let root = self.root_mailbox.as_ref();
        put_optional(out, "_root_mailbox", root, |out, addr| encode_addr(addr, out));
        put_str(out, "_root_addrs");
        encode_addrs(&self.root_addrs, out);
        put_str(out, "_enable_tpts");
        put_array(out, self.enable_tpts.len());
        for transport in &self.enable_tpts {
            put_str(out, transport.as_str());
        }
        put_str(out, "_registry_addrs");
        encode_addrs(&self.registry_addrs, out);
        flag(out, "_debug_mode", self.debug_mode);
        flag(out, "repl_fixture", false);
        flag(out, "use_greenback", false);
        flag(out, "use_stackscope", false);
        flag(out, "_is_infected_aio", self.is_infected_aio);
        if let Some(level) = &self.loglevel {
            put_text(out, "loglevel", level);
        }
        if let Some(budget) = self.budget_ms {
            put_str(out, "budget_ms");
            put_uint(out, budget);
        }
        if self.connect_back {
            flag(out, "connect_back", true);
        }
    }

    /// Reads the map. Every variable may be absent; unknown ones are ignored.
    ///
    /// # Errors
    /// A variable is of another type, or the map is malformed.
    pub fn decode(raw: &Bytes) -> Result<RuntimeVars, DecodeError> {
        pack::scan_exact(raw, pack::DEPTH_MAX)?;
        let mut vars = RuntimeVars::default();
        let mut fields = Fields::of_map(raw)?;
        while let Some(key) = fields.key()? {
            match key {
                b"_is_root" => vars.is_root = fields.reader.bool("_is_root")?,
                b"_root_mailbox" => vars.root_mailbox = root_mailbox(&mut fields)?,
                b"_root_addrs" => vars.root_addrs = fields.addrs("_root_addrs")?,
                b"_enable_tpts" => {
                    vars.enable_tpts =
                        fields.list("_enable_tpts", |fields| fields.text("_enable_tpts"))?;
                }
                b"_registry_addrs" => vars.registry_addrs = fields.addrs("_registry_addrs")?,
                b"_debug_mode" => vars.debug_mode = fields.reader.bool("_debug_mode")?,
                b"_is_infected_aio" => {
                    vars.is_infected_aio = fields.reader.bool("_is_infected_aio")?;
                }
                b"loglevel" => vars.loglevel = fields.optional(|f| f.text("loglevel"))?,
                b"budget_ms" => vars.budget_ms = fields.optional(|f| f.reader.uint("budget_ms"))?,
                b"connect_back" => vars.connect_back = fields.reader.bool("connect_back")?,
                _ => fields.skip(key)?,
            }
        }
        Ok(vars)
    }
}

/// The root's address; nil, or a pair of nils, when there is none.
fn root_mailbox(fields: &mut Fields<'_>) -> Result<Option<Address>, DecodeError> {
    if fields.reader.rest().starts_with(&[0x92, 0xc0, 0xc0]) {
        fields.range()?;
        return Ok(None);
    }
    fields.optional(|fields| fields.addr("_root_mailbox"))
}
