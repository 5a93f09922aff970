//! The tagger's output, which is the verbalizer's input after its fields are reordered:
//! `date { year: "2024" month: "05" } char { value: "好" }`.

/// Order in which the verbalizer expects the fields of a token: `ITN_ORDERS` of WeTextProcessing's
/// token parser.
const ORDERS: [(&str, &[&str]); 7] = [
    ("date", &["year", "month", "day", "preserve_order"]),
    ("fraction", &["sign", "numerator", "denominator"]),
    ("measure", &["numerator", "denominator", "value", "units"]),
    ("money", &["currency", "value", "decimal", "quantity"]),
    ("time", &["hour", "minute", "second", "noon", "zone"]),
    ("telephone", &["country_code", "number_part"]),
    ("electronic", &["username", "domain", "protocol"]),
];

/// Puts the fields of each token in the verbalizer's order; returns `None` if `tagged` is
/// malformed.
pub(super) fn reorder(tagged: &str) -> Option<String> {
    let mut rest = tagged.trim();
    let mut ordered = String::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('{')?;
        let (fields, after) = fields(after)?;
        if !ordered.is_empty() {
            ordered.push(' ');
        }
        write(&mut ordered, name.trim(), &fields);
        rest = after.trim_start();
    }
    Some(ordered)
}

/// Name of a field, and its value as written between quotes.
type Field<'a> = (&'a str, &'a str);

/// Parses the fields up to the closing brace; also returns the text after it.
fn fields(mut rest: &str) -> Option<(Vec<Field<'_>>, &str)> {
    let mut fields = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((fields, after));
        }
        let (name, after) = rest.split_once(": \"")?;
        // Values contain no quotes, because `Normalizer` excludes them from the text.
        let (value, after) = after.split_once('"')?;
        fields.push((name, value));
        rest = after;
    }
}

fn write(ordered: &mut String, name: &str, fields: &[Field<'_>]) {
    let order = ORDERS.iter().find(|(token, _)| *token == name).map_or(&[][..], |(_, order)| order);
    let as_is = order.is_empty() || fields.contains(&("preserve_order", "true"));
    let rank = |name: &str| order.iter().position(|other| *other == name).unwrap_or(order.len());
    let mut fields = fields.to_vec();
    if !as_is {
        fields.sort_by_key(|(name, _)| rank(name));
    }
    ordered.push_str(name);
    ordered.push_str(" {");
    for (name, value) in fields {
        ordered.push_str(&format!(" {name}: \"{value}\""));
    }
    ordered.push_str(" }");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reorders_fields() {
        for (tagged, ordered) in [
            ("", ""),
            (r#"char { value: "好" }"#, r#"char { value: "好" }"#),
            (
                r#"char { value: " " } char { value: "}" }"#,
                r#"char { value: " " } char { value: "}" }"#,
            ),
            (
                r#"money { value: "3" currency: "¥" } time { noon: "p.m." hour: "3" }"#,
                r#"money { currency: "¥" value: "3" } time { hour: "3" noon: "p.m." }"#,
            ),
            (
                r#"date { month: "may" day: "5" preserve_order: "true" }"#,
                r#"date { month: "may" day: "5" preserve_order: "true" }"#,
            ),
            (r#"date { extra: "1" day: "5" }"#, r#"date { day: "5" extra: "1" }"#),
        ] {
            assert_eq!(reorder(tagged).as_deref(), Some(ordered));
        }
    }

    #[test]
    fn refuses_malformed_text() {
        for text in ["x", "x {", "x { a }", r#"x { a: "b"#, r#"x { a: "b" "#, "} {"] {
            assert_eq!(reorder(text), None, "{text}");
        }
    }
}
