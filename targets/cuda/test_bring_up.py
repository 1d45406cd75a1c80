#!/usr/bin/env python3
"""Tests of what bring-up.py concludes, without a device: `python3 targets/cuda/test_bring_up.py`."""

import contextlib
import ctypes
import errno
import importlib.util
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

SPEC = importlib.util.spec_from_file_location("bring_up", Path(__file__).resolve().parent / "bring-up.py")
bring_up = importlib.util.module_from_spec(SPEC)
sys.modules["bring_up"] = bring_up
SPEC.loader.exec_module(bring_up)

# As jetson_clocks --show prints it, before and after jetson_clocks.
NOT_LOCKED = "EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=2133000000 FreqOverride=0\n"
LOCKED = "EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1\n"
LOCKED_WITHOUT_OVERRIDE = "EMC MinFreq=3199000000 MaxFreq=3199000000 CurrentFreq=3199000000\n"


class FakeDriver:
    """A driver that answers from what it is given; an attribute set to an error raises it."""

    def __init__(self, version=(13, 0), count=1, made=(15, 8, 8, 8), **facts):
        self.answers = {"version": version, "count": count, "made": made}
        self.known = {"name": "a device", "memory": 1 << 30, "major": 9, "minor": 0, "sms": 132, "l2": 1 << 20, "integrated": 0,
                      "virtual": 1, "exports": 1, **facts}

    def answer(self, name):
        if isinstance(self.answers[name], Exception):
            raise self.answers[name]
        return self.answers[name]

    def version(self):
        return self.answer("version")

    def count(self):
        return self.answer("count")

    def facts(self, _device):
        return self.known

    def partitions(self, _device):
        return self.answer("made")


def no_driver():
    raise OSError("libcuda.so.1: cannot open shared object file")


def verdicts(driver, device=0):
    return {finding.name: finding.verdict for finding in bring_up.driver_findings(lambda: driver, device)}


