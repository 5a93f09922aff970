//! Decodes files and prints their properties and the speed:
//! `cargo run -p audio --example decode -- FILE…`
#![allow(clippy::print_stdout)]

use std::error::Error as _;
use std::fs::File;
use std::time::{Duration, Instant};

use audio::{Block, ChannelMode, DecodeOptions, Decoder, Error, Limits};

fn main() {
    for path in std::env::args().skip(1) {
        match decode(&path) {
            Ok(report) => println!("{path}: {report}"),
            Err(e) => match e.source() {
                Some(cause) => println!("{path}: {e}: {cause}"),
                None => println!("{path}: {e}"),
            },
        }
    }
}

fn decode(path: &str) -> Result<String, Error> {
    let options = DecodeOptions {
        limits: Limits {
            max_bytes: u64::MAX,
            max_duration: Duration::from_secs(7 * 24 * 3600),
            max_channels: 64,
            ..Limits::default()
        },
        channels: ChannelMode::Mix,
        allow_truncated: true,
        ..DecodeOptions::default()
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
