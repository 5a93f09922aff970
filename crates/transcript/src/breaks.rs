//! Cuts text into chunks, and grades the places between them: where a reader would pause is best.
//!
//! Unicode Standard Annex #14 defines where a line may break at all; dictionaries find the words of
//! Chinese, Japanese and the scripts of South-East Asia. The grades follow Netflix's guidelines for
//! timed text: break after punctuation, before conjunctions and before prepositions, and keep articles
//! with their noun, first names with last names, subject pronouns, auxiliaries and negations with their
//! verb.

use std::{ops::Range, sync::LazyLock};

use icu_segmenter::{
    GraphemeClusterSegmenter, GraphemeClusterSegmenterBorrowed, LineSegmenter,
    LineSegmenterBorrowed, WordSegmenter, WordSegmenterBorrowed,
    options::{LineBreakOptions, WordBreakInvariantOptions},
};

use crate::{
    function_words::{Role, role},
    punctuation,
    sentence::{self, Ending},
    text::{self, MeasuredText},
};

static LINES: LazyLock<LineSegmenterBorrowed<'static>> =
    LazyLock::new(|| LineSegmenter::new_dictionary(LineBreakOptions::default()));
static WORDS: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()));
static GRAPHEMES: GraphemeClusterSegmenterBorrowed<'static> = GraphemeClusterSegmenter::new();

/// Words that follow a number and belong to it.
const UNITS: &[&str] = &[
    "%",
    "°",
    "°c",
    "°f",
    "km",
    "m",
    "cm",
    "mm",
    "kg",
    "g",
    "mg",
    "l",
    "ml",
    "h",
    "min",
    "s",
    "ms",
    "kb",
    "mb",
    "gb",
    "tb",
    "hz",
    "khz",
    "mhz",
    "ghz",
    "w",
    "kw",
    "mw",
    "v",
    "km/h",
    "mph",
    "percent",
    "prozent",
    "million",
    "millions",
    "billion",
    "billions",
    "thousand",
    "hundred",
    "millionen",
    "milliarden",
    "mio",
    "mrd",
    "tausend",
    "milliards",
    "millones",
    "euro",
    "euros",
    "dollar",
    "dollars",
    "pounds",
    "cents",
    "yen",
    "uhr",
    "a.m",
    "p.m",
    "am",
    "pm",
    "o'clock",
    "degrees",
    "grad",
];

/// Chinese and Japanese particles, which belong to the word before them.
const PARTICLES: &str = "的了着过吗呢吧啊呀嘛们地得はがをにでともへのやかねよな";

/// The kinds of places where text can be cut; greater is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Break {
    /// Inside a word that does not fit on a line.
    Forced,
    /// Inside a compound that does not fit on a line: `cold-` / `hearted`.
    Compound,
    /// Between words that belong together: `Mr.` / `Smith`, `the` / `house`, `5` / `km`.
    Bound,
    Word,
    /// Before a conjunction or a preposition.
    Phrase,
    /// After a clause, or at the border of two segments.
    Clause,
    Sentence,
}

/// A part of the text that is not cut further, from its first to its last visible character.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    /// Byte offset.
    pub(crate) start: usize,
    /// Byte offset.
    pub(crate) end: usize,
    /// The kind of break after the chunk.
    pub(crate) after: Break,
    /// How many words it is: 1 for one that spaces separate, less in scripts that have none.
    pub(crate) words: f64,
}

/// What is known about a text besides its characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// Code of the language, e.g. `en`.
    pub(crate) language: Option<&'a str>,
    /// Bytes at which a segment begins after another one, in order.
    pub(crate) borders: &'a [usize],
}

/// Cuts `text` where a line may break, but not inside compounds and words, unless they are wider than
/// `limit` columns.
pub(crate) fn chunks(text: &MeasuredText<'_>, limit: usize, context: Context<'_>) -> Vec<Chunk> {
    let pieces = pieces(text);
    let links = links(text, &pieces);
    let mut chunks = Vec::with_capacity(pieces.len());
    let mut first = 0;
    while first < pieces.len() {
        let last = first + links[first..].iter().take_while(|&&linked| linked).count();
        let whole = pieces[first].start..pieces[last].end;
        if text.width(whole.clone()) <= limit {
            chunks.push(chunk(text, whole));
        } else {
            for piece in &pieces[first..=last] {
                push_cut(&mut chunks, text, piece.clone(), limit);
            }
        }
        first = last + 1;
    }
    grade(&mut chunks, text, context);
    chunks
}

