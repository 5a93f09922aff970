//! The loaded pipelines, by name.

use std::{collections::BTreeMap, sync::Arc};

use speech::pipeline::Pipeline;

/// Loaded pipelines by the name of their preset.
pub(crate) struct Presets {
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    default: String,
}

impl Presets {
    /// The first pipeline is the default.
    pub(crate) fn new(pipelines: Vec<(String, Pipeline)>) -> Self {
        let default = pipelines.first().map_or_else(String::new, |(name, _)| name.clone());
        let pipelines =
            pipelines.into_iter().map(|(name, pipeline)| (name, Arc::new(pipeline))).collect();
        Self { pipelines, default }
    }

    pub(crate) fn pipelines(&self) -> impl Iterator<Item = &Pipeline> {
        self.pipelines.values().map(|pipeline| &**pipeline)
    }

    /// Returns the pipeline of the preset `name`, or the only one with the recognizer `name`;
    /// without a name, the default one. The error is a message that lists the choices.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<Pipeline>, String> {
        let name = name.unwrap_or(&self.default);
        if let Some(pipeline) = self.pipelines.get(name) {
            return Ok(Arc::clone(pipeline));
        }
        let with_recognizer: Vec<_> =
            self.pipelines.iter().filter(|(_, p)| p.recognizer().name == name).collect();
        let list = |names: Vec<&str>| names.join(", ");
        match with_recognizer.as_slice() {
            [] => {
                let loaded = list(self.pipelines.keys().map(String::as_str).collect());
                Err(format!("preset `{name}` is not loaded here; loaded: {loaded}"))
            }
            [(_, pipeline)] => Ok(Arc::clone(pipeline)),
            several => {
                let presets = list(several.iter().map(|(preset, _)| preset.as_str()).collect());
                Err(format!("model `{name}` is in several presets: name one of them: {presets}"))
            }
        }
    }
}
