//! Hides secrets in values that are printed.

use ::config::{Value, ValueKind};

/// Returns the value with passwords and secrets hidden.
pub(super) fn redacted(key: &str, value: &Value) -> serde_json::Value {
    let text = match &value.kind {
        ValueKind::Nil => return serde_json::Value::Null,
        ValueKind::Boolean(value) => return (*value).into(),
        ValueKind::I64(value) => return (*value).into(),
        ValueKind::U64(value) => return (*value).into(),
        ValueKind::Float(value) => return (*value).into(),
        ValueKind::Array(items) => {
            return items.iter().map(|item| redacted(key, item)).collect::<Vec<_>>().into();
        }
        ValueKind::String(text) => text.clone(),
        _ => value.to_string(),
    };
    let secret = ["secret", "password", "token"].iter().any(|word| key.contains(word));
    if secret && !text.is_empty() { "***".into() } else { without_password(&text).into() }
}

/// Replaces the password of every `scheme://user:password@host` in `text`; a mirror is a pair of
/// URLs. A password may contain `@`: the last one before the path ends it.
fn without_password(text: &str) -> String {
    let mut parts = text.split("://");
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (authority, path) = part.split_at(part.find(['/', '?', '#']).unwrap_or(part.len()));
        let userinfo = authority.rsplit_once('@');
        let user = userinfo.and_then(|(info, host)| Some((info.split_once(':')?.0, host)));
        hidden.push_str("://");
        match user {
            Some((user, host)) => hidden.extend([user, ":***@", host]),
            None => hidden.push_str(authority),
        }
        hidden.push_str(path);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_hidden() {
        for (text, shown) in [
            ("amqp://me:p@ss:w@broker/a@b", "amqp://me:***@broker/a@b"),
            ("https://hub/=https://me:p@ss@mirror", "https://hub/=https://me:***@mirror"),
            ("http://me@host:9000/x", "http://me@host:9000/x"),
            ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
            ("info,lapin=warn", "info,lapin=warn"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
