//! Parameters that can't come from another actor.

#![allow(unused)]

use std::borrow::Cow;

use tractor::rpc;

#[rpc]
async fn tuple((a, b): (u8, u8)) {}

#[rpc]
async fn nameless(_: u8) {}

#[rpc]
async fn by_ref(ref a: u8) {}

#[rpc]
async fn bound(a @ 1..=3: u8) {}

#[rpc]
async fn anonymous(a: impl Copy) {}

#[rpc]
async fn anonymous_inside(a: Vec<impl Copy>) {}

#[rpc]
async fn mutable(a: &mut u8) {}

#[rpc]
async fn for_ever(a: &'static str) {}

#[rpc]
async fn reference_inside(a: Option<&str>) {}

#[rpc]
async fn reference_to_reference(a: &&str) {}

#[rpc]
async fn lifetime_inside(a: Cow<'_, str>) {}

#[rpc]
async fn object(a: Box<dyn Fn()>) {}

#[rpc]
async fn inferred(a: _) {}

#[rpc]
async fn inferred_inside(a: Vec<_>) {}

#[rpc]
async fn often_conditional(
    #[cfg(unix)] a: u8,
    #[cfg(unix)] b: u8,
    #[cfg(unix)] c: u8,
    #[cfg(unix)] d: u8,
    #[cfg(unix)] e: u8,
) {
}

fn main() {}
