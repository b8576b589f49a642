//! Where a webhook may not go: the network this daemon stands in.
//!
//! **Problem.** The URL of a webhook is chosen by an organization, and the request is made from inside the vendor's
//! network. **Method.** Names are resolved here, and only addresses of the public Internet are handed to the connector, so
//! what was checked is what is connected to; a name that changes its mind in between gains nothing. Unencrypted HTTP goes
//! to loopback alone, and only if the configuration allows addresses that are not public.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Resolves names to addresses that may be connected to.
#[derive(Debug)]
pub(super) struct Guarded {
    /// Whether addresses that are not public are allowed.
    pub(super) allow_private: bool,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let plain = uri.scheme() != Some(&Scheme::HTTPS);
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| may_connect(address.ip(), plain, self.allow_private)) {
            allowed.push(*address);
        }
        if allowed.is_empty() {
            let told = "its name leads to no public address, and others are not allowed here";
            return Err(ureq::Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, told)));
        }
        Ok(allowed)
    }
}

/// Whether a request may go to this address.
pub(super) fn may_connect(ip: IpAddr, plain: bool, allow_private: bool) -> bool {
    let ip = ip.to_canonical();
    match (plain, allow_private) {
        (true, true) => ip.is_loopback(),
        (true, false) => false,
        (false, true) => true,
        (false, false) => is_public(ip),
    }
}

/// Whether an address is one of the public Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let reserved = match (a, b, c) {
        // This network, private, loopback, link-local (with the clouds' metadata), multicast and beyond.
        (0 | 10 | 127 | 224..=255, _, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Shared by carriers, protocol assignments, documentation, 6to4 relays, benchmarks.
        (100, 64..=127, _)
        | (192, 0, 0 | 2)
        | (198, 51, 100)
        | (203, 0, 113)
        | (192, 88, 99)
        | (198, 18 | 19, _) => true,
        _ => false,
    };
    !reserved
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // Translated and tunnelled IPv4: as that address is.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => embedded(g, h),
        (0x2002, _) => embedded(b, c),
        // Teredo and other protocol assignments, documentation.
        (0x2001, 0..=0x1ff) | (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // All else that is public is in here.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n1_a_webhook_reaches_the_public_internet_and_nothing_else() {
        let public = [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ];
        let others = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "fec0::1",
            "100::1",
        ];
        let may = |ip: &str, plain, private| may_connect(ip.parse().unwrap(), plain, private);
        for ip in public {
            assert!(may(ip, false, false), "{ip}");
            assert!(!may(ip, true, false) && !may(ip, true, true), "never in the clear: {ip}");
        }
        for ip in others {
            assert!(!may(ip, false, false), "{ip}");
        }
        assert!(may("10.1.2.3", false, true) && may("127.0.0.1", true, true) && !may("10.1.2.3", true, true));
    }
}
