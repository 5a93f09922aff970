//! SenseVoiceSmall itself: feature rows to logits.

use engine::{Input, Onnx, OnnxFile, Tensor};

use crate::{files::broken, recognizer::Error};

/// Name of the axis of rows.
const LENGTH: &str = "rows";
/// Rows that the network puts before those given: language, event, emotion, and the style of the
/// text. Its first outputs are what it says about these.
pub(super) const PROMPT: usize = 4;

/// Encoder and CTC head; the prompt is a part of the graph.
pub(super) struct Network {
    graph: Onnx,
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
        let inputs = [
            Input::new(speech, [1.into(), LENGTH.into(), width.into()]),
            Input::full_length(lengths, LENGTH),
            Input::new(language, [1.into()]),
            Input::new(style, [1.into()]),
        ];
        let graph = file.network(&inputs, &[&output.name]).map_err(|error| broken(path, error))?;
        let mut network = Self { graph, width, classes: 0 };
        let probe = network
            .run(&vec![0.1; 2 * width], [0, 0])
            .map_err(|error| broken(path, format!("does not fit its configuration: {error}")))?;
        let values = engine::values::<f32>(&probe).map_err(|error| broken(path, error))?;
        match probe.shape() {
            &[1, rows, classes] if rows == PROMPT + 2 && classes > 0 => network.classes = classes,
            shape => {
                let message = format!("makes {shape:?} of 2 rows: it is no SenseVoiceSmall");
                return Err(broken(path, message));
            }
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(broken(
                path,
                "computes values that are no numbers: its weights are broken",
            ));
        }
        Ok(network)
    }

    /// How many classes it tells apart.
    pub(super) fn classes(&self) -> usize {
        self.classes
    }

    /// Logits of the [`PROMPT`] and of every one of `rows` (row-major, at least one):
    /// `[1, _, classes]`. `prompt`: numbers of the language and of the style.
    pub(super) fn logits(&self, rows: &[f32], prompt: [i32; 2]) -> Result<Tensor, Error> {
        let output = self.run(rows, prompt)?;
        if output.shape() != [1, PROMPT + rows.len() / self.width, self.classes] {
            let shape = output.shape();
            return Err(Error::Network(format!("the output has the unexpected shape {shape:?}")));
        }
        Ok(output)
    }

    fn run(&self, rows: &[f32], [language, style]: [i32; 2]) -> Result<Tensor, Error> {
        let speech = engine::tensor(&[1, rows.len() / self.width, self.width], rows);
        let number = |number: i32| engine::tensor(&[1], &[number]).map_err(network);
        let inputs = vec![speech.map_err(network)?, number(language)?, number(style)?];
        let mut outputs = self.graph.run(inputs).map_err(network)?;
        outputs.pop().ok_or_else(|| Error::Network("the network has no output".to_owned()))
    }
}

pub(super) fn network(error: engine::Error) -> Error {
    Error::Network(error.to_string())
}
