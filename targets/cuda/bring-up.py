#!/usr/bin/env python3
"""Says, line by line, what AegisRT assumes of a CUDA machine and whether this one has it.

    python3 targets/cuda/bring-up.py [--device N] [--json FILE]

Each line is a verdict, the assumption, what was found, what is needed, and what would change it:

    pass     it holds
    fail     it does not, and GPU lanes cannot run as planned
    void     they can run, but a guarantee needs more than this machine gives at this moment
    unknown  it could not be found out

Exit status: 0 nothing failed, 1 something failed, 2 usage or a file that cannot be written. Nothing is changed: priority and locked
memory are tried in a child process. Some answers need root (memory clock, jetson_clocks). Needs Python 3.8 alone.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

SCHEMA = "aegis.bring-up/1"
PASS, FAIL, VOID, UNKNOWN = "pass", "fail", "void", "unknown"
Version = Tuple[int, int]

PARTITIONS: Version = (12, 4)  # the first CUDA with green contexts
GLIBC: Version = (2, 31)  # that of Ubuntu 20.04
FIFO_PRIORITY = 80  # that of the orchestration thread
MEMORY_LOCK = 1 | 2  # MCL_CURRENT | MCL_FUTURE
# Power cap, slowdown, thermal (software, hardware), power brake: bits of nvidia-smi's clock event reasons.
SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80


class Finding(NamedTuple):
    """One assumption, judged."""

    name: str
    verdict: str
    found: str
    needed: str
    fix: str = ""

    def line(self) -> str:
        fix = "" if self.verdict == PASS or not self.fix else f"; fix: {self.fix}"
        return f"{self.verdict:<7}  {self.name}: found {self.found}; needed {self.needed}{fix}"


def run_command(*command: str) -> Optional[str]:
    """What a program prints; None where there is none, or it fails or takes longer than ten seconds."""
    try:
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode("utf-8", "replace")


class Machine:
    """What is read of a machine: files below a root, and programs."""

    def __init__(self, root: str = "/", run: Callable[..., Optional[str]] = run_command, device: int = 0):
        self.root = Path(root)
        self.run = run
        self.device = device

    def text(self, path: str) -> Optional[str]:
        try:
            return (self.root / path).read_bytes().decode("utf-8", "replace").replace("\0", " ").strip()
        except OSError:
            return None

    def number(self, path: str) -> Optional[int]:
        try:
            return int(self.text(path) or "", 0)
        except ValueError:
            return None

    def paths(self, pattern: str) -> List[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))

    def is_jetson(self) -> bool:
        tree = self.text("proc/device-tree/compatible") or ""
        return (self.root / "etc/nv_tegra_release").exists() or "tegra" in tree

    def smi(self, query: str) -> Optional[List[str]]:
        """The values of a query to nvidia-smi, which counts devices in its own order; None where it does not give all."""
        answer = self.run("nvidia-smi", f"--id={self.device}", f"--query-gpu={query}", "--format=csv,noheader,nounits")
        values = [value.strip() for value in (answer or "").split(",")]
        readable = [value for value in values if value and not value.startswith("[")]
        return values if len(readable) == len(query.split(",")) else None

    def gpu_clock(self) -> Finding:
        nodes = [path for path in self.paths("sys/class/devfreq/*") if re.search(r"gpu|g[pva]\d+b", path)]
        if nodes:
            ranges = [(Path(node).name, self.number(f"{node}/min_freq"), self.number(f"{node}/max_freq")) for node in nodes]
            found = ", ".join(f"{name} {least} to {most} Hz" for name, least, most in ranges)
            known = all(least is not None and most is not None for _, least, most in ranges)
            locked = all(least == most for _, least, most in ranges)
            verdict = UNKNOWN if not known else PASS if locked else VOID
            return Finding("gpu-clock", verdict, found, "least equal to most", "sudo jetson_clocks, after nvpmodel")
        values = self.smi("clocks.sm,clocks.max.sm")
        found = f"{values[0]} of at most {values[1]} MHz now, locked or not" if values else "no answer"
        return Finding("gpu-clock", UNKNOWN, found, "a locked SM clock", "sudo nvidia-smi --lock-gpu-clocks=MHZ")

    def memory_clock(self) -> Finding:
        name, needed = "memory-clock", "locked at its highest rate"
        if not self.is_jetson():
            values = self.smi("clocks.mem,clocks.max.mem")
            found = f"{values[0]} of at most {values[1]} MHz now, locked or not" if values else "no answer"
            return Finding(name, UNKNOWN, found, needed, "sudo nvidia-smi --lock-memory-clocks=MHZ")
        emc = "sys/kernel/debug/bpmp/debug/clk/emc"
        locked, rate, most = (self.number(f"{emc}/{item}") for item in ("mrq_rate_locked", "rate", "max_rate"))
        if locked is not None and rate is not None:
            verdict = PASS if locked and rate == most else VOID
            found = f"{rate} of at most {most} Hz, {'locked' if locked else 'not locked'}"
            return Finding(name, verdict, found, needed, "sudo jetson_clocks")
        pattern = r"EMC MinFreq=(\d+) MaxFreq=(\d+) CurrentFreq=(\d+)(?: FreqOverride=(\d))?"
        match = re.search(pattern, self.run("jetson_clocks", "--show") or "")
        if match:
            least, most, rate, override = match.groups()
            verdict = PASS if rate == most and (override == "1" or least == most) else VOID
            found = f"{rate} Hz of {least} to {most}, override {override or 'not told'}"
            return Finding(name, verdict, found, needed, "sudo jetson_clocks")
        rate = self.number("sys/kernel/debug/clk/emc/clk_rate")
        return Finding(name, UNKNOWN, f"{rate} Hz now" if rate else "no answer", needed, "run this as root")

    def power_mode(self) -> Finding:
        needed = "the mode of the profiles; it also decides how many SMs are on"
        mode = self.stored_power_mode()
        if mode is None:
            match = re.search(r"NV Power Mode: *(\S+)", self.run("nvpmodel", "-q") or "")
            mode = match[1] if match else None
        if mode is None and self.is_jetson():
            return Finding("power-mode", UNKNOWN, "no answer of nvpmodel", needed, "run this as root")
        return Finding("power-mode", PASS, mode or "none: not a Jetson", needed)

    def stored_power_mode(self) -> Optional[str]:
        """The mode's name as vehicles read it, or its number where nothing names it."""
        match = re.search(r"pmode:(\d+)", self.text("var/lib/nvpmodel/status") or "")
        if not match:
            return None
        number = int(match[1])
        names = re.findall(r"POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", self.text("etc/nvpmodel.conf") or "")
        return next((name for known, name in names if int(known) == number), str(number))

    def governor(self) -> Finding:
        needed = "performance, or least equal to most"
        cores = self.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
        if not cores:
            return Finding("cpu-governor", UNKNOWN, "no cpufreq", needed, "look at the machine that this one is a guest of")
        governors = {self.text(f"{core}/scaling_governor") or "unreadable" for core in cores}
        ranges = [(self.number(f"{core}/scaling_min_freq"), self.number(f"{core}/scaling_max_freq")) for core in cores]
        fixed = all(least is not None and least == most for least, most in ranges)
        found = ", ".join(sorted(governors)) + (", fixed" if fixed else "")
        return Finding("cpu-governor", PASS if fixed or governors == {"performance"} else VOID, found, needed,
                       "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")

    def kernel(self) -> Finding:
        version = self.text("proc/version") or ""
        real_time = self.text("sys/kernel/realtime") == "1" or re.search(r"PREEMPT[_ ]RT", version) is not None
        release = (version.split() + ["", "", "unreadable"])[2]
        found = release + (", PREEMPT_RT" if real_time else "")
        return Finding("real-time-kernel", PASS if real_time else VOID, found, "PREEMPT_RT",
                       "on a Jetson: the rt-kernel packages, docs/jetson.md")

    def throttle(self) -> Finding:
        runtime, period = (self.number(f"proc/sys/kernel/sched_rt_{item}_us") for item in ("runtime", "period"))
        needed = "-1, or more than the plan asks of a core in a period"
        found = "no such setting" if runtime is None else "-1" if runtime < 0 else f"{runtime} of {period} us"
        verdict = PASS if runtime is not None and runtime < 0 else UNKNOWN
        return Finding("real-time-throttle", verdict, found, needed, "sudo sysctl kernel.sched_rt_runtime_us=-1")

    def isolation(self) -> Finding:
        cores = self.text("sys/devices/system/cpu/isolated")
        verdict = UNKNOWN if cores is None else PASS if cores else VOID
        return Finding("isolated-cores", verdict, cores or ("no answer" if cores is None else "none"),
                       "a core for the orchestration thread and each lane", "isolcpus=CORES on the kernel's command line")

    def heat(self) -> Finding:
        name, needed = "heat", "below what slows clocks down"
        zones = []
        for zone in self.paths("sys/class/thermal/thermal_zone*"):
            now = self.number(f"{zone}/temp")
            kinds = [path for path in self.paths(f"{zone}/trip_point_*_type") if self.text(path) in ("passive", "hot")]
            trips = [self.number(path[: -len("type")] + "temp") for path in kinds]
            limits = [trip for trip in trips if trip is not None and trip > 0]
            if now is not None and limits:
                zones.append((min(limits) - now, self.text(f"{zone}/type") or Path(zone).name, now, min(limits)))
        if zones:
            margin, zone, now, limit = min(zones)
            found = f"{zone} at {now / 1000:.1f} of {limit / 1000:.1f} degrees"
            return Finding(name, PASS if margin > 0 else VOID, found, needed, "cool it, or a lower power mode")
        values = self.smi("clocks_event_reasons.active") or self.smi("clocks_throttle_reasons.active")
        if values:
            reasons = int(values[0], 16)
            return Finding(name, VOID if reasons & SLOWED else PASS, f"clock event reasons {reasons:#x}", needed, "cool it")
        return Finding(name, UNKNOWN, "no sensor with a limit", needed, "tegrastats, or nvidia-smi -q -d PERFORMANCE")


