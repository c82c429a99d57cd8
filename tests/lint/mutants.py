#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Each condition of the decision is held by a test

mutants.py CC LIBRARY...: in a copy of policy/decide.c or match.c one condition at a time is turned round, left out or moved
by one, the copy is compiled and linked with the unit tests of the room, and one of these must fail. What survives is
printed and fails the run. A change that cannot be seen from outside is listed below with the reason.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILES = ["policy/decide.c", "policy/match.c"]
TESTS = ["decide", "explain", "policy"]
SECONDS = 10  # a test that takes longer runs for ever

# (file, text of the mutated line): why it makes no difference
SAME = {
    ("policy/match.c", "if (ids->ids[middle] <= id)"): "equal is answered in the line before",
    ("policy/match.c", "if (1 && (rule->words & WORD_BIT(word)) && !(__VA_ARGS__))"): "only spares work: any miss is a miss",
}

TOKEN = re.compile(r'#include[^\n]*|"(?:\\.|[^"\\])*"|/\*.*?\*/|&&|\|\||==|!=|<=|>=|->|<<|>>|\+\+|--|[|&+-]=|[A-Za-z_0-9.]+|\S', re.S)
TURNED = {"==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}
MOVED = {"<": "<=", ">": ">=", "<=": "<", ">=": ">"}
EDGES = {"&&": {"&&", "||", "?", ":", ",", ";", "return", "=", "{"}, "||": {"||", "?", ":", ",", ";", "return", "=", "{"}}


def tokens(text):
    return [(m[0], m.start(), m.end()) for m in TOKEN.finditer(text) if not m[0].startswith(("/*", "#include"))]


def closing(toks, at):
    """Index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(toks)):
        depth += {"(": 1, ")": -1}.get(toks[i][0], 0)
        if depth == 0:
            return i
    raise ValueError("brackets")


def operand(toks, at, step):
    """Span of the operand of the && or || at `at`, to the left (-1) or right (1)."""
    depth, i, edges = 0, at + step, EDGES[toks[at][0]]
    inwards, outwards = ("(", ")") if step > 0 else (")", "(")
    while True:
        t = toks[i][0]
        if depth == 0 and (t in edges or t == outwards):
            break
        depth += {inwards: 1, outwards: -1}.get(t, 0)
        i += step
    first, last = (at + 1, i - 1) if step > 0 else (i + 1, at - 1)
    return toks[first][1], toks[last][2]


def mutations(text):
    """(begin, end, what stands there instead)"""
    toks = [t for t in tokens(text)]
    for i, (t, begin, end) in enumerate(toks):
        if t == "if" and toks[i + 1][0] == "(":
            last = closing(toks, i + 1)
            inner = text[toks[i + 1][2]:toks[last][1]]
            yield toks[i + 1][2], toks[last][1], f"!({inner})"
        elif t in ("&&", "||"):
            neutral = "1" if t == "&&" else "0"
            for step in (-1, 1):
                yield (*operand(toks, i, step), neutral)
        elif t in TURNED:
            yield begin, end, TURNED[t]
            if t in MOVED:
                yield begin, end, MOVED[t]
        elif t == "!":
            yield begin, end, ""


def line_of(text, begin, end):
    """The line as it became, by which a mutation is known."""
    return " ".join(text[text.rindex("\n", 0, begin) + 1:text.index("\n", end)].rstrip("\\").split())


class Workshop:
    def __init__(self, cc, libraries, directory):
        self.cc, self.libraries, self.dir = cc, libraries, pathlib.Path(directory)
        self.flags = ["-O0", "-w", "-D_GNU_SOURCE", f"-I{SOURCE}"]
        self.environment = {**os.environ, "HF_POLICY_RULES": f"{SOURCE}/policy/rules",
                            "HF_POLICY_MAN": f"{SOURCE}/docs/man/holdfast-policy.5.scd"}
        for test in TESTS:
            self.compile(SOURCE / f"tests/unit/policy/test-{test}.c", self.dir / f"{test}.o")

    def compile(self, source, output):
        subprocess.run([*self.cc, *self.flags, "-c", source, "-o", output], check=True)

    def passes(self, number, text):
        """Do all tests pass with this text in place of the file?"""
        source, program = self.dir / f"{number}.c", self.dir / str(number)
        source.write_text(text)
        try:
            self.compile(source, program.with_suffix(".o"))
            for test in TESTS:
                subprocess.run([*self.cc, self.dir / f"{test}.o", program.with_suffix(".o"), "-Wl,--start-group", *self.libraries,
                                "-Wl,--end-group", "-lcmocka", "-o", program], check=True)
                done = subprocess.run([program], env=self.environment, capture_output=True, timeout=SECONDS, cwd=self.dir)
                if done.returncode != 0:
                    return False
        except subprocess.TimeoutExpired:
            return False
        finally:
            for path in (source, program, program.with_suffix(".o")):
                path.unlink(missing_ok=True)
        return True


def main(cc, *libraries):
    made = []
    for name in FILES:
        text = (SOURCE / name).read_text()
        for begin, end, instead in mutations(text):
            mutant = text[:begin] + instead + text[end:]
            line = line_of(mutant, begin, begin + len(instead))
            if mutant in {m[3] for m in made}:
                continue  # A || B || C: B is left of one and right of the other
            made.append((name, text.count("\n", 0, begin) + 1, line, mutant))
    with tempfile.TemporaryDirectory(prefix="holdfast-mutants-") as directory:
        shop = Workshop(cc.split(), libraries, directory)
        for name in FILES:
            assert shop.passes("unchanged", (SOURCE / name).read_text()), "the tests fail without any change"
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            alive = list(pool.map(lambda m: shop.passes(*m), [(i, m[3]) for i, m in enumerate(made)]))
    survivors = [m[:3] for m, lives in zip(made, alive) if lives]
    unexplained = [m for m in survivors if (m[0], m[2]) not in SAME]
    for name, number, line in unexplained:
        print(f"{name}:{number}: no test fails with: {line}")
    stale = set(SAME) - {(name, line) for name, _, line in survivors}
    for name, line in sorted(stale):
        print(f"{name}: listed as making no difference, but it does or is gone: {line}")
    print(f"{len(made)} mutants, {len(survivors) - len(unexplained)} that cannot be told apart, {len(unexplained)} survive")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
