//! Voice activity detection with FSMN-VAD.
