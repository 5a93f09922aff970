//! Resampling to 16 kHz with a proper low-pass filter.
