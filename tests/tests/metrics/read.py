"""Reads metrics with prometheus_client's parsers, the one of OpenMetrics strictly, and compares what both formats say.

Arguments: a file in Prometheus' format, one in OpenMetrics. Prints the number of samples.
"""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus


def samples(families):
    found = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} twice"
            assert sample.timestamp is None, f"{key} has a time"
            found[key] = float(sample.value)
    return found


plain, strict = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
one, other = samples(prometheus(plain)), samples(open_metrics(strict))
differ = sorted(set(one.items()) ^ set(other.items()))
assert not differ, f"only in one of both: {differ}"
assert {family.unit for family in open_metrics(strict)} == {"", "seconds", "bytes", "ratio"}
print(len(one))
