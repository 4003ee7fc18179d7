"""Metrics: one Prometheus registry per process. Label values come from bounded sets, never ids."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

# From a request on one machine (0.3 ms) to the longest wait that the API offers.
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_counters: dict[str, Counter] = {}
_gauges: dict[str, Gauge] = {}
_histograms: dict[str, Histogram] = {}


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """The counter of that name, created on first use."""
    if name not in _counters:
        _counters[name] = Counter(name, documentation, labels, registry=REGISTRY)
    return _counters[name]


def gauge(name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
    """The gauge of that name, created on first use."""
    if name not in _gauges:
        _gauges[name] = Gauge(name, documentation, labels, registry=REGISTRY)
    return _gauges[name]


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
) -> Histogram:
    """The histogram of that name, created on first use; in seconds by default."""
    if name not in _histograms:
        _histograms[name] = Histogram(name, documentation, labels, buckets=tuple(buckets), registry=REGISTRY)
    return _histograms[name]


def render() -> bytes:
    """The registry in the Prometheus text format, `CONTENT_TYPE`."""
    return generate_latest(REGISTRY)
