"""Reads what `aegis check --output` wrote with other people's readers, and prints what they saw as JSON.

    formats.py FOLDER SARIF_SCHEMA
"""

import json
import pathlib
import re
import sys

import jsonschema
import junitparser
import markdown_it

folder, schema = map(pathlib.Path, sys.argv[1:])

log = json.loads((folder / "report.sarif").read_text())
jsonschema.validate(log, json.loads(schema.read_text()))
(run,) = log["runs"]
sarif = [
    {
        "code": run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"],
        "level": result["level"],
        "uri": result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "line": result["locations"][0]["physicalLocation"].get("region", {}).get("startLine"),
    }
    for result in run["results"]
    if run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
]

junit = [
    {"suite": suite.name, "case": case.name, "passed": case.is_passed}
    for suite in junitparser.JUnitXml.fromfile(str(folder / "report.xml"))
    for case in suite
]

# As the runner reads a line: the command, its properties separated by commas, and its message.
unescaped = lambda text: re.sub("%(3A|2C|0D|0A|25)", lambda found: chr(int(found[1], 16)), text)
github = []
for line in (folder / "report.github").read_text().splitlines():
    command, properties, message = re.fullmatch(r"::(error|warning|notice) ([^:]*)::(.*)", line).groups()
    properties = {key: unescaped(value) for key, value in (one.split("=", 1) for one in properties.split(","))}
    github.append({"command": command, "message": unescaped(message), **properties})

tokens = markdown_it.MarkdownIt("commonmark").enable("table").parse((folder / "report.md").read_text())
rows, row = [], []
for position, token in enumerate(tokens):
    if token.type in ("td_open", "th_open"):
        row.append(tokens[position + 1].content)
    elif token.type == "tr_close":
        rows.append(row)
        row = []
assert not row
print(json.dumps({"sarif": sarif, "junit": junit, "github": github, "rows": rows}))
