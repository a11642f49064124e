"""Write deploy/observability/grafana-petitbleu.json, the operator's dashboard: one panel a queue, bound, latency and verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "deploy" / "observability" / "grafana-petitbleu.json"


def rate(name: str, by: str = "") -> str:
    """Events a second, summed, by a label if given."""
    return f"sum{f' by ({by})' if by else ''} (rate({name}[$__rate_interval]))"


def quantile(name: str, share: float, by: str = "") -> str:
    """A quantile of a histogram, by a label if given."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket[$__rate_interval])))"


# Row → panels of (title, unit, [(query, legend)]).
ROWS: dict[str, list[tuple[str, str, list[tuple[str, str]]]]] = {
    "The door": [
        ("Sessions open", "short", [("sum(petitbleu_ingest_sessions_open)", "open")]),
        ("Messages by outcome", "reqps", [(rate("petitbleu_ingest_messages_total", "verdict"), "{{verdict}}")]),
        ("Recipients by verdict", "reqps", [(rate("petitbleu_ingest_recipients_total", "verdict"), "{{verdict}}")]),
        ("Octets buffered", "bytes", [("sum(petitbleu_ingest_memory_octets)", "now"), ("max(petitbleu_ingest_memory_peak_octets)", "peak")]),
        ("Accept, from final dot to 250", "s", [(quantile("petitbleu_ingest_accept_seconds", 0.5), "p50"), (quantile("petitbleu_ingest_accept_seconds", 0.99), "p99")]),
        ("Messages that wait for a batch", "short", [("sum(petitbleu_ingest_accept_queued)", "queued")]),
    ],
    "Store": [
        ("Open recipients and their bound", "short", [("max(petitbleu_store_open_recipients)", "open"), ("max(petitbleu_store_open_recipients_limit)", "bound")]),
        ("Hot octets and their bound", "bytes", [("max(petitbleu_store_hot_octets)", "hot"), ("max(petitbleu_store_hot_octets_limit)", "bound")]),
        ("Accepts refused", "reqps", [(rate("petitbleu_store_accept_refused_total"), "refused")]),
        ("Messages an Accept", "short", [(quantile("petitbleu_store_accept_batch", 0.5), "p50"), (quantile("petitbleu_store_accept_batch", 0.99), "p99")]),
        ("Bodies a segment", "short", [(quantile("petitbleu_store_segment_bodies", 0.5), "p50")]),
        ("S3", "s", [(quantile("petitbleu_store_s3_seconds", 0.99), "p99"), (rate("petitbleu_store_s3_failed_total"), "failures a second")]),
        ("Segments: live and all octets", "bytes", [("max(petitbleu_store_segment_live_octets)", "live"), ("max(petitbleu_store_segment_octets)", "all")]),
    ],
    "Bus and delivery": [
        ("Outbox rows unpublished", "short", [("sum(petitbleu_outbox_pending)", "pending")]),
        ("Events handled", "reqps", [(rate("petitbleu_bus_events_total", "stream, outcome"), "{{stream}} {{outcome}}")]),
        ("Events that wait", "short", [("sum by (stream) (petitbleu_bus_events_waiting)", "{{stream}}")]),
        ("Recipients settled by outcome", "reqps", [(rate("petitbleu_delivery_outcomes_total", "outcome"), "{{outcome}}")]),
        ("A round's stages, p99", "s", [(quantile("petitbleu_delivery_stage_seconds", 0.99, "stage"), "{{stage}}")]),
        ("Recipients that wait for the guard", "short", [("sum(petitbleu_delivery_waiting_for_guard)", "waiting")]),
        ("Published again after ten minutes", "reqps", [(rate("petitbleu_store_published_again_total"), "recipients")]),
    ],
    "People": [
        ("HTTP requests", "reqps", [(rate("petitbleu_http_requests_total", "status"), "{{status}}")]),
        ("JMAP calls, p99", "s", [(quantile("petitbleu_jmap_call_seconds", 0.99, "method"), "{{method}}")]),
        ("Log-ins", "reqps", [(rate("petitbleu_accounts_logins_total", "outcome"), "{{outcome}}"), (rate("petitbleu_accounts_logins_limited_total"), "limited")]),
        ("Calls refused between services", "reqps", [(rate("petitbleu_grpc_refused_total", "method"), "{{method}}")]),
    ],
}  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, entries in ROWS.items():
        panels.append(
            {"type": "row", "title": row, "gridPos": {"h": 1, "w": 24, "x": 0, "y": top}, "id": len(panels) + 1}
        )
        top += 1
        for index, (title, unit, queries) in enumerate(entries):
            panels.append({
                "type": "timeseries", "title": title, "id": len(panels) + 1,
                "gridPos": {"h": 8, "w": 8, "x": index % 3 * 8, "y": top + index // 3 * 8},
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": [
                    {"expr": query, "legendFormat": legend, "refId": chr(65 + number)}
                    for number, (query, legend) in enumerate(queries)
                ],
            })  # fmt: skip
        top += (len(entries) + 2) // 3 * 8
    return {
        "title": "Petit Bleu", "uid": "petitbleu", "schemaVersion": 39, "version": 1, "refresh": "30s", "tags": ["petitbleu"],
        "time": {"from": "now-3h", "to": "now"}, "panels": panels,
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
    }  # fmt: skip


def main() -> int:
    """Write the file."""
    TARGET.write_text(json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
