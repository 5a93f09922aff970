//! Recognizes audio of any length in passes of up to one encoder window.

use super::{
    decode::{Attempt, Decoder, Decoding},
    mel::Features,
    segments::split,
    words::{self, AttentionMap, Span, WordRules},
};
use crate::recognizer::{Error, Hypothesis};

/// Encodes windows and creates decoders for them. The network implements it, and a script in tests.
pub(super) trait Model {
    type Audio;
    type Decoder<'a>: Decoder
    where
        Self: 'a;

    /// Encodes one window. `mel`: row-major `[mels, window frames]`.
    fn encode(&self, mel: &[f32]) -> Result<Self::Audio, Error>;

    /// Creates a decoder with an empty cache.
    fn decoder(&self, audio: &Self::Audio) -> Self::Decoder<'_>;

    /// Feeds `tokens` at once, and calls `each` for each alignment head with the weights with which they
    /// attend to the first `positions` positions of the audio, row-major `[tokens, positions]`.
    fn attention(
        &self,
        audio: &Self::Audio,
        tokens: &[u32],
        positions: usize,
        each: impl FnMut(&[f32]),
    ) -> Result<(), Error>;
}

/// The tokens that begin every pass, and what depends on the language that they name.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    /// From `<|startoftranscript|>` on.
    pub(super) tokens: Vec<u32>,
    /// Whether spaces separate the words of the language.
    pub(super) spaced: bool,
}

/// The parameters of all passes over one input.
pub(super) struct Passes<'a> {
    pub(super) decoding: Decoding<'a>,
    /// Number of frames of one encoder window: 3000.
    pub(super) window: usize,
    /// `<|startofprev|>`, for models that can be prompted with the text so far.
    pub(super) start_of_previous: Option<u32>,
    /// Tokens of the hotwords, which precede every pass.
    pub(super) hotwords: Vec<u32>,
    /// Tokens of the text that precedes the recording, for the first pass.
    pub(super) initial_prompt: Vec<u32>,
    /// Whether the times of words are wanted.
    pub(super) word_times: bool,
}

const FRAMES_PER_SECOND: f64 = 100.0;
const FRAMES_PER_POSITION: usize = 2;

/// The text of a pass decoded above this temperature does not prompt the next pass.
const PROMPT_RESET_TEMPERATURE: f32 = 0.5;

/// Lower bound on the mean length of a pass, in frames (2 seconds), which limits their number. In
/// speech, passes advance by some 25 seconds.
const MIN_MEAN_PASS: usize = 200;

