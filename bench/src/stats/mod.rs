//! Arithmetic over measurements: pure, seeded, and tested against known answers.

pub mod fairness;
pub mod histogram;
