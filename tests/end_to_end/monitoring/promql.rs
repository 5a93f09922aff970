//! Finds the parts of expressions in Prometheus' query language, as far as our dashboard and rules use it.

use std::{collections::BTreeSet, ops::Range};

/// Words that precede labels in parentheses.
const CLAUSES: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const SET_OPERATORS: [&str; 3] = ["and", "or", "unless"];
/// Words that are not metrics, although no parenthesis need follow.
const KEYWORDS: [&str; 10] =
    ["bool", "offset", "sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile"];

/// What the parts of an expression name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Every metric, with its matchers in braces.
    pub(crate) selectors: BTreeSet<String>,
    /// Labels by which is grouped and joined.
    pub(crate) labels: BTreeSet<String>,
}

/// A part of an expression. Strings, ranges and numbers are `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Braces,
    Open,
    Close,
    Comparison,
    Other,
}

/// Returns what an expression names.
pub(crate) fn names(expression: &str) -> Names {
    let tokens = tokens(expression);
    let text = |index: usize| tokens.get(index).map_or("", |(_, range)| &expression[range.clone()]);
    let kind = |index: usize| tokens.get(index).map(|(kind, _)| *kind);
    let mut names = Names::default();
    let mut index = 0;
    while index < tokens.len() {
        let word = text(index);
        if kind(index) != Some(Kind::Word)
            || SET_OPERATORS.contains(&word)
            || KEYWORDS.contains(&word)
        {
            index += 1;
            continue;
        }
        if CLAUSES.contains(&word) {
            index += 2;
            while index < tokens.len() && kind(index) != Some(Kind::Close) {
                if kind(index) == Some(Kind::Word) {
                    names.labels.insert(text(index).to_owned());
                }
                index += 1;
            }
        } else if kind(index + 1) == Some(Kind::Braces) {
            names.selectors.insert(format!("{word}{}", text(index + 1)));
        } else if kind(index + 1) != Some(Kind::Open) {
            // Not a function.
            names.selectors.insert(word.to_owned());
        }
        index += 1;
    }
    names
}

/// Returns the expressions that an alert compares or combines: each must return something for the alert to
/// fire ever.
pub(crate) fn operands(expression: &str) -> Vec<String> {
    let expression = expression.trim();
    if let Some(inner) = expression.strip_prefix("absent(").and_then(|rest| rest.strip_suffix(')'))
    {
        return operands(inner);
    }
    let tokens = tokens(expression);
    let (mut pieces, mut depth, mut start, mut index) = (Vec::new(), 0, 0, 0);
    while let Some((kind, range)) = tokens.get(index) {
        let word = &expression[range.clone()];
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            Kind::Comparison if depth == 0 => {
                pieces.push(&expression[start..range.start]);
                start = range.end;
            }
            Kind::Word if depth == 0 && SET_OPERATORS.contains(&word) => {
                pieces.push(&expression[start..range.start]);
                start = range.end;
                let next = tokens.get(index + 1).map(|(_, range)| &expression[range.clone()]);
                if next.is_some_and(|next| CLAUSES.contains(&next)) {
                    while tokens[index].0 != Kind::Close {
                        index += 1;
                    }
                    start = tokens[index].1.end;
                }
            }
            _ => {}
        }
        index += 1;
    }
    pieces.push(&expression[start..]);
    if let [whole] = pieces[..] {
        let inner = is_enclosed(whole).then(|| &whole[1..whole.len() - 1]);
        return inner.map_or_else(|| vec![whole.to_owned()], operands);
    }
    let pieces = pieces.into_iter().map(str::trim);
    pieces.filter(|piece| piece.parse::<f64>().is_err()).flat_map(operands).collect()
}

/// Whether the first parenthesis is closed by the last character.
fn is_enclosed(expression: &str) -> bool {
    let mut depth = 0;
    for (kind, range) in tokens(expression) {
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return kind == Kind::Close && range.end == expression.len();
        }
    }
    false
}

fn tokens(expression: &str) -> Vec<(Kind, Range<usize>)> {
    let bytes = expression.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.".contains(&byte);
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let kind = match bytes[at] {
            b'(' => Kind::Open,
            b')' => Kind::Close,
            b'{' => {
                at = end_of(bytes, at, b'}');
                Kind::Braces
            }
            b'[' => {
                at = end_of(bytes, at, b']');
                Kind::Other
            }
            quote @ (b'"' | b'\'') => {
                at = end_of(bytes, at, quote);
                Kind::Other
            }
            b'<' | b'>' | b'=' | b'!' => {
                at += usize::from(bytes.get(at + 1) == Some(&b'='));
                Kind::Comparison
            }
            first if is_word(first) => {
                while bytes.get(at + 1).is_some_and(|next| is_word(*next)) {
                    at += 1;
                }
                if first.is_ascii_digit() { Kind::Other } else { Kind::Word }
            }
            _ => Kind::Other,
        };
        at += 1;
        if !bytes[start].is_ascii_whitespace() {
            tokens.push((kind, start..at));
        }
    }
    tokens
}

/// Returns where what opens at `start` is closed. Strings within are skipped.
fn end_of(bytes: &[u8], start: usize, close: u8) -> usize {
    let (mut at, mut in_string) = (start + 1, false);
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == close && !in_string => return at,
            b'"' => in_string = !in_string,
            _ => {}
        }
        at += 1;
    }
    bytes.len() - 1
}

#[test]
fn the_names_of_an_expression_are_found() {
    let expression = "sum by (lane, le) (rate(a_bucket{x=\"}(\",y=~\"b|c\"}[5m])) / on () group_left () \
                      (1 - d:e) > bool 0.5 or vector(0) unless on (job) max_over_time(f[5m]) == 2";
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        names(expression),
        Names {
            selectors: set(&["a_bucket{x=\"}(\",y=~\"b|c\"}", "d:e", "f"]),
            labels: set(&["job", "lane", "le"]),
        }
    );
}

#[test]
fn the_operands_of_an_alert_are_found() {
    let expression = "(increase(a{b=\"c\"}[3m]) == 0 and d > 0) unless on (e) (f / g) >= 1 or absent(h{i=\"j\"})";
    let expected = ["increase(a{b=\"c\"}[3m])", "d", "f / g", "h{i=\"j\"}"];
    assert_eq!(operands(expression), expected);
    assert_eq!(operands("sum by (a) (b == bool 0) > 0"), ["sum by (a) (b == bool 0)"]);
}
