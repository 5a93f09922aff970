#!/usr/bin/env python3
"""Writes the dashboard for Grafana, helm/scriptorium/files/dashboard.json, from the panels below.

    infra/monitoring/dashboard.py            # writes the file
    infra/monitoring/dashboard.py --check    # fails if the file is not what would be written

Every expression is evaluated by a test: tests/end_to_end/monitoring.rs.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "helm/scriptorium/files/dashboard.json"

# Version of the JSON, of Grafana 12. Newer versions migrate it when they load it.
SCHEMA_VERSION = 42
WIDTH = 24

# What the variables select: workers, every process of ours, and the queues of the deployment.
WORKERS = 'namespace=~"$namespace",pool=~"$pool"'
PROCESSES = 'namespace=~"$namespace"'
QUEUES = "vhost, queue"
JOBS = 'queue=~"$prefix[.](jobs|returned|long)([.](urgent|bulk))?"'
OTHER = 'queue=~"$prefix[.](delay[.].+|parked|held|quarantine|undelivered|uploads|watches([.].+)?)"'
DEAD = 'queue=~"$prefix[.]dead"'
# Every program has the metrics of a process: these are of ours.
OF_WORKERS = f"and on (namespace, job, instance) scriptorium_leasing{{{WORKERS}}}"
OF_OURS = f"and on (namespace, job, instance) scriptorium_build_info{{{PROCESSES}}}"

RED, ORANGE, GREEN = "red", "orange", "green"


@dataclass
class Query:
    """One expression, and the name of its series in the legend."""

    expr: str
    legend: str = ""


@dataclass
class Panel:
    """A panel; width in columns of 24."""

    title: str
    description: str
    queries: list[Query]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    bars: bool = False
    minimum: float | None = 0
    maximum: float | None = None
    decimals: int | None = None
    # Colour from this value on, beginning with the colour below all of them.
    thresholds: list[tuple[float | None, str]] = field(default_factory=lambda: [(None, GREEN)])


def rate(metric: str, selector: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def count(metric: str, selector: str, by: str) -> str:
    """How many events each interval of a graph has."""
    return f"sum by ({by}) (increase({metric}{{{selector}}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str, selector: str = WORKERS) -> str:
    le = f"{by}, le" if by else "le"
    return (
        f"histogram_quantile({q}, "
        f"sum by ({le}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"
    )


def queue(metric: str, selector: str) -> str:
    """All nodes of a cluster may show a queue, so they are not added up."""
    return f"max by ({QUEUES}) (rabbitmq_detailed_queue_{metric}{{{selector}}})"


def total(metric: str, selector: str) -> str:
    return f"sum({queue(metric, selector)}) or vector(0)"


def stat(title: str, description: str, expr: str, **more: Any) -> Panel:
    return Panel(title, description, [Query(expr)], kind="stat", width=4, height=4, **more)


AUDIO = "scriptorium_audio_seconds_total"
COMPUTE = "scriptorium_compute_seconds_total"
OUTCOMES = "scriptorium_jobs_total"

ROWS: list[tuple[str, list[Panel]]] = [
    (
        "Overview",
        [
            stat(
                "Throughput",
                "Hours of audio transcribed per hour. A recording counts when its transcript is "
                "written.",
                f"sum(rate({AUDIO}{{{WORKERS}}}[15m])) or vector(0)",
                unit="suffix: h/h",
                decimals=1,
            ),
            stat(
                "Jobs that wait",
                "New, returned and long jobs that no worker has leased.",
                total("messages_ready", JOBS),
            ),
            stat(
                "Workers that lease jobs",
                "Workers that have started and do not drain. A fleet may be scaled to zero.",
                f"sum(scriptorium_leasing{{{WORKERS}}}) or vector(0)",
            ),
            stat(
                "Failed in the last hour",
                "Part of the jobs that ended in the last hour which were given up.",
                f'sum(increase({OUTCOMES}{{{WORKERS},outcome="failed"}}[1h])) / '
                f'sum(increase({OUTCOMES}{{{WORKERS},outcome=~"done|up_to_date|failed"}}[1h]))',
                unit="percentunit",
                decimals=1,
                thresholds=[(None, GREEN), (0.02, ORANGE), (0.1, RED)],
            ),
            stat(
                "Dead letters",
                "Messages that wait for `scriptorium dead retry` or `drop`.",
                total("messages", DEAD),
                thresholds=[(None, GREEN), (1, ORANGE)],
            ),
            stat(
                "Workers at fault",
                "Workers that lease no jobs because a store does not answer or refuses them, or "
                "because their disk is full.",
                f"sum(scriptorium_breaker_open{{{WORKERS}}}) or vector(0)",
                thresholds=[(None, GREEN), (1, RED)],
            ),
        ],
    ),
    (
        "Throughput",
        [
            Panel(
                "Audio-hours per hour, by lane",
                "Hours of audio transcribed per hour. A recording counts when its transcript is "
                "written, so long recordings are peaks.",
                [Query(rate(AUDIO, WORKERS, "lane"), "{{lane}}")],
                unit="suffix: h/h",
                stacked=True,
            ),
            Panel(
                "Audio-hours per hour, by model",
                "Hours of audio transcribed per hour by each recognizer.",
                [Query(rate(AUDIO, WORKERS, "model"), "{{model}}")],
                unit="suffix: h/h",
                stacked=True,
            ),
            Panel(
                "Speed of a core",
                "Seconds of audio per second of CPU time, of the transcripts that were written. "
                "It falls with larger models, speakers, and cores that are shared with others.",
                [
                    Query(
                        f"{rate(AUDIO, WORKERS, 'pool')} / {rate(COMPUTE, WORKERS, 'pool')}",
                        "{{pool}}",
                    )
                ],
                unit="suffix: x",
            ),
            Panel(
                "Jobs by outcome",
                "Leased jobs by what became of them; docs/metrics.md explains each outcome.",
                [Query(count(OUTCOMES, WORKERS, "outcome"), "{{outcome}}")],
                stacked=True,
                bars=True,
            ),
            Panel(
                "Jobs that run",
                "Jobs in flight in all workers, by lane.",
                [Query(f"sum by (lane) (scriptorium_jobs_in_flight{{{WORKERS}}})", "{{lane}}")],
                stacked=True,
            ),
            Panel(
                "Duration of recordings",
                "Of the recordings that were transcribed.",
                [
                    Query(quantile(0.5, "scriptorium_recording_duration_seconds", ""), "median"),
                    Query(quantile(0.95, "scriptorium_recording_duration_seconds", ""), "p95"),
                ],
                unit="s",
            ),
        ],
    ),
    (
        "Queues",
        [
            Panel(
                "Jobs that wait, by queue",
                "Messages that no worker has leased: new jobs, those that came back, and those "
                "with long recordings, of each lane.",
                [Query(queue("messages_ready", JOBS), "{{queue}}")],
                stacked=True,
            ),
            Panel(
                "Jobs that workers hold, by queue",
                "Messages that are leased and not settled.",
                [Query(queue("messages_unacked", JOBS), "{{queue}}")],
                stacked=True,
            ),
            Panel(
                "Age of the queue, by lane",
                "How long new jobs had waited when their first run began. Nothing is shown while "
                "none begins.",
                [
                    Query(quantile(0.5, "scriptorium_job_wait_seconds", "lane"), "{{lane}} median"),
                    Query(quantile(0.95, "scriptorium_job_wait_seconds", "lane"), "{{lane}} p95"),
                ],
                unit="s",
            ),
            Panel(
                "Messages elsewhere",
                "Retries that wait for their delay, long runs (parked), jobs of paused batches "
                "(held), jobs whose workers died (quarantine), uploads, and watches of batches.",
                [Query(queue("messages", OTHER), "{{queue}}")],
            ),
            Panel(
                "Dead letters",
                "Messages that were given up. They stay until somebody retries or drops them.",
                [Query(queue("messages", DEAD), "{{queue}}")],
            ),
            Panel(
                "Consumers, by queue",
                "Subscriptions of workers. A worker cancels its own while it is at fault, is short "
                "of memory, or runs a job of the quarantine alone.",
                [Query(queue("consumers", JOBS), "{{queue}}")],
            ),
        ],
    ),
    (
        "Failures",
        [
            Panel(
                "Jobs given up, by code",
                "Each is a dead letter. docs/jobs.md has the cause and the remedy of each code.",
                [
                    Query(
                        count("scriptorium_failures_total", f'{WORKERS},outcome="failed"', "code")
                        + " > 0",
                        "{{code}}",
                    )
                ],
                stacked=True,
                bars=True,
            ),
            Panel(
                "Runs retried and postponed, by code",
                "Retried: an attempt is spent. Postponed: a store or the worker is at fault, and "
                "no attempt is spent.",
                [
                    Query(
                        count(
                            "scriptorium_failures_total",
                            f'{WORKERS},outcome=~"retried|postponed"',
                            "code, outcome",
                        )
                        + " > 0",
                        "{{code}} {{outcome}}",
                    )
                ],
                stacked=True,
                bars=True,
            ),
            Panel(
                "Notifications",
                "Attempts to tell somebody that a batch is over, by event and webhook.",
                [
                    Query(
                        count("scriptorium_notifications_total", WORKERS, "channel, outcome"),
                        "{{channel}} {{outcome}}",
                    )
                ],
                stacked=True,
                bars=True,
            ),
        ],
    ),
    (
        "Runs and stages",
        [
            Panel(
                "Duration of runs, by lane",
                "From the start of a run to its end, whatever its outcome.",
                [
                    Query(
                        quantile(0.5, "scriptorium_job_duration_seconds", "lane"), "{{lane}} median"
                    ),
                    Query(
                        quantile(0.95, "scriptorium_job_duration_seconds", "lane"), "{{lane}} p95"
                    ),
                ],
                unit="s",
            ),
            Panel(
                "CPU time per hour of audio, by stage",
                "CPU seconds that each stage takes for an hour of audio.",
                [
                    Query(
                        f"3600 * {rate(COMPUTE, WORKERS, 'stage')} / on () group_left () "
                        f"sum(rate({AUDIO}{{{WORKERS}}}[$__rate_interval]))",
                        "{{stage}}",
                    )
                ],
                unit="s",
                stacked=True,
            ),
            Panel(
                "Share of the stages",
                "Part of the CPU time that each stage takes.",
                [
                    Query(
                        f"{rate(COMPUTE, WORKERS, 'stage')} / on () group_left () "
                        f"sum(rate({COMPUTE}{{{WORKERS}}}[$__rate_interval]))",
                        "{{stage}}",
                    )
                ],
                unit="percentunit",
                stacked=True,
                maximum=1,
            ),
        ],
    ),
    (
        "Workers",
        [
            Panel(
                "State of workers",
                "How many workers lease jobs, drain, are at fault, or have no connection to the "
                "broker.",
                [
                    Query(f"sum(scriptorium_leasing{{{WORKERS}}})", "leasing"),
                    Query(f"sum(scriptorium_draining{{{WORKERS}}})", "draining"),
                    Query(f"sum(scriptorium_breaker_open{{{WORKERS}}})", "at fault"),
                    Query(
                        f"sum(scriptorium_queue_connected{{{WORKERS}}} == bool 0)", "not connected"
                    ),
                ],
                decimals=0,
            ),
            Panel(
                "Versions",
                "Processes by version: workers and bridges.",
                [
                    Query(
                        f"count by (version) (scriptorium_build_info{{{PROCESSES}}})", "{{version}}"
                    )
                ],
                stacked=True,
                decimals=0,
            ),
            Panel(
                "Restarts",
                "Processes that started again in the same place within the hour before.",
                [
                    Query(
                        f"sum by (job) (changes(process_start_time_seconds[1h]) {OF_OURS})",
                        "{{job}}",
                    )
                ],
                decimals=0,
            ),
            Panel(
                "Memory of the ten largest workers",
                "Resident memory. Above the high water mark, a worker leases no more jobs.",
                [
                    Query(f"topk(10, process_resident_memory_bytes {OF_WORKERS})", "{{instance}}"),
                    Query(
                        f"min(scriptorium_memory_high_water_bytes{{{WORKERS}}})", "high water mark"
                    ),
                ],
                unit="bytes",
            ),
            Panel(
                "Memory against its budget",
                "Resident memory, and memory that recordings in flight are estimated to take, as "
                "parts of the high water mark.",
                [
                    Query(
                        "max(process_resident_memory_bytes / on (namespace, job, instance) "
                        f"scriptorium_memory_high_water_bytes{{{WORKERS}}})",
                        "resident, largest",
                    ),
                    Query(
                        f"max(scriptorium_memory_reserved_bytes{{{WORKERS}}} / "
                        f"scriptorium_memory_high_water_bytes{{{WORKERS}}})",
                        "reserved, largest",
                    ),
                    Query(
                        f"avg(scriptorium_memory_reserved_bytes{{{WORKERS}}} / "
                        f"scriptorium_memory_high_water_bytes{{{WORKERS}}})",
                        "reserved, average",
                    ),
                ],
                unit="percentunit",
            ),
            Panel(
                "Jobs that wait for memory",
                "They hold their leases, and their workers lease no more.",
                [
                    Query(
                        f"sum by (pool) (scriptorium_memory_waiting_jobs{{{WORKERS}}})", "{{pool}}"
                    )
                ],
                decimals=0,
            ),
            Panel(
                "Cores in use",
                "CPU time per second of the ten busiest workers.",
                [
                    Query(
                        f"topk(10, rate(process_cpu_seconds_total[$__rate_interval]) {OF_WORKERS})",
                        "{{instance}}",
                    )
                ],
            ),
            Panel(
                "Open files and connections",
                "Of the process with the most, and the smallest limit.",
                [
                    Query(f"max(process_open_fds {OF_OURS})", "open"),
                    Query(f"min(process_max_fds {OF_OURS})", "limit"),
                ],
                decimals=0,
            ),
            Panel(
                "Threads",
                "Of the worker with the most.",
                [Query(f"max(process_threads {OF_WORKERS})", "threads")],
                decimals=0,
            ),
        ],
    ),
    (
        "Bridge",
        [
            Panel(
                "Uploads, by outcome",
                "What became of the notifications of uploads.",
                [Query(count("scriptorium_uploads_total", PROCESSES, "outcome"), "{{outcome}}")],
                width=12,
                stacked=True,
                bars=True,
            ),
            Panel(
                "Connections and signs of life",
                "Processes that are connected to the broker, and those whose loop turns: workers "
                "that do not drain, and bridges.",
                [
                    Query(
                        f"sum by (job) (scriptorium_queue_connected{{{PROCESSES}}})",
                        "{{job}} connected",
                    ),
                    Query(
                        "sum by (job) (rate(scriptorium_heartbeats_total"
                        f"{{{PROCESSES}}}[$__rate_interval]) > bool 0)",
                        "{{job}} alive",
                    ),
                ],
                width=12,
                decimals=0,
            ),
        ],
    ),
]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def target(index: int, query: Query, instant: bool) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "instant": instant,
        "legendFormat": query.legend or "__auto",
        "range": not instant,
        "refId": chr(ord("A") + index),
    }


def graph(panel: Panel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a graph over time, and how it draws its series."""
    options = {
        "legend": {
            "calcs": ["mean", "max", "lastNotNull"],
            "displayMode": "table",
            "placement": "bottom",
            "showLegend": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {
        "drawStyle": "bars" if panel.bars else "line",
        "fillOpacity": 60 if panel.bars else 25 if panel.stacked else 0,
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
    }
    return options, custom


def number() -> dict[str, Any]:
    """Options of a panel that shows its last value."""
    return {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    }


def rendered(number_of: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    options, custom = graph(panel) if panel.kind == "timeseries" else (number(), None)
    defaults: dict[str, Any] = {
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in panel.thresholds],
        },
        "unit": panel.unit,
    }
    if custom is not None:
        defaults["custom"] = custom
    for key, value in (
        ("min", panel.minimum),
        ("max", panel.maximum),
        ("decimals", panel.decimals),
    ):
        if value is not None:
            defaults[key] = value
    return {
        "datasource": DATASOURCE,
        "description": panel.description,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "id": number_of,
        # Rates over less than a minute would be of single jobs.
        "interval": "1m",
        "options": options,
        "targets": [
            target(index, query, instant=False) for index, query in enumerate(panel.queries)
        ],
        "title": panel.title,
        "type": panel.kind,
    }


def panels() -> list[dict[str, Any]]:
    """All panels, from left to right and from top to bottom."""
    result: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        result.append(
            {
                "collapsed": False,
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
                "id": len(result) + 1,
                "panels": [],
                "title": title,
                "type": "row",
            }
        )
        y += 1
        x = height = 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            result.append(rendered(len(result) + 1, panel, x, y))
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return result


def variable(name: str, label: str, description: str, query: str, **more: Any) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "description": description,
        "label": label,
        "name": name,
        "options": [],
        "query": {"qryType": 1, "query": query, "refId": "variable"},
        "refresh": 2,
        "sort": 1,
        "type": "query",
        **more,
    }


