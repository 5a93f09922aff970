//! Resolves the names of hosts, and leaves out the addresses to which no connection may be made. The
//! connection is made to what is left, so the answer that is checked is the one that is used.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{Refusal, policy::Policy};

#[derive(Debug)]
pub(crate) struct PublicResolver {
    pub(crate) policy: Arc<Policy>,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        Box::pin(async move {
            // The port is set by the caller.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(&policy, name.as_str(), found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Returns the addresses that are allowed.
fn allowed(
    policy: &Policy,
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Refusal> {
    let mut found = found.peekable();
    let is_found = found.peek().is_some();
    let allowed: Vec<_> = found.filter(|address| policy.allows(address.ip())).collect();
    if is_found && allowed.is_empty() {
        return Err(Refusal::NoPublicAddress(host.to_owned()));
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_left_out() {
        let policy = Policy { hosts: Vec::new(), allow_private: false, allow_http: false };
        let found = |texts: &[&str]| {
            let addresses: Vec<SocketAddr> =
                texts.iter().map(|text| text.parse().unwrap()).collect();
            allowed(&policy, "a.org", addresses.into_iter())
        };
        let public = ["8.8.8.8:0".parse().unwrap()];
        assert_eq!(found(&["127.0.0.1:0", "8.8.8.8:0", "[::1]:0"]), Ok(public.to_vec()));
        let refused = Err(Refusal::NoPublicAddress("a.org".to_owned()));
        assert_eq!(found(&["127.0.0.1:0", "[::ffff:8.8.8.8]:0"]), refused);
        assert_eq!(found(&[]), Ok(Vec::new()), "a name without addresses is another failure");
    }
}
