//! A loopback address of one's own, so that tests in parallel never meet.
//!
//! Port numbers "found free" are raced for by everything on the machine. All of 127/8 is loopback: each daemon under
//! test takes an address of its own there and keeps its usual ports, also across restarts.

use std::net::{Ipv4Addr, TcpListener};

/// The port whose listener says "this address is taken"; nobody connects to it.
const RESERVATION_PORT: u16 = 20_007;

/// An address in 127/8 that nobody else on this machine takes while this value lives.
#[derive(Debug)]
pub struct Place {
    address: Ipv4Addr,
    _reserved: TcpListener,
}

impl Place {
    /// Takes an address.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn take() -> Place {
        // Neighbours start their search far apart.
        let start = std::process::id().wrapping_mul(2_654_435_761);
        (0..1000_u32)
            .find_map(|n| {
                let [_, b, c, d] = start.wrapping_add(n.wrapping_mul(257)).to_be_bytes();
                // Neither the address everybody uses nor one that looks like a network or a broadcast.
                let address = Ipv4Addr::new(127, b.clamp(1, 254), c, d.clamp(1, 254));
                let reserved = TcpListener::bind((address, RESERVATION_PORT)).ok()?;
                Some(Place { address, _reserved: reserved })
            })
            .expect("some address of 127/8 is free")
    }

    /// The address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}
