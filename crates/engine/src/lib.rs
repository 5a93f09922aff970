//! Runs networks with tract: graphs built or loaded, rewritten into fused operators that stand on `kernels`.
