# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Runs the test functions of a file, each named as the promise it checks.

main() takes every function whose name begins with test_, in order, prints one line each and exits with 0, 1 (one
failed) or 77 (all skipped). Names as arguments choose some of them.
"""
import inspect
import signal
import sys
import time
import traceback


class Skip(Exception):
    pass


def main():
    module = sys.modules["__main__"]
    tests = [(n, f) for n, f in vars(module).items() if n.startswith("test_") and inspect.isfunction(f)]
    tests = [(n, f) for n, f in tests if len(sys.argv) < 2 or n in sys.argv[1:]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    failed = skipped = 0
    for name, function in tests:
        began = time.monotonic()
        try:
            function()
            result = "ok"
        except Skip as why:
            result, skipped = f"skipped: {why}", skipped + 1
        except Exception:
            traceback.print_exc()
            result, failed = "FAILED", failed + 1
        print(f"{name}: {result} ({time.monotonic() - began:.1f} s)", flush=True)
    if not tests:
        sys.exit("no such test")
    sys.exit(1 if failed else 77 if skipped == len(tests) else 0)
