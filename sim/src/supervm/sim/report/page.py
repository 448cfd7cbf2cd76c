"""The report of a run: one HTML file with nothing outside it, made to be looked at (simulation.md 5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ..scenario.expect import DIRECTIONS, SUMMARY
from ..scenario.model import Scenario
from . import charts

_STYLE = """
:root{--bg:#f7f8fb;--card:#fff;--ink:#1b2130;--dim:#667085;--line:#e4e7ee;--l1:#3457d5;--l2:#0e9384;--l3:#dd8a0b;
--l4:#b83fa5;--good:#12805c;--bad:#c4320a;--land:#e3e8f0}
@media (prefers-color-scheme:dark){:root{--bg:#0f131c;--card:#171d29;--ink:#e8ecf4;--dim:#97a1b5;--line:#2a3242;
--l1:#7c9cff;--l2:#3fd0bd;--l3:#f5b74e;--l4:#ec83d9;--good:#4ad295;--bad:#ff7a59;--land:#232c3c}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.55 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:36px 20px 80px}h1{font-size:30px;margin:0 0 4px;letter-spacing:-.02em}
h2{font-size:17px;margin:0 0 2px}header p{margin:4px 0;max-width:80ch}.dim{color:var(--dim)}.small{font-size:13px}
.badge{display:inline-block;padding:2px 14px;border-radius:99px;color:#fff;font-weight:600;font-size:14px;
vertical-align:6px;margin-left:12px}.good{background:var(--good)}.bad{background:var(--bad)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:20px 22px;margin-top:18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:20px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px 16px}
.tile b{display:block;font-size:25px;letter-spacing:-.02em}.two{display:grid;grid-template-columns:1fr 1fr;gap:18px}
@media(max-width:820px){.two{grid-template-columns:1fr}}section>p{margin:0 0 10px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:6px 10px;border-top:1px solid var(--line)}
th{color:var(--dim);font-weight:500;font-size:13px;border:0}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.yes{color:var(--good);font-weight:600}.no{color:var(--bad);font-weight:600}
code,pre{font:12.5px/1.5 ui-monospace,monospace}
pre{overflow:auto;margin:0}svg{width:100%;height:auto;display:block;font:13px system-ui,sans-serif}
svg text{fill:var(--ink)}svg text.dim{fill:var(--dim);font-size:12px}svg text.fault{fill:var(--bad);font-size:12px}
svg text.place{font-size:12px;font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:3px}
.grid{stroke:var(--line)}.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.band{fill:var(--bad);opacity:.08}
.land{fill:var(--land)}.flow{fill:none;stroke:var(--l1)}.city{fill:var(--l4);stroke:var(--card);stroke-width:2}
"""


def render(scenario: Scenario, document: dict[str, Any]) -> str:
    """Return the report as HTML.

    Args:
        scenario: what was run.
        document: one result, or several merged (`run.merge`).
    """
    metrics = document["metrics"]
    ok = document["ok"]
    badge = f'<span class="badge {"good" if ok else "bad"}">{"holds" if ok else "fails"}</span>'
    parts = [
        f"<header><h1>{escape(scenario.report_title)}{badge}</h1><p>{escape(scenario.question)}</p>",
        f'<p class="dim"><b>Claimed:</b> {escape(scenario.claim)}</p>' if scenario.claim else "",
        f'<p class="dim small">{_facts(document)}</p></header>',
        _tiles(metrics["summary"]),
        _section("Expectations", "What the scenario demands, and what was measured.", _expectations(document)),
        _runs(document),
        _section(
            "The run over time",
            "Heights since the beginning; faults and changes are shaded. Views skipped mean a leader was passed over.",
            charts.timeline(metrics["timeline"], metrics["faults"], "heights over time"),
        ),
        _epochs(metrics),
        _map(scenario, metrics),
        _latency(metrics),
        _lookups(metrics),
        _traffic(metrics),
        _tables(metrics),
        f"<section><h2>Scenario</h2><details><summary class='dim'>{escape(scenario.source)}</summary>"
        f"<pre>{escape(scenario.text)}</pre></details></section>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(scenario.report_title)} · SuperVM sim</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _facts(document: dict[str, Any]) -> str:
    nodes = document["metrics"]["nodes"]
    counts = " + ".join(f"{count:,} {tier.upper()}" for tier, count in nodes.items())
    runs = f" · {len(document['runs'])} runs, details of the first" if "runs" in document else ""
    return escape(
        f"{counts} · {document['simulated_s']:g} s simulated in {document['wall_s']:,.1f} s · "
        f"{document['events']:,} events · engine {document['engine']} · seed {document['seed']}{runs} · "
        f"digest {document['digest'][:24]}"
    )


def _section(title: str, lead: str, body: str) -> str:
    return f'<section><h2>{escape(title)}</h2><p class="dim small">{escape(lead)}</p>{body}</section>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=n' if place in right else ''}>{cell}</{tag}>" for place, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def _tiles(summary: dict[str, float | None]) -> str:
    shown = (
        ("payments_r4", "payments proved"),
        ("r4_ms_p50", "ms to proof, median"),
        ("r3_units_p50", "R3 in quorum delays"),
        ("r4_units_p50", "R4 in quorum delays"),
        ("height_max", "blocks"),
        ("epoch_change_ms_p50", "ms from epoch to epoch, median"),
        ("messages", "messages"),
        ("cache_hit_percent", "% answered from edge caches"),
        ("heal_to_block_ms", "ms from healing to a block"),
    )
    tiles = [
        f'<div class="tile"><b>{charts.number(summary[name])}</b><span class="dim small">{text}</span></div>'
        for name, text in shown
        if summary.get(name) is not None
    ]
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _verdict(ok: bool) -> str:
    return '<span class="yes">holds</span>' if ok else '<span class="no">fails</span>'


def _expectations(document: dict[str, Any]) -> str:
    rows = []
    for row in document["expect"]:
        metric, _, direction = row["name"].rpartition("_")
        value = "not measured" if row["value"] is None else charts.number(row["value"])
        rows.append(
            (
                f"<code>{escape(row['name'])}</code><br><span class='dim small'>{escape(SUMMARY[metric])}</span>",
                f"{escape(DIRECTIONS[direction])} {charts.number(row['target'])}",
                value,
                _verdict(row["ok"]),
            )
        )
    return _table(("", "bound", "measured", ""), rows, right=(1, 2)) if rows else "<p>None.</p>"


def _runs(document: dict[str, Any]) -> str:
    if "runs" not in document:
        return ""
    rows = [
        (
            str(run["seed"]),
            escape(run["variant"]),
            f"<code>{run['digest'][:16]}</code>",
            f"{run['wall_s']:.1f} s",
            _verdict(run["ok"]),
            escape(", ".join(row["name"] for row in run["expect"] if not row["ok"])),
        )
        for run in document["runs"]
    ]
    runs = _table(("seed", "variant", "digest", "took", "", "failed"), rows, right=(3,))
    spread = [
        (
            escape(name),
            charts.number(row["mean"]),
            "–" if row["ci95"] is None else f"± {charts.number(row['ci95'])}",
            charts.number(row["min"]),
            charts.number(row["max"]),
        )
        for name, row in document["metrics"]["spread"].items()
        if row is not None
    ]
    table = _table(("metric", "mean", "95 % of the mean", "least", "most"), spread, right=(1, 2, 3, 4))
    return _section(
        "Runs",
        "Each in a process of its own.",
        f"{runs}<details><summary class='dim'>every metric over the runs</summary>{table}</details>",
    )


def _epochs(metrics: dict[str, Any]) -> str:
    epochs = metrics["epochs"]
    if len(epochs) < 2:
        return ""
    rows = [
        (
            str(row["number"]),
            "" if row["began_s"] is None else f"{row['began_s']:.1f} s",
            f"{row['root_height']:,}",
            "" if row["change_ms"] is None else f"{row['change_ms']:,.0f} ms",
            ("<b>changed</b> " if row["changed"] else "")
            + escape(
                ", ".join(name if weight == 1 else f"{name} ({weight})" for name, weight in row["validators"].items())
            ),
        )
        for row in epochs
    ]
    closing, usual = metrics["closing_r4_ms"], metrics["latency_ms"]["r4"]
    paid = (
        f" {closing['n']:,} payments were asked for in such times: R4 after {closing['p50']:,.0f} ms in the median, "
        f"of all payments {usual['p50']:,.0f} ms."
        if closing["n"]
        else ""
    )
    lead = "The change takes from the block that closes an epoch to the first block of the next one, as first executed."
    heads = ("epoch", "first block", "starts from block", "change took", "validators (weight)")
    return _section("Epochs", lead + paid, _table(heads, rows, right=(1, 2, 3)))


def _map(scenario: Scenario, metrics: dict[str, Any]) -> str:
    used = list(scenario.topology.regions)
    if not used:
        return ""
    drawing = charts.world(metrics["cities"], metrics["flows"], used, "bytes between regions")
    lead = "Bytes delivered between regions; thicker is more. Point at a line for its figure."
    return _section("The globe", lead, drawing)


def _latency(metrics: dict[str, Any]) -> str:
    levels = [(level.upper(), row) for level, row in metrics["latency_ms"].items()]
    sealing = metrics["sealing_ms"]
    unit = metrics["summary"]["unit_ms"] or 1

    def in_units_of(row: dict[str, Any]) -> dict[str, Any]:
        return {key: value if key == "n" or value is None else value / unit for key, value in row.items()}

    shown = (("R1", "r1"), ("wait", "wait"), ("R3", "r3"), ("R4", "r4"))
    in_units = [(name, in_units_of(sealing[level])) for name, level in shown]
    regions = list(metrics["latency_by_region_ms"].items())
    return (
        _section(
            "Until the phone knows",
            "From asking to each level, as the paying phone saw it: dot p50, box to p90, "
            "line to p99 (figures: p50 · p99).",
            charts.ranges(levels, "latency per level"),
        )
        + _section(
            "From the sealing of the batch",
            f"In quorum delays of {unit:.3g} ms: the median over validators of the delay to their q-th nearest. "
            "Theory: R1 2, R3 7, R4 8, with a wait of 1 for the next proposal.",
            charts.ranges(in_units, "latency in quorum delays", "units"),
        )
        + (
            _section("Proof by region", "Time to R4 by the phone's region.", charts.ranges(regions, "R4 by region"))
            if len(regions) > 1
            else ""
        )
    )


def _lookups(metrics: dict[str, Any]) -> str:
    rows = metrics.get("lookups", [])
    total = sum(row["answers"] for row in rows)
    if not total:
        return ""
    shares = [[row["tier"], f"{row['answers']:,}", f"{100 * row['answers'] / total:.1f} %"] for row in rows]
    times = [(row["tier"], row["ms"]) for row in rows]
    return _section(
        "Looking for nodes",
        "Which tier had the answer, and how long it took: dot p50, box to p90, line to p99 (figures: p50 · p99).",
        _table(["tier", "answers", "share"], shares, right=(1, 2)) + charts.ranges(times, "look-ups by tier"),
    )


def _traffic(metrics: dict[str, Any]) -> str:
    kinds = metrics["messages"][:16]
    most = charts.bars(
        [
            (row["kind"].removesuffix("Message"), row["bytes"], f"{charts.size(row['bytes'])} · {row['count']:,}")
            for row in kinds
        ],
        "messages by kind",
    )
    fees = metrics["fees"]
    total = fees["total"] or 1
    shares = charts.bars(
        [
            (f"L{tier}", fees[f"l{tier}"], f"{fees[f'l{tier}']:,} grain · {100 * fees[f'l{tier}'] / total:.1f} %")
            for tier in range(1, 5)
        ],
        "fees by tier",
        charts.TIER_COLOURS,
    )
    cache = metrics["cache"]
    asked = cache["hits"] + cache["misses"]
    hits = f"Edges answered {cache['hits']:,} of {asked:,} account questions from their caches." if asked else ""
    return _section("Messages by kind", "Delivered: bytes of frames, and how many.", most) + _section(
        "Where the fees went", f"{fees['total']:,} grain in all, split when blocks were executed. {hits}", shares
    )


def _tables(metrics: dict[str, Any]) -> str:
    heals = _table(
        ("fault that ended", "at", "next block after"),
        [
            (escape(row["kind"]), f"{row['at_s']:g} s", "never" if row["ms"] is None else f"{row['ms']:,.0f} ms")
            for row in metrics["heals"]
        ],
        right=(1, 2),
    )
    statuses = _table(
        ("payments", ""), [(escape(name), f"{count:,}") for name, count in metrics["statuses"].items()], right=(1,)
    )
    alarms = _table(
        ("at", "node", "alarm", ""),
        [
            (f"{row['at_s']:.2f} s", escape(row["node"]), escape(row["name"]), escape(row["reason"]))
            for row in metrics["alarms"][:40]
        ],
    )
    body = f'<div class="two"><div>{statuses}</div><div>{heals if metrics["heals"] else ""}</div></div>'
    body += alarms if metrics["alarms"] else ""
    lead = "What became of every payment, and what honest nodes complained of."
    return _section("Fates, recoveries, alarms", lead, body)
