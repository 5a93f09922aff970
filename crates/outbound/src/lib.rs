//! To which hosts and addresses requests may go whose URL comes from somebody else: webhooks, and recordings
//! on web servers.
//!
//! A URL is checked twice. Before anything is resolved, it must match a pattern of the configuration:
//! [`HostPattern`] for hosts, [`UrlPattern`] for hosts and paths. When a connection is made, [`PublicResolver`]
//! leaves out the addresses that are not public, so that a name that resolves to another address the second time
//! gets nobody past the check. An address in the URL itself is not resolved: check it with [`is_public`].

mod address;
mod host;
mod resolver;
mod url_pattern;

use std::net::IpAddr;

use url::{Host, Url};

pub use self::{
    address::is_public,
    host::{HostPattern, InvalidHost},
    resolver::{NoPublicAddress, PublicResolver},
    url_pattern::{InvalidPattern, UrlPattern},
};

/// Returns the address if the host of a URL is one. The parser reads all spellings of one: `0x7f.1` is
/// 127.0.0.1.
pub fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_one() {
        let address = |text: &str| literal_address(&text.parse().unwrap());
        for text in
            ["http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/"]
        {
            assert_eq!(address(text), Some(IpAddr::from([127, 0, 0, 1])), "{text}");
        }
        assert_eq!(address("http://[::1]:80/"), Some("::1".parse().unwrap()));
        assert_eq!(address("http://localhost/"), None);
    }
}
