//! Assembly: everything a node is made of, started and stopped in order.

use crate::config::Config;

/// Why a node could not be started, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

/// A node that runs.
#[derive(Debug)]
pub struct Gateway;

impl Gateway {
    /// Starts everything.
    ///
    /// # Errors
    /// When a part cannot be started.
    pub fn start(_config: Config) -> Result<Self, StartError> {
        Ok(Self)
    }

    /// Waits for SIGTERM or SIGINT, then ends in good order.
    ///
    /// # Errors
    /// When the end was not a good one.
    pub fn run_until_signal(self) -> Result<(), StartError> {
        Ok(())
    }
}
