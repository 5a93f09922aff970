//! Renders Advanced SubStation Alpha subtitles: those of SubRip and WebVTT, with a colour for each speaker.
//! <http://www.tcax.org/docs/ass-specs.htm>

use std::{collections::HashMap, fmt::Write};

use crate::{
    SubtitleOptions, Transcript,
    cue::{SpeakerLabel, cues},
};

/// Colours of the text in the order blue, green, red: light ones, for a dark outline.
const COLOURS: [&str; 8] =
    ["FFFFFF", "00FFFF", "FFFF00", "90EE90", "7FB3FF", "FFB3FF", "D4FF7F", "B3DEF5"];

pub(crate) fn render(transcript: &Transcript, options: &SubtitleOptions) -> String {
    let mut styles: Vec<String> = Vec::new();
    let mut numbers: HashMap<Option<String>, usize> = HashMap::new();
    let mut events = String::new();
    for cue in cues(transcript, SpeakerLabel::Markup, options) {
        let number = *numbers.entry(cue.speaker.clone()).or_insert_with(|| {
            styles.push(cue.speaker.as_deref().map_or_else(|| "Default".to_owned(), field));
            styles.len() - 1
        });
        let name = cue.speaker.as_deref().map(field).unwrap_or_default();
        let (start, end) = times(cue.start, cue.end);
        let text = cue.lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\\N");
        let _infallible =
            writeln!(events, "Dialogue: 0,{start},{end},S{number},{name},0,0,0,,{text}");
    }
    let mut ass = String::from(
        "[Script Info]\nScriptType: v4.00+\nWrapStyle: 2\nScaledBorderAndShadow: yes\nPlayResX: 1920\n\
         PlayResY: 1080\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, \
         OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, \
         BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n",
    );
    for number in 0..styles.len().max(1) {
        let colour = COLOURS[number % COLOURS.len()];
        let _infallible = writeln!(
            ass,
            "Style: S{number},Arial,60,&H00{colour},&H00{colour},&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,\
             3,1,2,60,60,50,1"
        );
    }
    ass.push_str(
        "\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n",
    );
    ass + &events
}

/// Returns a name as a field: fields end with commas.
fn field(name: &str) -> String {
    escape(name).replace(',', "，")
}

/// Replaces what begins markup by characters that look alike. There is an escape (`\{`), but only some players
/// know it; the others would take the text for an override and hide it.
fn escape(text: &str) -> String {
    text.replace('{', "｛").replace('}', "｝").replace('\\', "＼")
}

/// Writes the times of a cue, rounded down to hundredths of a second. It ends after it starts.
fn times(start: u64, end: u64) -> (String, String) {
    let (start, end) = (start / 10, end / 10);
    let write = |hundredths: u64| {
        let (seconds, hundredths) = (hundredths / 100, hundredths % 100);
        let (minutes, hours) = (seconds / 60 % 60, seconds / 3600);
        format!("{hours}:{minutes:02}:{:02}.{hundredths:02}", seconds % 60)
    };
    (write(start), write(end.max(start + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_hundredths_of_a_second() {
        assert_eq!(times(3_723_456, 3_723_459), ("1:02:03.45".to_owned(), "1:02:03.46".to_owned()));
        assert_eq!(times(0, 36_000_000).1, "10:00:00.00");
    }

    #[test]
    fn text_is_never_an_override() {
        assert_eq!(escape("{\\b1}a\\Nb"), "｛＼b1｝a＼Nb");
    }
}
