# SPDX-License-Identifier: LGPL-2.1-or-later
"""
TLS directories made by hand, for what holdfastd would not write.

    tls = TlsDirectory(stack.dir / "tls")
    tls.set("telemetry", leaf, reference, trust=ca)

A directory is switched as holdfastd does it: a new generation, then the link; the one before stays.
"""
import itertools
import os
import shutil


class TlsDirectory:
    def __init__(self, path):
        self.path, self.count, self.last = path, itertools.count(1), {}
        path.mkdir(mode=0o755)

    def set(self, identity, leaf, reference, chain=b"", trust=None, pins=(), **files):
        """One generation, switched to; a file that is None is left out, others replace the usual content."""
        generation = self.path / f".{identity}.{next(self.count)}"
        generation.mkdir(mode=0o755)
        content = {"cert": leaf, "chain": chain, "fullchain": leaf + chain, "key": reference, "bundle": leaf + chain + reference,
                   "ca": trust, **files}
        for stem, data in content.items():
            if data is not None:
                (generation / f"{stem}.pem").write_bytes(data)
        if pins:
            (generation / "pins.txt").write_text("".join(p + "\n" for p in pins))
        link = self.path / f".{identity}.link"
        link.symlink_to(generation.name)
        os.replace(link, self.path / identity)
        self.forget(identity, keep={generation.name, self.last.get(identity)})
        self.last[identity] = generation.name
        return self.path / identity

    def forget(self, identity, keep=()):
        for old in self.path.glob(f".{identity}.*"):
            if old.name not in keep:
                shutil.rmtree(old)

    def remove(self, identity):
        (self.path / identity).unlink()
        self.forget(identity)
