#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The unit files as built: systemd reads them without complaint, their exposure is at most 1.0, and what must not be
hardened away is not.

    units.py BUILD-DIR
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPOSURE_MAX = 1.0
MEASURED = ["holdfastd.service", "holdfast-signer.service", "holdfast-tpm.service", "holdfast-import@.service"]
# What systemd cannot know before installation.
EXPECTED = re.compile(r"is not executable: No such file|^\s*$")

problems = []


def directives(text):
    found = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.M):
        found.setdefault(key, []).append(value)
    return found


def check_exposure(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", unit], capture_output=True, text=True)
    match = re.search(r"exposure level for \S+ (\d+\.\d+)", done.stdout)
    if not match:
        problems.append(f"{unit.name}: no exposure level: {done.stderr.strip()}")
    elif float(match[1]) > EXPOSURE_MAX:
        problems.append(f"{unit.name}: exposure {match[1]} is over {EXPOSURE_MAX}")
    else:
        print(f"{unit.name}: exposure {match[1]}")


def check_reads(directory):
    instance = directory / "holdfast-import@1.service"
    shutil.copy(directory / "holdfast-import@.service", instance)
    units = [u for u in sorted(directory.iterdir()) if "@." not in u.name]
    # sshd-like paths of the installed system are of no interest here: only complaints that name one of ours count.
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if "holdfast" in line and not EXPECTED.search(line):
            problems.append(f"verify: {line}")


def check_promises(directory):
    for name in MEASURED:
        unit = directives((directory / name).read_text())
        if "PrivateUsers" in unit:
            problems.append(f"{name}: PrivateUsers= hides who connects")
        if not any("memfd_secret" in v for v in unit["SystemCallFilter"]):
            problems.append(f"{name}: memfd_secret is not in the filter")
        for key, value in {"LimitCORE": "0", "NoNewPrivileges": "yes", "CapabilityBoundingSet": ""}.items():
            if unit.get(key) != [value]:
                problems.append(f"{name}: {key}={value} is missing")
        if "LimitMEMLOCK" not in unit:
            problems.append(f"{name}: LimitMEMLOCK= is missing")
    if directives((directory / "holdfastd.service").read_text()).get("ProtectProc") != ["default"]:
        problems.append("holdfastd.service: it reads the units of its callers, so ProtectProc=default")
    tpm = directives((directory / "holdfast-tpm.service").read_text())
    if tpm.get("DevicePolicy") != ["closed"] or tpm.get("DeviceAllow") != ["/dev/tpmrm0 rw"] or "PrivateDevices" in tpm:
        problems.append("holdfast-tpm.service: it needs the TPM's device and no other")
    if "holdfast.unlock" not in directives((directory / "holdfast-signer.service").read_text()).get("LoadCredential", []):
        problems.append("holdfast-signer.service: no LoadCredential=holdfast.unlock")


def check_substituted(directory):
    for path in directory.iterdir():
        if re.search(r"@\w+@", path.read_text()):
            problems.append(f"{path.name}: a path is not filled in")


def main():
    if not shutil.which("systemd-analyze"):
        print("skipped: no systemd-analyze")
        sys.exit(77)
    build = pathlib.Path(sys.argv[1]) / "units"
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(temporary)
        for unit in [*build.glob("*.service"), *(ROOT / "units").glob("*.socket")]:
            shutil.copy(unit, directory)
        check_substituted(directory)
        check_promises(directory)
        for name in MEASURED:
            check_exposure(directory / name)
        check_reads(directory)
    print(*problems, sep="\n")
    sys.exit(1 if problems else 0)


main()
