//! From a body to a message: for each tag, its fields.

use core::ops::Range;

use bytes::Bytes;

use super::encode::{PLD, YIELD};
use super::input::{Fields, cut, required};
use super::request;
use crate::error::DecodeError;
use crate::id::{Cid, Uid};
use crate::msg::{
    AckOutcome, Aid, Extension, Features, FuncType, Msg, RemoteError, SpawnSpec, Token,
};
use crate::wire::pack::{self, DEPTH_MAX, Reader};

/// The message in `body`.
#[inline]
pub(super) fn message(body: Bytes) -> Result<Msg, DecodeError> {
    match usual_yield(&body) {
        Some((cid, pld)) => Ok(Msg::Yield { cid, pld: cut(body, pld) }),
        None => any_message(body),
    }
}

/// What most messages are, an item in the form in which everyone writes it, at half the cost of
/// looking at one field after another. `None`: look at the fields; if there is a fault, it is found
/// there.
#[inline]
fn usual_yield(body: &Bytes) -> Option<(Cid, Range<usize>)> {
    let mut fields = Fields::behind(body, YIELD)?;
    let cid = fields.cid().ok()?;
    let pld = fields.reader.rest().strip_prefix(PLD)?;
    (pack::scan(pld, DEPTH_MAX - 1) == Ok(pld.len())).then_some(())?;
    Some((cid, body.len() - pld.len()..body.len()))
}

/// The message in `body`, which has any tag and any order of fields.
fn any_message(body: Bytes) -> Result<Msg, DecodeError> {
    let (tag, mut fields) = Fields::of_message(&body)?;
    Ok(match tag {
        b"Yield" => {
            let (cid, pld) = payload(fields)?;
            Msg::Yield { cid, pld: cut(body, pld) }
        }
        b"Yields" => {
            let (cid, array) = packed(fields)?;
            let mut reader = Reader::new(&body[array.clone()]);
            // The count fits: every item is a byte at least, and a frame's length is a u32.
            let count = reader.array("plds")? as u32;
            let plds = array.start + reader.at()..array.end;
            Msg::Yields { cid, count, plds: cut(body, plds) }
        }
        b"Started" => {
            let (cid, pld) = payload(fields)?;
            Msg::Started { cid, pld: cut(body, pld) }
        }
        b"Return" => {
            let (cid, pld) = payload(fields)?;
            Msg::Return { cid, pld: cut(body, pld) }
        }
        b"Start" => request::start(fields)?,
        b"StartAck" => start_ack(fields)?,
        b"Stop" => stop(fields)?,
        b"Credit" => credit(fields)?,
        b"CancelAck" => cancel_ack(fields)?,
        b"Error" => error(fields)?,
        b"Aid" => Msg::Aid(aid(fields)?),
        b"SpawnSpec" => Msg::SpawnSpec(spawn_spec(fields)?),
        b"Ready" => {
            Msg::Ready { addrs: only(&mut fields, "addrs", |fields| fields.addrs("addrs"))? }
        }
        b"Goodbye" => {
            Msg::Goodbye { reason: only(&mut fields, "reason", |fields| fields.text("reason"))? }
        }
        _ => return Err(DecodeError::UnknownTag),
    })
}

/// The one field of a message that has no other.
fn only<T>(
    fields: &mut Fields<'_>,
    field: &'static str,
    read: impl Fn(&mut Fields<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut value = None;
    while let Some(key) = fields.key()? {
        if key == field.as_bytes() {
            value = Some(read(fields)?);
        } else {
            fields.skip(key)?;
        }
    }
    required(value, field)
}

/// A cid and where the payload is.
#[inline]
fn payload(mut fields: Fields<'_>) -> Result<(Cid, Range<usize>), DecodeError> {
    let (mut cid, mut pld) = (None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"pld" => pld = Some(fields.range()?),
            _ => fields.skip(key)?,
        }
    }
    Ok((required(cid, "cid")?, required(pld, "pld")?))
}

