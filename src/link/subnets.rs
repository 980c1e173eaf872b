//! How many connections each subnet of clients has, and how often it opens one.

use super::rate::{self, Rate};
use crossbeam_utils::CachePadded;
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where a client comes from, as far as limits tell clients apart: an IPv4
/// address, or the first half of an IPv6 one. A subscriber gets 64 bits or more
/// to choose the other half from (RFC 6177), so counting whole addresses would
/// count nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subnet {
    /// An address.
    V4([u8; 4]),
    /// A /64.
    V6([u8; 8]),
}

impl From<IpAddr> for Subnet {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// What one subnet may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubnetRules {
    /// Connections at once; `None` without bound.
    pub connections_max: Option<u32>,
    /// New ones.
    pub rate: Option<Rate>,
    /// The fair share of what all may open together, where that is bounded.
    pub share: Option<Rate>,
}

impl SubnetRules {
    /// Whether there is anything to count.
    #[must_use]
    pub fn are_needed(&self) -> bool {
        self.connections_max.is_some() || self.rate.is_some()
    }
}

/// Why a subnet gets no further connection now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// It has as many as it may.
    Connections,
    /// It opens them too fast.
    Rate,
}

/// Connections by subnet, shared by all reactors: one short lock when a
/// connection is counted, and one when it ends. A subnet is forgotten when it
/// has no connection and nothing to wait for.
#[derive(Debug)]
pub struct Subnets {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Shard {
    of: HashMap<Subnet, Entry>,
    /// How many have no connection.
    idle: usize,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u32,
    /// What the rate keeps.
    opened: u64,
    /// What the fair share keeps.
    share: u64,
}

const SHARDS: usize = 64;

/// So many without a connection may lie in a shard before it is looked through.
const IDLE_MAX: usize = 64;

impl Default for Subnets {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| CachePadded::default()).collect();
        // Strangers choose their addresses: SipHash with a random key.
        Self { shards, hasher: RandomState::new() }
    }
}

impl Subnets {
    /// Counts one more connection of `subnet`, which has to be given back by
    /// [`Subnets::release`]. True if it has opened more than its fair share lately.
    ///
    /// # Errors
    /// [`Crowded`] when it may have none now; then nothing is to be given back.
    pub fn admit(
        &self,
        subnet: Subnet,
        rules: &SubnetRules,
        now: Duration,
    ) -> Result<bool, Crowded> {
        let mut shard = self.shard(subnet);
        shard.sweep(now);
        let Shard { of, idle } = &mut *shard;
        let entry = of.entry(subnet).or_insert_with(|| {
            *idle += 1;
            Entry::default()
        });
        if rules.connections_max.is_some_and(|max| entry.connections >= max) {
            return Err(Crowded::Connections);
        }
        if let Some(rate) = &rules.rate {
            entry.opened = rate.take(entry.opened, now, 1).ok_or(Crowded::Rate)?;
        }
        let has_had_share = match &rules.share {
            None => false,
            Some(share) => match share.take(entry.share, now, 1) {
                Some(kept) => {
                    entry.share = kept;
                    false
                }
                None => true,
            },
        };
        if entry.connections == 0 {
            *idle -= 1;
        }
        entry.connections += 1;
        Ok(has_had_share)
    }

    /// Counts one more connection of `subnet` that is there already, whatever its bounds. It has
    /// to be given back by [`Subnets::release`].
    pub fn count(&self, subnet: Subnet) {
        let mut shard = self.shard(subnet);
        let Shard { of, idle } = &mut *shard;
        match of.entry(subnet) {
            Occupied(mut entry) => {
                let entry = entry.get_mut();
                *idle -= usize::from(entry.connections == 0);
                entry.connections += 1;
            }
            Vacant(place) => _ = place.insert(Entry { connections: 1, ..Entry::default() }),
        }
    }

    /// One connection of `subnet` has ended.
    pub fn release(&self, subnet: Subnet) {
        let mut shard = self.shard(subnet);
        let Shard { of, idle } = &mut *shard;
        if let Some(entry) = of.get_mut(&subnet) {
            entry.connections = entry.connections.saturating_sub(1);
            if entry.connections == 0 {
                *idle += 1;
            }
        }
    }

    /// Subnets that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).of.len()).sum()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, subnet: Subnet) -> MutexGuard<'_, Shard> {
        // Less than SHARDS, which fits any word.
        let index = (self.hasher.hash_one(subnet) % SHARDS as u64) as usize;
        lock(&self.shards[index])
    }
}

