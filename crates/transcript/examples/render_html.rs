//! Renders the HTML page of a transcript: `render_html TRANSCRIPT.json [RECORDING] > page.html`. With a recording, the
//! page embeds it; without, it links the file that the transcript names.

use std::{
    env, fs,
    io::{self, Write},
};

use transcript::{HtmlAudio, HtmlOptions, Transcript};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args_os().skip(1);
    let path = arguments.next().ok_or("usage: render_html TRANSCRIPT.json [RECORDING]")?;
    let transcript = Transcript::from_json(&fs::read(path)?)?;
    let audio = match arguments.next() {
        Some(recording) => {
            HtmlAudio::Embedded { media_type: "audio/wav".to_owned(), bytes: fs::read(recording)? }
        }
        None => HtmlAudio::Beside,
    };
    let page = transcript.render_html(&HtmlOptions { audio });
    io::stdout().write_all(page.as_bytes())?;
    Ok(())
}
