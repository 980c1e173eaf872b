//! How a run ends, for whoever calls it from a script (the codes of k6 where it has them).

use std::process::ExitCode;

/// The outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All went as it should.
    Ok,
    /// A regression between two results, found by `diff`.
    Regressed,
    /// Something failed that no other code names.
    Failed,
    /// A service level was missed.
    ObjectiveMissed,
    /// The command line or a file makes no sense.
    BadArguments,
    /// Ended by a signal; what was measured until then was reported.
    Aborted,
    /// The generator was the limit: nothing is known about the server.
    GeneratorLimited,
}

impl Exit {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Regressed => 98,
            Self::ObjectiveMissed => 99,
            Self::BadArguments => 104,
            Self::Aborted => 105,
            Self::GeneratorLimited => 106,
        }
    }
}

impl Exit {
    /// What a process's exit code means; nothing that is none of these.
    #[must_use]
    pub fn from_code(code: i32) -> Option<Self> {
        let all = [
            Self::Ok,
            Self::Failed,
            Self::Regressed,
            Self::ObjectiveMissed,
            Self::BadArguments,
            Self::Aborted,
            Self::GeneratorLimited,
        ];
        all.into_iter().find(|exit| i32::from(exit.code()) == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
