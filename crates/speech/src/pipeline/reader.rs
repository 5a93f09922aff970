//! First step: decodes a recording, detects speech in each channel, and packs it into windows.

use super::{Error, Pipeline, bleed::remove_bleed};
use crate::{
    compute::thread_cpu_seconds,
    segmenter::Segmenter,
    window::{Packer, Window},
};

/// A recording that is being read.
pub(super) struct Reader {
    decoder: audio::Decoder,
    channels: Vec<Channel>,
    block: audio::Block,
    /// CPU seconds so far.
    pub(super) decode_seconds: f64,
    pub(super) vad_seconds: f64,
}

struct Channel {
    segmenter: Segmenter,
    packer: Packer,
}

impl Reader {
    pub(super) fn new(pipeline: &Pipeline, decoder: audio::Decoder) -> Self {
        let (models, config) = (&pipeline.models, &pipeline.config);
        let recognizer = &models.recognizer;
        let channels = (0..decoder.output_channels())
            .map(|_| Channel {
                segmenter: Segmenter::new(&*models.vad, config.segmentation.clone()),
                packer: Packer::new(recognizer.max_seconds(), recognizer.fixed_window()),
            })
            .collect();
        Self {
            decoder,
            channels,
            block: audio::Block::default(),
            decode_seconds: 0.0,
            vad_seconds: 0.0,
        }
    }

    /// Returns the samples of each channel that the last step has decoded.
    pub(super) fn samples(&self) -> &[Vec<f32>] {
        &self.block.channels
    }

    pub(super) fn decoder(&self) -> &audio::Decoder {
        &self.decoder
    }

    /// Decodes one block and detects speech in it. Appends the windows that are complete to
    /// `windows`, each with the index of its channel. Returns `false` at the end of the recording.
    pub(super) fn advance(&mut self, windows: &mut Vec<(usize, Window)>) -> Result<bool, Error> {
        let start = thread_cpu_seconds();
        let more = self.decoder.next_block(&mut self.block)?;
        // Of more than two channels, none is a side of a call.
        if self.block.channels.len() == 2 {
            remove_bleed(&mut self.block.channels);
        }
        let decoded = thread_cpu_seconds();
        self.decode_seconds += decoded - start;

        let mut segments = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if more {
                channel.segmenter.push(&self.block.channels[index], &mut segments)?;
            } else {
                channel.segmenter.finish(&mut segments)?;
            }
            windows.extend(
                segments.drain(..).filter_map(|s| channel.packer.push(s)).map(|w| (index, w)),
            );
            if !more {
                windows.extend(channel.packer.finish().map(|w| (index, w)));
            }
        }
        self.vad_seconds += thread_cpu_seconds() - decoded;
        Ok(more)
    }
}
