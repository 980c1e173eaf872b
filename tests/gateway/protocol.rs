//! What clients see, row by row: commands, pushes, frames, handshakes, ends.

mod allowances;
mod budgets;
mod commands;
mod ends;
mod frames;
mod handshakes;
mod pushes;
