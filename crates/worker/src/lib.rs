//! The loop: lease, fetch, transcribe, put, acknowledge; retries by kind, drain on SIGTERM.
