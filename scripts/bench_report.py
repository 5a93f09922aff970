"""Figures of bench_peers.py: rows, the arithmetic floor, and the table."""

import statistics

# Sizes of Paraformer-large's weight matrices.
SIZE, INNER, FRAME, VOCABULARY = 512, 2048, 560, 8404
ENCODER, DECODER = 50, 16
FEED_FORWARD = 2 * SIZE * INNER


def macs(frames, tokens):
    """Counts the multiply-accumulates of one segment: those that are int8 in FunASR's export,
    those of attention, and the others, which are f32."""
    first = 3 * SIZE * FRAME + SIZE * SIZE + FEED_FORWARD
    others = 3 * SIZE * SIZE + SIZE * SIZE + FEED_FORWARD
    keys_and_values = DECODER * 2 * SIZE * SIZE
    per_frame = first + (ENCODER - 1) * others + keys_and_values
    per_token = DECODER * (FEED_FORWARD + 2 * SIZE * SIZE) + FEED_FORWARD
    attention = 2 * SIZE * frames * (ENCODER * frames + DECODER * tokens)
    convolution = 3 * SIZE * SIZE * frames
    output = VOCABULARY * SIZE * tokens
    return {
        "int8": per_frame * frames + per_token * tokens,
        "attention": attention,
        "f32": convolution + output,
    }


def lfr_frames(seconds):
    """Returns the number of stacked (LFR) frames of a segment.

    A frame is 25 ms long and starts every 10 ms; stacking advances by six frames.
    """
    return -(-(1 + (16_000 * seconds - 400) // 160) // 6)


FLOOR_WORK = "Paraformer-large int8, 10 s"


def arithmetic_floor(bench_results):
    """Returns rows for the arithmetic floor: the minimum time of the GEMMs of 10 s.

    It is computed from the peak that the same process measured.
    """
    pairs = {"all others in f32": [], "attention in bf16": []}
    for result in bench_results:
        if result["work"] != FLOOR_WORK or result["warm_up"]:
            continue
        peaks, counts = result["peaks"], macs(lfr_frames(10), result["tokens"])
        base = (counts["int8"] / peaks["int8"] + counts["f32"] / peaks["f32"]) / 1e9
        for attention_pairs, kind in zip(pairs.values(), ("f32", "bf16"), strict=True):
            seconds = base + counts["attention"] / peaks[kind] / 1e9
            attention_pairs.append((seconds, result["cpu_seconds"]))
    return [
        row(
            f"arithmetic floor, {FLOOR_WORK}, {variant}",
            "MACs / measured peak",
            "",
            "at least 0.8",
            variant_pairs,
        )
        for variant, variant_pairs in pairs.items()
        if variant_pairs
    ]


def row(work, peer, version, goal, pairs, unit="s"):
    """Makes a row of the table from `pairs` of (the peer's value, Scriptorium's value or None).

    `goal` is a minimum ratio, or text that states a limit for Scriptorium's value.
    """
    found = {"work": work, "peer": peer, "version": version, "unit": unit, "wanted": goal,
             "theirs": statistics.median(theirs for theirs, _ in pairs),
             "pairs": pairs}  # fmt: skip
    complete = [(theirs, ours) for theirs, ours in pairs if ours]
    found["ours"] = statistics.median(ours for _, ours in complete) if complete else None
    ratios = sorted(theirs / ours for theirs, ours in complete)
    found["ratio"] = statistics.median(ratios) if ratios else None
    found["ratios"] = [ratios[0], ratios[-1]] if ratios else None
    return found


def format_value(value, unit):
    if value is None:
        return "-"
    if unit == "s":
        if value < 0.01:
            return f"{1000 * value:.2f} ms"
        return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.0f} {unit}"


def best_peers(rows):
    """Returns the index of each work's row with the smallest ratio, that of the best peer."""
    best = {}
    for index, row in enumerate(rows):
        # If Scriptorium was not measured, the best peer is the fastest.
        value = row["ratio"] if row["ratio"] is not None else row["theirs"]
        if row["work"] not in best or value < best[row["work"]][0]:
            best[row["work"]] = (value, index)
    return {index for _, index in best.values()}


def markdown(figures):
    """Formats the figures as a Markdown table with notes above and below it."""
    load = figures["load_average"]
    lines = [
        f"{figures['date']}, commit {figures['commit']}, {figures['cpu']}, one thread; medians of "
        f"{figures['runs']} interleaved pairs; load average {load['before']:.1f} before, "
        f"{load['after']:.1f} after.",
    ]
    peaks = [result["peaks"] for result in figures["turns"]]
    if peaks:
        medians = (f"{kind} {statistics.median(p[kind] for p in peaks):.0f}" for kind in peaks[0])
        lines.append(
            "Peaks of one core, 10⁹ multiply-accumulates per second: "
            f"{', '.join(medians)} (medians)."
        )
    lines += [
        "",
        "| work | peer | theirs | ours | ratio | pairs | goal |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    best = best_peers(figures["rows"])
    for index, row in enumerate(figures["rows"]):
        label = f"{row['peer']} {row['version']}".strip()
        label = label if row["version"] not in row["peer"] else row["peer"]
        ratio = spread = "-"
        if row["ratio"]:
            ratio = f"{row['ratio']:.2f}"
            ratio = f"**{ratio}**" if index in best else ratio
            spread = "{:.2f} to {:.2f}".format(*row["ratios"]) if row["ratios"] else "of medians"
        goal = row["wanted"] or ""
        goal = goal if isinstance(goal, str) else f"{goal:.1f}"
        lines.append(
            f"| {row['work']} | {label} | {format_value(row['theirs'], row['unit'])} "
            f"| {format_value(row['ours'], row['unit'])} | {ratio} | {spread} | {goal} |"
        )
    lines += ["", "Theirs is the peer's figure, ours is Scriptorium's. Bold marks the best peer, "
              "which decides. \"Of medians\": each side's time is the median of its runs, and the "
              "ratio is that of the two medians."]  # fmt: skip
    lines += ["", *(f"- {line}" for line in figures["left_out"])] if figures["left_out"] else []
    return "\n".join(lines)