class Tree(unittest.TestCase):
    """A machine below a temporary root, with programs that answer from a table."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.programs = {}
        self.machine = bring_up.Machine(str(self.root), run=lambda *command: self.programs.get(command[0]))

    def put(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    def jetson(self):
        self.put("etc/nv_tegra_release", "# R36 (release), REVISION: 4.3")

    def zone(self, number, now, trips):
        self.put(f"sys/class/thermal/thermal_zone{number}/temp", now)
        self.put(f"sys/class/thermal/thermal_zone{number}/type", f"zone-{number}")
        for trip, (kind, limit) in enumerate(trips):
            self.put(f"sys/class/thermal/thermal_zone{number}/trip_point_{trip}_type", kind)
            self.put(f"sys/class/thermal/thermal_zone{number}/trip_point_{trip}_temp", limit)


class Versions(unittest.TestCase):
    def test_numbers_of_a_driver_are_versions(self):
        self.assertEqual(bring_up.version_of(12_040), (12, 4))
        self.assertEqual(bring_up.version_of(11_040), (11, 4))
        self.assertEqual(bring_up.shown(bring_up.version_of(13_000)), "13.0")

    def test_versions_are_ordered_by_number_not_by_text(self):
        self.assertLess(bring_up.version_of(9_020), bring_up.PARTITIONS)
        self.assertGreaterEqual(bring_up.version_of(12_100), bring_up.PARTITIONS)

    def test_glibc(self):
        cases = [("glibc 2.31", "pass"), ("glibc 2.4", "fail"), ("glibc 2.100", "pass"), ("musl", "unknown"), (None, "unknown")]
        for text, verdict in cases:
            self.assertEqual(bring_up.judge_glibc(text).verdict, verdict, text)


class Drivers(unittest.TestCase):
    def test_a_resource_has_the_size_of_the_headers(self):
        self.assertEqual(ctypes.sizeof(bring_up.SmResource), 144)
        self.assertEqual(bring_up.SmResource.sms.offset, 96)

    def test_without_a_library_one_fails_and_the_rest_is_unknown(self):
        findings = bring_up.driver_findings(no_driver, 0)
        self.assertEqual([finding.name for finding in findings], list(bring_up.OF_DRIVER))
        self.assertEqual([finding.verdict for finding in findings], ["fail"] + 6 * ["unknown"])
        self.assertIn("cannot open", findings[0].found)

    def test_everything_there(self):
        self.assertEqual(set(verdicts(FakeDriver()).values()), {"pass"})

    def test_a_driver_before_green_contexts(self):
        found = verdicts(FakeDriver(version=(12, 2)))
        self.assertEqual((found["driver-version"], found["partitions"], found["memory-export"]), ("fail", "unknown", "pass"))

    def test_no_device_of_that_number(self):
        for device in (-1, 1):
            found = verdicts(FakeDriver(), device)
            self.assertEqual((found["device"], found["partitions"]), ("fail", "unknown"), device)

    def test_one_partition_is_none(self):
        self.assertEqual(verdicts(FakeDriver(made=(1, 4, 0, 0)))["partitions"], "fail")
        self.assertEqual(verdicts(FakeDriver(made=(4, 4, 0, 0)))["partitions"], "pass")

    def test_what_the_driver_refuses_fails_by_its_name(self):
        refusal = bring_up.CudaError("cuDeviceGetDevResource: CUDA_ERROR_NOT_SUPPORTED")
        finding = bring_up.driver_findings(lambda: FakeDriver(made=refusal), 0)[-1]
        self.assertEqual((finding.name, finding.verdict, finding.found), ("partitions", "fail", str(refusal)))

    def test_memory_that_cannot_be_exported(self):
        found = verdicts(FakeDriver(exports=0, integrated=1))
        self.assertEqual((found["memory-export"], found["device-memory"]), ("fail", "pass"))

    def test_a_function_that_a_library_lacks_is_an_error(self):
        driver = bring_up.Driver.__new__(bring_up.Driver)
        driver.library = ctypes.CDLL(None)
        with self.assertRaisesRegex(bring_up.CudaError, "cuNoSuchFunction is not in the library"):
            driver.call("cuNoSuchFunction")


class Clocks(Tree):
    def test_a_gpu_clock_with_a_range_is_not_locked(self):
        self.put("sys/class/devfreq/17000000.gpu/min_freq", 306_000_000)
        self.put("sys/class/devfreq/17000000.gpu/max_freq", 1_300_500_000)
        self.assertEqual(self.machine.gpu_clock().verdict, "void")
        self.put("sys/class/devfreq/17000000.gpu/min_freq", 1_300_500_000)
        self.assertEqual(self.machine.gpu_clock().verdict, "pass")

    def test_all_gpu_clocks_count_and_no_other_device(self):
        for name, least in [("gpu-gpc-0", 1_575_000_000), ("gpu-nvd-0", 315_000_000), ("15340000.vic", 1)]:
            self.put(f"sys/class/devfreq/{name}/min_freq", least)
            self.put(f"sys/class/devfreq/{name}/max_freq", 1_575_000_000)
        finding = self.machine.gpu_clock()
        self.assertEqual(finding.verdict, "void")
        self.assertNotIn("vic", finding.found)

    def test_a_node_that_cannot_be_read_is_unknown(self):
        self.put("sys/class/devfreq/17000000.ga10b/min_freq", "")
        self.assertEqual(self.machine.gpu_clock().verdict, "unknown")

    def test_of_another_gpu_nobody_says_whether_it_is_locked(self):
        self.programs["nvidia-smi"] = "345, 1980\n"
        self.assertEqual(self.machine.gpu_clock()[1:3], ("unknown", "345 of at most 1980 MHz now, locked or not"))
        self.programs["nvidia-smi"] = "[N/A], 1980\n"
        self.assertEqual(self.machine.gpu_clock().found, "no answer")

    def test_a_memory_clock_by_sysfs(self):
        self.jetson()
        emc = "sys/kernel/debug/bpmp/debug/clk/emc"
        self.put(f"{emc}/rate", 3_199_000_000)
        self.put(f"{emc}/max_rate", 3_199_000_000)
        for locked, verdict in [(0, "void"), (1, "pass")]:
            self.put(f"{emc}/mrq_rate_locked", locked)
            self.assertEqual(self.machine.memory_clock().verdict, verdict)
        self.put(f"{emc}/rate", 2_133_000_000)
        self.assertEqual(self.machine.memory_clock().verdict, "void")

    def test_a_memory_clock_by_jetson_clocks(self):
        self.jetson()
        self.assertEqual(self.machine.memory_clock().verdict, "unknown")
        for text, verdict in [(NOT_LOCKED, "void"), (LOCKED, "pass"), (LOCKED_WITHOUT_OVERRIDE, "pass")]:
            self.programs["jetson_clocks"] = text
            self.assertEqual(self.machine.memory_clock().verdict, verdict, text)


class Settings(Tree):
    def test_a_power_mode(self):
        self.assertEqual(self.machine.power_mode().verdict, "pass")
        self.put("proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0")
        self.assertEqual(self.machine.power_mode().verdict, "unknown")
        self.programs["nvpmodel"] = "NV Power Mode: MODE_30W\n2\n"
        self.assertEqual(self.machine.power_mode()[1:3], ("pass", "MODE_30W"))
        # As vehicles read it, before the program.
        self.put("var/lib/nvpmodel/status", "pmode:0002")
        self.assertEqual(self.machine.power_mode()[1:3], ("pass", "2"))
        self.put("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=15W >")
        self.assertEqual(self.machine.power_mode()[1:3], ("pass", "15W"))

    def test_governors(self):
        self.assertEqual(self.machine.governor().verdict, "unknown")
        for core, governor in [(0, "performance"), (1, "schedutil")]:
            self.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", governor)
        self.assertEqual(self.machine.governor()[1:3], ("void", "performance, schedutil"))
        for core in (0, 1):
            self.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_min_freq", 2_201_600)
            self.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_max_freq", 2_201_600)
        self.assertEqual(self.machine.governor().verdict, "pass")

    def test_one_governor_for_all_is_enough(self):
        self.put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
        self.assertEqual(self.machine.governor().verdict, "pass")

    def test_kernels(self):
        self.assertEqual(self.machine.kernel()[1:3], ("void", "unreadable"))
        self.put("proc/version", "Linux version 5.15.148-tegra (a@b) #1 SMP PREEMPT Mon")
        self.assertEqual(self.machine.kernel()[1:3], ("void", "5.15.148-tegra"))
        self.put("proc/version", "Linux version 5.15.148-rt-tegra (a@b) #1 SMP PREEMPT_RT Mon")
        self.assertEqual(self.machine.kernel().verdict, "pass")
        self.put("proc/version", "Linux version 5.10.104-tegra (a@b) #1 SMP PREEMPT Mon")
        self.put("sys/kernel/realtime", 1)
        self.assertEqual(self.machine.kernel().verdict, "pass")

    def test_the_throttle(self):
        self.assertEqual(self.machine.throttle().verdict, "unknown")
        self.put("proc/sys/kernel/sched_rt_period_us", 1_000_000)
        for runtime, verdict in [(950_000, "unknown"), (-1, "pass")]:
            self.put("proc/sys/kernel/sched_rt_runtime_us", runtime)
            self.assertEqual(self.machine.throttle().verdict, verdict)

    def test_isolated_cores(self):
        self.assertEqual(self.machine.isolation().verdict, "unknown")
        for cores, verdict in [("", "void"), ("2-3", "pass")]:
            self.put("sys/devices/system/cpu/isolated", cores)
            self.assertEqual(self.machine.isolation().verdict, verdict)

    def test_rights(self):
        self.assertEqual(bring_up.judge_right("a", 0, "b", "c").verdict, "pass")
        self.assertEqual(bring_up.judge_right("a", errno.EPERM, "b", "c")[1:3], ("void", os.strerror(errno.EPERM)))

    def test_a_child_tells_its_number_and_leaves_this_process_as_it_was(self):
        before = os.sched_getscheduler(0)
        self.assertEqual(bring_up.in_child(lambda: 7), 7)
        bring_up.in_child(bring_up.try_fifo)
        self.assertEqual(os.sched_getscheduler(0), before)


class Heat(Tree):
    def test_the_zone_that_is_nearest_to_its_limit_decides(self):
        self.zone(0, 45_000, [("active", 40_000), ("passive", 99_000), ("critical", 104_500)])
        self.zone(1, 60_500, [("passive", 70_000)])
        self.zone(2, 101_000, [])
        self.assertEqual(self.machine.heat()[1:3], ("pass", "zone-1 at 60.5 of 70.0 degrees"))
        self.zone(1, 70_000, [("passive", 70_000)])
        self.assertEqual(self.machine.heat().verdict, "void")

    def test_the_reasons_of_another_gpu(self):
        self.assertEqual(self.machine.heat().verdict, "unknown")
        for reasons, verdict in [("0x0000000000000001", "pass"), ("0x0000000000000040", "void"), ("[N/A]", "unknown")]:
            self.programs["nvidia-smi"] = reasons
            self.assertEqual(self.machine.heat().verdict, verdict, reasons)


class Program(Tree):
    def run_main(self, arguments, load):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = bring_up.main(arguments, load, str(self.root))
        return status, output.getvalue()

    def test_a_line_has_both_values_and_a_fix_only_where_one_is_needed(self):
        finding = bring_up.Finding("a", "void", "1", "2", "3")
        self.assertEqual(finding.line(), "void     a: found 1; needed 2; fix: 3")
        self.assertEqual(finding._replace(verdict="pass").line(), "pass     a: found 1; needed 2")

    def test_status_and_counts(self):
        status, output = self.run_main([], no_driver)
        self.assertEqual(status, 1)
        self.assertRegex(output.splitlines()[-1], r"^\d+ pass, 1 fail, \d+ void, \d+ unknown$")
        status, output = self.run_main([], FakeDriver)
        self.assertEqual(status, 0, output)
        self.assertIn(" 0 fail,", output.splitlines()[-1])

    def test_json_says_the_same(self):
        file = self.root / "found.json"
        file.write_text("what was there before")
        _, output = self.run_main(["--json", str(file)], no_driver)
        document = json.loads(file.read_text())
        self.assertEqual(document["schema"], "aegis.bring-up/1")
        self.assertEqual([bring_up.Finding(**finding).line() for finding in document["findings"]], output.splitlines()[:-1])
        self.assertEqual(", ".join(f"{count} {verdict}" for verdict, count in document["counts"].items()), output.splitlines()[-1])
        self.assertEqual([path.name for path in self.root.iterdir()], ["found.json"])

    def test_a_file_that_cannot_be_written(self):
        status, output = self.run_main(["--json", str(self.root / "nowhere" / "found.json")], FakeDriver)
        self.assertEqual(status, 2)
        self.assertIn("cannot be written", output)

    def test_usage(self):
        for arguments in (["--device", "first"], ["--nothing"]):
            with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
                bring_up.main(arguments, no_driver)
            self.assertEqual(ended.exception.code, 2)

    def test_a_program_that_is_not_there_has_no_answer(self):
        self.assertIsNone(bring_up.run_command("no-such-program-of-this-name"))
        self.assertIsNone(bring_up.run_command("false"))
        self.assertEqual(bring_up.run_command("echo", "a"), "a\n")


if __name__ == "__main__":
    unittest.main()
