"""What a reader has to know to judge the figures: host, CPU, versions."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

from bench.toolchain import compiler_version

__all__ = ["describe_machine"]


def describe_machine() -> dict[str, str]:
    """For people: names and values."""
    allowed = sorted(os.sched_getaffinity(0))
    described = {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cpus": f"{os.cpu_count()} ({len(allowed)} usable)",
        "memory": f"{_memory_gib():.1f} GiB",
        "load_average_before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "python": platform.python_version(),
        "compiler": compiler_version(),
        "source": _revision(),
    }
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists():
        described["cpu_governor"] = governor.read_text().strip()
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    described["tcp"] = f"{congestion}: paces senders on loopback too" if congestion == "bbr" else congestion
    if "hypervisor" in _cpu_field("flags").split():
        described["virtual"] = "yes: neighbours on the same host may disturb unseen"
    return described


def _cpu_field(name: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _cpu_model() -> str:
    family = " ".join(f"{name} {value}" for name in ("cpu family", "model", "stepping") if (value := _cpu_field(name)))
    return f"{_cpu_field('model name') or platform.processor() or 'unknown'} ({family})" if family else _cpu_field("model name")


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _revision() -> str:
    """The commit of this checkout, if it is one."""
    root = Path(__file__).parent.parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no git checkout"
    return f"{commit} with uncommitted changes" if changed else commit
