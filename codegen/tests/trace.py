"""Validates traces in JSON lines by the schema of a line, and prints how many lines there are of each event as JSON.

    trace.py SCHEMA TRACE...

A line that does not fit is an error that names it. Of each line one field is left out, and another one added: neither may fit.
"""

import collections
import json
import pathlib
import sys

import jsonschema

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)

OPTIONAL = {"optional", "loss", "carried", "task"}
counts = collections.Counter()
for path in map(pathlib.Path, sys.argv[2:]):
    for number, text in enumerate(path.read_text().splitlines(), 1):
        line = json.loads(text)
        for error in validator.iter_errors(line):
            sys.exit(f"{path.name}:{number}: {error.message}\n{text}")
        counts[line["event"]] += 1
        if counts[line["event"]] <= 3:
            for field in line.keys() - OPTIONAL:
                without = {key: value for key, value in line.items() if key != field}
                assert not validator.is_valid(without), f"{path.name}:{number} fits without {field}"
            assert not validator.is_valid({**line, "extra": 1}), f"{path.name}:{number} fits with another field"
            assert not validator.is_valid({**line, "timestamp": -1}), f"{path.name}:{number} fits with a negative time"
print(json.dumps(counts))
