//! The end of a file as its container declares it.
//!
//! symphonia's demuxers of MP4 and Matroska drop an element that extends beyond the end of the file.
//! In a recording that was cut off this loses all audio (MP4) or everything (Matroska). So the
//! source reports the declared end as its length, and reading stops at the actual end.

use symphonia::core::io::MediaSource as _;

use crate::mp4::Movie;
use crate::source::Source;

/// Makes `source` report the length that its container declares, if that is longer than the file.
pub(crate) fn apply_declared_end(source: &mut Source, movie: &Movie) {
    /// Declared lengths of this many bytes (16 TiB) and more are ignored.
    const MAX_LEN: u64 = 1 << 44;
    let declared = source.declared_end_of_part().or(movie.end_of_data);
    if let (Some(len), Some(declared)) = (source.byte_len(), declared)
        && (len..MAX_LEN).contains(&declared)
    {
        source.declare_len(declared);
    }
}
