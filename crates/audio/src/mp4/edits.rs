//! Edit lists (`elst`, ISO 14496-12, 8.6.6): which parts of a track's media are heard, and when.
//!
//! An owner who trims a recording often changes only this list. What it leaves out is still in the
//! file and must not be transcribed.

use super::atoms::unsigned;

/// One entry, in units of the track's media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    /// Start within the media; `None` if nothing is heard.
    pub(super) media: Option<u64>,
    /// `None` if it lasts to the end of the media.
    pub(super) duration: Option<u64>,
}

impl Edit {
    /// All of the media.
    pub(super) const WHOLE: Edit = Edit { media: Some(0), duration: None };

    /// Returns the end within the media.
    pub(super) fn end(&self) -> Option<u64> {
        Some(self.media?.saturating_add(self.duration?))
    }
}

/// Maximum number of entries. Each may cost a pass over the index of the file.
pub(super) const MAX_EDITS: usize = 1000;

/// Bytes of a list with [`MAX_EDITS`] entries and one that shows that there are more.
pub(super) const MAX_BYTES: u64 = 8 + 20 * (MAX_EDITS as u64 + 1);

/// Parses the body of an `elst` atom whose durations are in units of 1/`movie` s, for a track with
/// units of 1/`media` s. Returns `None` if there are more than [`MAX_EDITS`].
pub(super) fn parse(body: &[u8], movie: u32, media: u32) -> Option<Vec<Edit>> {
    let width = if body.first() == Some(&1) { 8 } else { 4 };
    let count = unsigned(body, 4, 4).unwrap_or(0);
    let mut edits = Vec::new();
    for n in 0..usize::try_from(count).ok()? {
        let at = 8 + n * (2 * width + 4);
        let (duration, start) = (unsigned(body, at, width), unsigned(body, at + width, width));
        let (Some(duration), Some(start)) = (duration, start) else { break };
        if edits.len() == MAX_EDITS {
            return None;
        }
        let is_empty = start >> (8 * width - 1) != 0;
        // A rate of 0 holds one picture; of sound, nothing is heard.
        let is_dwell = unsigned(body, at + 2 * width, 4) == Some(0);
        // A duration of 0 is unknown: the file was written before its media (8.6.6.1).
        let duration = (duration != 0).then(|| scale(duration, media, movie));
        match (is_empty || is_dwell, duration) {
            (true, None) => {}
            (true, Some(_)) => edits.push(Edit { media: None, duration }),
            (false, _) => edits.push(Edit { media: Some(start), duration }),
        }
    }
    Some(edits)
}

/// Returns `n * to / from`, rounded.
pub(super) fn scale(n: u64, to: u32, from: u32) -> u64 {
    let from = u128::from(from.max(1));
    u64::try_from((u128::from(n) * u128::from(to) + from / 2) / from).unwrap_or(u64::MAX)
}

/// Returns how long nothing is heard at the beginning.
pub(super) fn start(edits: &[Edit]) -> u64 {
    let empty = edits.iter().take_while(|edit| edit.media.is_none());
    empty.fold(0, |sum, edit| sum.saturating_add(edit.duration.unwrap_or(0)))
}

/// Returns the duration of all edits of media that lasts for `media`.
pub(super) fn duration(edits: &[Edit], media: u64) -> u64 {
    edits.iter().fold(0_u64, |sum, edit| {
        let rest = media.saturating_sub(edit.media.unwrap_or(media));
        let heard = match (edit.media, edit.duration) {
            (None, duration) => duration.unwrap_or(0),
            (Some(_), None) => rest,
            // Durations are rounded to the units of the movie, and some are longer than the media.
            (Some(_), Some(duration)) => duration.min(rest),
        };
        sum.saturating_add(heard)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(entries: &[(u32, i32, u32)]) -> Vec<u8> {
        let mut body = vec![0; 4];
        body.extend((entries.len() as u32).to_be_bytes());
        for (duration, media, rate) in entries {
            body.extend(duration.to_be_bytes());
            body.extend(media.to_be_bytes());
            body.extend(rate.to_be_bytes());
        }
        body
    }

    #[test]
    fn reads_both_versions() {
        let one = 0x10000;
        let v0 = list(&[(4000, -1, one), (1000, 1024, one), (500, 7, 0), (0, 80_000, one)]);
        let edits = parse(&v0, 1000, 16_000).unwrap_or_default();
        let expected = [
            Edit { media: None, duration: Some(64_000) },
            Edit { media: Some(1024), duration: Some(16_000) },
            Edit { media: None, duration: Some(8000) },
            Edit { media: Some(80_000), duration: None },
        ];
        assert_eq!(edits, expected);
        assert_eq!((start(&edits), duration(&edits, 96_000)), (64_000, 104_000));
        let mut v1 = vec![1, 0, 0, 0, 0, 0, 0, 1];
        v1.extend([0, 0, 0, 0, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0x08, 0x40, 0, 1, 0, 0]);
        let expected = [Edit { media: Some(2112), duration: Some(2313) }];
        assert_eq!(parse(&v1, 44_100, 44_100).unwrap_or_default(), expected);
        assert_eq!(parse(&v1[..14], 1000, 1000), Some(vec![]));
        assert_eq!(parse(&list(&[(1, 0, one); 1001]), 1, 1), None);
    }

    proptest! {
        #[test]
        fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200), movie: u32, media: u32) {
            let edits = parse(&body, movie, media).unwrap_or_default();
            prop_assert!(edits.len() <= body.len() / 12);
            start(&edits);
            duration(&edits, u64::from(media));
        }
    }
}
