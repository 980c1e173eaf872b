//! What operators order and see.

mod access;
mod door;
mod drain;
mod find;
mod kick;
mod reload;
mod state;
mod trace;
