//! Resolves the names of hosts, and leaves out the addresses to which no connection may be made. The
//! connection is made to what is left, so the answer that is checked is the one that is used.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::is_public;

/// The resolver of a client whose URLs come from somebody else.
#[derive(Debug, Clone, Copy)]
pub struct PublicResolver {
    /// Whether private addresses are left in, too.
    pub allow_private: bool,
}

/// A name has addresses, and none of them is public.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} has no public address")]
pub struct NoPublicAddress {
    pub host: String,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = *self;
        Box::pin(async move {
            // The port is set by the caller.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = resolver.allowed(name.as_str(), found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl PublicResolver {
    /// Returns the addresses that are allowed.
    fn allowed(
        self,
        host: &str,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, NoPublicAddress> {
        let mut found = found.peekable();
        let is_found = found.peek().is_some();
        let is_allowed = |address: &SocketAddr| self.allow_private || is_public(address.ip());
        let allowed: Vec<_> = found.filter(is_allowed).collect();
        if is_found && allowed.is_empty() {
            return Err(NoPublicAddress { host: host.to_owned() });
        }
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(allow_private: bool, texts: &[&str]) -> Result<Vec<SocketAddr>, NoPublicAddress> {
        let addresses: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
        PublicResolver { allow_private }.allowed("a.org", addresses.into_iter())
    }

    #[test]
    fn private_addresses_are_left_out() {
        let public: SocketAddr = "8.8.8.8:0".parse().unwrap();
        assert_eq!(found(false, &["127.0.0.1:0", "8.8.8.8:0", "[::1]:0"]), Ok(vec![public]));
        let refused = Err(NoPublicAddress { host: "a.org".to_owned() });
        assert_eq!(found(false, &["127.0.0.1:0", "[::ffff:8.8.8.8]:0"]), refused);
        assert_eq!(
            found(false, &[]),
            Ok(Vec::new()),
            "a name without addresses is another failure"
        );
        assert_eq!(found(true, &["127.0.0.1:0"]).map(|found| found.len()), Ok(1));
    }
}
