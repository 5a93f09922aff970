//! The network of SenseVoiceSmall: rows of features to the most probable class of each.

use engine::{Input, OnnxFile, OnnxNetwork, Tensor};

use crate::{
    files::{broken, broken_by, not_loaded},
    recognizer::Error,
};

/// Name of the axis of rows.
const LENGTH: &str = "rows";
/// Number of rows that the network inserts before the given ones: language, event, emotion, and
/// text style. Its first outputs classify these.
pub(super) const PROMPT_ROWS: usize = 4;

/// Encoder and CTC head. The graph includes the prompt.
pub(super) struct Network {
    graph: OnnxNetwork,
    width: usize,
    classes: usize,
}

impl Network {
    /// Opens the network for a front end with rows of `width` values, and runs it once.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is another network, does not fit the front end, or is damaged.
    pub(super) fn new(file: &OnnxFile, width: usize) -> Result<Self, Error> {
        let path = file.path();
        let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
        let [speech, lengths, language, style] = names[..] else {
            let message = format!(
                "has {} inputs, but SenseVoiceSmall has 4 (speech, its length, language, style)",
                names.len()
            );
            return Err(broken(path, message));
        };
        let output =
            file.outputs().first().ok_or_else(|| broken(path, "has no output: it is truncated"))?;
        let (graph, classes) = file
            .argmax_network(&inputs([speech, lengths, language, style], width), &output.name)
            .map_err(|error| not_loaded(path, error))?;
        let network = Self { graph, width, classes };
        let probe = network
            .run(&vec![0.1; 2 * width], [0, 0])
            .map_err(|error| broken_by(path, "does not fit its configuration", error))?;
        if probe.shape() != [1, PROMPT_ROWS + 2, 2] {
            let shape = probe.shape();
            return Err(broken(
                path,
                format!("returns {shape:?} for 2 rows: it is not a SenseVoiceSmall"),
            ));
        }
        // Damaged weights may give values that are not finite.
        read_pairs(&probe)
            .map_err(|error| broken_by(path, "is damaged; download it again", error))?;
        Ok(network)
    }

    /// Returns the number of classes.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Returns the most probable class and its log-probability for each of the [`PROMPT_ROWS`] and
    /// each of `rows` (row-major, at least one). `prompt` holds the ids of the language and the
    /// style.
    pub(super) fn argmax(
        &self,
        rows: &[f32],
        prompt: [i32; 2],
    ) -> Result<Vec<(usize, f32)>, Error> {
        let output = self.run(rows, prompt)?;
        if output.shape() != [1, PROMPT_ROWS + rows.len() / self.width, 2] {
            let shape = output.shape();
            return Err(Error::Network(format!("unexpected shape {shape:?} of the output")));
        }
        read_pairs(&output)
    }

    fn run(&self, rows: &[f32], [language, style]: [i32; 2]) -> Result<Tensor, Error> {
        let speech = engine::tensor(&[1, rows.len() / self.width, self.width], rows);
        let id = |id: i32| engine::tensor(&[1], &[id]);
        let inputs = vec![speech?, id(language)?, id(style)?];
        let mut outputs = self.graph.run(inputs)?;
        outputs.pop().ok_or_else(|| Error::Network("the network has no output".to_owned()))
    }
}

/// Returns the inputs with the `names` of the rows, their number, the language, and the style.
pub(super) fn inputs(names: [&str; 4], width: usize) -> [Input<'_>; 4] {
    let [speech, lengths, language, style] = names;
    [
        Input::new(speech, [1.into(), LENGTH.into(), width.into()]),
        Input::full_length(lengths, LENGTH),
        Input::new(language, [1.into()]),
        Input::new(style, [1.into()]),
    ]
}

/// Reads pairs of a class and its log-probability; refuses values that are not finite.
fn read_pairs(output: &Tensor) -> Result<Vec<(usize, f32)>, Error> {
    let (pairs, _) = engine::values::<f32>(output)?.as_chunks::<2>();
    if pairs.iter().any(|[_, log_probability]| !log_probability.is_finite()) {
        return Err(Error::Network("the outputs are not finite".to_owned()));
    }
    Ok(pairs.iter().map(|&[class, log_probability]| (class as usize, log_probability)).collect())
}
