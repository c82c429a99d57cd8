#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A second verifier of Holdfast's audit log, written from docs/formats/audit.md and nothing else.

    verify_log.py [--key KEY] [--expect NOTEFILE] FILE
    verify_log.py --batch MANIFEST

KEY is a key as text (NAME+ID+BASE64) or 64 hex digits. A manifest has one log a line: FILE, KEY or -, NOTEFILE or -,
separated by tabs; one line of verdict comes out for each. Exit status: 0 good, 8 anything else.
"""
import base64
import hashlib
import re
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NUM = rb"(?:0|[1-9][0-9]{0,19})"
STRING = rb'"(?:[ !#-\[\]-~]|\\["\\]|\\u[0-9a-f]{4})*"'
PREFIX = re.compile(rb'\{"seq":(' + NUM + rb'),"prev":"([0-9a-f]{64})",')
LINE = re.compile(
    rb'\{"seq":(' + NUM + rb'),"prev":"([0-9a-f]{64})",'
    rb'"t":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)",'
    rb'"dur":(' + NUM + rb'),"event":"([a-z][a-z0-9.-]{0,31})",'
    rb'((?:"[a-z][a-z0-9-]{0,31}":(?:' + NUM + rb'|' + STRING + rb'),)*)"mac":"[0-9a-f]{64}"\}')
FIELD = re.compile(rb'"([a-z][a-z0-9-]{0,31})":(?:(' + NUM + rb')|(' + STRING + rb')),')
ESCAPE = re.compile(rb'\\(?:u([0-9a-f]{4})|(["\\]))')
USES = {"ca.csr", "ca.sign", "key.agree", "key.csr", "key.decrypt", "key.mac", "key.seal", "key.sign", "key.unseal", "use.lost"}
LINE_MAX = 4095
WINDOW = 2048
PREFIX_NAME = "holdfast/log/"
TOP = 2 ** 64


def number(text):
    value = int(text)
    return value if value < TOP else None


def unescape(raw):
    """The text of a string without its quotes, or None if it holds a lone surrogate or U+0000."""
    units = []
    position = 0
    for match in ESCAPE.finditer(raw):
        units += raw[position:match.start()]
        units.append(int(match.group(1), 16) if match.group(1) else match.group(2)[0])
        position = match.end()
    units += raw[position:]
    if 0 in units:
        return None
    try:
        return b"".join(u.to_bytes(2, "big") for u in units).decode("utf-16-be")
    except UnicodeDecodeError:
        return None


def base64_exact(text, size):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if len(data) == size and base64.b64encode(data) == text else None


class Record:
    def __init__(self, line, match):
        self.line = line
        self.seq = number(match.group(1))
        self.prev = bytes.fromhex(match.group(2).decode())
        self.time = match.group(3).decode()
        self.dur = number(match.group(4))
        self.event = match.group(5).decode()
        self.fields = match.group(6)

    def string(self, name):
        for key, _, text in FIELD.findall(self.fields):
            if key.decode() == name:
                return unescape(text[1:-1]) if text else None
        return None

    def hash(self):
        return hashlib.sha256(self.line).digest()


def parse_line(line):
    if len(line) > LINE_MAX:
        return None
    match = LINE.fullmatch(line)
    if not match:
        return None
    numbers = [match.group(1), match.group(4)] + [n for _, n, _ in FIELD.findall(match.group(6)) if n]
    if any(number(n) is None for n in numbers):
        return None
    return Record(line, match)


class Key:
    def __init__(self, name, public):
        self.name, self.public = name, public
        self.id = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]

    @staticmethod
    def parse(text):
        match = re.fullmatch(r"([!-*,-~]{1,64})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
        blob = base64_exact(match.group(3).encode(), 33) if match else None
        if not blob or blob[0] != 1:
            return None
        key = Key(match.group(1), blob[1:])
        return key if key.id.hex() == match.group(2) else None


class Note:
    """Raises ValueError for what is not a note."""

    def __init__(self, text):
        data = text.encode()
        if len(data) > 1024 or not data.endswith(b"\n"):
            raise ValueError("size")
        head, gap, tail = data.partition(b"\n\n")
        if not gap:
            raise ValueError("no signature")
        self.text = head + b"\n"
        lines = head.decode().split("\n")
        if len(lines) not in (8, 9):
            raise ValueError("lines")
        self.origin = lines[0]
        if not re.fullmatch(r"[!-*,-~]{1,64}", self.origin):
            raise ValueError("origin")
        self.size = self.number(lines[1])
        self.head = base64_exact(lines[2].encode(), 32)
        if self.size == 0 or self.head is None:
            raise ValueError("size or head")
        self.word(lines[3], "state", "[0-9a-f]{64}")
        counter = self.word(lines[4], "counter", "-|[0-9]+")
        if counter != "-" and self.number(counter) >= 2 ** 63:
            raise ValueError("counter")
        self.counter = -1 if counter == "-" else int(counter)
        self.epoch = self.number(self.word(lines[5], "epoch", ".*"))
        self.life = self.word(lines[6], "life", "[0-9a-f]{32}")
        self.ops = self.number(self.word(lines[7], "ops", ".*"))
        self.next = None
        if len(lines) == 9:
            self.next = Key.parse(self.word(lines[8], "next", ".*"))
            if not self.next:
                raise ValueError("next")
        self.key_id = None
        for line in tail.decode()[:-1].split("\n") if tail else []:
            if not line.startswith("\u2014 "):
                raise ValueError("signature line")
            name, _, blob = line[2:].partition(" ")
            if self.key_id is None and name == self.origin and _:
                signature = base64_exact(blob.encode(), 68)
                if signature is None:
                    raise ValueError("signature")
                self.key_id, self.signature = signature[:4], signature[4:]
        if self.key_id is None:
            raise ValueError("not signed by its origin")

    @staticmethod
    def number(text):
        if not re.fullmatch(NUM.decode(), text) or int(text) >= TOP:
            raise ValueError("number")
        return int(text)

    @staticmethod
    def word(line, name, form):
        if not line.startswith(name + " ") or not re.fullmatch(form, line[len(name) + 1:], re.ASCII):
            raise ValueError(name)
        return line[len(name) + 1:]

    def signed_by(self, key):
        if key.id != self.key_id or key.name != self.origin:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(self.signature, self.text)
        except (InvalidSignature, ValueError):
            return False
        return True


def note_or_none(text):
    try:
        return Note(text) if text is not None else None
    except ValueError:
        return None


class Verdict(Exception):
    def __init__(self, kind, seq, last=None):
        super().__init__(kind)
        self.kind, self.seq = kind, seq
        self.last = max(seq, last if last is not None else seq)


class Suspect(Exception):
    def __init__(self, kind, record, verdict=None):
        super().__init__(kind)
        self.kind, self.record, self.verdict = kind, record, verdict


class Verifier:
    def __init__(self, key=None, bare=None, expect=None):
        self.key, self.bare, self.expect = key, bare, expect
        self.expect_signed = False
        self.log_id = key.name[len(PREFIX_NAME):] if key else None
        self.begins = None
        self.expected = 0
        self.sealed = 0
        self.records = 0
        self.checkpoints = 0
        self.uses = []      # numbers of use records; a file that matters is small enough for a peer
        self.hashes = {}
        self.life = None
        self.epoch = 0
        self.counter = -1
        self.lines = 0
        if key:
            self.meet_key()

    def meet_key(self):
        if self.expect and self.key and self.expect.signed_by(self.key):
            self.expect_signed = True

    @property
    def origin(self):
        return PREFIX_NAME + (self.log_id or "")

    @property
    def floor(self):
        return max(self.sealed, self.begins or 0)

    def uses_below(self, n):
        return sum(1 for seq in self.uses if seq < n)

    # What the rules L and C say about one line.

    def first(self, record):
        self.begins = self.expected = record.seq
        self.first_prev = self.head = record.prev
        if (record.seq == 0) != (record.prev == bytes(32)):
            raise Verdict("changed", 0)
        if record.event != "segment.start":
            raise Verdict("missing", record.seq - 1) if record.seq else Verdict("changed", 0)
        log_id = record.string("log")
        if log_id is None or len(log_id.encode()) > 51:
            raise Verdict("changed", record.seq)
        if self.key and log_id != self.log_id:
            raise Suspect("ID", record)
        self.log_id = log_id
        if self.bare:
            self.key = Key(self.origin, self.bare)
        self.meet_key()

    def line(self, line):
        self.lines += 1
        if self.lines == 1:
            match = PREFIX.match(line)
            if not match or number(match.group(1)) is None:
                raise Verdict("not-a-log", 0)
        record = parse_line(line)
        if not record:
            raise Verdict("changed", int(match.group(1)) if self.lines == 1 else self.expected)
        if self.lines == 1:
            self.first(record)
        if record.prev == self.head:
            if record.seq != self.expected or (record.seq > 0 and record.dur >= record.seq):
                raise Verdict("changed", self.expected)
        elif record.seq == self.expected:
            raise Suspect("LINK", record)
        else:
            raise Suspect("GAP" if record.seq > self.expected else "BACK", record)
        if record.event == "segment.start" and record.string("log") != self.log_id:
            raise Suspect("ID", record)
        if record.event == "checkpoint":
            self.checkpoint(record)
        self.head = record.hash()
        self.hashes[record.seq] = self.head
        self.hashes.pop(record.seq - WINDOW, None)
        if record.event in USES:
            self.uses.append(record.seq)
        self.records += 1
        self.expected = record.seq + 1
        if self.expect and record.seq == self.expect.size - 1 and self.head != self.expect.head:
            raise Verdict("changed", self.floor, record.seq)

    def checkpoint(self, record):
        here = record.seq
        note = note_or_none(record.string("note"))
        if not note:
            raise Verdict("changed", here)
        if note.origin != self.origin or (self.key and note.key_id != self.key.id):
            raise Suspect("ID", record)
        if (self.key and not note.signed_by(self.key)) or note.size > here or here - note.size >= WINDOW or \
                (note.next and note.next.name != self.origin):
            raise Verdict("changed", here)
        try:
            self.fit(note, here)
        except Verdict as verdict:
            if self.key:
                raise
            raise Suspect("NOTE", record, verdict) from None
        self.counter = note.counter if note.epoch != self.epoch else max(self.counter, note.counter)
        self.epoch = note.epoch
        self.sealed = note.size
        self.checkpoints += 1
        if note.next:
            self.key = note.next if self.key else None
            self.meet_key()

    def fit(self, note, here):
        if note.size < self.sealed:
            raise Verdict("reordered", here)
        if note.size > self.begins:
            fits = self.hashes[note.size - 1] == note.head
        else:
            fits = note.size < self.begins or note.head == self.first_prev
        if not fits:
            raise Verdict("changed", self.floor, note.size - 1)
        same = self.life is not None and self.life["id"] == note.life
        fell = note.epoch == self.epoch and 0 <= note.counter < self.counter
        if note.epoch < self.epoch or fell or (same and note.ops < self.life["ops"]):
            raise Verdict("changed", here)
        if not same:
            inside = self.life is None and self.begins > 0
            self.life = {"id": note.life, "base_ops": note.ops if inside else 0,
                         "base": 0 if self.life is None else self.uses_below(self.sealed)}
        self.life["ops"] = note.ops
        if self.uses_below(note.size) - self.life["base"] < note.ops - self.life["base_ops"]:
            raise Verdict("uses-hidden", self.floor, note.size - 1)

    # What follows a suspect decides about it.

    def foreign(self, records):
        for record in records:
            told = record.string("log") if record.event == "segment.start" else None
            if record.event == "checkpoint":
                note = note_or_none(record.string("note"))
                if note and note.origin.startswith(PREFIX_NAME):
                    told = note.origin[len(PREFIX_NAME):]
            if told is not None:
                return told != self.log_id
        return False

    def resolve(self, suspect, rest):
        behind = [parse_line(line) for line in rest]
        breaks = bool(behind) and not (behind[0] and behind[0].prev == suspect.record.hash())
        behind = [r for r in behind if r]
        seq = suspect.record.seq
        if suspect.kind == "ID":
            return Verdict("changed" if breaks else "foreign", seq)
        if suspect.kind == "NOTE":
            return Verdict("changed", seq) if breaks else suspect.verdict
        foreign = self.foreign([suspect.record] + behind)
        if suspect.kind == "LINK":
            if breaks:
                return Verdict("foreign" if foreign else "changed", self.expected)
            if foreign and self.expected - 1 != self.begins:
                return Verdict("foreign", self.expected)
            return Verdict("changed", self.expected - 1)
        if foreign:
            return Verdict("foreign", self.expected)
        if suspect.kind == "GAP":
            found = any(r.seq == self.expected for r in behind)
            return Verdict("reordered" if found else "missing", self.expected)
        return Verdict("reordered", seq)

    def finish(self):
        note = self.expect
        if not note:
            return
        if note.origin != self.origin or (self.key and not self.expect_signed):
            raise Verdict("foreign", note.size - 1)
        if note.size > self.expected:
            raise Verdict("truncated", self.expected)
        if note.size == self.begins and note.head != self.first_prev:
            raise Verdict("changed", note.size - 1)
        if note.size < self.begins:
            raise Verdict("truncated", note.size - 1)

    def run(self, data):
        lines, rest = split(data)
        for i, line in enumerate(lines):
            try:
                self.line(line)
            except Suspect as suspect:
                raise self.resolve(suspect, lines[i + 1:]) from None
        if rest.startswith(b"\0"):
            if rest.strip(b"\0"):
                raise Verdict("changed", self.expected)
            rest = b""
        if rest and lines:
            raise Verdict("truncated", self.expected)
        if not lines:
            raise Verdict("truncated" if rest.startswith(b'{"seq":') else "not-a-log", 0)
        self.finish()


def split(data):
    """The lines, and what stands behind the last of them: a NUL at the start of a line ends them."""
    lines = []
    position = 0
    while True:
        end = data.find(b"\n", position)
        if end < 0 or data[position:position + 1] == b"\0":
            return lines, data[position:]
        lines.append(data[position:end])
        position = end + 1


def verify(path, key_text, note_path):
    key = Key.parse(key_text) if key_text else None
    bare = bytes.fromhex(key_text) if key_text and not key else None
    expect = None
    if note_path:
        with open(note_path, encoding="utf-8", newline="") as f:
            expect = Note(f.read())
    verifier = Verifier(key, bare, expect)
    try:
        with open(path, "rb") as f:
            verifier.run(f.read())
    except Verdict as verdict:
        return f"{verdict.kind} {verdict.seq} {verdict.last}"
    unsealed = verifier.expected - verifier.sealed if verifier.sealed > verifier.begins else verifier.records
    if verifier.checkpoints and unsealed:
        unsealed -= 1
    return f"good {verifier.sealed} {unsealed} {len(verifier.uses)}"


def main(arguments):
    options = {"--key": None, "--expect": None, "--batch": None}
    while arguments and arguments[0] in options:
        options[arguments[0]] = arguments[1]
        arguments = arguments[2:]
    if options["--batch"]:
        with open(options["--batch"], encoding="utf-8") as f:
            for line in f:
                path, key, note = line.rstrip("\n").split("\t")
                print(verify(path, None if key == "-" else key, None if note == "-" else note))
        return 0
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    verdict = verify(arguments[0], options["--key"], options["--expect"])
    print(verdict)
    return 0 if verdict.startswith("good") else 8


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
