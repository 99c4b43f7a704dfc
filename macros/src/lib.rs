//! Attribute macros of tractor.
