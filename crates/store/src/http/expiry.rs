//! When presigned URLs expire.

use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

/// Parameters that contain a signature: of Amazon (twice), Google and Azure.
const SIGNATURES: [&str; 4] = ["x-amz-signature", "x-goog-signature", "signature", "sig"];

/// Returns whether the query of a URL has a signature.
pub(super) fn is_presigned(url: &Url) -> bool {
    SIGNATURES.iter().any(|name| parameter(url, name).is_some())
}

/// Returns whether a URL that is presigned says that it has expired.
pub(super) fn has_expired(url: &Url, now: SystemTime) -> bool {
    is_presigned(url) && expiry(url).is_some_and(|expiry| expiry < now)
}

/// Returns when a presigned URL expires, if it says so in one of the known ways.
fn expiry(url: &Url) -> Option<SystemTime> {
    let number = |name: &str| parameter(url, name)?.parse::<u32>().ok();
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let from_start = |date: &str, lifetime: &str| {
        let start = parse(&expanded(&parameter(url, date)?)?)?;
        start.checked_add(seconds(number(lifetime)?))
    };
    // Amazon and Google, signatures of version 4.
    from_start("x-amz-date", "x-amz-expires")
        .or_else(|| from_start("x-goog-date", "x-goog-expires"))
        // CloudFront, Google and Amazon, signatures of version 2.
        .or_else(|| SystemTime::UNIX_EPOCH.checked_add(seconds(number("expires")?)))
        // Azure.
        .or_else(|| {
            let end = parameter(url, "se")?;
            parse(&end).or_else(|| parse(&format!("{end}T00:00:00Z")))
        })
}

/// Returns the time `20261125T071800Z` as `2026-11-25T07:18:00Z`.
fn expanded(compact: &str) -> Option<String> {
    let (date, time) = compact.split_once('T')?;
    let digits = |text: &str, from: usize, to: usize| Some(text.get(from..to)?.to_owned());
    let date = [digits(date, 0, 4)?, digits(date, 4, 6)?, digits(date, 6, 8)?].join("-");
    let time = [digits(time, 0, 2)?, digits(time, 2, 4)?, digits(time, 4, 6)?].join(":");
    Some(format!("{date}T{time}Z"))
}

fn parse(time: &str) -> Option<SystemTime> {
    OffsetDateTime::parse(time, &Rfc3339).ok().map(Into::into)
}

/// Returns the first value of a parameter, whose name is compared without regard to case.
fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_says_in_its_way_when_a_url_expires() {
        // Wed, 25 Nov 2026 07:28:00 GMT
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_591_680);
        let (before, after) = (end - Duration::from_secs(1), end + Duration::from_secs(1));
        for query in [
            "X-Amz-Date=20261125T071800Z&X-Amz-Expires=600&X-Amz-Signature=x",
            "X-Goog-Date=20261125T071800Z&X-Goog-Expires=600&X-Goog-Signature=x",
            "AWSAccessKeyId=a&Expires=1795591680&Signature=x",
            "se=2026-11-25T07%3A28%3A00Z&sig=x",
        ] {
            let url: Url = format!("https://a.org/b?{query}").parse().unwrap();
            assert!(!has_expired(&url, before) && has_expired(&url, after), "{query}");
        }
        let day: Url = "https://a.org/?se=2026-11-25&sig=x".parse().unwrap();
        assert!(has_expired(&day, end));
    }

    #[test]
    fn other_urls_do_not_expire() {
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33);
        for query in [
            "",
            "expires=1",
            "sig=x",
            "sig=x&expires=soon",
            "sig=x&expires=99999999999999999999",
            "sig=x&se=tomorrow",
            "X-Amz-Signature=x&X-Amz-Date=20269999T999999Z&X-Amz-Expires=1",
            "X-Amz-Signature=x&X-Amz-Date=20261125T071800Z",
        ] {
            let url: Url = format!("https://a.org/b?{query}").parse().unwrap();
            assert!(!has_expired(&url, far), "{query}");
        }
    }
}
