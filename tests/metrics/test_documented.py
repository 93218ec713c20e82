"""docs/monitoring.md has a row for each metric, with its labels and the words of its help."""

from __future__ import annotations

import re

import pytest

from pgjobs.telemetry.metrics import ABOUT, INSTALLATION, SHARED, WORKERS
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "monitoring.md").read_text()
METRICS = {**ABOUT, **INSTALLATION, **WORKERS}


@pytest.mark.parametrize("name", METRICS)
def test_metric_has_its_row(name: str) -> None:
    metric = METRICS[name]
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    assert f"\n| `{name}` | {labels} | {metric.help} |\n" in PAGE


def test_page_names_no_metric_that_does_not_exist() -> None:
    assert set(re.findall(r"^\| `(pgjobs_\w+)`", PAGE, re.MULTILINE)) == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_name_follows_the_conventions(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(r"pgjobs_[a-z_]+", name)
    assert (metric.kind == "counter") == name.endswith("_total")
    assert "id" not in metric.labels
    assert metric.help.endswith(".")


def test_only_what_each_job_is_in_once_comes_from_both_sides() -> None:
    assert INSTALLATION.keys() & WORKERS.keys() == SHARED.keys()
