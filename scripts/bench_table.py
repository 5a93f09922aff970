"""Turns reports of `scriptorium bench --json` into a table, and joins recordings into one.

Usage: bench_table.py table REPORT.json...     a Markdown table on standard output
       bench_table.py join OUT.wav IN.wav...   the recordings, which have one format, one after the other
"""

import json
import platform
import sys
import wave
from pathlib import Path


def join(out: str, recordings: list[str]) -> None:
    with wave.open(out, "wb") as joined:
        for number, name in enumerate(recordings):
            with wave.open(name, "rb") as recording:
                if number == 0:
                    joined.setparams(recording.getparams())
                elif recording.getparams()[:3] != joined.getparams()[:3]:
                    raise SystemExit(f"error: {name} has another format than {recordings[0]}")
                joined.writeframes(recording.readframes(recording.getnframes()))


def milliseconds(value: float) -> str:
    return f"{value / 1000:.2f} s" if value >= 1000 else f"{value:.0f} ms"


def megabytes(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 1e6:.0f} MB"


def row(report: dict, work: str, measured: dict, per_segment: str) -> str:
    model = report["model"]
    cells = [
        model["name"],
        model["precision"],
        work,
        str(measured["threads"]),
        per_segment,
        f"{measured['audio_seconds_per_core_second']:.1f}",
        f"{1 / measured['real_time_factor']:.1f}",
        megabytes(measured["peak_bytes"]),
    ]
    return "| " + " | ".join(cells) + " |"


def table(reports: list[dict]) -> str:
    machine = reports[0]["machine"]
    peaks = ", ".join(
        f"{name} {peak['products_per_second'] / 1e9:.0f} ({peak['instruction']})"
        for name, peak in machine["peak"].items()
    )
    lines = [
        f"### {machine['cpu'] or 'unknown CPU'}, {machine['cores']} cores ({machine['architecture']})",
        "",
        f"Scriptorium {reports[0]['version']}, Linux {platform.release()}. "
        f"Instruction sets: {machine['instruction_sets'] or 'none beyond the base'}. "
        f"Peak of one core in 10⁹ multiply-accumulates per second: {peaks}.",
        "",
        "| model | precision | work | threads | time of one | audio s per core-second | times real time | memory |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for report in reports:
        for segment in report["segments"]:
            lines.append(row(report, f"segment of {segment['seconds']:g} s", segment, milliseconds(segment["cpu_ms"])))
        for whole in report["pipeline"]:
            work = f"recording of {whole['seconds']:g} s to transcript"
            lines.append(row(report, work, whole, milliseconds(whole["wall_ms"])))
    lines += [
        "",
        "Time of one: CPU time of a segment, wall time of a recording; medians. `scriptorium bench --pipeline --json` "
        "on the recordings of `make demo`; the artefact has the complete reports.",
    ]
    return "\n".join(lines)


def main() -> None:
    match sys.argv[1:]:
        case ["table", first, *more]:
            print(table([json.loads(Path(name).read_text(encoding="utf-8")) for name in [first, *more]]))
        case ["join", out, first, *more]:
            join(out, [first, *more])
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