impl Shard {
    /// Forgets who has nothing to wait for. At most a second's worth of those
    /// who are too fast stays, so looking through all of them is paid by as
    /// many that came before.
    fn sweep(&mut self, now: Duration) {
        if self.idle > IDLE_MAX.max(self.of.len() / 2) {
            self.of.retain(|_, entry| {
                let last = entry.opened.max(entry.share);
                entry.connections > 0 || !rate::is_settled(last, now)
            });
            self.idle = self.of.values().filter(|entry| entry.connections == 0).count();
        }
    }
}

/// Nothing panics with a lock held half-way through a change.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    fn subnet(text: &str) -> Subnet {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn half_an_address_of_version_6_is_one_client() {
        assert_eq!(subnet("2001:db8:1:2::1"), subnet("2001:db8:1:2:ffff::9"));
        assert_ne!(subnet("2001:db8:1:2::1"), subnet("2001:db8:1:3::1"));
        assert_eq!(subnet("::ffff:192.0.2.1"), subnet("192.0.2.1"));
        assert_ne!(subnet("192.0.2.1"), subnet("192.0.2.2"));
    }

    #[test]
    fn connections_are_counted_and_given_back() {
        let subnets = Subnets::default();
        let rules = SubnetRules { connections_max: Some(2), rate: None, share: None };
        let (ann, bob) = (subnet("192.0.2.1"), subnet("192.0.2.2"));
        assert_eq!(subnets.admit(ann, &rules, NOW), Ok(false));
        assert_eq!(subnets.admit(ann, &rules, NOW), Ok(false));
        assert_eq!(subnets.admit(ann, &rules, NOW), Err(Crowded::Connections));
        assert_eq!(subnets.admit(bob, &rules, NOW), Ok(false));
        subnets.release(ann);
        assert_eq!(subnets.admit(ann, &rules, NOW), Ok(false));
    }

    #[test]
    fn who_was_there_before_the_bound_counts_against_it() {
        let subnets = Subnets::default();
        let rules = SubnetRules { connections_max: Some(2), rate: None, share: None };
        let ann = subnet("192.0.2.1");
        (0..3).for_each(|_| subnets.count(ann));
        for _ in 0..2 {
            assert_eq!(subnets.admit(ann, &rules, NOW), Err(Crowded::Connections));
            subnets.release(ann);
        }
        assert_eq!(subnets.admit(ann, &rules, NOW), Ok(false));
        (0..2).for_each(|_| subnets.release(ann));
        subnets.count(ann);
        assert_eq!(subnets.shard(ann).idle, 0);
    }

    #[test]
    fn who_is_too_fast_waits() {
        let subnets = Subnets::default();
        let rules = SubnetRules { connections_max: None, rate: Rate::new(2, 0), share: None };
        let ann = subnet("192.0.2.1");
        for _ in 0..2 {
            assert_eq!(subnets.admit(ann, &rules, NOW), Ok(false));
            subnets.release(ann);
        }
        assert_eq!(subnets.admit(ann, &rules, NOW), Err(Crowded::Rate));
        let later = NOW + Duration::from_millis(500);
        assert_eq!(subnets.admit(ann, &rules, later), Ok(false));
    }

    #[test]
    fn strangers_who_come_and_go_are_forgotten() {
        let subnets = Subnets::default();
        let rules = SubnetRules { connections_max: Some(1), rate: Rate::new(100, 0), share: None };
        for number in 0_u32..100_000 {
            let stranger = Subnet::V4(number.to_be_bytes());
            let now = NOW + Duration::from_millis(number.into());
            subnets.admit(stranger, &rules, now).unwrap();
            subnets.release(stranger);
        }
        assert!(subnets.len() <= SHARDS * (IDLE_MAX + 2), "{}", subnets.len());
    }

    #[test]
    fn more_than_a_fair_share_is_told() {
        let (subnets, ann, bob) = (Subnets::default(), subnet("192.0.2.1"), subnet("192.0.2.2"));
        let share = Rate::new(2, 0);
        let rules = SubnetRules { connections_max: Some(9), rate: None, share };
        let come = |subnet| subnets.admit(subnet, &rules, NOW).unwrap();
        assert_eq!([come(ann), come(ann), come(ann), come(bob)], [false, false, true, false]);
        let later = NOW + Duration::from_secs(1);
        assert_eq!(subnets.admit(ann, &rules, later), Ok(false));
    }
}
