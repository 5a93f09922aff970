"""Makes subtitles with several systems and models, and prints what breaks the usual rules. Started by
compare-subtitles.sh, which installs whisper-ctranslate2 in the environment that runs this."""

import argparse
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import wave

import check_subtitles

# Seconds between the recordings, when the cues of all are checked as one file.
APART = 100_000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--before", type=pathlib.Path, help="another build, for comparison")
    parser.add_argument("--model", type=pathlib.Path, action="append", required=True,
                        help="a model directory")  # fmt: skip
    parser.add_argument("--clips", type=pathlib.Path, required=True,
                        help="a folder of WAV files that are parts of one text, in the order of their names")  # fmt: skip
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the subtitles")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="further recordings")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        recordings = gather(arguments, folder / "recordings")
        results = {}
        for model in arguments.model:
            for system, make in systems(arguments).items():
                title = f"{system}, {model.name.removeprefix('whisper-')}"
                out = (arguments.keep or folder) / title.replace(", ", "-").replace(" ", "-")
                make(model, recordings, out)
                results[title] = check(recordings, out)
    print(check_subtitles.table(results))


def gather(arguments, folder: pathlib.Path) -> list[pathlib.Path]:
    """Copies the recordings to a folder, and the clips once more as one recording."""
    folder.mkdir(parents=True)
    clips = sorted(arguments.clips.glob("*.wav"))
    for path in (*clips, *arguments.files):
        shutil.copy(path, folder)
    with wave.open(str(folder / "joined.wav"), "wb") as joined:
        for number, path in enumerate(clips):
            with wave.open(str(path)) as clip:
                if number == 0:
                    joined.setparams(clip.getparams())
                joined.writeframes(clip.readframes(clip.getnframes()))
    return sorted(folder.iterdir())


def systems(arguments) -> dict:
    """Returns functions that make subtitles: name -> f(model, recordings, folder)."""

    def scriptorium(binary):
        def make(model, recordings, out):
            run([binary, "transcribe", *recordings, "--model", model, "--language", "en",
                 "--format", "json,srt", "--out", out])  # fmt: skip

        return make

    def whisper_ctranslate2(model, recordings, out):
        program = pathlib.Path(sys.executable).with_name("whisper-ctranslate2")
        run([program, *recordings, "--model_directory", model, "--local_files_only", "True",
             "--language", "en", "--device", "cpu", "--compute_type", "int8",
             "--word_timestamps", "True", "--max_line_width", "42", "--max_line_count", "2",
             "--output_format", "all", "--output_dir", out])  # fmt: skip

    found = {"before": scriptorium(arguments.before)} if arguments.before else {}
    return found | {
        "scriptorium": scriptorium(arguments.binary),
        "whisper-ctranslate2": whisper_ctranslate2,
    }


def run(command) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def check(recordings: list[pathlib.Path], out: pathlib.Path) -> dict:
    """Checks the subtitles of all recordings as if they were one file."""
    cues, words = [], []
    for number, recording in enumerate(recordings):
        srt, transcript = (made(out, recording, extension) for extension in ("srt", "json"))
        apart = number * APART
        for cue in check_subtitles.read_cues(srt.read_text(encoding="utf-8")):
            speaker = f"{recording.name} {cue.speaker}"
            cues.append(
                dataclasses.replace(cue, start=cue.start + apart, end=cue.end + apart, speaker=speaker)
            )
        document = json.loads(transcript.read_text(encoding="utf-8"))
        words += [(a + apart, b + apart, text) for a, b, text in check_subtitles.read_words(document)]
    return check_subtitles.check(cues, words)


def made(out: pathlib.Path, recording: pathlib.Path, extension: str) -> pathlib.Path:
    """Returns the file that was made of a recording: `a.wav.srt`, or Whisper's `a.srt`."""
    ours = out / f"{recording.name}.{extension}"
    return ours if ours.exists() else out / f"{recording.stem}.{extension}"


if __name__ == "__main__":
    main()
