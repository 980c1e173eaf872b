//! What /proc tells of the host and of the processes at both ends.

pub mod kernel;
pub mod machine;
pub mod process;
pub mod stall;