/// A cid and where the array of items is.
fn packed(mut fields: Fields<'_>) -> Result<(Cid, Range<usize>), DecodeError> {
    let (mut cid, mut plds) = (None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"plds" if fields.reader.is_array() => plds = Some(fields.range()?),
            b"plds" => fields.mismatch("plds")?,
            _ => fields.skip(key)?,
        }
    }
    Ok((required(cid, "cid")?, required(plds, "plds")?))
}

fn start_ack(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut cid, mut functype) = (None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"functype" => {
                functype = Some(match fields.reader.str("functype")? {
                    "asyncfunc" => FuncType::Call,
                    "asyncgen" => FuncType::Stream,
                    "context" => FuncType::Context,
                    _ => return Err(DecodeError::WrongType { field: "functype" }),
                });
            }
            _ => fields.skip(key)?,
        }
    }
    Ok(Msg::StartAck { cid: required(cid, "cid")?, functype: required(functype, "functype")? })
}

fn stop(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut cid, mut sent) = (None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"sent" => sent = fields.optional(|fields| fields.reader.uint("sent"))?,
            _ => fields.skip(key)?,
        }
    }
    Ok(Msg::Stop { cid: required(cid, "cid")?, sent })
}

fn credit(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut cid, mut items, mut bytes) = (None, None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"items" => items = Some(fields.reader.uint32("items")?),
            b"bytes" => bytes = Some(fields.reader.uint("bytes")?),
            _ => fields.skip(key)?,
        }
    }
    Ok(Msg::Credit {
        cid: required(cid, "cid")?,
        items: required(items, "items")?,
        bytes: required(bytes, "bytes")?,
    })
}

fn cancel_ack(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut cid, mut pld, mut outcome) = (None, None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"cid" => cid = Some(fields.cid()?),
            b"pld" => pld = Some(fields.reader.bool("pld")?),
            b"outcome" => outcome = fields.optional(|fields| fields.reader.str("outcome"))?,
            _ => fields.skip(key)?,
        }
    }
    let outcome = match (outcome, required(pld, "pld")?) {
        (Some("cancelling"), _) => AckOutcome::Cancelling,
        (Some("already_done"), _) => AckOutcome::AlreadyDone,
        (Some("refused"), _) => AckOutcome::Refused,
        // Not told, or a word of a later version.
        (_, true) => AckOutcome::Cancelling,
        (_, false) => AckOutcome::Refused,
    };
    Ok(Msg::CancelAck { cid: required(cid, "cid")?, outcome })
}

fn aid(mut fields: Fields<'_>) -> Result<Aid, DecodeError> {
    let (mut name, mut uuid, mut pid, mut ext) = (None, None, None, None);
    let (mut is_registrar, mut is_probe) = (None, false);
    while let Some(key) = fields.key()? {
        match key {
            b"name" => name = Some(fields.text("name")?),
            b"uuid" => uuid = Some(fields.text("uuid")?),
            b"pid" => pid = fields.optional(|fields| fields.reader.uint("pid"))?,
            b"is_registrar" => {
                is_registrar = fields.optional(|fields| fields.reader.bool("is_registrar"))?;
            }
            b"is_probe" => is_probe = fields.reader.bool("is_probe")?,
            b"ext" => ext = fields.optional(extension)?,
            _ => fields.skip(key)?,
        }
    }
    let uid = Uid { name: required(name, "name")?, uuid: required(uuid, "uuid")? };
    Ok(Aid { uid, pid, is_registrar, is_probe, ext })
}

fn extension(fields: &mut Fields<'_>) -> Result<Extension, DecodeError> {
    let raw = fields.raw_map("ext")?;
    let mut fields = Fields::of_map(&raw)?;
    let (mut v_min, mut v_max, mut features, mut build) = (None, None, None, None);
    let mut secret = None;
    while let Some(key) = fields.key()? {
        match key {
            b"v_min" => v_min = Some(fields.reader.uint32("ext.v_min")?),
            b"v_max" => v_max = Some(fields.reader.uint32("ext.v_max")?),
            b"features" => features = Some(fields.reader.uint("ext.features")?),
            b"build" => build = Some(fields.reader.uint("ext.build")?),
            b"token" => secret = fields.optional(token)?,
            _ => fields.skip(key)?,
        }
    }
    Ok(Extension {
        version_min: required(v_min, "ext.v_min")?,
        version_max: required(v_max, "ext.v_max")?,
        // Bits that we don't keep are bits that we don't know.
        features: Features(required(features, "ext.features")? as u32),
        build: required(build, "ext.build")?,
        token: secret,
    })
}

