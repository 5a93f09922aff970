//! One recording in flight.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Instant,
};

use transcript::{Segment, Stage};

use super::{
    Control, Error, INTERRUPT_POLL, Options, Outcome, Pipeline, Progress,
    sentences::{self, Finisher},
    task::{Heard, Recognized, WindowTask, contained},
};
use crate::{
    compute::thread_cpu_seconds,
    recognizer,
    segmenter::Segmenter,
    speakers::Embedding,
    window::{Packer, Window},
};

pub(super) struct Run<'a> {
    pipeline: &'a Pipeline,
    options: &'a Options,
    control: &'a Arc<Control>,
    started: Instant,
    decoder: audio::Decoder,
    channels: Vec<Channel>,
    hotwords: Arc<[String]>,
    in_flight: usize,
    results: (mpsc::Sender<Recognized>, mpsc::Receiver<Recognized>),
    /// Ends, in seconds, of the windows in flight by window number.
    pending_ends: BTreeMap<usize, f64>,
    windows: usize,
    cost: f64,
    seconds: Seconds,
}

/// Of one core, by stage.
#[derive(Default)]
struct Seconds {
    decode: f64,
    vad: f64,
    recognize: f64,
    punctuate: f64,
    speakers: f64,
}

struct Channel {
    segmenter: Segmenter,
    packer: Packer,
    language: Option<String>,
    /// As recognized, in the order in which they came from the pool.
    segments: Vec<Segment>,
    embeddings: Vec<Embedding>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        pipeline: &'a Pipeline,
        decoder: audio::Decoder,
        options: &'a Options,
        control: &'a Arc<Control>,
    ) -> Self {
        let (models, settings) = (&pipeline.models, &pipeline.settings);
        let recognizer = &models.recognizer;
        let channels = (0..decoder.output_channels())
            .map(|_| Channel {
                segmenter: Segmenter::new(Arc::clone(&models.vad), settings.segmentation.clone()),
                packer: Packer::new(recognizer.max_seconds(), recognizer.fixed_window()),
                language: options.language.clone(),
                segments: Vec::new(),
                embeddings: Vec::new(),
            })
            .collect();
        Self {
            pipeline,
            options,
            control,
            started: Instant::now(),
            cost: decoder.info().declared_duration.unwrap_or(0.0),
            decoder,
            channels,
            hotwords: pipeline.hotwords(options),
            in_flight: 0,
            results: mpsc::channel(),
            pending_ends: BTreeMap::new(),
            windows: 0,
            seconds: Seconds::default(),
        }
    }

    pub(super) fn finish(mut self) -> Result<Outcome, Error> {
        // Windows still in flight after an error hold nothing of ours but the channel; they need
        // not be waited for.
        self.recognize()?;
        let mut segments = Err(Error::Interrupted);
        Arc::clone(&self.pipeline.compute)
            .run(&mut || segments = contained(|| self.finish_segments()));
        let segments = segments?;
        Ok(Outcome {
            segments,
            info: self.decoder.info().clone(),
            report: self.decoder.report().clone(),
            warnings: self.warnings(),
            punctuation: self.pipeline.punctuator(self.options).map(|p| p.name().to_owned()),
            speakers: self.pipeline.diarizer(self.options).map(|d| d.name().to_owned()),
            stages: self.stages(),
            wall_seconds: self.started.elapsed().as_secs_f64(),
        })
    }

    /// What is done once all words are there: marks, digits, speakers.
    fn finish_segments(&mut self) -> Result<Vec<Segment>, Error> {
        let finisher = Finisher {
            punctuator: self.pipeline.punctuator(self.options).map(|p| &**p),
            normalizer: self.pipeline.normalizer(self.options).map(|n| &**n),
            control: self.control,
        };
        // Split channels are labelled, a mix is not.
        let labelled = self.channels.len() > 1;
        let mut segments = Vec::new();
        let mut speakers = 0;
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let mut of_channel = std::mem::take(&mut channel.segments);
            of_channel.sort_by(|a, b| a.start.total_cmp(&b.start));
            let start = thread_cpu_seconds();
            of_channel = finisher.finish(of_channel)?;
            let punctuated = thread_cpu_seconds();
            self.seconds.punctuate += punctuated - start;
            if labelled {
                let number = u32::try_from(index).unwrap_or(u32::MAX);
                of_channel.iter_mut().for_each(|segment| segment.channel = Some(number));
            }
            if let (Some(diarizer), Some(options)) =
                (self.pipeline.diarizer(self.options), &self.options.speakers)
            {
                let turns = diarizer.diarize(std::mem::take(&mut channel.embeddings), options);
                // Whoever speaks on another channel is somebody else.
                speakers += sentences::label(&mut of_channel, &turns, speakers);
            }
            self.seconds.speakers += thread_cpu_seconds() - punctuated;
            segments.extend(of_channel);
        }
        segments
            .sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.channel.cmp(&b.channel)));
        sentences::number_speakers(&mut segments);
        Ok(segments)
    }

    fn warnings(&self) -> Vec<String> {
        let name = &self.pipeline.recognizer().name;
        let mut warnings = Vec::new();
        if !self.options.hotwords.is_empty() && self.hotwords.is_empty() {
            warnings
                .push(format!("hotwords are passed over: the model `{name}` has no use for them"));
        }
        let recognizer = &self.pipeline.models.recognizer;
        let normalizes = self.pipeline.normalizes(self.options);
        if self.options.punctuate == Some(true)
            && !recognizer.punctuates(normalizes)
            && self.pipeline.punctuator(self.options).is_none()
        {
            warnings.push(format!(
                "there is no punctuation: the model `{name}` writes none, and no punctuation model \
                 is loaded (`models.punctuation` names it)"
            ));
        }
        if normalizes
            && !recognizer.punctuates(true)
            && self.pipeline.normalizer(self.options).is_none()
        {
            warnings.push(format!(
                "numbers stay words: the model `{name}` writes none as digits, and no grammars are \
                 loaded (`models.normalization` names them)"
            ));
        }
        warnings
    }

    fn stages(&self) -> Vec<Stage> {
        let Seconds { decode, vad, recognize, punctuate, speakers } = self.seconds;
        let stage = |name: &str, seconds: f64| Stage { name: name.to_owned(), seconds };
        let mut stages =
            vec![stage("decode", decode), stage("vad", vad), stage("recognize", recognize)];
        // Grammars are quick; a stage of their own would tell nobody anything.
        if self.pipeline.punctuator(self.options).is_some() {
            stages.push(stage("punctuate", punctuate));
        }
        if self.pipeline.diarizer(self.options).is_some() {
            stages.push(stage("speakers", speakers));
        }
        stages
    }

    fn recognize(&mut self) -> Result<(), Error> {
        let compute = Arc::clone(&self.pipeline.compute);
        let mut block = audio::Block::default();
        loop {
            if self.control.is_interrupted() {
                return Err(Error::Interrupted);
            }
            let mut windows = Vec::new();
            let mut more = Ok(true);
            compute.run(&mut || more = self.advance(&mut block, &mut windows));
            let more = more?;
            for (channel, window) in windows {
                self.submit(channel, window)?;
            }
            self.report_progress();
            if !more {
                break;
            }
        }
        while self.in_flight > 0 {
            self.receive()?;
            self.report_progress();
        }
        Ok(())
    }

    /// Decodes one block and finds the speech in it; `false` at the end of the recording.
    fn advance(
        &mut self,
        block: &mut audio::Block,
        windows: &mut Vec<(usize, Window)>,
    ) -> Result<bool, Error> {
        let start = thread_cpu_seconds();
        let more = self.decoder.next_block(block)?;
        let decoded = thread_cpu_seconds();
        self.seconds.decode += decoded - start;

        let mut segments = Vec::new();
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if more {
                channel.segmenter.push(&block.channels[index], &mut segments)?;
            } else {
                channel.segmenter.finish(&mut segments)?;
            }
            windows.extend(
                segments.drain(..).filter_map(|s| channel.packer.push(s)).map(|w| (index, w)),
            );
            if !more {
                windows.extend(channel.packer.finish().map(|w| (index, w)));
            }
        }
        self.seconds.vad += thread_cpu_seconds() - decoded;
        Ok(more)
    }

    /// Sends a window to the pool, waiting while too many are there.
    fn submit(&mut self, channel: usize, window: Window) -> Result<(), Error> {
        // Until one tells the language, windows go one by one: which of several is heard first
        // must not decide.
        let asking = self.pipeline.models.recognizer.keeps_language()
            && self.channels[channel].language.is_none();
        // One waits for the core that is free next.
        while self.in_flight > self.pipeline.compute.width() {
            self.receive()?;
        }
        self.pending_ends.insert(self.windows, window.recording_end());
        let task = WindowTask {
            number: self.windows,
            channel,
            window,
            options: recognizer::Options {
                language: self.channels[channel].language.clone(),
                hotwords: Arc::clone(&self.hotwords),
                normalize: self.pipeline.normalizes(self.options),
            },
            recognizer: Arc::clone(&self.pipeline.models.recognizer),
            diarizer: self.pipeline.diarizer(self.options).cloned(),
            control: Arc::clone(self.control),
            results: self.results.0.clone(),
        };
        self.windows += 1;
        self.in_flight += 1;
        self.pipeline.compute.spawn(self.cost, Box::new(move || task.run()));
        if asking {
            while self.in_flight > 0 {
                self.receive()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Error> {
        let recognized = loop {
            match self.results.1.recv_timeout(INTERRUPT_POLL) {
                Ok(recognized) => break recognized,
                Err(_) if self.control.is_interrupted() => return Err(Error::Interrupted),
                Err(_) => {}
            }
        };
        self.in_flight -= 1;
        self.pending_ends.remove(&recognized.number);
        self.seconds.recognize += recognized.recognize_seconds;
        self.seconds.speakers += recognized.speakers_seconds;
        let Heard { hypotheses, language, embeddings } = recognized.result?;
        let channel = &mut self.channels[recognized.channel];
        if channel.language.is_none() && self.pipeline.models.recognizer.keeps_language() {
            channel.language.clone_from(&language);
        }
        channel.embeddings.extend(embeddings);
        channel.segments.extend(hypotheses.into_iter().filter_map(|hypothesis| {
            sentences::place(hypothesis, &recognized.window, language.clone())
        }));
        Ok(())
    }

    fn report_progress(&self) {
        let report = self.decoder.report();
        let seconds = self.pending_ends.values().copied().fold(report.duration, f64::min);
        // What is decoded ahead of the recognizer is read, but not done.
        let share = if report.duration > 0.0 { seconds / report.duration } else { 1.0 };
        let bytes = (report.bytes_read as f64 * share) as u64;
        self.control.report(Progress { seconds, bytes });
    }
}
