//! Counts of packets and of problems with them.

use std::sync::Arc;

use symphonia::core::errors::Error as SymphoniaError;

/// How the sequence of packets ended.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// At the end of the container.
    Complete,
    /// In the middle of an element.
    CutOff,
    /// At data that the demuxer could not read, with its error.
    Unreadable(Arc<SymphoniaError>),
}

/// Counts of packets and of problems with them.
#[derive(Debug, Default)]
pub(crate) struct PacketStats {
    /// Packets decoded, damaged ones included.
    pub(crate) packets: u64,
    /// Packets that could not be decoded, and the silence in their place.
    pub(crate) damaged: u64,
    pub(crate) damaged_seconds: f64,
    /// Recordings that follow the first in the same file.
    pub(crate) recordings: u64,
    /// Seconds that the headers of all recordings in the file declare, if all do.
    pub(crate) declared: Option<f64>,
    /// Packets after the end that the header declares.
    pub(crate) surplus: u64,
    /// Bytes between frames that are part of none, in a file that ends with a whole frame.
    pub(crate) lost_bytes: Option<u64>,
    /// What became of a recording that follows and cannot be read.
    pub(crate) lost_part: Option<String>,
}

impl PacketStats {
    /// Returns whether audio follows the declared end. An encoder may fill two packets with padding
    /// alone, so those do not count.
    pub(crate) fn has_surplus(&self) -> bool {
        self.surplus > 2
    }

    /// Damaged packets that never make a recording corrupt: in a file that was cut out of a longer
    /// one, the first packets do not decode.
    const TOLERATED_DAMAGE: u64 = 2;

    /// Returns whether more than a tenth of the packets are damaged, or all.
    pub(crate) fn is_corrupt(&self) -> bool {
        self.damaged > Self::TOLERATED_DAMAGE && self.damaged * 10 > self.packets
            || self.packets > 0 && self.damaged == self.packets
    }

    /// Returns whether so much is damaged that decoding stops before the end.
    pub(crate) fn is_mostly_damaged(&self) -> bool {
        self.damaged > 500 && self.damaged * 2 > self.packets
    }

    pub(crate) fn append_warnings(&self, warnings: &mut Vec<String>) {
        if self.recordings > 0 {
            let count = self.recordings + 1;
            warnings.push(format!(
                "the file contains {count} recordings one after the other; all were decoded"
            ));
        }
        warnings.extend(self.lost_part.clone());
        if self.has_surplus() {
            warnings.push("the recording continues after the end that its header declares".into());
        }
        if let Some(bytes) = self.lost_bytes.filter(|_| !self.has_surplus()) {
            warnings.push(format!(
                "{bytes} bytes between frames are no audio: others may have been lost there"
            ));
        }
        if self.damaged > 0 {
            warnings.push(format!(
                "{} of {} packets are damaged and were replaced by {:.1} s of silence",
                self.damaged, self.packets, self.damaged_seconds
            ));
        }
    }
}