fn token(fields: &mut Fields<'_>) -> Result<Token, DecodeError> {
    let field = "ext.token";
    let bytes = fields.reader.bin(field)?;
    bytes.try_into().map(Token).map_err(|_| DecodeError::WrongType { field })
}

fn spawn_spec(mut fields: Fields<'_>) -> Result<SpawnSpec, DecodeError> {
    let (mut main, mut vars, mut modules) = (None, None, None);
    let (mut reg_addrs, mut bind_addrs) = (None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"_parent_main_data" => main = Some(fields.raw_map("_parent_main_data")?),
            b"_runtime_vars" => vars = Some(fields.raw_map("_runtime_vars")?),
            b"enable_modules" => {
                let path = |fields: &mut Fields<'_>| fields.text("enable_modules");
                modules = Some(fields.text_map("enable_modules", path)?);
            }
            b"reg_addrs" => reg_addrs = Some(fields.addrs("reg_addrs")?),
            b"bind_addrs" => {
                bind_addrs = Some(fields.optional(|fields| fields.addrs("bind_addrs"))?);
            }
            _ => fields.skip(key)?,
        }
    }
    Ok(SpawnSpec {
        parent_main_data: required(main, "_parent_main_data")?,
        runtime_vars: required(vars, "_runtime_vars")?,
        enable_modules: required(modules, "enable_modules")?,
        reg_addrs: required(reg_addrs, "reg_addrs")?,
        bind_addrs: required(bind_addrs, "bind_addrs")?,
    })
}

fn error(mut fields: Fields<'_>) -> Result<Msg, DecodeError> {
    let (mut src, mut src_type, mut boxed_type, mut relay_path) = (None, None, None, None);
    let (mut message, mut traceback, mut canceller, mut sender) = (None, None, None, None);
    let (mut cid, mut bad_msg, mut bad_msg_as_dict, mut data) = (None, None, None, None);
    while let Some(key) = fields.key()? {
        match key {
            b"src_uid" => src = Some(fields.uid("src_uid")?),
            b"src_type_str" => src_type = Some(fields.text("src_type_str")?),
            b"boxed_type_str" => boxed_type = Some(fields.text("boxed_type_str")?),
            b"relay_path" => {
                relay_path = Some(fields.list("relay_path", |fields| fields.uid("relay_path"))?);
            }
            b"message" => message = fields.optional(|fields| fields.text("message"))?,
            b"tb_str" => traceback = Some(fields.text("tb_str")?),
            b"canceller" => canceller = fields.optional(|fields| fields.uid("canceller"))?,
            b"sender" => sender = fields.optional(|fields| fields.uid("sender"))?,
            b"cid" => cid = fields.optional(Fields::cid)?,
            b"_bad_msg" => bad_msg = fields.optional(|fields| fields.raw_map("_bad_msg"))?,
            b"_bad_msg_as_dict" => {
                bad_msg_as_dict = fields.optional(|fields| fields.raw_map("_bad_msg_as_dict"))?;
            }
            b"data" => data = Some(fields.raw()?),
            _ => fields.skip(key)?,
        }
    }
    let error = RemoteError {
        src: required(src, "src_uid")?,
        src_type: required(src_type, "src_type_str")?,
        boxed_type: required(boxed_type, "boxed_type_str")?,
        relay_path: required(relay_path, "relay_path")?,
        message,
        traceback: traceback.unwrap_or_default(),
        canceller,
        sender,
        bad_msg,
        bad_msg_as_dict,
        data,
    };
    Ok(Msg::Error { cid, error })
}
