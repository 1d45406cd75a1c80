#!/usr/bin/env python3
"""Tests of what the experiments' scripts write and conclude, without a device: `python3 targets/cuda/experiments/test_experiments.py`."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import tomllib
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import baseline
import experiments
import sets
import table
from figures import nanoseconds, percentiles

MS = 1_000_000
PROFILE = """schema = "aegis.profile/3"

[[segment]]
sha256 = "00"

[segment.execution]
p99-ns = 30
max-ns = 40

[segment.alone]
p99-ns = 10
max-ns = 20

[segment.tail]
accepted = true

[segment.tail.fit]
scale-ns = 1
"""


class Vehicles(unittest.TestCase):
    def test_every_sets_manifest_is_toml_with_all_that_its_tasks_name(self):
        for name, lanes in sets.SETS.items():
            text = sets.manifest(name, lanes, lambda _: "1ms", lambda _: "0ms", "h200")
            found = tomllib.loads(text)
            for task in found["task"].values():
                self.assertIn(task["model"], found["model"], name)
                self.assertIn(task["lane"], found["lane"], name)
            for gpu in (0, 1):
                sms = sum(lane["sms"] for lane in found["lane"].values() if lane["device"] == f"gpu{gpu}")
                self.assertLessEqual(sms, 120, f"{name}: an H200 is divided into 15 units of 8")

    def test_what_is_measured_serves_every_lane_that_is_so(self):
        of_all = [one.measured(task) for name in sets.SETS for one in sets.to_measure(name) for task in one.tasks]
        self.assertEqual(len(of_all), len(set(of_all)), "nothing twice")
        wanted = {one.measured(task) for lanes in sets.SETS.values() for one in lanes for task in one.tasks}
        self.assertEqual(set(of_all), wanted)
        woken = [key for key in wanted if key[0] == "motion" and key[1] == 24]
        self.assertEqual(woken, [("motion", 24, 0, True)], "a lane that is woken is another one")

    def test_every_experiment_is_of_a_set_and_its_lanes(self):
        for name, experiment in experiments.EXPERIMENTS.items():
            lanes = [one.name for one in sets.SETS[experiment.set]]
            self.assertTrue(set(experiment.lanes) <= set(lanes), name)
            self.assertIs(experiments.experiment_of(f"{name}-{experiment.seeds[0]}"), experiment)

    def test_a_load_has_the_times_that_it_has_alone(self):
        (segment,) = tomllib.loads(sets.of_alone(PROFILE))["segment"]
        self.assertEqual(segment, {"sha256": "00", "execution": {"p99-ns": 10, "max-ns": 20}})

    def test_a_witness_is_blocked_by_the_longest_of_what_is_less_important_at_each_of_its_multiples(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "profile.toml"
            measured = {}
            for task, p99 in (("glimpse", 10), ("object", 24), ("scene", 33)):
                measured[task] = path.with_name(f"{task}.toml")
                measured[task].write_text(PROFILE.replace("p99-ns = 10", f"p99-ns = {p99}"))
            experiment = experiments.Experiment("four-60", 0.1, 1, ("object", "scene"))
            of = experiments.periods(experiment, measured)
            self.assertEqual(of, {"glimpse": 100, "object": 300, "scene": 400})
        late = 200_000
        self.assertEqual(experiments.phases("witness", "object", of), {"glimpse": late, "object": late, "scene": 0})
        self.assertEqual(experiments.phases("witness", "scene", of), dict.fromkeys(of, late))
        one, other = (experiments.phases("four-60", seed, of) for seed in (1, 2))
        self.assertNotEqual(one, other)
        self.assertEqual(one, experiments.phases("four-60", 1, of), "a seed says the phases")
        self.assertTrue(all(0 <= one[task] < of[task] for task in of))


class Baseline(unittest.TestCase):
    def test_a_job_that_is_released_while_another_one_runs_follows_it(self):
        now = [0]

        def sleep(seconds):
            now[0] += round(seconds * 1e9) + 1

        lengths = iter([25, 1, 1, 1])

        def run():
            now[0] += next(lengths) * MS

        task = baseline.Task("a", None, 10 * MS, 5 * MS)
        jobs = baseline.periodic(run, task, 0, 45 * MS, lambda: now[0], sleep)
        self.assertEqual([late // MS for late, _, _ in jobs], [0, 15, 6, 0])
        self.assertEqual([response // MS for _, response, _ in jobs], [25, 16, 7, 1])
        told = baseline.told(task, jobs)
        self.assertEqual((told["jobs"], told["misses"], told["execution"]["max"]), (4, 2, 25 * MS))

    def test_it_runs_the_networks_of_a_vehicle_and_no_loads(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            text = sets.manifest("v", sets.SETS["four-batch"], lambda _: "3ms", lambda _: "1500us", "h200")
            (folder / "system.toml").write_text(text)
            found = baseline.tasks(folder, folder)
        self.assertEqual([task.name for task in found], ["glimpse", "motion", "object", "scene"])
        self.assertEqual((found[0].period, found[0].phase), (3 * MS, 1_500_000))


class Results(unittest.TestCase):
    def test_times_and_percentiles(self):
        self.assertEqual([nanoseconds(text) for text in ("7ns", "1.5us", "2ms")], [7, 1_500, 2 * MS])
        self.assertEqual(percentiles(range(1, 1_001)), {"p50": 501, "p99": 991, "p999": 1_000, "max": 1_000})

    def test_all_that_was_found_is_in_a_table(self):
        times = {"p50": MS, "p99": 2 * MS, "p999": 3 * MS, "max": 4 * MS}
        task = {"name": "critical", "misses": 0, "exceeded": 1, "explained": 1, "bound_ns": 5 * MS}
        summary = {"tasks": [task, {**task, "name": "compute"}, {**task, "name": "silent"}], "exit": {"why": "well"},
                   "guarantee": {"void": []}, "memory": []}
        found = {"jobs": 10, "response": times, "execution": times}
        raw = {"copied": {**times, "p99": MS}, "kernel": times}
        runs = [
            {"name": "critical-alone-1", "seconds": 1, "status": 0, "summary": summary, "responses": {"critical": found, "compute": found},
             "raw": raw, "memory_before": "0", "during": "1", "text": ""},
            {"name": "critical-alone-2", "seconds": 1, "status": 3, "raw": {"error": "none"}, "text": "broken\nat last"},
            {"name": "baseline-threads-v", "seconds": 1, "status": 0, "text": "", "baseline": {
                "how": "threads", "vehicle": "v", "neighbour_runs": 3,
                "tasks": [{"name": "object", "jobs": 10, "misses": 1, "response": times, "execution": times, "late": times}]}},
        ]
        results = {"date": "today", "device": "a device", "cores": 16, "runs": json.loads(json.dumps(runs)), "left_out": ["lookout"],
                   "refused": ["whole-1"]}
        with contextlib.redirect_stdout(io.StringIO()) as out:
            table.table(results)
        told = out.getvalue()
        for words in ("| critical | 10 | 0 | 1 (1) | 1.000 / 2.000 / 4.000 | 5.000 | 1.25 |", "a load | 10: 1% of the time", "| silent | 0 |",
                      "| 0.0, 1000.0 |", "| critical-alone-2 | none |", "| object | 10 | 1 (10.00%) |", "critical-alone-2: status 3: at last",
                      "Left out, for lack of time: lookout", "not profiled: whole-1"):
            self.assertIn(words, told)


if __name__ == "__main__":
    unittest.main()
