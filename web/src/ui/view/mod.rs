//! Turns what the store hands out into what people read.

pub mod bytes;
pub mod context;
pub mod crash;
pub mod facts;
pub mod kind;
pub mod modules;
pub mod site;
pub mod stack;
pub mod svg;
pub mod text;
pub mod time;
