//! What clients see, row by row: commands, pushes, frames, handshakes, ends.

mod commands;
mod ends;
mod frames;
mod handshakes;
mod pushes;
