//! Reads what is held.
