#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Policy of a running Holdfast: what is broken never loosens it, limits hold over kill and restart, and what `explain`
says is what happens.

Cases P01-P04, P06, P07, P09, P10. The rules themselves are tested in tests/unit/policy.
"""
import contextlib
import os
import pwd
import subprocess
import threading

import case
from judge import exported, lines
from peer import Refused, plain
from stack import ADMIN, ALICE, BOB, DAEMON, MALLORY, ROOT, Stack, need_root, wait_for

MESSAGE = b"by the rules"
GROUP = 61100


@contextlib.contextmanager
def ready(rules=None):
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack(bus=False, rules=rules) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "ed25519")
            admin.create("device-b", "p256")
            yield stack, admin


def admin_and(*rules):
    return "\n".join([f"allow user={ADMIN} op=all", *rules]) + "\n"


def refusal(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Refused as refused:
        return refused
    raise AssertionError("was not refused")


def outcome(call, *args):
    """In the words of `explain`."""
    try:
        call(*args)
    except Refused as refused:
        return {"PolicyDenied": "deny", "NoSuchKey": "deny", "RateLimited": "rate-limited",
                "UsesExhausted": "uses-exhausted"}[refused.name]
    return "allow"


def explained(peer, operation, key, **options):
    return plain(peer.manager("Explain", "ssa{sv}", operation, key, options))


# P01


def test_without_a_rule_everything_is_denied():
    with ready() as (stack, _):
        stack.reload_rules("# nothing\n")
        for uid in (ADMIN, ALICE):
            with stack.peer(uid) as peer:
                assert refusal(peer.sign, "device-a", MESSAGE).name == "NoSuchKey"
                assert refusal(peer.manager, "ReloadPolicy").name == "PolicyDenied"
        (stack.dir / "policy.d/10-test.conf").unlink()
        stack.restart()
        stack.wait_state("ready")
        with stack.peer(ADMIN) as peer:
            assert refusal(peer.sign, "device-a", MESSAGE).name == "NoSuchKey"


# P02, P03


def test_a_broken_reload_names_line_and_column_and_the_old_policy_stays():
    broken = {"allow user=0 op=all\nallow user=61003 op=sing key=*\n": (2, 21), "allow\tuser=0 opp=all\n": (1, 14),
              "permit user=0 op=all\n": (1, 1), "allow op=all\n": (1, 1), "allow user=0\n": (1, 1),
              "allow user=0 op=all colour=red\n": (1, 21), "allow user=0 user=1 op=all\n": (1, 14),
              'allow user=0 op=all key="x\n': (1, 25), "allow user=0 op=all \x01\n": (1, 21),
              "deny user=61003 rate=3/s\n": (1, 17), "allow user=0 op=all uses=5\n": (1, 1)}
    with ready() as (stack, admin):
        with stack.peer(ALICE) as alice:
            before = admin.status()["policy"]
            for text, (line, column) in broken.items():
                refused = refusal(stack.reload_rules, text)
                assert refused.name == "PolicyInvalid", text
                assert f"10-test.conf:{line}:{column}" in refused.sentence, (text, refused.sentence)
                assert admin.status()["policy"] == before
                assert alice.sign("device-a", MESSAGE)
                warned = [f for f in map(plain, admin.manager("Check")) if f["code"] == "policy"]
                assert [f["severity"] for f in warned] == ["warning"], warned
                assert f"10-test.conf:{line}:{column}" in warned[0]["detail"], warned
        refused_lines = lines(exported(admin), "policy.refused")
        assert len(refused_lines) == len(broken)
        assert [(r["line"], r["column"]) for r in refused_lines] == list(broken.values())


def test_it_does_not_start_with_a_broken_policy():
    with ready() as (stack, _):
        stack.stop()
        stack.set_rules("allow user=0 op=all\nallow user=0 op=everything\n")
        with stack.log_path.open("rb") as log:
            log.seek(0, 2)
            assert starts(stack) is False
            assert b"10-test.conf:2:17" in log.read()


def starts(stack):
    """holdfastd alone, as its own user; it ends by itself if it refuses."""
    command = stack._launch_command(1)
    own = [str(a) for a in command[command.index("--") + 1:]]
    with stack.log_path.open("ab") as log:
        process = subprocess.Popen([stack.program("daemon/holdfastd"), *own, f"--state-directory={stack.dir}/state",
                                    f"--listen={stack.dir}/state/other", f"--signer-socket={stack.dir}/none"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin"},
                                   **({"user": DAEMON, "group": DAEMON, "extra_groups": []} if ROOT else {}))
        try:
            return process.wait(10) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True


# P10


def test_a_file_that_others_than_root_could_have_written_is_refused_with_path_and_mode():
    with ready() as (stack, admin):
        before, path, directory = admin.status()["policy"], stack.dir / "policy.d/20-more.conf", stack.dir / "policy.d"

        def is_refused(*said):
            refused = refusal(admin.manager, "ReloadPolicy")
            assert refused.name == "PolicyInvalid" and all(s in refused.sentence for s in said), refused
            assert admin.status()["policy"] == before
        path.write_text(f"allow user={MALLORY} op=all\n")
        for mode in (0o666, 0o664, 0o646):
            path.chmod(mode)
            is_refused(str(path), f"{mode:04o}")
        path.chmod(0o644)
        os.chown(path, MALLORY, 0)
        is_refused(str(path), str(MALLORY))
        path.unlink()
        path.symlink_to("/etc/hostname")
        is_refused(str(path), "symbolic link")
        path.unlink()
        os.mkfifo(path)
        is_refused(str(path), "no regular file")
        path.unlink()
        path.mkdir()
        is_refused(str(path), "no regular file")
        path.rmdir()
        directory.chmod(0o777)
        is_refused(str(directory), "0777")
        directory.chmod(0o755)
        assert admin.manager("ReloadPolicy")


# P04 and explain


def test_deny_wins_wherever_it_stands():
    allow, deny = f"allow user={ALICE} op=use key=*", f"deny user=* op=sign key=device-a"
    with ready() as (stack, _):
        for rules in ((allow, deny), (deny, allow)):
            stack.reload_rules(admin_and(*rules))
            with stack.peer(ALICE) as alice:
                assert refusal(alice.sign, "device-a", MESSAGE).name == "PolicyDenied"
                assert alice.sign("device-b", MESSAGE)
                said = explained(alice, "sign", "device-a")
                assert said["verdict"] == "deny" and said["rule"].startswith("deny"), said
                assert said["source"].endswith(f":{2 + rules.index(deny)}"), said
            with stack.peer(ADMIN) as admin:
                assert refusal(admin.sign, "device-a", MESSAGE).name == "PolicyDenied", "a deny is for administrators, too"


def test_explain_says_what_happens():
    rules = admin_and(f"allow user={ALICE} op=sign key=device-a", f"allow user={BOB} op=describe key=*",
                      f"allow user={ALICE} op=csr,public key=device-b", f"deny user={BOB} key=device-b",
                      f"allow user={BOB} op=sign key=device-a algorithm=p256")
    operations = {"describe": lambda p, k: p.describe(k), "sign": lambda p, k: p.sign(k, MESSAGE),
                  "public": lambda p, k: p.public_key(k), "csr": lambda p, k: p.key(k, "CreateCsr", "sa{sv}", "CN=x", {}),
                  "disable": lambda p, k: p.key(k, "Retire"), "destroy": lambda p, k: p.destroy(k)}
    with ready(rules) as (stack, admin):
        for uid in (ALICE, BOB, MALLORY):
            with stack.peer(uid) as peer:
                for operation, call in operations.items():
                    for key in ("device-a", "device-b"):
                        said = explained(admin, operation, key, user=("u", uid))["verdict"]
                        assert said == outcome(call, peer, key), (uid, operation, key, said)


def test_a_suggested_rule_is_exactly_enough():
    with ready(admin_and()) as (stack, admin):
        with stack.peer(MALLORY) as mallory:
            said = explained(admin, "sign", "device-a", user=("u", MALLORY))
            assert said["verdict"] == "deny"
            stack.reload_rules(admin_and(said["suggestion"]))
            assert mallory.sign("device-a", MESSAGE)
            assert refusal(mallory.sign, "device-b", MESSAGE).name == "NoSuchKey"
            assert refusal(mallory.destroy, "device-a").name == "PolicyDenied"


def test_explain_says_what_no_rule_can_change():
    with ready(admin_and()) as (stack, admin):
        admin.create("digests", "p256", digest=True)
        admin.create("off", "p256")
        admin.key("off", "Disable")
        for operation, key, said in (("sign", "gone", "there is no key gone: the answer is NoSuchKey"),
                                     ("decrypt", "device-a", "made for 'sign': the answer is PurposeNotPermitted"),
                                     ("sign-digest", "device-a", "made for 'sign': the answer is PurposeNotPermitted"),
                                     ("sign", "digests", "made for 'sign' of bare digests: the answer is PurposeNotPermitted"),
                                     ("csr", "digests", "made for 'sign' of bare digests: the answer is PurposeNotPermitted"),
                                     ("sign", "off", "the answer is KeyDisabled")):
            for uid in (ALICE, ADMIN):
                answer = explained(admin, operation, key, user=("u", uid))
                assert said in answer["text"], (operation, key, answer)
                assert not ("Purpose" in said and answer["suggestion"]), answer
        assert "the answer is SchemeNotSupported" in explained(admin, "sign", "device-a", scheme=("s", "PS256"))["text"]
        answer = explained(admin, "sign", "device-b", scheme=("s", "ECDSA-SHA512"))["text"]
        assert "the answer is" not in answer, answer
        for operation, key in (("sign", "device-a"), ("sign-digest", "digests"), ("create", "gone"), ("disable", "off"),
                               ("describe", "off"), ("random", ""), ("list", "")):
            assert "the answer is" not in explained(admin, operation, key)["text"], (operation, key)


def test_each_refusal_names_the_command_and_the_journal_what_would_help():
    rules = admin_and(f"allow user={ALICE} key=device-a op=sign uses=1 name=once",
                      f"allow user={ALICE} key=device-b op=sign rate=1/h",
                      f"allow user={BOB} key=* op=describe", f"deny user={BOB} key=device-b op=sign")
    with ready(rules) as (stack, admin), stack.peer(ALICE) as alice, stack.peer(BOB) as bob, stack.peer(MALLORY) as mallory:
        alice.sign("device-a", MESSAGE), alice.sign("device-b", MESSAGE)
        for peer, uid, key, name in ((alice, ALICE, "device-a", "UsesExhausted"), (alice, ALICE, "device-b", "RateLimited"),
                                     (bob, BOB, "device-a", "PolicyDenied"), (bob, BOB, "device-b", "PolicyDenied"),
                                     (mallory, MALLORY, "device-a", "NoSuchKey")):
            refused = refusal(peer.sign, key, MESSAGE)
            assert refused.name == name, refused
            assert f"holdfast policy explain --user {uid} sign {key}" in str(refused), refused
        journal = stack.log_path.read_text()
        for line in (f"denied uid {ALICE} sign device-a: uses-exhausted, rule 10-test.conf:2 once\n",
                     f"denied uid {ALICE} sign device-b: rate-limited, rule 10-test.conf:3\n",
                     f"denied uid {BOB} sign device-a; this rule would allow it: allow user={BOB} key=device-a op=sign\n",
                     f"denied uid {BOB} sign device-b: denied-by-rule, rule 10-test.conf:5\n",
                     f"denied uid {MALLORY} sign device-a; this rule would allow it: allow user={MALLORY} key=device-a op=sign\n"):
            assert journal.count(line) == 1, (line, journal)


def test_uses_that_are_spent_are_granted_anew_by_an_administrator_alone():
    rules = admin_and(f"allow user={ALICE} key=device-* op=sign uses=3 name=counted",
                      f"allow user={ALICE} key=device-* op=public name=uncounted")
    with ready(rules) as (stack, admin), stack.peer(ALICE) as alice, stack.peer(MALLORY) as mallory:
        def exhaust(n):
            for _ in range(n):
                alice.sign("device-a", MESSAGE)
            assert refusal(alice.sign, "device-a", MESSAGE).name == "UsesExhausted"

        def grant(peer, rule, key="device-a", **options):
            return peer.key(key, "GrantUses", "sa{sv}", rule, options)
        exhaust(3)
        assert refusal(grant, alice, "counted").name == "PolicyDenied"
        for key in ("device-a", "device-q"):
            assert refusal(grant, mallory, "counted", key).name == "NoSuchKey"
        for rule, options in (("nothing", {}), ("uncounted", {}), ("", {}), ("c" * 5000, {}), ("counted", {"uses": ("t", 4)}),
                              ("counted", {"uses": ("t", 0)}), ("counted", {"uses": ("u", 1)}), ("counted", {"all": ("b", True)})):
            assert refusal(grant, admin, rule, **options).name == "InvalidArgs", (rule, options)
        exhaust(0)
        grant(admin, "counted", uses=("t", 2))
        exhaust(2)
        assert stack.cli("policy", "grant", "device-a", "counted").returncode == 0
        exhaust(3)
        assert stack.cli("policy", "grant", "device-a", "counted", "--uses", "1").returncode == 0
        granted = lines(exported(admin), "uses.grant")
        assert [(g["left"], g["uid"], g["granted-rule"]) for g in granted] == [(n, ADMIN, "counted") for n in (2, 3, 1)]
        assert explained(alice, "sign", "device-a")["verdict"] == "allow"
        stack.restart()
        stack.wait_state("ready")
        with stack.peer(ALICE) as alice:
            exhaust(1)
            assert explained(alice, "sign", "device-a")["verdict"] == "uses-exhausted"
            assert "holdfast policy grant device-a" in explained(alice, "sign", "device-a")["text"]
        with stack.peer(ADMIN) as admin, stack.peer(ALICE) as alice:
            admin.manager("Lock")
            locked = explained(alice, "sign", "device-a")
            assert locked["verdict"] == "unknown" and "store is closed" in locked["text"], locked


def test_nobody_learns_of_a_hidden_key_by_explain_nor_asks_about_others():
    with ready() as (stack, _), stack.peer(MALLORY) as mallory:
        hidden, absent = explained(mallory, "sign", "device-a"), explained(mallory, "sign", "device-q")
        assert {k: str(v).replace("device-a", "device-q") for k, v in hidden.items()} == {k: str(v) for k, v in absent.items()}
        assert refusal(explained, mallory, "sign", "device-a", user=("u", ALICE)).name == "PolicyDenied"
        evil = explained(mallory, "sign", "x\nallow user=* op=all")
        assert "\n" not in evil["suggestion"] and "\nallow" not in evil["text"]


def test_hidden_and_absent_keys_are_answered_byte_by_byte_alike():
    with ready() as (stack, admin):
        uuid = admin.describe("device-a")["uuid"]
        other = "00000000-0000-4000-8000-000000000000"
        with stack.peer(MALLORY) as mallory:
            calls = [lambda k: mallory.sign(k, MESSAGE), mallory.describe, mallory.public_key, mallory.destroy,
                     lambda k: mallory.key(k, "SignMany", "saaya{sv}", "", [b"x"], {}),
                     lambda k: mallory.key(k, "Unseal", "aya{sv}", b"x", {}), lambda k: mallory.key(k, "Freeze"),
                     lambda k: mallory.key(k, "CreateCsr", "sa{sv}", "CN=x", {}),
                     lambda k: mallory.sign(k, b"x" * 70000), lambda k: mallory.sign(k, MESSAGE, scheme="RS256"),
                     lambda k: mallory.sign(k, MESSAGE, scheme="nonsense"),
                     lambda k: mallory.sign(k, MESSAGE, colour="red"), lambda k: mallory.public_key(k, "nonsense"),
                     lambda k: mallory.key(k, "Agree", "aya{sv}", b"", {})]
            for i, call in enumerate(calls):
                for hidden, absent in (("device-a", "device-q"), (uuid, other)):
                    a, b = refusal(call, hidden), refusal(call, absent)
                    assert a.full_name == b.full_name, (i, a, b)
                    assert a.sentence.replace(hidden, absent) == b.sentence, (i, a, b)
        assert admin.describe("device-a")["state"] == "enabled"


# P06, P07


def test_a_group_is_judged_as_it_was_when_the_connection_was_made():
    with ready(admin_and(f"allow group={GROUP} op=sign key=device-a")) as (stack, _):
        with stack.peer(ALICE, groups=[GROUP]) as alice:
            assert alice.sign("device-a", MESSAGE)
        with stack.peer(ALICE) as alice:
            assert refusal(alice.sign, "device-a", MESSAGE).name == "NoSuchKey"


def test_each_call_is_decided_by_one_policy_and_the_next_by_the_new_one():
    yes, no = admin_and(f"allow user={ALICE} op=sign key=device-a"), admin_and(f"allow user={ALICE} op=describe key=device-a")
    seen, stop = {"allow": 0, "deny": 0}, threading.Event()
    with ready(yes) as (stack, admin):
        def sign():
            with stack.peer(ALICE) as alice:
                while not stop.is_set():
                    seen[outcome(alice.sign, "device-a", MESSAGE)] += 1
        racer = threading.Thread(target=sign)
        with stack.peer(ALICE) as alice:  # before the thread: connect() as another user is for the whole process
            racer.start()
            wait_for(lambda: seen["allow"], "a first signature")
            for _ in range(150):
                stack.reload_rules(no)
                assert refusal(alice.sign, "device-a", MESSAGE).name == "PolicyDenied"
                stack.reload_rules(yes)
                assert alice.sign("device-a", MESSAGE)
            stop.set()
            racer.join()
        assert seen["allow"] and seen["deny"], seen
        assert stack.verify(exported(admin), stack.auditor_key())


# P09


def test_a_rate_is_kept_by_caller_and_key_and_says_when_to_come_back():
    rules = admin_and(f"allow user={ALICE},{BOB} op=sign key=device-* rate=6/min burst=3")
    with ready(rules) as (stack, admin):
        with stack.peer(ALICE) as alice, stack.peer(BOB) as bob:
            assert [outcome(alice.sign, "device-a", MESSAGE) for _ in range(5)] == ["allow"] * 3 + ["rate-limited"] * 2
            refused = refusal(alice.sign, "device-a", MESSAGE)
            milliseconds = int(refused.sentence.split(" in ")[1].split(" ms")[0])
            assert 0 < milliseconds <= 10000, refused.sentence
            assert alice.sign("device-b", MESSAGE) and bob.sign("device-a", MESSAGE), "others have their own"
            assert refusal(bob.key, "device-a", "SignMany", "saaya{sv}", "", [b"x"] * 4, {}).name == "RateLimited"
            assert outcome(bob.sign, "device-a", MESSAGE) == "allow", "what is refused takes nothing"
            stack.reload_rules(rules)
            assert outcome(alice.sign, "device-a", MESSAGE) == "rate-limited", "a reload gives nothing back"
            assert explained(admin, "sign", "device-a", user=("u", ALICE))["verdict"] == "rate-limited"


# Use counts


COUNTED = "allow user={} op=sign key=device-a uses={} name=counted"


def sign_until_refused(stack, most):
    done = 0
    with stack.peer(ALICE) as alice:
        while done <= most:
            try:
                alice.sign("device-a", MESSAGE)
            except Refused as refused:
                assert refused.name == "UsesExhausted", refused
                return done
            done += 1
    raise AssertionError("more than was granted")


def test_uses_end_exactly_where_they_were_granted_to_and_a_new_rule_text_gives_no_more():
    with ready(admin_and(COUNTED.format(ALICE, 40))) as (stack, _):
        with stack.peer(ALICE) as alice:
            for _ in range(10):
                alice.sign("device-a", MESSAGE)
        stack.reload_rules(admin_and("# moved", COUNTED.format(f"{ALICE},{BOB}", 40)))
        stack.restart()
        stack.wait_state("ready")
        assert sign_until_refused(stack, 30) == 30
        stack.restart()
        stack.wait_state("ready")
        assert sign_until_refused(stack, 0) == 0


def test_a_batch_over_the_count_is_refused_whole_and_takes_nothing():
    with ready(admin_and(COUNTED.format(ALICE, 10))) as (stack, _):
        with stack.peer(ALICE) as alice:
            assert refusal(alice.key, "device-a", "SignMany", "saaya{sv}", "", [b"x"] * 11, {}).name == "UsesExhausted"
            assert len(alice.key("device-a", "SignMany", "saaya{sv}", "", [b"x"] * 7, {})) == 7
        assert sign_until_refused(stack, 3) == 3


def test_however_often_it_is_killed_there_are_never_more_uses_than_granted():
    granted = 300
    with ready(admin_and(COUNTED.format(ALICE, granted))) as (stack, admin):
        used = 0
        for _ in range(8):
            with contextlib.suppress(OSError, Refused), stack.peer(ALICE) as alice:
                for _ in range(13):
                    alice.sign("device-a", MESSAGE)
                    used += 1
            stack.kill(stack.daemon_pid())
            stack.wait_state("ready")
        used += sign_until_refused(stack, granted)
        with stack.peer(ADMIN) as admin:
            log = exported(admin)
        logged = len(lines(log, "key.sign"))
        assert used <= logged <= granted, (used, logged)
        assert used > granted / 2, f"only {used} of {granted} came out: a crash forfeits too much"
        print(f"{used} of {granted} uses came out over 8 kills")


def test_a_name_that_has_become_another_account_counts_for_nothing_until_it_is_accepted():
    need_root()
    nobody = pwd.getpwnam("nobody").pw_uid
    rules = "allow user=root op=all\nallow user=nobody key=device-* op=sign\ndeny user=nobody key=device-b\n"

    def signs(key):
        with stack.peer(nobody) as peer:
            try:
                return bool(peer.sign(key, MESSAGE))
            except Refused as refused:
                assert refused.name in ("PolicyDenied", "NoSuchKey"), refused
                return False

    with Stack(bus=False, rules=rules) as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "ed25519")
            admin.create("device-b", "ed25519")
        accounts = stack.state / "accounts"
        assert accounts.read_text() == f"user nobody {nobody}\nuser root 0\n", accounts.read_text()
        assert signs("device-a") and not signs("device-b")
        stack.stop()
        accounts.write_text("user nobody 4711\nuser root 0\n")  # the account was removed and made again meanwhile
        stack.start()
        stack.wait_state("ready")
        assert not signs("device-a"), "the rule went with the name"
        stack.reload_rules(rules.replace("device-*", "*"))
        assert not signs("device-a") and not signs("device-b"), "a reload accepts nobody"
        doctor = stack.cli("doctor", check=False)
        assert doctor.returncode == 1 and b"IdentityChanged: 1 " in doctor.stdout, doctor
        stack.cli("policy", "reload", "--accept-accounts")
        assert signs("device-a") and not signs("device-b")
        stack.restart()
        stack.wait_state("ready")
        assert signs("device-a"), "what was accepted is kept"
        with stack.peer(ADMIN) as admin:
            assert any(line.get("reason") == "accounts accepted" for line in lines(exported(admin), "policy.loaded"))


if __name__ == "__main__":
    case.main()
