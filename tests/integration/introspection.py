#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the service says of itself is the contract in dbus/, on both roads."""
import pathlib
import xml.etree.ElementTree as ET

import case
from peer import NAME, ROOT as PATH, path_encode, refusal
from stack import ADMIN, SOURCE, Stack


def shape(interface):
    """Members with their arguments, without comments and order of members."""
    return {(m.tag, m.get("name")): [dict(a.attrib) for a in m.findall("arg")] or dict(m.attrib)
            for m in interface if isinstance(m.tag, str) and m.tag in ("method", "signal", "property")}


def contract():
    found = {}
    for path in pathlib.Path(SOURCE / "dbus").glob("*.xml"):
        interface = ET.parse(path).getroot().find("interface")
        found[interface.get("name")] = shape(interface)
    return found


def introspect(peer, path):
    text = peer.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
    return ET.fromstring(text)


def test_introspection_equals_the_contract():
    expected = contract()
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
        for connect in (stack.peer, stack.bus_peer):
            with connect(ADMIN) as peer:
                for name, path in {NAME + ".Manager": PATH + "/Manager", NAME + ".Audit": PATH + "/Audit",
                                   NAME + ".Key": f"{PATH}/key/{path_encode('device-a')}",
                                   NAME + ".Identity": f"{PATH}/identity/web"}.items():
                    if path.endswith("/web"):
                        assert refusal(peer.call, path, name, "Describe", "a{sv}", {}).name == "NoSuchIdentity"
                    ours = {i.get("name"): shape(i) for i in introspect(peer, path).findall("interface")
                            if i.get("name").startswith(NAME)}
                    assert ours == {name: expected[name]}, path


def test_each_property_of_the_contract_is_given_alone_and_with_the_others():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            for name, path in ((NAME + ".Manager", PATH + "/Manager"), (NAME + ".Key", f"{PATH}/key/{path_encode('device-a')}")):
                together = admin.call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", name)
                assert set(together) == {member for kind, member in contract()[name] if kind == "property"}
                for member, value in together.items():
                    assert admin.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", name, member) == value, member


def test_the_tree_names_no_keys():
    with Stack() as stack:
        stack.init()
        with stack.peer(ADMIN) as admin:
            admin.create("device-a", "p256")
            assert [n.get("name") for n in introspect(admin, PATH + "/key").findall("node")] == []


def test_introspection_works_before_there_is_a_store():
    with Stack() as stack, stack.peer(ADMIN) as peer:
        assert introspect(peer, PATH + "/Manager").find("interface") is not None


if __name__ == "__main__":
    case.main()