/// Cuts the text wherever a line may break. Each piece begins and ends with a visible character.
fn pieces(text: &MeasuredText<'_>) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    let mut start = 0;
    for end in LINES.segment_str(text.text()).filter(|&end| end > 0) {
        let visible = text.trimmed(start..end);
        if text.width(visible.clone()) == 0 {
            // Invisible text is not a piece of its own: it joins the next piece, or at the end of the
            // text the previous one.
            if let Some(last) = pieces.last_mut().filter(|_| end == text.text().len()) {
                last.end = visible.end.max(last.end);
            }
            continue;
        }
        pieces.push(visible);
        start = end;
    }
    pieces
}

/// Returns for each piece whether it belongs to the same word as the next one. The last does not.
fn links(text: &MeasuredText<'_>, pieces: &[Range<usize>]) -> Vec<bool> {
    let is_wide = text.text().chars().any(text::is_wide);
    let mut boundaries =
        is_wide.then(|| WORDS.segment_str(text.text())).into_iter().flatten().peekable();
    let mut links: Vec<bool> = Vec::with_capacity(pieces.len());
    for pair in pieces.windows(2) {
        let [before, after] = pair else { continue };
        let (a, b) = (&text.text()[before.clone()], &text.text()[after.clone()]);
        let glued = text.text()[before.end..after.start].chars().all(|c| !c.is_whitespace());
        while boundaries.next_if(|&boundary| boundary < after.start).is_some() {}
        let inside_word = is_wide && boundaries.peek() != Some(&after.start);
        links.push(if glued {
            inside_word || is_compound(a, b)
        } else {
            let after_sentence = sentence::ending(a, b, None) == Some(Ending::Sentence);
            // A dash at the beginning of a sentence belongs to the next word, other marks to the previous.
            let opens = is_dash(a) && links.last() != Some(&true);
            opens || (is_punctuation(b) && !(is_dash(b) && after_sentence))
        });
    }
    links.push(false);
    links
}

/// Returns whether a place without a space between `a` and `b` is inside a compound: after a hyphen or
/// slash, or between a number and what it counts.
fn is_compound(a: &str, b: &str) -> bool {
    let (Some(last), Some(next)) = (a.chars().next_back(), b.chars().next()) else { return false };
    let joins = last.is_ascii_punctuation() || matches!(last, '‐' | '‑' | '–' | '\u{ad}');
    let narrow = next.is_alphanumeric() && !text::is_wide(next);
    (joins && narrow) || (last.is_ascii_digit() && next.is_alphabetic())
}

fn is_punctuation(text: &str) -> bool {
    text.chars().all(|c| punctuation::is_mark(c) || c == '-')
        && !text.starts_with(punctuation::is_opening)
}

fn is_dash(text: &str) -> bool {
    matches!(text, "-" | "–" | "—")
}

fn chunk(text: &MeasuredText<'_>, range: Range<usize>) -> Chunk {
    let spaced = range.start == 0 || text.text()[..range.start].ends_with(char::is_whitespace);
    let words = match text.text()[range.clone()].chars().next() {
        // A Chinese or Japanese word has about two characters, and what others separate by spaces is
        // about two words of the dictionary.
        Some(c) if text::is_unspaced(c) => text.width(range.clone()) as f64 / 4.0,
        Some(c) if is_south_east_asian(c) => 0.5,
        _ if spaced => 1.0,
        _ => 0.0,
    };
    Chunk { start: range.start, end: range.end, after: Break::Word, words }
}

/// Pushes a piece of a compound that is too wide, itself cut where it is wider than `limit`.
fn push_cut(chunks: &mut Vec<Chunk>, text: &MeasuredText<'_>, piece: Range<usize>, limit: usize) {
    let mut from = piece.start;
    for cut in forced_cuts(text, piece.clone(), limit) {
        chunks.push(Chunk { after: Break::Forced, ..chunk(text, from..cut) });
        from = cut;
    }
    chunks.push(Chunk { after: Break::Compound, ..chunk(text, from..piece.end) });
}

/// Returns where to cut a range that is wider than `limit`: between graphemes if one fits, else
/// between characters.
fn forced_cuts(text: &MeasuredText<'_>, range: Range<usize>, limit: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    if text.width(range.clone()) <= limit {
        return cuts;
    }
    let slice = &text.text()[range.clone()];
    let mut graphemes = GRAPHEMES.segment_str(slice).map(|at| range.start + at).peekable();
    let mut start = range.start;
    let mut grapheme_start = start;
    for (at, c) in slice.char_indices().map(|(at, c)| (range.start + at, c)) {
        while let Some(boundary) = graphemes.next_if(|&boundary| boundary <= at) {
            grapheme_start = boundary;
        }
        if text.width(start..at + c.len_utf8()) > limit {
            start = if grapheme_start > start { grapheme_start } else { at };
            cuts.push(start);
        }
    }
    cuts
}

