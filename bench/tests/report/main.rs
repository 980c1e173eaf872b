//! Reports of invented results, as a stranger would check them.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod csv;
mod diff;
mod example;
mod html;
mod json;
mod scenes;
mod side;
mod text;
