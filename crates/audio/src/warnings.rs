//! Sentences about a recording for its transcript, bounded in number: a hostile or broken file has
//! thousands of gaps.

/// Sentences of one kind, and how many more there would be.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sentences: Vec<String>,
    more: u64,
    seconds_more: f64,
}

/// Sentences of one kind that are listed one by one.
const MAX_EACH: usize = 4;

impl Tally {
    /// Adds a sentence about something that lasts for `seconds`.
    pub(crate) fn add(&mut self, seconds: f64, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < MAX_EACH {
            self.sentences.push(sentence());
        } else {
            self.more += 1;
            self.seconds_more += seconds;
        }
    }

    /// Appends the sentences to `warnings`, and one that sums up those left out: `what` they are.
    pub(crate) fn append_to(&self, warnings: &mut Vec<String>, what: &str) {
        warnings.extend(self.sentences.iter().cloned());
        match (self.more, self.seconds_more) {
            (0, _) => {}
            (n, 0.0) => warnings.push(format!("{n} more times {what}")),
            (n, s) => warnings.push(format!("{n} more times {what}, for {s:.1} s in total")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_what_would_be_too_long() {
        let mut tally = Tally::default();
        for n in 0..100 {
            tally.add(0.5, || format!("gap {n}"));
        }
        let mut warnings = Vec::new();
        tally.append_to(&mut warnings, "a gap was filled");
        assert_eq!(warnings.len(), MAX_EACH + 1);
        assert_eq!(warnings[0], "gap 0");
        assert_eq!(warnings[MAX_EACH], "96 more times a gap was filled, for 48.0 s in total");
    }
}
