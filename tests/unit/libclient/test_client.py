#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The library against a running Holdfast: all operations, threads, fork, lost and restarted daemons, both roads.

test_client.py TEST-CLIENT EXAMPLE; the scenarios themselves are in client.c.
"""
import os
import pathlib
import signal
import subprocess
import sys

import case
from judge import signature_is_good
from stack import ADMIN, ROOT, Stack, wait_for

CLIENT, EXAMPLE = sys.argv.pop(1), sys.argv.pop(1)


class Client:
    """A scenario under way: wait for its words, answer each."""

    def __init__(self, stack, scenario):
        self.process = subprocess.Popen([CLIENT, scenario], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=stack._environment())

    def expect(self, word):
        line = self.process.stdout.readline().strip()
        assert line == word, f"{line!r} instead of {word!r}"

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.expect("done")
        assert self.process.wait(60) == 0

    def wait_in_poll(self):
        """Until its request is out and it waits for the answer."""
        waiting = ("7 ", "271 ")  # poll, ppoll on x86-64
        wait_for(lambda: pathlib.Path(f"/proc/{self.process.pid}/syscall").read_text().startswith(waiting), "the client to wait")


def with_keys(test):
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-p256", "p256")
        stack.cli("key", "create", "data", "--algorithm", "aes256")
        stack.cli("key", "create", "mac", "--algorithm", "hmac-sha256")
        test(stack)


def plain(scenario):
    def test(stack):
        client = Client(stack, scenario)
        client.end()
    with_keys(test)


def test_all_operations_and_their_refusals():
    plain("operations")


def test_a_forked_child_has_its_own_connection():
    plain("fork")


def test_a_fork_while_threads_hold_the_lock_does_not_hang():
    plain("fork-threads")


def test_a_descriptor_that_is_not_ours_any_more_is_left_alone():
    plain("closed")


def test_another_user_is_another_connection():
    if not ROOT:
        raise case.Skip("needs several users, so root")
    plain("user")


def test_threads_share_the_default_connection():
    plain("threads")


def test_async_signatures_call_back_once_each():
    plain("async")


def test_the_system_bus_is_the_other_road():
    plain("bus")


def test_a_restarted_daemon_is_found_again():
    def test(stack):
        client = Client(stack, "restart")
        client.expect("ready")
        stack.kill(stack.daemon_pid(), signal.SIGTERM)
        stack.wait_state("ready")
        client.go_on()
        client.expect("ready")
        stack.kill(stack.daemon_pid())
        stack.wait_state("ready")
        client.go_on()
        client.end()
    with_keys(test)


def test_lost_async_calls_fail_once_each():
    def test(stack):
        client = Client(stack, "async-lost")
        client.expect("stop")
        pid = stack.daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        client.go_on()
        client.expect("kill")
        stack.kill(pid)
        stack.wait_state("ready")
        client.go_on()
        client.expect("again")
        client.go_on()
        client.end()
    with_keys(test)


def test_a_lost_signature_is_not_repeated_but_a_description_is():
    def test(stack):
        client = Client(stack, "sync-lost")
        for _ in range(2):
            client.expect("stop")
            pid = stack.daemon_pid()
            os.kill(pid, signal.SIGSTOP)
            client.go_on()
            client.wait_in_poll()
            stack.kill(pid)
            stack.wait_state("ready")
        client.end()
    with_keys(test)


def test_a_daemon_that_takes_no_connection_costs_no_more_time_than_was_given():
    def test(stack):
        client = Client(stack, "hung")
        client.expect("stop")
        pid = stack.daemon_pid()
        os.kill(pid, signal.SIGSTOP)
        client.go_on()
        client.expect("continue")
        os.kill(pid, signal.SIGCONT)
        client.go_on()
        client.expect("stop")
        os.kill(pid, signal.SIGSTOP)
        client.go_on()
        client.wait_in_poll()
        stack.kill(pid)
        client.end()
    with_keys(test)


def test_the_example_signs():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device", "p256")
            public = admin.public_key("device")
        done = subprocess.run([EXAMPLE], input=b"what is signed", capture_output=True, env=stack._environment())
        assert done.returncode == 0, done.stderr
        assert signature_is_good(public, b"what is signed", done.stdout)


case.main()
