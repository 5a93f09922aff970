//! `scriptorium bench`: measures the speed of a model on this machine.

use app::Config;
use bench::{BenchOptions, Callbacks};

use crate::{
    args::BenchArgs,
    commands::{print_json, print_text},
    exit,
    progress::{Counter, download_bar},
};

pub(crate) async fn run(config: &Config, args: BenchArgs) -> anyhow::Result<u8> {
    let options = BenchOptions {
        durations: args.durations,
        threads: args.threads,
        runs: args.runs,
        audio: args.audio,
        pipeline: args.pipeline,
        profile: args.profile,
        profile_out: args.profile_out,
    };
    let counter = Counter::start();
    let on_step = |done, total, text: &str| counter.show(done, total, text, Vec::new());
    let callbacks = Callbacks { on_step: &on_step, on_pull: &download_bar() };
    let bench = bench::run(config, &options, callbacks).await?;
    drop(counter);
    // A pipeline that cannot be measured must not cost the other results.
    if args.json {
        print_json(&bench.report)?;
    } else {
        print_text(bench.report.to_string().trim_end())?;
    }
    bench.pipeline_error.map_or(Ok(exit::SUCCESS), Err)
}
