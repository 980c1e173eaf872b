//! One limit of a host: what it allows, what is needed, what lifts it.

use serde::{Serialize, Serializer};

/// How one limit stands towards a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// What people call it.
    pub name: &'static str,
    /// What happens beyond it.
    pub grade: Grade,
    /// What `here` and `needs` count.
    pub unit: Unit,
    /// What this host allows; `None` where there is no limit or it is not known.
    pub here: Option<u64>,
    /// What the target needs; `None` without a target.
    pub needs: Option<Need>,
    /// How many connections fit under this limit alone; `None` where it bounds none.
    pub permits: Option<u64>,
    /// The judgement.
    pub standing: Standing,
    /// What the limit does, in half a sentence.
    pub why: &'static str,
    /// Ways to lift it, the best first, each enough by itself; empty unless it is short.
    pub cures: Vec<Cure>,
}

impl Limit {
    /// A limit that nothing is known about yet.
    pub(super) fn new(name: &'static str, grade: Grade, unit: Unit, why: &'static str) -> Self {
        Self {
            name,
            grade,
            unit,
            here: None,
            needs: None,
            permits: None,
            standing: Standing::Unknown,
            why,
            cures: Vec::new(),
        }
    }

    /// The same, where nothing bounds, or nothing is in use that could.
    pub(super) fn standing(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// Whether it is in the way.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.standing == Standing::Short
    }
}

/// What happens beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// Connections are refused, or the process dies.
    Ceiling,
    /// Connections are held, but packets are lost or time is.
    Advice,
}

/// What the numbers of a limit count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Pages of memory.
    Pages,
}

/// What a target asks of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// This or more.
    AtLeast(u64),
    /// This or less.
    AtMost(u64),
    /// This.
    Exactly(u64),
}

impl Need {
    /// Whether a value is enough.
    #[must_use]
    pub fn met_by(self, value: u64) -> bool {
        match self {
            Self::AtLeast(need) => value >= need,
            Self::AtMost(need) => value <= need,
            Self::Exactly(need) => value == need,
        }
    }
}

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It allows what is needed, or nothing was asked for.
    Fits,
    /// It does not.
    Short,
    /// There is no such bound here.
    Unlimited,
    /// What it bounds is not used here.
    NotInUse,
    /// This host does not tell.
    Unknown,
}

/// A way to lift a limit: all of its parts together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Cure {
    /// What goes where.
    pub parts: Vec<Part>,
}

/// Lines for one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Where they go.
    pub place: Place,
    /// Ready to be pasted; configuration is `section.key = value`.
    pub lines: Vec<String>,
}

impl Cure {
    pub(super) fn new(place: Place, lines: impl IntoIterator<Item = String>) -> Self {
        Self { parts: vec![Part { place, lines: lines.into_iter().collect() }] }
    }

    /// `key = value` for sysctl.
    pub(super) fn sysctl(key: &str, value: impl std::fmt::Display) -> Self {
        Self::new(Place::Sysctl, [format!("{key} = {value}")])
    }

    /// Both, which is only together enough.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }
}

/// Where lines are pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The gateway's configuration file; `--set` takes the same keys.
    Configuration,
    /// The `[Service]` section of its unit.
    Unit,
    /// A file in /etc/sysctl.d.
    Sysctl,
    /// The kernel's command line, which takes a reboot.
    Boot,
    /// A root shell.
    Shell,
    /// nginx in front of it.
    Proxy,
    /// Nowhere: something to be done.
    Deed,
}

impl Place {
    /// Where that is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Configuration => "millgate.toml, or as flags: --set SECTION.KEY=VALUE",
            Self::Unit => "systemd unit, [Service]",
            Self::Sysctl => "/etc/sysctl.d/98-local.conf, then `sysctl --system`",
            Self::Boot => "kernel command line, then reboot",
            Self::Shell => "root shell",
            Self::Proxy => "nginx",
            Self::Deed => "by hand",
        }
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Configuration => "configuration",
            Self::Unit => "systemd",
            Self::Sysctl => "sysctl",
            Self::Boot => "boot",
            Self::Shell => "shell",
            Self::Proxy => "nginx",
            Self::Deed => "deed",
        })
    }
}
