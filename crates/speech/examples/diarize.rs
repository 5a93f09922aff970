//! Finds who speaks when in WAV files, 16 kHz mono, without a recognizer, and writes NAME.rttm for each.
//!
//! ```text
//! cargo run --release -p speech --example diarize -- MODELS OUT [--step SECONDS] [--speakers N] FILE...
//! ```
//!
//! MODELS holds the folders `campplus` and, unless it is to do without, `pyannote-segmentation-3.0`.

#![allow(clippy::print_stdout)]

use std::{error::Error, fs, io::Write, path::Path, sync::Arc};

use speech::{
    compute::thread_cpu_seconds,
    segmenter::{SegmentationConfig, Segmenter},
    speakers::{
        Diarizer, SpeakerEncoder, SpeakerOptions, SpeakersConfig, segmentation::SegmentationNetwork,
    },
    vad::FsmnVad,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: diarize MODELS OUT [--step SECONDS] [--speakers N] FILE...";
    let (Some(models), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err(usage.into());
    };
    let (models, out) = (Path::new(&models), Path::new(&out));
    let (mut config, mut options) = (SpeakersConfig::default(), SpeakerOptions::default());
    let mut files = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(usage);
        match argument.as_str() {
            "--step" => config.step_seconds = value()?.parse()?,
            "--speakers" => options.count = Some(value()?.parse()?),
            _ => files.push(argument),
        }
    }
    let encoder = SpeakerEncoder::open(&models.join("campplus"), "campplus")?;
    let name = "pyannote-segmentation-3.0";
    let segmentation = models.join(name);
    let segmentation = match segmentation.is_dir() {
        true => Some(Arc::new(SegmentationNetwork::open(&segmentation, name)?)),
        false => None,
    };
    let diarizer = Diarizer::new(Arc::new(encoder), segmentation, &config);
    let vad = match diarizer.hears_speech() {
        true => None,
        false => Some(FsmnVad::open(&models.join("fsmn-vad"))?),
    };
    fs::create_dir_all(out)?;
    for file in files {
        diarize(&diarizer, vad.as_ref(), &options, Path::new(&file), out)?;
    }
    Ok(())
}

fn diarize(
    diarizer: &Diarizer,
    vad: Option<&FsmnVad>,
    options: &SpeakerOptions,
    file: &Path,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut wav = hound::WavReader::open(file)?;
    let seconds = f64::from(wav.duration()) / f64::from(wav.spec().sample_rate);
    let begun = thread_cpu_seconds();
    let mut stream = diarizer.stream();
    let mut segmenter = vad.map(|vad| Segmenter::new(vad, SegmentationConfig::default()));
    let mut samples = wav.samples::<i16>();
    loop {
        let block = samples.by_ref().take(16_000).map(|sample| Ok(f32::from(sample?) / 32768.0));
        let block = block.collect::<Result<Vec<f32>, hound::Error>>()?;
        let (mut work, mut segments) = (Vec::new(), Vec::new());
        match &mut segmenter {
            Some(segmenter) if block.is_empty() => segmenter.finish(&mut segments)?,
            Some(segmenter) => segmenter.push(&block, &mut segments)?,
            None => {}
        }
        for segment in segments {
            stream.push_speech(segment.start, &segment.samples, &mut work);
        }
        if block.is_empty() {
            stream.finish(&mut work);
        } else {
            stream.push(&block, &mut work);
        }
        while let Some(next) = work.pop() {
            let result = diarizer.compute(&next)?;
            stream.accept(next.key(), result, &mut work);
        }
        if block.is_empty() {
            break;
        }
    }
    let networks = thread_cpu_seconds();
    let found = diarizer.diarize(&stream, options);
    let ended = thread_cpu_seconds();
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut rttm = fs::File::create(out.join(format!("{name}.rttm")))?;
    for turn in &found.turns {
        let (start, seconds) = (turn.start, turn.end - turn.start);
        writeln!(
            rttm,
            "SPEAKER {name} 1 {start:.3} {seconds:.3} <NA> <NA> speaker{} <NA> <NA>",
            turn.speaker + 1
        )?;
    }
    println!(
        "{name}: {} speakers, {} turns; {:.1} s of CPU per hour, and {:.2} s to cluster",
        found.voices.len(),
        found.turns.len(),
        (networks - begun) / seconds * 3600.0,
        ended - networks,
    );
    Ok(())
}
