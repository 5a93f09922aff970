//! SenseVoiceSmall itself: feature rows to the likeliest token of each.

use engine::{Input, OnnxFile, OnnxNetwork, Tensor};

use crate::{files::broken, recognizer::Error};

/// Name of the axis of rows.
const LENGTH: &str = "rows";
/// Rows that the network puts before those given: language, event, emotion, and the style of the
/// text. Its first outputs are what it says about these.
pub(super) const PROMPT: usize = 4;

/// Encoder and CTC head; the prompt is a part of the graph.
pub(super) struct Network {
    graph: OnnxNetwork,
    width: usize,
    classes: usize,
}

impl Network {
    /// Refuses a network that does not fit the front end, whose rows are `width` wide, or that
    /// computes no numbers.
    pub(super) fn new(file: &OnnxFile, width: usize) -> Result<Self, Error> {
        let path = file.path();
        let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
        let [speech, lengths, language, style] = names[..] else {
            let message = format!(
                "has {} inputs, where SenseVoiceSmall has 4 (speech, its length, language, style)",
                names.len()
            );
            return Err(broken(path, message));
        };
        let output =
            file.outputs().first().ok_or_else(|| broken(path, "has no output: it is cut off"))?;
        let (graph, classes) = file
            .argmax_network(&inputs([speech, lengths, language, style], width), &output.name)
            .map_err(|error| broken(path, error))?;
        let network = Self { graph, width, classes };
        let probe = network
            .run(&vec![0.1; 2 * width], [0, 0])
            .map_err(|error| broken(path, format!("does not fit its configuration: {error}")))?;
        if probe.shape() != [1, PROMPT + 2, 2] {
            let shape = probe.shape();
            return Err(broken(
                path,
                format!("makes {shape:?} of 2 rows: it is no SenseVoiceSmall"),
            ));
        }
        // Broken weights may make values that are no numbers.
        likeliest(&probe).map_err(|error| broken(path, error))?;
        Ok(network)
    }

    /// How many classes it tells apart.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// The likeliest class, and its log-probability, for the [`PROMPT`] and for every one of `rows`
    /// (row-major, at least one). `prompt`: numbers of the language and of the style.
    pub(super) fn likeliest(
        &self,
        rows: &[f32],
        prompt: [i32; 2],
    ) -> Result<Vec<(usize, f32)>, Error> {
        let output = self.run(rows, prompt)?;
        if output.shape() != [1, PROMPT + rows.len() / self.width, 2] {
            let shape = output.shape();
            return Err(Error::Network(format!("the output has the unexpected shape {shape:?}")));
        }
        likeliest(&output)
    }

    fn run(&self, rows: &[f32], [language, style]: [i32; 2]) -> Result<Tensor, Error> {
        let speech = engine::tensor(&[1, rows.len() / self.width, self.width], rows);
        let number = |number: i32| engine::tensor(&[1], &[number]).map_err(network);
        let inputs = vec![speech.map_err(network)?, number(language)?, number(style)?];
        let mut outputs = self.graph.run(inputs).map_err(network)?;
        outputs.pop().ok_or_else(|| Error::Network("the network has no output".to_owned()))
    }
}

/// `names` of the rows, of how many there are, of the language and of the style.
pub(super) fn inputs(names: [&str; 4], width: usize) -> [Input<'_>; 4] {
    let [speech, lengths, language, style] = names;
    [
        Input::new(speech, [1.into(), LENGTH.into(), width.into()]),
        Input::full_length(lengths, LENGTH),
        Input::new(language, [1.into()]),
        Input::new(style, [1.into()]),
    ]
}

fn likeliest(output: &Tensor) -> Result<Vec<(usize, f32)>, Error> {
    let (pairs, _) = engine::values::<f32>(output).map_err(network)?.as_chunks::<2>();
    if pairs.iter().any(|[_, log_probability]| !log_probability.is_finite()) {
        let message = "computes values that are no numbers: its weights are broken";
        return Err(Error::Network(message.to_owned()));
    }
    Ok(pairs.iter().map(|&[class, log_probability]| (class as usize, log_probability)).collect())
}

fn network(error: engine::Error) -> Error {
    Error::Network(error.to_string())
}
