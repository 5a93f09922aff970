//! Signatures of webhooks: HMAC-SHA256 as Standard Webhooks 1.0.0 has it.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";

/// The keys with which each webhook is signed.
#[derive(Clone, Default)]
pub(crate) struct Keys(Vec<Vec<u8>>);

/// Why a text is not a secret. It does not quote the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    #[error("it does not begin with whsec_")]
    Prefix,
    #[error("what follows whsec_ is not base64")]
    Base64,
    #[error(
        "it has {0} bytes instead of 24 to 64; for a new one: echo whsec_$(openssl rand -base64 32)"
    )]
    Length(usize),
    #[error("it is empty")]
    Empty,
}

impl Keys {
    /// Parses secrets that are separated by spaces.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let key = |secret: &str| {
            let encoded = secret.strip_prefix(PREFIX).ok_or(InvalidSecret::Prefix)?;
            let key = BASE64_STANDARD.decode(encoded).map_err(|_| InvalidSecret::Base64)?;
            if (24..=64).contains(&key.len()) {
                Ok(key)
            } else {
                Err(InvalidSecret::Length(key.len()))
            }
        };
        let keys: Vec<_> = text.split_whitespace().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(InvalidSecret::Empty) } else { Ok(Self(keys)) }
    }

    /// Returns the header `webhook-signature`: a signature by each key.
    pub(crate) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let sign = |key: &Vec<u8>| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
        };
        self.0.iter().filter_map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn sign(secrets: &str) -> String {
        let keys = Keys::parse(secrets).unwrap();
        keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
    }

    /// The example in the tests of Standard Webhooks' own libraries.
    #[test]
    fn signs_as_the_published_example() {
        assert_eq!(sign(SECRET), SIGNATURE);
    }

    #[test]
    fn two_secrets_give_two_signatures() {
        let other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let both = sign(&format!("{SECRET} {other}"));
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!((first, second), (SIGNATURE, sign(other).as_str()));
        assert_ne!(first, second);
    }

    #[test]
    fn other_secrets_are_refused() {
        let error = |text: &str| Keys::parse(text).err();
        assert_eq!(error(""), Some(InvalidSecret::Empty));
        assert_eq!(error("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Some(InvalidSecret::Prefix));
        assert_eq!(error("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!"), Some(InvalidSecret::Base64));
        assert_eq!(error("whsec_MfKQ"), Some(InvalidSecret::Length(3)));
        assert_eq!(error(&format!("{SECRET} whsec_")), Some(InvalidSecret::Length(0)));
    }
}