impl Passes<'_> {
    /// Recognizes all of `features`. `header` returns the tokens that begin each pass, given the first
    /// encoded window.
    ///
    /// Follows faster-whisper's `generate_segments`: a pass starts where the last finished span of
    /// text of the previous pass ends, and is prompted with the text so far, unless the previous
    /// pass was decoded at a high temperature.
    pub(super) fn run<M: Model>(
        &self,
        model: &M,
        features: &Features,
        header: impl FnOnce(&M::Audio) -> Result<Header, Error>,
    ) -> Result<Vec<Hypothesis>, Error> {
        let total = features.frames();
        let mut hypotheses = Vec::new();
        let mut previous = self.initial_prompt.clone();
        let mut header = Some(header);
        let mut start = Header::default();
        let mut mel = Vec::new();
        let mut seek = 0;
        // The timestamps of a broken model could advance by only 20 ms per pass.
        let mut passes_left = 4 + total / MIN_MEAN_PASS;
        while seek < total && passes_left > 0 {
            passes_left -= 1;
            let frames = (total - seek).min(self.window);
            features.window(seek, self.window, &mut mel);
            let audio = model.encode(&mel)?;
            if let Some(header) = header.take() {
                start = header(&audio)?;
            }
            let prompt = self.prompt(&previous, &start.tokens);
            let attempt = self.decoding.decode(
                || model.decoder(&audio),
                &prompt,
                start.tokens.len(),
                seek as u64,
            )?;
            if self.decoding.is_silence(&attempt) {
                seek += frames;
                continue;
            }
            let begin = hypotheses.len();
            let (mut found, done) = self.collect(&attempt, seek, frames, &mut previous);
            if self.word_times {
                let last_end = hypotheses.last().map_or(0.0, |last: &Hypothesis| last.end);
                self.time_words(model, &audio, &start, (seek, frames), &mut found, last_end)?;
            }
            let found = found.into_iter().map(|found| found.hypothesis);
            hypotheses.extend(found.filter(words::is_plausible));
            tracing::trace!(
                seek,
                done,
                spans = hypotheses.len() - begin,
                temperature = attempt.temperature,
                mean_log_probability = attempt.mean_log_probability,
                no_speech_probability = attempt.no_speech_probability,
                "pass"
            );
            if !self.decoding.options.condition_on_previous_text
                || attempt.temperature > PROMPT_RESET_TEMPERATURE
            {
                previous.clear();
            }
            seek += if done == 0 { frames } else { done };
        }
        Ok(hypotheses)
    }

    /// Returns the hypotheses of `attempt` and the number of frames that they complete, and appends
    /// their tokens to `previous`.
    fn collect(
        &self,
        attempt: &Attempt,
        seek: usize,
        frames: usize,
        previous: &mut Vec<u32>,
    ) -> (Vec<Span>, usize) {
        let candidate = &attempt.candidate;
        let (spans, done) = split(&candidate.tokens, self.decoding.rules.timestamp_begin, frames);
        let mut found = Vec::with_capacity(spans.len());
        for span in spans {
            // Whisper may recognize words in the padding after the audio.
            let end = span.end.min(frames);
            if span.begin >= end {
                continue;
            }
            let tokens = &candidate.tokens[span.tokens.clone()];
            let text = (self.decoding.text)(tokens);
            // U+FFFD stands for a character that is cut off at the end of the span.
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{fffd}');
            // Whisper writes dots for noise.
            if !text.contains(char::is_alphanumeric) {
                continue;
            }
            let is_text = |token: u32| token < self.decoding.rules.end_of_text;
            let (text_tokens, log_probabilities): (Vec<u32>, Vec<f32>) = tokens
                .iter()
                .zip(&candidate.log_probabilities[span.tokens])
                .filter(|&(&token, _)| is_text(token))
                .unzip();
            let sum: f32 = log_probabilities.iter().sum();
            let hypothesis = Hypothesis {
                start: (seek + span.begin) as f64 / FRAMES_PER_SECOND,
                end: (seek + end) as f64 / FRAMES_PER_SECOND,
                text: text.to_owned(),
                log_probability: sum / text_tokens.len().max(1) as f32,
                no_speech_probability: attempt.no_speech_probability,
                tokens: text_tokens,
                ..Hypothesis::default()
            };
            found.push(Span { hypothesis, log_probabilities });
            previous.extend(tokens);
        }
        (found, done)
    }

    /// Finds the times of the words of a pass, which begins at frame `seek` and has `frames` frames.
    fn time_words<M: Model>(
        &self,
        model: &M,
        audio: &M::Audio,
        header: &Header,
        (seek, frames): (usize, usize),
        spans: &mut [Span],
        last_end: f64,
    ) -> Result<(), Error> {
        let rules = self.decoding.rules;
        let mut tokens = header.tokens.clone();
        // The token before each text token is the one that attends to its audio.
        let first = tokens.len();
        tokens.push(rules.no_timestamps);
        tokens.extend(spans.iter().flat_map(|span| &span.hypothesis.tokens));
        let rows = first..tokens.len();
        tokens.push(rules.end_of_text);
        let positions = frames / FRAMES_PER_POSITION;
        // Words without times are better than none.
        if rows.len() < 2 || positions == 0 || tokens.len() > self.decoding.text_context {
            return Ok(());
        }
        let mut map = AttentionMap::new(tokens.len(), positions);
        model.attention(audio, &tokens, positions, |weights| map.add(weights))?;
        let starts = map.starts(rows);
        let rules = WordRules { text: self.decoding.text, spaced: header.spaced };
        words::time_words(spans, &starts, &rules, seek as f64 / FRAMES_PER_SECOND, last_end);
        Ok(())
    }

    /// Returns the hotwords, the end of the text so far, and `start`. The first two take at most half of
    /// the decoder's context, and the hotwords at most half of that.
    fn prompt(&self, previous: &[u32], start: &[u32]) -> Vec<u32> {
        let mut prompt = Vec::new();
        if let Some(start_of_previous) = self.start_of_previous
            && !(previous.is_empty() && self.hotwords.is_empty())
        {
            let max = (self.decoding.text_context / 2).saturating_sub(1);
            let hotwords = &self.hotwords[..self.hotwords.len().min(max / 2)];
            let max = max - hotwords.len();
            prompt.push(start_of_previous);
            prompt.extend(hotwords);
            prompt.extend(&previous[previous.len().saturating_sub(max)..]);
        }
        prompt.extend(start);
        prompt
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::whisper::{
        WhisperOptions,
        decode::script::{self, END, NO_SPEECH, START, Script},
        mel::LogMel,
    };

    type Choices<'a> = Box<dyn Fn(&[u32]) -> Vec<(u32, f32)> + 'a>;

    /// A model whose token probabilities are `choices(pass, history)`.
    struct ScriptedModel<F> {
        choices: F,
        encoded: Cell<usize>,
    }

    impl<F: Fn(usize, &[u32]) -> Vec<(u32, f32)>> Model for ScriptedModel<F> {
        type Audio = usize;
        type Decoder<'a>
            = Script<Choices<'a>>
        where
            F: 'a;

        fn encode(&self, mel: &[f32]) -> Result<usize, Error> {
            assert_eq!(mel.len(), 80 * WINDOW);
            self.encoded.set(self.encoded.get() + 1);
            Ok(self.encoded.get() - 1)
        }

        fn attention(
            &self,
            _: &usize,
            _: &[u32],
            _: usize,
            _: impl FnMut(&[f32]),
        ) -> Result<(), Error> {
            panic!("nobody asks for the times of words")
        }

        fn decoder(&self, &pass: &usize) -> Self::Decoder<'_> {
            Script::new(Box::new(move |history: &[u32]| (self.choices)(pass, history)))
        }
    }

    /// Nearly a second: the timestamps of the script reach no further.
    const WINDOW: usize = 98;

    fn text(tokens: &[u32]) -> String {
        tokens.iter().filter(|&&token| token < END).map(|token| format!(" {token}")).collect()
    }

    /// Returns one token after the other, then the end, each with probability 1.
    fn say(tokens: &[u32], history: &[u32]) -> Vec<(u32, f32)> {
        vec![(tokens.get(history.len()).copied().unwrap_or(END), 1.0)]
    }

    /// Returns the hypotheses and the number of passes over `frames` of audio.
    fn run(
        frames: usize,
        choices: impl Fn(usize, &[u32]) -> Vec<(u32, f32)>,
    ) -> (Vec<Hypothesis>, usize) {
        run_with(&text, frames, choices)
    }

    fn run_with(
        text: &dyn Fn(&[u32]) -> String,
        frames: usize,
        choices: impl Fn(usize, &[u32]) -> Vec<(u32, f32)>,
    ) -> (Vec<Hypothesis>, usize) {
        let options = WhisperOptions::default();
        let rules = script::rules();
        let passes = Passes {
            decoding: Decoding {
                options: &options,
                rules: &rules,
                no_speech: Some(NO_SPEECH),
                text_context: 100,
                text,
            },
            window: WINDOW,
            start_of_previous: None,
            hotwords: Vec::new(),
            initial_prompt: Vec::new(),
            word_times: false,
        };
        let model = ScriptedModel { choices, encoded: Cell::new(0) };
        let features = LogMel::new(80).compute(&vec![0.1; frames * 160]);
        let hypotheses = passes
            .run(&model, &features, |_| Ok(Header { tokens: vec![START], spaced: true }))
            .unwrap();
        (hypotheses, model.encoded.get())
    }

    fn times(hypotheses: &[Hypothesis]) -> Vec<(f64, f64, &str)> {
        hypotheses.iter().map(|h| (h.start, h.end, h.text.as_str())).collect()
    }

    #[test]
    fn a_pass_starts_where_the_previous_one_finished() {
        let (hypotheses, passes) = run(150, |pass, history| match pass {
            0 => say(&[14, 1, 24, 24, 2, 34, 34, 3], history),
            1 => say(&[15, 3, 4, 50], history),
            _ => say(&[14, 5, 20], history),
        });
        // The second pass starts at 0.4 s and has 98 frames, so the third has 12.
        assert_eq!(
            times(&hypotheses),
            [(0.0, 0.2, "1"), (0.2, 0.4, "2"), (0.42, 1.12, "3 4"), (1.38, 1.5, "5")]
        );
        assert_eq!(passes, 3);
        assert_eq!(hypotheses[2].tokens, [3, 4]);
    }

    #[test]
    fn silence_gives_no_text() {
        let (hypotheses, passes) = run(100, |pass, history| match (pass, history) {
            (0, []) => vec![(14, 0.1), (NO_SPEECH, 0.9)],
            (0, [_]) => (1..10).map(|token| (token, 0.11)).collect(),
            (0, [_, _]) => (1..10).map(|token| (token, 0.11)).collect(),
            (0, [_, _, _]) => vec![(40, 0.5), (41, 0.5)],
            (0, _) => vec![(END, 0.11), (1, 0.1)],
            _ => say(&[14, 7, 15], history),
        });
        assert_eq!(times(&hypotheses), [(0.98, 1.0, "7")]);
        assert_eq!(passes, 2);
    }

    #[test]
    fn text_after_the_end_of_the_audio_is_dropped() {
        let (hypotheses, _) =
            run(30, |_, history| say(&[14, 1, 24, 24, 2, 34, 34, 3, 60], history));
        assert_eq!(times(&hypotheses), [(0.0, 0.2, "1"), (0.2, 0.3, "2")]);
    }

    #[test]
    fn text_without_words_is_dropped() {
        let dots = |tokens: &[u32]| if tokens.contains(&1) { " . .".into() } else { text(tokens) };
        let (hypotheses, _) =
            run_with(&dots, 98, |_, history| say(&[14, 1, 24, 24, 2, 34], history));
        assert_eq!(times(&hypotheses), [(0.2, 0.4, "2")]);
    }

    #[test]
    fn the_number_of_passes_is_bounded() {
        // Each pass finishes 20 ms and leaves text unfinished.
        let (_, passes) = run(1000, |_, history| say(&[14, 1, 15, 15, 2], history));
        assert_eq!(passes, 9);
        assert_eq!(run(0, |_, history| say(&[14], history)), (vec![], 0));
    }

    #[test]
    fn log_probability_is_of_the_words_of_the_span() {
        let (hypotheses, _) = run(98, |_, history| match history {
            [14, 1, 24, 24] => vec![(2, 0.5), (3, 0.3), (4, 0.2)],
            [14, 1, 24, 24, 2] => vec![(5, 0.8), (6, 0.2)],
            _ => say(&[14, 1, 24, 24, 0, 0, 50], history),
        });
        assert_eq!(hypotheses.len(), 2);
        assert!(hypotheses[0].log_probability.abs() < 1e-5);
        let expected = (0.5f32.ln() + 0.8f32.ln()) / 2.0;
        assert!((hypotheses[1].log_probability - expected).abs() < 1e-4);
    }

    #[test]
    fn the_previous_text_takes_at_most_half_of_the_context() {
        let options = WhisperOptions::default();
        let passes = Passes {
            decoding: Decoding {
                options: &options,
                rules: &script::rules(),
                no_speech: None,
                text_context: 10,
                text: &text,
            },
            window: WINDOW,
            start_of_previous: Some(13),
            hotwords: Vec::new(),
            initial_prompt: Vec::new(),
            word_times: false,
        };
        assert_eq!(passes.prompt(&[], &[11]), [11]);
        assert_eq!(passes.prompt(&[1, 2], &[11, 5]), [13, 1, 2, 11, 5]);
        assert_eq!(passes.prompt(&[1, 2, 3, 4, 5, 6], &[11]), [13, 3, 4, 5, 6, 11]);
        let passes = Passes { hotwords: vec![7, 8, 9], ..passes };
        assert_eq!(passes.prompt(&[], &[11]), [13, 7, 8, 11]);
        assert_eq!(passes.prompt(&[1, 2, 3, 4], &[11]), [13, 7, 8, 3, 4, 11]);
    }
}
