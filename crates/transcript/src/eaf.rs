//! Renders an annotation document of ELAN (EAF 3.0, <https://www.mpi.nl/tools/elan/EAFv3.0.xsd>): a tier of
//! segments and one of words for each voice.

use std::fmt::Write;

use crate::{
    Transcript, text,
    tiers::{Tier, tiers},
    xml::escape,
};

/// Time of a document whose transcript does not tell one.
const NO_DATE: &str = "1970-01-01T00:00:00Z";

pub(crate) fn render(transcript: &Transcript) -> String {
    let tiers = tiers(transcript);
    let slots = Slots::new(&tiers);
    let annotations: usize = tiers.iter().map(|tier| tier.intervals.len()).sum();
    let mut eaf = head(transcript, annotations);
    eaf.push_str("    <TIME_ORDER>\n");
    for (id, time) in (1..).zip(&slots.times) {
        let _infallible =
            writeln!(eaf, "        <TIME_SLOT TIME_SLOT_ID=\"ts{id}\" TIME_VALUE=\"{time}\"/>");
    }
    eaf.push_str("    </TIME_ORDER>\n");
    let mut number = 0;
    for tier in &tiers {
        let participant = tier.voice.as_deref().map(escape);
        let participant = participant.map_or_else(String::new, |p| format!(" PARTICIPANT=\"{p}\""));
        let _infallible = writeln!(
            eaf,
            "    <TIER LINGUISTIC_TYPE_REF=\"default-lt\"{participant} TIER_ID=\"{}\">",
            escape(&tier.name)
        );
        for interval in &tier.intervals {
            let (from, to) = (slots.ids[2 * number], slots.ids[2 * number + 1]);
            number += 1;
            let _infallible = writeln!(
                eaf,
                "        <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID=\"a{number}\" \
                 TIME_SLOT_REF1=\"ts{from}\" TIME_SLOT_REF2=\"ts{to}\">\
                 <ANNOTATION_VALUE>{}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>",
                escape(&interval.text)
            );
        }
        eaf.push_str("    </TIER>\n");
    }
    eaf.push_str(
        "    <LINGUISTIC_TYPE GRAPHIC_REFERENCES=\"false\" LINGUISTIC_TYPE_ID=\"default-lt\" \
         TIME_ALIGNABLE=\"true\"/>\n</ANNOTATION_DOCUMENT>\n",
    );
    eaf
}

fn head(transcript: &Transcript, annotations: usize) -> String {
    let finished = &transcript.processing.finished_at;
    let is_time = |c: char| c.is_ascii_digit() || matches!(c, 'T' | 'Z' | ':' | '-' | '+' | '.');
    let is_date = (20..=40).contains(&finished.len()) && finished.chars().all(is_time);
    let date = if is_date { finished } else { NO_DATE };
    let uri = text::clean(&transcript.source.uri);
    let name = &uri[uri.rfind('/').map_or(0, |slash| slash + 1)..];
    let mime_type = match transcript.source.container.as_str() {
        "wav" => "audio/x-wav",
        "mp4" => "video/mp4",
        _ => "unknown",
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ANNOTATION_DOCUMENT AUTHOR=\"\" DATE=\"{date}\" FORMAT=\"3.0\" VERSION=\"3.0\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
         xsi:noNamespaceSchemaLocation=\"http://www.mpi.nl/tools/elan/EAFv3.0.xsd\">\n    \
         <HEADER MEDIA_FILE=\"\" TIME_UNITS=\"milliseconds\">\n        \
         <MEDIA_DESCRIPTOR MEDIA_URL=\"{}\" MIME_TYPE=\"{mime_type}\" RELATIVE_MEDIA_URL=\"./{}\"/>\n        \
         <PROPERTY NAME=\"lastUsedAnnotationId\">{annotations}</PROPERTY>\n    </HEADER>\n",
        escape(&uri),
        escape(name)
    )
}

/// The time slots, which are in order of time. Each start and each end has one of its own: in ELAN, who
/// moves a slot moves all that begins or ends there.
struct Slots {
    times: Vec<u64>,
    /// Id of each start and each end, in the order of the tiers and their intervals.
    ids: Vec<usize>,
}

impl Slots {
    fn new(tiers: &[Tier]) -> Self {
        let intervals = tiers.iter().flat_map(|tier| &tier.intervals);
        let times: Vec<u64> =
            intervals.flat_map(|interval| [interval.start, interval.end]).collect();
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|&index| times[index]);
        let mut ids = vec![0; times.len()];
        for (id, &index) in (1..).zip(&order) {
            ids[index] = id;
        }
        Self { times: order.into_iter().map(|index| times[index]).collect(), ids }
    }
}
