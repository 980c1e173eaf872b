//! Whether new clients are let in, and what keeps them out.

use crate::metrics::{Intake, Metrics};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// Why a node takes no new clients. Those that are connected stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Shortage {
    /// `limits.connections` is reached.
    Connections,
    /// Each reactor owns as many connections as its descriptor table holds.
    Descriptors,
    /// At least one reactor cannot accept, whatever is free elsewhere: no descriptor in its table.
    ProcessFiles,
    /// The same: the host has no more open files.
    HostFiles,
    /// The same: the kernel has no memory for sockets.
    KernelMemory,
    /// The same: the kernel refuses to watch more sockets.
    Watches,
    /// The same: a listener has failed.
    Listener,
    /// Memory of the host or of the control group is short.
    Memory,
}

impl Shortage {
    /// Every reason with the name it has in the metrics.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Connections, "connections"),
        (Self::Descriptors, "descriptors"),
        (Self::ProcessFiles, "process_files"),
        (Self::HostFiles, "host_files"),
        (Self::KernelMemory, "kernel_memory"),
        (Self::Watches, "watches"),
        (Self::Listener, "listener"),
        (Self::Memory, "memory"),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Why a reactor in this state keeps clients waiting that the kernel has given to it.
    fn of(intake: Intake) -> Option<Self> {
        match intake {
            // A full reactor has closed its listeners: the others take its clients.
            Intake::Open | Intake::Full => None,
            Intake::ProcessFiles => Some(Self::ProcessFiles),
            Intake::HostFiles => Some(Self::HostFiles),
            Intake::KernelMemory => Some(Self::KernelMemory),
            Intake::Watches => Some(Self::Watches),
            Intake::Listener => Some(Self::Listener),
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "limits.connections is reached",
            Self::Descriptors => {
                "all descriptors for connections are in use; raise the limit of open files \
                 (LimitNOFILE=, ulimit -n)"
            }
            Self::ProcessFiles => {
                "accept(2) finds no free descriptor; raise the limit of open files (LimitNOFILE=, \
                 ulimit -n)"
            }
            Self::HostFiles => "the host has no more open files (fs.file-max)",
            Self::KernelMemory => "the kernel has no memory for sockets",
            Self::Watches => "the kernel refuses to watch more sockets (fs.epoll.max_user_watches)",
            Self::Listener => "a listener has failed and cannot be opened yet",
            Self::Memory => "memory is short",
        })
    }
}

/// Says so to all reactors. It is closed while memory is short, so that those
/// who are connected stay so. It also knows what else keeps new clients out.
#[derive(Debug, Default)]
pub struct Admission {
    is_closed: AtomicBool,
    /// The bits of all that [`Admission::look`] has found.
    found: AtomicU8,
}

impl Admission {
    /// Closes or opens it.
    pub fn close(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::Relaxed);
    }

    /// Whether reactors turn everybody away because memory is short.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Looks at what the reactors say of themselves. A node that is full by
    /// `connections_max` is full until a sixteenth of that is free again, or it would change its
    /// mind with each client. Only one task may call this.
    pub fn look(&self, metrics: &Metrics, connections_max: usize) {
        let was_full = self.found.load(Ordering::Relaxed) & Shortage::Connections.bit() != 0;
        let margin = if was_full { connections_max / 16 } else { 0 };
        let connections = metrics.total(|block| &block.connections);
        let mut found = 0;
        if connections.saturating_add(margin as u64) >= connections_max as u64 {
            found |= Shortage::Connections.bit();
        }
        let intakes = || metrics.reactors.iter().map(|block| Intake::of(block.intake.get()));
        if !metrics.reactors.is_empty() && intakes().all(|intake| intake == Intake::Full) {
            found |= Shortage::Descriptors.bit();
        }
        found = intakes().filter_map(Shortage::of).fold(found, |found, short| found | short.bit());
        self.found.store(found, Ordering::Relaxed);
    }

    /// Whether this reason keeps new clients out now.
    #[must_use]
    pub fn is_short(&self, of: Shortage) -> bool {
        match of {
            Shortage::Memory => self.is_closed(),
            other => self.found.load(Ordering::Relaxed) & other.bit() != 0,
        }
    }

    /// All that keeps new clients out now.
    pub fn shortages(&self) -> impl Iterator<Item = Shortage> {
        let all = Shortage::ALL.into_iter().map(|(shortage, _)| shortage);
        all.filter(|shortage| self.is_short(*shortage))
    }

    /// Whether new clients are let in, as of the last look.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shortages().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(admission: &Admission) -> Vec<Shortage> {
        admission.shortages().collect()
    }

    #[test]
    fn a_full_node_is_full_until_some_have_left() {
        let (metrics, admission) = (Metrics::new(2), Admission::default());
        for (connections, is_full) in
            [(0, false), (31, false), (32, true), (31, true), (30, true), (29, false), (31, false)]
        {
            metrics.reactors[1].connections.set(connections);
            admission.look(&metrics, 32);
            assert_eq!(!admission.is_open(), is_full, "{connections}");
        }
        metrics.reactors[0].connections.set(10);
        admission.look(&metrics, 32);
        assert_eq!(found(&admission), [Shortage::Connections]);
        admission.look(&metrics, usize::MAX);
        assert!(admission.is_open(), "without a limit");
        metrics.reactors[0].connections.set(0);
        metrics.reactors[1].connections.set(1);
        admission.look(&metrics, 1);
        assert!(!admission.is_open());
        metrics.reactors[1].connections.set(0);
        admission.look(&metrics, 1);
        assert!(admission.is_open(), "a limit of one");
    }

    #[test]
    fn clients_of_a_full_reactor_go_to_others_and_those_of_a_paused_one_wait() {
        let (metrics, admission) = (Metrics::new(2), Admission::default());
        let look = |intakes: [Intake; 2]| {
            for (block, intake) in metrics.reactors.iter().zip(intakes) {
                block.intake.set(intake as u64);
            }
            admission.look(&metrics, usize::MAX);
            found(&admission)
        };
        assert_eq!(look([Intake::Full, Intake::Open]), []);
        assert_eq!(look([Intake::Full, Intake::Full]), [Shortage::Descriptors]);
        assert_eq!(look([Intake::ProcessFiles, Intake::Open]), [Shortage::ProcessFiles]);
        let both = [Shortage::HostFiles, Shortage::KernelMemory];
        assert_eq!(look([Intake::KernelMemory, Intake::HostFiles]), both);
        assert_eq!(look([Intake::Watches, Intake::Listener]).len(), 2);
        assert_eq!(look([Intake::Open, Intake::Open]), []);
        admission.close(true);
        assert_eq!(found(&admission), [Shortage::Memory]);
    }

    #[test]
    fn names_stand_in_the_order_of_their_numbers() {
        for (index, (shortage, _)) in Shortage::ALL.into_iter().enumerate() {
            assert_eq!(shortage as usize, index);
        }
        for (index, intake) in Intake::ALL.into_iter().enumerate() {
            assert_eq!((intake as usize, Intake::of(index as u64)), (index, intake));
        }
    }
}