def choice_of_all(name: str, label: str, description: str, query: str) -> dict[str, Any]:
    """A variable that also matches series without the label, as outside of Kubernetes."""
    return variable(
        name,
        label,
        description,
        query,
        allValue=".*",
        current={"text": ["All"], "value": ["$__all"]},
        includeAll=True,
        multi=True,
    )


def dashboard() -> dict[str, Any]:
    return {
        "annotations": {"list": []},
        "description": "Workers and bridges of Scriptorium, and their queues in RabbitMQ.",
        "editable": True,
        "graphTooltip": 1,
        "links": [
            {
                "asDropdown": False,
                "icon": "doc",
                "includeVars": False,
                "keepTime": False,
                "tags": [],
                "targetBlank": True,
                "title": "Runbook",
                "tooltip": "What each alert means, and what to do",
                "type": "link",
                "url": "https://github.com/scriptorium-asr/scriptorium/blob/main/docs/runbook.md",
            }
        ],
        "panels": panels(),
        "refresh": "1m",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["scriptorium"],
        "templating": {
            "list": [
                {
                    "label": "Data source",
                    "name": "datasource",
                    "options": [],
                    "query": "prometheus",
                    "refresh": 1,
                    "regex": "",
                    "type": "datasource",
                },
                choice_of_all(
                    "namespace",
                    "Namespace",
                    "Namespace of the workers",
                    "label_values(scriptorium_build_info, namespace)",
                ),
                choice_of_all(
                    "pool",
                    "Pool",
                    "Pool of workers",
                    'label_values(scriptorium_leasing{namespace=~"$namespace"}, pool)',
                ),
                variable(
                    "prefix",
                    "Queues",
                    "Prefix of the names of the queues: queue.prefix of the configuration",
                    "label_values(rabbitmq_detailed_queue_messages_ready, queue)",
                    current={"text": "scriptorium", "value": "scriptorium"},
                    includeAll=False,
                    multi=False,
                    regex="/^(.+)[.]undelivered$/",
                ),
            ]
        },
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "title": "Scriptorium",
        "uid": "scriptorium",
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=2) + "\n"
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text(encoding="utf-8") == text:
            return 0
        print(f"{FILE} is out of date: run infra/monitoring/dashboard.py", file=sys.stderr)
        return 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
