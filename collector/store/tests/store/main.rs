//! The store on real `SQLite` and real files, in a directory of its own per test.

#![allow(clippy::unwrap_used, clippy::format_collect)]

mod admission;
mod faces;
mod given;
mod grouping;
mod keeping;
mod lifecycle;
mod proposals;
mod queries;
mod recovery;
mod reports;
mod scopes;
mod similar;
mod symbols;
mod together;
