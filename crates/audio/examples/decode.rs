//! Decodes files and says what was found, and how fast: `cargo run -p audio --example decode -- FILE…`
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::time::{Duration, Instant};

use audio::{Block, ChannelMode, Decoder, Error, Limits, Options};

fn main() {
    for path in std::env::args().skip(1) {
        match decode(&path) {
            Ok(report) => println!("{path}: {report}"),
            Err(e) => println!("{path}: {e}"),
        }
    }
}

fn decode(path: &str) -> Result<String, Error> {
    let options = Options {
        limits: Limits {
            max_bytes: u64::MAX,
            max_duration: Duration::from_secs(7 * 24 * 3600),
            max_channels: 64,
        },
        channels: ChannelMode::Mix,
        allow_truncated: true,
    };
    let started = Instant::now();
    let file = File::open(path).map_err(Error::Read)?;
    let mut decoder = Decoder::open(Box::new(file), &options)?;
    let mut block = Block::default();
    while decoder.next_block(&mut block)? {}
    let (info, report) = (decoder.info(), decoder.report());
    let speed = report.duration / started.elapsed().as_secs_f64();
    Ok(format!("{info:?}, {report:?}, {speed:.0} times real time"))
}
