//! Front ends: from PCM to feature frames.
