"""The tests of the native parts, and the pump's fuzzer, under AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/pump/sanitized.py                   build, prove that the sanitizers bite, run everything
    python tests/pump/sanitized.py --fuzz-forever    build, prove, fuzz until something is found

Builds the extensions with the sanitizers into build/sanitize/, beside links to the rest of the package, and puts that in
front of the installed one. What the sanitizers find ends the process at once, with a report on stderr and EXIT_CODE.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
BUILD = ROOT / "build" / "sanitize"
EXTENSIONS = ("_fastpath", "_tls")
FLAGS = [
    "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-O1", "-g",
    "-shared", "-fPIC",
]
EXIT_CODE = 86
"""With which a sanitizer ends a process."""
CANARY = r"""
#include <stdlib.h>
int touch(int size, int at) { char *p = malloc(size); p[at] = 1; int x = p[at]; free(p); return x; }
int overflow(int n) { return n + 0x7fffffff; }
"""


class Unavailable(Exception):  # noqa: N818 (a reason to skip)
    """This compiler has no sanitizers."""


def runtimes() -> list[str]:
    """The sanitizers' shared libraries, which must be loaded before Python itself."""
    compiler = shutil.which("gcc")
    if compiler is None:
        raise Unavailable("there is no gcc")
    found = []
    for name in ("libasan.so", "libubsan.so"):
        asked = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        path = Path(asked.stdout.strip())
        if not path.is_absolute():
            raise Unavailable(f"gcc comes without {name}")
        found.append(str(path.resolve()))
    return found


def build() -> None:
    """Compile the extensions and the canary, unless nothing has changed since."""
    runtimes()
    package = BUILD / "finstream"
    package.mkdir(parents=True, exist_ok=True)
    sources = sorted([*(ROOT / "finstream").glob("*.pyx"), *(ROOT / "finstream").glob("*.pxd")])
    settings = repr([FLAGS, CANARY, sys.version]).encode()
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + settings)
    stamp = BUILD / "stamp"
    if not stamp.exists() or stamp.read_text() != state.hexdigest():
        stamp.unlink(missing_ok=True)
        for name in EXTENSIONS:
            source, generated = ROOT / "finstream" / f"{name}.pyx", BUILD / f"{name}.c"
            _call([sys.executable, "-m", "cython", "-3", str(source), "-o", str(generated)], cwd=ROOT)
            extension = package / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
            include = f"-I{sysconfig.get_paths()['include']}"
            _call(["gcc", *FLAGS, include, str(generated), "-o", str(extension)])
        (BUILD / "canary.c").write_text(CANARY)
        _call(["gcc", *FLAGS, str(BUILD / "canary.c"), "-o", str(BUILD / "canary.so")])
        stamp.write_text(state.hexdigest())
    for part in (ROOT / "finstream").iterdir():
        link = package / part.name
        if part.suffix not in (".so", ".c", ".html") and part.name != "__pycache__" and not link.is_symlink():
            link.symlink_to(part)


def _call(command: list[str], **settings: object) -> None:
    subprocess.run(command, check=True, **settings)  # type: ignore[call-overload]


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(runtimes()),
        # What Python itself keeps until its end is not ours to judge.
        "ASAN_OPTIONS": f"detect_leaks=0:exitcode={EXIT_CODE}:detect_stack_use_after_return=1:strict_string_checks=1",
        "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={EXIT_CODE}",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(BUILD),
        "FINSTREAM_SANITIZED": str(BUILD),  # parsers.py refuses to test another
        "PYTHONDONTWRITEBYTECODE": "1",
        "FINSTREAM_TEST_EFFORT": os.environ.get("FINSTREAM_TEST_EFFORT", "0.05"),
    }


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as the tests are run; for those who want to see what it says."""
    return subprocess.run(
        [sys.executable, *arguments], env=environment(), cwd=BUILD, capture_output=True, text=True, check=False
    )


def prove() -> None:
    """Both sanitizers must catch a deliberate error, and the extension under test must be the instrumented one."""
    canary = f"import ctypes; canary = ctypes.CDLL({str(BUILD / 'canary.so')!r}); "
    for mistake, report in (
        ("canary.touch(8, 8)", "AddressSanitizer: heap-buffer-overflow"),
        ("canary.overflow(1)", "runtime error: signed integer overflow"),
    ):
        caught = python("-c", canary + mistake)
        if caught.returncode != EXIT_CODE or report not in caught.stderr:
            raise AssertionError(f"the sanitizer let {mistake} pass: {caught.returncode} {caught.stderr[-2000:]}")
    blameless = python("-c", canary + "assert canary.touch(8, 7) == 1; assert canary.overflow(-1) == 0x7ffffffe")
    if blameless.returncode:
        raise AssertionError(f"the sanitizer stops what is right: {blameless.stderr[-2000:]}")
    for name in EXTENSIONS:
        where = python("-c", f"import finstream.{name} as f; print(f.__file__)")
        extension = Path(where.stdout.strip())
        if where.returncode or not extension.is_relative_to(BUILD):
            raise AssertionError(f"not the instrumented extension: {where.stdout} {where.stderr[-2000:]}")
        for symbol in (b"__asan_report_load1", b"__ubsan_handle_add_overflow_abort"):
            if symbol not in extension.read_bytes():
                raise AssertionError(f"{name} was built without {symbol.decode()}")


FUZZ = [str(HERE / "fuzz.py")]
_PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "120"]


def pump_tests(part: int = 0, parts: int = 1) -> list[str]:
    """The command for every ``parts``-th file of the pump's tests."""
    files = [file for file in sorted(HERE.glob("test_*.py")) if file.name not in ("test_sanitized.py", "test_fuzz.py")]
    return [
        *_PYTEST, *map(str, files[part::parts]),
        # Tables that the twin alone reads, and those that the fuzzer begins with.
        # And what takes the memory away: the sanitizer's allocator has room of its own that no limit reaches.
        "-k", "not twin- and not test_first_broken_rule_is_the_reason and not test_without_memory_for_what_is_held",
    ]  # fmt: skip


TLS_TESTS = [*_PYTEST, str(ROOT / "tests" / "tls")]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fuzz-forever", action="store_true")
    options = parser.parse_args(arguments)
    build()
    prove()
    print("both sanitizers are at work", flush=True)
    if options.fuzz_forever:
        os.execve(sys.executable, [sys.executable, *FUZZ, "--forever"], environment())
    for command in (FUZZ, pump_tests(), TLS_TESTS):
        code = subprocess.run([sys.executable, *command], env=environment(), cwd=BUILD, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
