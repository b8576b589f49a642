//! How many connections there may be, in all and from one address.
//!
//! **Problem.** A flood of sockets, or one broken gateway that reconnects in a loop, must not keep other devices out.
//! **Method.** Every accepted socket takes a place and gives it back when it goes. A socket that has not yet proven to
//! be a device takes a pending place, of which one address gets half at most. **Deliberately absent:** rates; a
//! limit on how many are there at once bounds memory, and handshakes are short.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Limits and the places taken.
pub(super) struct Gate {
    max_total: usize,
    max_pending: usize,
    max_per_address: usize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    total: usize,
    pending: usize,
    addresses: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    total: usize,
    pending: usize,
}

/// A place taken; it is given back when this is dropped.
pub(super) struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
    pending: AtomicBool,
}

impl Gate {
    pub(super) fn new(max_devices: usize, max_pending: usize, max_per_address: usize) -> Arc<Gate> {
        let max_total = max_devices.saturating_add(max_pending);
        Arc::new(Gate { max_total, max_pending, max_per_address, places: Mutex::default() })
    }

    /// Takes a pending place for a socket from `address`; `None` when there is none left.
    pub(super) fn enter(self: &Arc<Gate>, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let count = places.addresses.get(&address).copied().unwrap_or_default();
        let full = places.total >= self.max_total
            || places.pending >= self.max_pending
            || count.total >= self.max_per_address
            || count.pending >= (self.max_pending / 2).max(1);
        if full {
            return None;
        }
        places.total += 1;
        places.pending += 1;
        places.addresses.insert(address, Count { total: count.total + 1, pending: count.pending + 1 });
        drop(places);
        Some(Place { gate: Arc::clone(self), address, pending: AtomicBool::new(true) })
    }
}

impl Place {
    /// The socket is a device now: MQTT accepted it.
    pub(super) fn proven(&self) {
        if self.pending.swap(false, Ordering::Relaxed) {
            let mut places = self.gate.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.pending = places.pending.saturating_sub(1);
            if let Some(count) = places.addresses.get_mut(&self.address) {
                count.pending = count.pending.saturating_sub(1);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.proven();
        let mut places = self.gate.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.total = places.total.saturating_sub(1);
        let left = places.addresses.get_mut(&self.address).map_or(0, |count| {
            count.total = count.total.saturating_sub(1);
            count.total
        });
        if left == 0 {
            places.addresses.remove(&self.address);
        }
    }
}

/// What counts as one address: an IPv6 host has a whole /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_come_back_and_one_address_cannot_take_them_all() {
        let gate = Gate::new(10, 4, 5);
        let held: Vec<_> = (0..3).map_while(|_| gate.enter(at("192.0.2.1"))).collect();
        assert_eq!(held.len(), 2, "half of the pending places");
        assert!(gate.enter(at("192.0.2.2")).is_some());
        drop(held);
        assert!(gate.enter(at("192.0.2.1")).is_some());
        assert!(gate.places.lock().unwrap().addresses.is_empty(), "nothing is remembered of who left");
    }

    #[test]
    fn a_proven_device_frees_its_pending_place() {
        let gate = Gate::new(10, 8, 5);
        let mut held = Vec::new();
        while let Some(place) = gate.enter(at("192.0.2.1")) {
            place.proven();
            held.push(place);
        }
        assert_eq!(held.len(), 5, "the limit of one address");
    }

    #[test]
    fn a_v6_host_is_its_whole_network_and_mapped_v4_is_v4() {
        let gate = Gate::new(10, 3, 5);
        let _held = gate.enter(at("2001:db8:1:2::1")).unwrap();
        assert!(gate.enter(at("2001:db8:1:2:ffff::9")).is_none());
        assert!(gate.enter(at("2001:db8:1:3::1")).is_some());
        let _v4 = gate.enter(at("192.0.2.1")).unwrap();
        assert!(gate.enter(at("::ffff:192.0.2.1")).is_none());
    }
}
