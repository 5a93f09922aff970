//! Builds the application from its configuration, and loads that configuration.
//!
//! [`config::load`] merges the layers (defaults < file < environment < flags) into a [`Config`];
//! [`build()`] turns a [`Config`] into an [`App`]: models loaded, compute threads started, stores
//! opened. No other crate reads the environment.
//!
//! ```no_run
//! # async fn example() -> Result<(), app::Error> {
//! let threads = ("compute.threads", Some(app::config::FlagValue::from(4_u64)));
//! let layered = app::config::load(None, &[threads])?;
//! let app = app::build(&layered.config, app::BuildOptions::default(), &|_| {}).await?;
//! println!("{} cores", app.cores);
//! # Ok(())
//! # }
//! ```

mod build;
mod compute;
pub mod config;
mod environment;
mod error;
mod models;
mod presets;
mod services;
mod voices;

pub use self::config::Config;
pub use self::models::{convert_model, open_recognizer};
pub use build::{App, BuildOptions, build};
pub use compute::{available_cores, instruction_sets, start_pool, supported_instruction_sets};
pub use environment::state_directory;
pub use error::{ConfigError, Error};
pub use presets::{find_recognizer, preset};
pub use services::{OnPull, PullEvent, Urls, library, pull, queue_config, stores, webhooks};
pub use voices::{VoiceModels, open_voice_models};
