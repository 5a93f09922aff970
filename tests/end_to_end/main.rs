//! Tests of the `scriptorium` binary, with files alone and with a real RabbitMQ and a real S3
//! server, which `make test` starts.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

mod archive;
mod bad_input;
mod bench;
mod bridge;
mod channels;
mod chaos;
mod checkpoints;
mod clients;
mod command_line;
mod configuration;
mod convert;
mod encodings;
mod fleet;
mod folders;
mod funasr;
mod http;
mod lanes;
mod life;
mod long;
mod monitoring;
mod notify;
mod parakeet;
mod proxy;
mod queue;
mod scaling;
mod services;
mod support;
mod telemetry;
mod transcribe;
mod upgrade;
mod urls;
mod voices;
mod words;