/// Sets the kind of break after each chunk.
fn grade(chunks: &mut [Chunk], text: &MeasuredText<'_>, context: Context<'_>) {
    let mut borders = context.borders.iter().copied().peekable();
    let mut begins_sentence = true;
    for index in 0..chunks.len() {
        let before = chunks[index];
        let Some(&after) = chunks.get(index + 1) else { return };
        let gap = &text.text()[before.end..after.start];
        let spaced = gap.contains(char::is_whitespace);
        while borders.next_if(|&border| border < after.start).is_some() {}
        let place = Place {
            before: &text.text()[before.start..before.end],
            after: &text.text()[after.start..after.end],
            spaced,
            begins_sentence,
            is_border: borders.peek() == Some(&after.start),
            language: context.language,
        };
        // Inside of a word, a chunk says so already.
        let cut = matches!(before.after, Break::Forced | Break::Compound) && !spaced;
        let grade = place.grade();
        if !(cut && grade < Break::Clause) {
            chunks[index].after = grade;
        }
        begins_sentence = chunks[index].after == Break::Sentence;
    }
}

/// A place between two chunks.
struct Place<'a> {
    before: &'a str,
    after: &'a str,
    /// Whether a space is between them.
    spaced: bool,
    /// Whether a sentence begins with `before`.
    begins_sentence: bool,
    /// Whether a segment begins with `after`.
    is_border: bool,
    language: Option<&'a str>,
}

impl Place<'_> {
    fn grade(&self) -> Break {
        match sentence::ending(self.before, self.after, self.language) {
            Some(Ending::Sentence) => return Break::Sentence,
            Some(Ending::Clause) => return Break::Clause,
            Some(Ending::Bound) => return Break::Bound,
            None => {}
        }
        let grade = self.grade_between_words();
        // Recognizers without punctuation still end segments where people pause.
        let continues = self.after.chars().next().is_some_and(char::is_lowercase);
        if self.is_border && !continues && grade > Break::Bound { Break::Clause } else { grade }
    }

    fn grade_between_words(&self) -> Break {
        let last = self.before.rsplit(char::is_whitespace).next().unwrap_or(self.before);
        let next = self.after.split(char::is_whitespace).next().unwrap_or(self.after);
        let (last, next) = (letters(last), letters(next));
        if let Some(grade) = self.grade_between_characters() {
            return grade;
        }
        if self.is_number_with_unit(last, next) || self.is_name(last, next) {
            return Break::Bound;
        }
        let next_role = role(next, self.language);
        match (role(last, self.language), next_role) {
            // `what I came for` / `and where`
            (Some(Role::Preposition | Role::Determiner), Some(Role::Conjunction)) => Break::Word,
            (Some(_), _) => Break::Bound,
            (None, Some(Role::Conjunction | Role::Preposition)) => Break::Phrase,
            (None, _) => Break::Word,
        }
    }

    /// Grades places in Chinese, Japanese, Thai and other texts whose words no spaces separate.
    fn grade_between_characters(&self) -> Option<Break> {
        let (last, next) = (self.before.chars().next_back()?, self.after.chars().next()?);
        if self.spaced {
            // The few spaces that they have stand between clauses.
            let unspaced = |c| text::is_unspaced(c) || is_south_east_asian(c);
            return (unspaced(last) && unspaced(next)).then_some(Break::Clause);
        }
        if PARTICLES.contains(next) {
            return Some(Break::Bound);
        }
        if last == 'の' {
            return Some(Break::Bound);
        }
        // Japanese phrases begin with a Chinese character or with katakana, and end with hiragana.
        match (is_hiragana(last), is_hiragana(next)) {
            (_, true) => Some(Break::Bound),
            (true, false) => Some(Break::Phrase),
            (false, false) => None,
        }
    }

    /// `5 km`, `10 000`, `Chapter 3`, `May 5`
    fn is_number_with_unit(&self, last: &str, next: &str) -> bool {
        let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
        let is_unit = |word: &str| UNITS.contains(&word.to_lowercase().as_str());
        // `%` is no letter.
        let symbol = self.after.starts_with(['%', '°', '€', '$', '£', '‰']);
        (is_number(last) && (is_number(next) || is_unit(next) || symbol))
            || (is_number(next) && last.starts_with(char::is_uppercase) && !self.begins_sentence)
            || (is_number(next) && self.before.ends_with(['$', '€', '£', '#', '№', '§']))
    }

    /// `Marianne Dashwood`; in German, all nouns have capitals.
    fn is_name(&self, last: &str, next: &str) -> bool {
        let capital = |word: &str| word.starts_with(char::is_uppercase) && word.len() > 1;
        let nouns = matches!(self.language, Some("de" | "lb"));
        // `Then I'll`
        let pronoun = self.language == Some("en") && next.starts_with("I'");
        !nouns && !self.begins_sentence && !pronoun && capital(last) && capital(next)
    }
}

