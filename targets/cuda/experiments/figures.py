"""Times as manifests spell them, and what many of them come to."""


def nanoseconds(text):
    for unit, factor in (("ns", 1), ("us", 1_000), ("ms", 1_000_000)):
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    raise ValueError(text)


def percentiles(values):
    values = sorted(values)
    at = lambda share: values[min(len(values) * share // 1000, len(values) - 1)]
    return {"p50": at(500), "p99": at(990), "p999": at(999), "max": values[-1]}
