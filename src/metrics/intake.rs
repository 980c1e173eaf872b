//! Whether a reactor accepts clients.

/// What keeps a reactor from accepting clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Intake {
    /// Nothing: it accepts them.
    #[default]
    Open,
    /// It owns as many connections as its descriptor table holds. Its listeners are closed, so
    /// clients go to the other reactors.
    Full,
    /// accept(2) finds no free descriptor in its table (EMFILE).
    ProcessFiles,
    /// The host has no more open files (ENFILE).
    HostFiles,
    /// The kernel has no memory for sockets (ENOBUFS, ENOMEM).
    KernelMemory,
    /// The kernel refuses to watch more sockets (ENOSPC).
    Watches,
    /// Its listener failed, and is opened again after a pause.
    Listener,
}

impl Intake {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Full,
        Self::ProcessFiles,
        Self::HostFiles,
        Self::KernelMemory,
        Self::Watches,
        Self::Listener,
    ];

    /// The state with this number; a number of no state is [`Intake::Open`].
    #[must_use]
    pub fn of(number: u64) -> Self {
        usize::try_from(number).ok().and_then(|n| Self::ALL.get(n)).copied().unwrap_or_default()
    }
}
