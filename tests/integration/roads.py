#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two roads, one contract: stock tools of Debian sign on the direct socket and on the system bus alike."""
import re
import shutil

import case
from judge import signature_is_good
from peer import NAME, PREFIX, ROOT as PATH, Refused, path_encode
from stack import ADMIN, ALICE, Stack

MESSAGE = b"both roads"
KEY_PATH = f"{PATH}/key/{path_encode('device-web')}"

PYTHON_DBUS = """
import sys, dbus, dbus.bus
bus = dbus.bus.BusConnection(sys.argv[1])
key = bus.get_object("org.holdfast.Keystore1", sys.argv[2], introspect=False)
data = dbus.ByteArray(sys.argv[3].encode())
sig = key.Sign("ES256", data, dbus.Dictionary({}, signature="sv"), dbus_interface="org.holdfast.Keystore1.Key")
sys.stdout.write(bytes(sig).hex())
"""

JEEPNEY = """
import sys
from jeepney import DBusAddress, new_method_call
from jeepney.io.blocking import DBusConnection, prep_socket
connection = DBusConnection(prep_socket(sys.argv[1].removeprefix("unix:path=")))
address = DBusAddress(sys.argv[2], bus_name="org.holdfast.Keystore1", interface="org.holdfast.Keystore1.Key")
reply = connection.send_and_get_reply(new_method_call(address, "Sign", "saya{sv}", ("ES256", sys.argv[3].encode(), {})))
sys.stdout.write(bytes(reply.body[0]).hex())
"""


def both_roads(sign):
    """sign(stack, address) gives a signature by Alice."""
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-web", "p256")
            public = admin.public_key("device-web")
        for address in (f"unix:path={stack.socket}", stack.bus_address):
            assert signature_is_good(public, MESSAGE, sign(stack, address)), address


def need(program):
    if not shutil.which(program):
        raise case.Skip(f"no {program}")


def test_busctl_signs():
    need("busctl")

    def sign(stack, address):
        numbers = [str(b) for b in MESSAGE]
        out = stack.run(["busctl", f"--address={address}", "call", NAME, KEY_PATH, NAME + ".Key", "Sign", "saya{sv}", "ES256",
                         len(MESSAGE), *numbers, 0], uid=ALICE).stdout.decode().split()
        assert out[0] == "ay" and int(out[1]) == len(out) - 2
        return bytes(int(n) for n in out[2:])
    both_roads(sign)


def test_gdbus_signs():
    need("gdbus")

    def sign(stack, address):
        data = "[" + ", ".join(f"byte {b}" for b in MESSAGE) + "]"
        out = stack.run(["gdbus", "call", "--address", address, "--dest", NAME, "--object-path", KEY_PATH, "--method",
                         NAME + ".Key.Sign", "ES256", data, "@a{sv} {}"], uid=ALICE).stdout.decode()
        return bytes(int(h, 16) for h in re.findall(r"0x([0-9a-f]{2})", out))
    both_roads(sign)


def test_python_dbus_signs():
    both_roads(lambda stack, address: bytes.fromhex(stack.run(
        ["/usr/bin/python3", "-c", PYTHON_DBUS, address, KEY_PATH, MESSAGE.decode()], uid=ALICE).stdout.decode()))


def test_python_jeepney_signs():
    both_roads(lambda stack, address: bytes.fromhex(stack.run(
        ["/usr/bin/python3", "-c", JEEPNEY, address, KEY_PATH, MESSAGE.decode()], uid=ALICE).stdout.decode()))


def test_secret_results_are_not_given_over_the_system_bus():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("data", "aes256")
            sealed = admin.key("data", "Seal", "aya{sv}", b"secret", {})
            assert bytes(admin.key("data", "Unseal", "aya{sv}", sealed, {})) == b"secret"
        with stack.bus_peer(ADMIN) as admin:
            try:
                admin.key("data", "Unseal", "aya{sv}", sealed, {})
                raise AssertionError("was given")
            except Refused as refused:
                assert refused.name == "UseDirectSocket"


def test_errors_have_the_same_name_and_sentence_on_both_roads():
    with Stack() as stack:
        stack.init()
        said = []
        for connect in (stack.peer, stack.bus_peer):
            with connect(ADMIN) as peer:
                try:
                    peer.sign("nobody", MESSAGE)
                except Refused as refused:
                    said.append((refused.full_name, refused.sentence))
        assert said[0] == said[1] and said[0][0] == PREFIX + "NoSuchKey", said


def test_another_service_cannot_take_the_name():
    from stack import MALLORY, ROOT
    if not ROOT:
        raise case.Skip("needs several users")
    with Stack() as stack, stack.bus_peer(MALLORY) as mallory:
        try:
            mallory.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", NAME, 0, to="org.freedesktop.DBus")
            raise AssertionError("was given")
        except Refused as refused:
            assert refused.full_name.endswith("AccessDenied")


if __name__ == "__main__":
    case.main()
