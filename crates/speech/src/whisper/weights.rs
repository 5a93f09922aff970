//! Reads CTranslate2's `model.bin`.
