//! The part that all demuxers of this crate have in common: they read forward only, and their properties are
//! known when they are opened.

/// Implements the methods of [`FormatReader`](symphonia::core::formats::FormatReader) that describe a demuxer
/// with the fields `info`, `metadata` and `tracks` and the constant `INFO`, and that refuse to seek.
macro_rules! forward_only {
    () => {
        fn format_info(&self) -> &symphonia::core::formats::FormatInfo {
            &INFO
        }

        fn media_info(&self) -> &symphonia::core::formats::MediaInfo {
            &self.info
        }

        fn metadata(&mut self) -> symphonia::core::meta::Metadata<'_> {
            self.metadata.metadata()
        }

        fn seek(
            &mut self,
            _: symphonia::core::formats::SeekMode,
            _: symphonia::core::formats::SeekTo,
        ) -> symphonia::core::errors::Result<symphonia::core::formats::SeekedTo> {
            symphonia::core::errors::seek_error(symphonia::core::errors::SeekErrorKind::Unseekable)
        }

        fn tracks(&self) -> &[symphonia::core::formats::Track] {
            &self.tracks
        }
    };
}

pub(crate) use forward_only;
