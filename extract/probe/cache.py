"""Probes are kept, one small file for each endpoint and model: what was paid once need not be paid again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from extract.config import Endpoint, cache_folder
from extract.probe.findings import ProbeReport


def recall(base_url: str, model: str, folder: Path | None = None) -> ProbeReport | None:
    """The report of an earlier probe; None when there is none that can be read."""
    try:
        return ProbeReport.from_dict(json.loads(_file(base_url, model, folder).read_bytes()))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def remember(report: ProbeReport, folder: Path | None = None) -> Path | None:
    """Keep a report; the file, or None where none can be written."""
    path = _file(report.base_url, report.model, folder)
    temp = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temp.write_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False), encoding="utf-8")
        temp.replace(path)
    except OSError:
        return None
    return path


def recalled(endpoint: Endpoint, model: str, folder: Path | None = None) -> Endpoint:
    """An endpoint of the dialect "auto" as an earlier probe found it; else as it is."""
    report = recall(endpoint.base_url, model, folder) if endpoint.dialect == "auto" else None
    if report is None:
        return endpoint
    form = endpoint.form or next(iter(report.enforced_forms), None)
    return endpoint.replaced({"dialect": report.dialect, "form": form})


def _file(base_url: str, model: str, folder: Path | None) -> Path:
    name = hashlib.blake2b(f"{base_url.rstrip('/')}\n{model}".encode(), digest_size=12).hexdigest()
    return (folder or cache_folder() / "probes") / f"{name}.json"
