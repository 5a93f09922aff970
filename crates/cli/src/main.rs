//! The command line of Scriptorium.

fn main() {}
