//! The API over a real store, and the real programs against it.
#![allow(clippy::unwrap_used)]

mod access;
mod api;
mod cli;
mod downloads;
mod events;
mod faces;
mod hostile;
mod keeping;
mod openapi;
mod pages;
mod plugin;
mod serve;
mod site;
mod whoami;
