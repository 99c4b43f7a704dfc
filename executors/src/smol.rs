//! Adapter for smol: under construction.
