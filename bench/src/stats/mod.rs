//! Arithmetic over measurements: pure, seeded, and tested against known answers.

pub mod bootstrap;
pub mod fairness;
pub mod histogram;
pub mod hlog;
pub mod knee;
pub mod nnls;
pub mod regression;
pub mod slo;
pub mod student;
pub mod usl;