def version_of(number: int) -> Version:
    """The version of a driver's number, such as 12040 for 12.4."""
    return number // 1000, number % 1000 // 10


def shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


class CudaError(Exception):
    """What a function of the driver answered, or that there is none of that name."""


class SmResource(ctypes.Structure):
    """CUdevResource of cuda.h: 144 bytes from CUDA 12.4 to 13.4; before 13.0 only the count is in it."""

    _fields_ = [("kind", ctypes.c_int), ("padding", ctypes.c_ubyte * 92), ("sms", ctypes.c_uint), ("least", ctypes.c_uint),
                ("step", ctypes.c_uint), ("rest", ctypes.c_ubyte * 36)]


class Driver:
    """The driver's library, by its C functions. Makes no context: nothing is run on a device."""

    ATTRIBUTES = {"sms": 16, "integrated": 18, "l2": 38, "major": 75, "minor": 76, "virtual": 102, "exports": 103}
    SM = 1  # CU_DEV_RESOURCE_TYPE_SM

    def __init__(self, name: str = "libcuda.so.1"):
        self.library = ctypes.CDLL(name)
        self.call("cuInit", ctypes.c_uint(0))

    def call(self, name: str, *arguments) -> None:
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise CudaError(f"{name} is not in the library") from None
        code = function(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            named = self.library.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value
            raise CudaError(f"{name}: {named.decode() if named else code}")

    def number(self, name: str, *arguments) -> int:
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def version(self) -> Version:
        return version_of(self.number("cuDriverGetVersion"))

    def count(self) -> int:
        return self.number("cuDeviceGetCount")

    def facts(self, device: int) -> Dict[str, Any]:
        """Its name, its memory in bytes, and its attributes."""
        size, text = ctypes.c_size_t(), ctypes.create_string_buffer(256)
        self.call("cuDeviceTotalMem_v2", ctypes.byref(size), ctypes.c_int(device))
        self.call("cuDeviceGetName", text, ctypes.c_int(len(text)), ctypes.c_int(device))
        numbers = {name: self.number("cuDeviceGetAttribute", ctypes.c_int(attribute), ctypes.c_int(device))
                   for name, attribute in self.ATTRIBUTES.items()}
        return {"name": text.value.decode("utf-8", "replace"), "memory": size.value, **numbers}

    def partitions(self, device: int) -> Tuple[int, int, int, int]:
        """The smallest groups of all SMs: how many, of how many SMs; the least size and the step as told, 0 before 13.0."""
        whole = SmResource()
        self.call("cuDeviceGetDevResource", ctypes.c_int(device), ctypes.byref(whole), ctypes.c_int(self.SM))
        # No more groups than SMs; the driver says how many it made.
        groups = (SmResource * max(whole.sms, 1))()
        count = ctypes.c_uint(len(groups))
        flags, least = ctypes.c_uint(0), ctypes.c_uint(1)
        self.call("cuDevSmResourceSplitByCount", groups, ctypes.byref(count), ctypes.byref(whole), None, flags, least)
        return count.value, groups[0].sms if count.value else 0, whole.least, whole.step


# In the order in which they are asked: what fails leaves the rest unknown.
OF_DRIVER = ("driver", "driver-version", "device", "device-memory", "virtual-memory", "memory-export", "partitions")


def driver_findings(load: Callable[[], Driver], device: int) -> List[Finding]:
    """What is assumed of the driver and of one device."""
    findings: List[Finding] = []
    try:
        ask_driver(load(), device, findings)
    except (OSError, CudaError) as error:
        fix = "install NVIDIA's driver; on a Jetson: JetPack" if not findings else "see the driver's release notes"
        findings.append(Finding(OF_DRIVER[len(findings)], FAIL, str(error), "an answer of the driver", fix))
    return findings + [Finding(name, UNKNOWN, "not asked", "what comes before it") for name in OF_DRIVER[len(findings):]]


def ask_driver(driver: Driver, device: int, findings: List[Finding]) -> None:
    findings.append(Finding("driver", PASS, "libcuda.so.1, started", "an answer of the driver"))
    version = driver.version()
    findings.append(Finding("driver-version", PASS if version >= PARTITIONS else FAIL, shown(version),
                            f"at least {shown(PARTITIONS)}, for green contexts", "a newer one; on a Jetson: JetPack 6.1 or later"))
    count = driver.count()
    if not 0 <= device < count:
        findings.append(Finding("device", FAIL, f"{count} devices", f"device {device}", "another number with --device"))
        return
    facts = driver.facts(device)
    found = (f"device {device} of {count}, {facts['name']}, compute capability {facts['major']}.{facts['minor']}, "
             f"{facts['sms']} SMs, L2 {facts['l2']} bytes")
    place = "in the CPU's memory (integrated)" if facts["integrated"] else "of its own"
    findings.append(Finding("device", PASS, found, "a device"))
    findings.append(Finding("device-memory", PASS, f"{facts['memory']} bytes {place}", "any; integrated: one budget with the CPU"))
    findings.append(Finding("virtual-memory", PASS if facts["virtual"] else FAIL, "yes" if facts["virtual"] else "no",
                            "memory mapped at reserved addresses", "none is known"))
    findings.append(Finding("memory-export", PASS if facts["exports"] else FAIL, "by descriptor" if facts["exports"] else "none",
                            "by POSIX descriptor", "keep all tasks of the device in one process"))
    if version >= PARTITIONS:
        groups, size, least, step = driver.partitions(device)
        found = f"{groups} of {size} SMs" + (f"; the driver says at least {least} in steps of {step}" if least else "")
        findings.append(Finding("partitions", PASS if groups > 1 else FAIL, found, "at least 2",
                                "a power mode with more SMs, or one lane on the whole device"))


def in_child(action: Callable[[], int]) -> int:
    """The error number of an action, taken in a child process that ends with it; 0: none."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = action()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 255


def try_fifo() -> int:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except OSError as error:
        return error.errno or 255
    return 0


def try_lock() -> int:
    library = ctypes.CDLL(None, use_errno=True)
    return 0 if library.mlockall(MEMORY_LOCK) == 0 else ctypes.get_errno() or 255


def judge_right(name: str, code: int, needed: str, fix: str) -> Finding:
    return Finding(name, PASS if code == 0 else VOID, "granted" if code == 0 else os.strerror(code), needed, fix)


def judge_glibc(text: Optional[str]) -> Finding:
    match = re.fullmatch(r"glibc (\d+)\.(\d+).*", text or "")
    verdict = UNKNOWN if not match else PASS if (int(match[1]), int(match[2])) >= GLIBC else FAIL
    return Finding("glibc", verdict, text or "no answer", f"at least {shown(GLIBC)}", "a newer system")


def machine_findings(machine: Machine) -> List[Finding]:
    """What is assumed of the machine besides its device."""
    read = (machine.gpu_clock, machine.memory_clock, machine.power_mode, machine.heat, machine.governor, machine.kernel,
            machine.throttle, machine.isolation)
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else None
    return [judge() for judge in read] + [
        judge_right("real-time-priority", in_child(try_fifo), f"SCHED_FIFO {FIFO_PRIORITY}", "CAP_SYS_NICE, or rtprio 99"),
        judge_right("locked-memory", in_child(try_lock), "mlockall", "CAP_IPC_LOCK, or memlock unlimited"),
        judge_glibc(libc)]


def counts_of(findings: List[Finding]) -> "Counter[str]":
    return Counter({verdict: sum(finding.verdict == verdict for finding in findings) for verdict in (PASS, FAIL, VOID, UNKNOWN)})


def write_json(path: str, findings: List[Finding]) -> None:
    """Writes the findings beside the file, then puts them in its place."""
    document = {"schema": SCHEMA, "counts": dict(counts_of(findings)), "findings": [finding._asdict() for finding in findings]}
    beside = f"{path}.{os.getpid()}.new"
    try:
        Path(beside).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.remove(beside)


def main(arguments: Optional[List[str]] = None, load: Callable[[], Driver] = Driver, root: str = "/") -> int:
    epilog = "Exit status: 0 nothing failed, 1 something failed, 2 usage."
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], epilog=epilog)
    parser.add_argument("--device", type=int, default=0, metavar="N", help="number of the device, counted from 0 (default 0)")
    parser.add_argument("--json", metavar="FILE", help="also write the findings there")
    options = parser.parse_args(arguments)
    # The driver starts threads: what is tried in a child process comes before it.
    about_machine = machine_findings(Machine(root, device=options.device))
    findings = driver_findings(load, options.device) + about_machine
    counts = ", ".join(f"{count} {verdict}" for verdict, count in counts_of(findings).items())
    print("\n".join([finding.line() for finding in findings] + [counts]))
    if options.json is not None:
        try:
            write_json(options.json, findings)
        except OSError as error:
            print(f"bring-up: {options.json} cannot be written: {error}", file=sys.stderr)
            return 2
    return 1 if any(finding.verdict == FAIL for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
