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
mod odd_queries;
mod openapi;
mod pages;
mod paging;
mod plugin;
mod roles;
mod serve;
mod site;
mod states;
mod tokens;
mod uploads;
mod whoami;