fn is_hiragana(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{309f}')
}

/// Returns whether a character is Thai, Lao, Burmese or Khmer.
fn is_south_east_asian(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Returns a word without the punctuation around it.
fn letters(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the text with a mark at each place: `|` sentence, `;` clause, `,` phrase, ` ` word,
    /// `_` bound, `-` compound, `~` forced.
    fn graded(text: &str, limit: usize, language: &str) -> String {
        let measured = MeasuredText::new(text);
        let context = Context { language: Some(language), borders: &[] };
        let chunks = chunks(&measured, limit, context);
        let count = chunks.len();
        let show = |(index, chunk): (usize, &Chunk)| {
            let mark = match chunk.after {
                _ if index + 1 == count => "",
                Break::Sentence => "|",
                Break::Clause => "/",
                Break::Phrase => "+",
                Break::Word => " ",
                Break::Bound => "_",
                Break::Compound => "=",
                Break::Forced => "~",
            };
            format!("{}{mark}", &text[chunk.start..chunk.end])
        };
        chunks.iter().enumerate().map(show).collect()
    }

    #[test]
    fn places_are_graded() {
        let cases = [
            ("He went home. She stayed, and slept.", "He_went home.|She_stayed,/and_slept."),
            ("Mr. John Dashwood had the house", "Mr._John_Dashwood had_the_house"),
            ("rather cold-hearted and/or selfish", "rather cold-hearted and/or selfish"),
            ("a run of 5 km in Chapter 3", "a_run+of_5_km+in_Chapter_3"),
            ("Wait - no.", "Wait -/no."),
            ("Quoi ? Non !", "Quoi ?|Non !"),
            ("Yes. - No. - Why?", "Yes.|- No.|- Why?"),
        ];
        for (text, expected) in cases {
            assert_eq!(graded(text, 42, "en"), expected);
        }
    }

    #[test]
    fn compounds_are_cut_only_if_they_do_not_fit() {
        assert_eq!(graded("a cold-hearted man", 10, "en"), "a_cold-=hearted man");
        assert_eq!(graded("cold-hearted", 5, "en"), "cold-=heart~ed");
        assert_eq!(
            graded("see https://example.com/a/b now", 42, "en"),
            "see https://example.com/a/b now"
        );
    }

    #[test]
    fn chinese_and_japanese_words_are_kept_whole() {
        assert_eq!(graded("我们一起去公园散步。", 42, "zh"), "我们 一起去 公园 散步。");
        assert_eq!(graded("今天的天气很好，他走了。", 42, "zh"), "今天_的 天气 很好，/他 走了。");
        assert_eq!(graded("走了10公里。", 42, "zh"), "走了 10公里。");
        assert_eq!(graded("私は東京に行きました。", 42, "ja"), "私_は+東京_に+行き_まし_た。");
    }

    #[test]
    fn scripts_without_spaces_have_them_between_clauses() {
        assert_eq!(graded("天气很好 我们去", 42, "zh"), "天气 很好/我们 去");
        assert_eq!(graded("สวัสดีครับ ผมชื่อ", 42, "th"), "สวัสดี ครับ/ผม ชื่อ");
    }

    #[test]
    fn korean_breaks_at_spaces_only() {
        assert_eq!(graded("오늘은 날씨가 좋습니다.", 42, "ko"), "오늘은 날씨가 좋습니다.");
    }

    #[test]
    fn a_border_of_segments_is_a_clause_unless_the_sentence_goes_on() {
        let text = "no marks here And there it goes on";
        let measured = MeasuredText::new(text);
        let borders = [14, 27];
        let chunks = chunks(&measured, 42, Context { language: Some("en"), borders: &borders });
        let after = |word: &str| {
            let chunk = chunks.iter().find(|chunk| &text[chunk.start..chunk.end] == word);
            chunk.map(|chunk| chunk.after)
        };
        assert_eq!(after("here"), Some(Break::Clause));
        assert_eq!(after("it"), Some(Break::Word));
    }
}
