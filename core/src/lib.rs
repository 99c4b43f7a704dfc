//! The sans-IO core of tractor. Under construction.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod addr;

pub use addr::{Address, AddressError};
