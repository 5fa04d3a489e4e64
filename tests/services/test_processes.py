from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

from finstream.services.processes import Processes


def test_what_the_kernel_says_of_this_process() -> None:
    system = Processes().system()
    assert system.engine.pid == os.getpid()
    assert system.engine.open_fds == len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the one that reads the folder is counted by both
    assert system.engine.threads == len(os.listdir("/proc/self/task"))  # noqa: PTH208
    assert system.most_fds == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 0 <= time.time() - system.started_at / 1e6 < 24 * 3600
    assert 0 < system.memory_available_bytes < system.memory_total_bytes


def test_without_a_file_descriptor_left_the_last_values_stand() -> None:
    program = """
import os, resource
from finstream.services.processes import Processes
early, processes = Processes(), Processes()
before = processes.system()
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # those that are open stay so
assert processes.system() == before
assert processes.children([os.getpid()]) == {}
try:
    early.system()
except OSError as error:
    print(error.strerror)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("Too many open files\n", "")


def test_a_busy_child_is_seen_to_be_busy_and_one_that_is_gone_is_left_out() -> None:
    processes = Processes()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        try:
            assert processes.children([child.pid])[child.pid].cpu_cores == 0.0, "at the first look there is nothing to compare with"
            before = time.process_time()
            deadline = time.monotonic() + 30
            while (seen := processes.children([child.pid])[child.pid]).cpu_s < 0.05:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert seen.cpu_s > 0
            assert seen.memory_bytes > 1 << 20
            assert time.process_time() - before < 5
        finally:
            child.kill()
            child.wait()
        assert processes.children([child.pid]) == {}


def test_a_name_with_spaces_and_parentheses_is_no_field() -> None:
    rename = "import sys; open('/proc/self/comm', 'w').write(') R 1 (2 3'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", rename], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        seen = Processes().children([child.pid])[child.pid]
        child.kill()
    assert seen.threads == 1
    assert 1 << 20 < seen.memory_bytes < 1 << 30
    assert 0 <= seen.cpu_s < 60
