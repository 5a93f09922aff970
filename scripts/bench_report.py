"""Figures of bench_peers.py: rows, the arithmetic floor, and the table."""

import statistics

# Products of Paraformer-large (multiply and add), from the shapes of its matrices.
SIZE, INNER, FRAME, VOCABULARY = 512, 2048, 560, 8404
ENCODER, DECODER = 50, 16
FEED_FORWARD = 2 * SIZE * INNER


def products(frames, tokens):
    """Of one segment: those that are int8 in FunASR's export, and those that are not."""
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


def frames_of(seconds):
    """Stacked frames of a segment: 25 ms every 10 ms, six of them a step."""
    return -(-(1 + (16_000 * seconds - 400) // 160) // 6)


FLOOR = "Paraformer-large int8, 10 s"


def floor(turns):
    """The least time that the products of 10 s take at the peak that the same process measured."""
    pairs = {"all others in f32": [], "attention in bf16": []}
    for turn in turns:
        if turn["work"] != FLOOR or turn["warm_up"]:
            continue
        peaks, of = turn["peaks"], products(frames_of(10), turn["tokens"])
        least = (of["int8"] / peaks["int8"] + of["f32"] / peaks["f32"]) / 1e9
        for attention, kind in zip(pairs.values(), ("f32", "bf16"), strict=True):
            seconds = least + of["attention"] / peaks[kind] / 1e9
            attention.append((seconds, turn["cpu_seconds"]))
    return [
        row(
            f"arithmetic floor, {FLOOR}, {what}", "products / measured peak", "", "at least 0.8", of
        )
        for what, of in pairs.items()
        if of
    ]


def row(work, peer, version, wanted, pairs, unit="s"):
    """`wanted` is a least ratio, or a limit of ours in words; ours may be missing from the pairs."""
    found = {"work": work, "peer": peer, "version": version, "unit": unit, "wanted": wanted,
             "theirs": statistics.median(theirs for theirs, _ in pairs), "pairs": pairs}  # fmt: skip
    both = [(theirs, ours) for theirs, ours in pairs if ours]
    found["ours"] = statistics.median(ours for _, ours in both) if both else None
    ratios = sorted(theirs / ours for theirs, ours in both)
    found["ratio"] = statistics.median(ratios) if ratios else None
    found["ratios"] = [ratios[0], ratios[-1]] if ratios else None
    return found


def amount(value, unit):
    if value is None:
        return "-"
    if unit == "s":
        return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.0f} {unit}"


def decisive(rows):
    """Of the peers at one piece of work the best one decides: the rows whose ratio is the least."""
    least = {}
    for index, row in enumerate(rows):
        # Without ours, the fastest.
        value = row["ratio"] if row["ratio"] is not None else row["theirs"]
        if row["work"] not in least or value < least[row["work"]][0]:
            least[row["work"]] = (value, index)
    return {index for _, index in least.values()}


def markdown(figures):
    load = figures["load_average"]
    lines = [
        f"{figures['date']}, commit {figures['commit']}, {figures['cpu']}, one thread; medians of "
        f"{figures['runs']} interleaved pairs; load average {load['before']:.1f} before, "
        f"{load['after']:.1f} after.",
    ]
    peaks = [turn["peaks"] for turn in figures["turns"]]
    if peaks:
        said = (f"{kind} {statistics.median(of[kind] for of in peaks):.0f}" for kind in peaks[0])
        lines.append(f"Peaks of one core, 10⁹ products per second: {', '.join(said)} (medians).")
    lines += [
        "",
        "| work | peer | theirs | ours | ratio | pairs | wanted |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    decides = decisive(figures["rows"])
    for index, row in enumerate(figures["rows"]):
        label = f"{row['peer']} {row['version']}".strip()
        label = label if row["version"] not in row["peer"] else row["peer"]
        ratio = spread = "-"
        if row["ratio"]:
            ratio = f"{row['ratio']:.2f}"
            ratio = f"**{ratio}**" if index in decides else ratio
            spread = "{:.2f} to {:.2f}".format(*row["ratios"]) if row["ratios"] else "of medians"
        wanted = row["wanted"] or ""
        wanted = wanted if isinstance(wanted, str) else f"{wanted:.1f}"
        lines.append(
            f"| {row['work']} | {label} | {amount(row['theirs'], row['unit'])} "
            f"| {amount(row['ours'], row['unit'])} | {ratio} | {spread} | {wanted} |"
        )
    lines += ["", "Bold: the better of the peers, which decides. Of medians: each side's time is the "
              "median of its turns, and the ratio is that of the two."]  # fmt: skip
    lines += ["", *(f"- {line}" for line in figures["left_out"])] if figures["left_out"] else []
    return "\n".join(lines)
