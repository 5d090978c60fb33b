# SPDX-License-Identifier: Apache-2.0
"""The redis driver: passwords, rights, and who answers at the address."""
import os
import socket

from redis_bed import PORTS, fields, switch


def secret(world, text):
    path = os.path.join(world.folder, "password")
    with open(path, "w") as file:
        file.write(text)
    return path


def test_password_and_acl_user(world):
    acl = "on >sesame resetkeys &* -@all +info +replicaof +config|set +client +psync +replconf +ping"
    arguments = ["--user", "tanist", *acl.split()]
    path = secret(world, "sesame\n")
    (a, b), (pa, pb) = world.pair(*arguments, user="tanist", password_file=path)
    a.client()("SET", "x", 1)
    switch(pa, pb, 3)
    assert b.client()("GET", "x") == "1"
    assert not any("sesame" in line for line in pa.lines + pb.lines)


def test_requirepass(world):
    path = secret(world, "sesame")
    (a, _), _ = world.pair("--requirepass", "sesame", auth=("AUTH", "sesame"), password_file=path)
    assert a.client(auth=("AUTH", "sesame"))("SET", "x", 1) == "OK"


def test_wrong_password(world):
    world.redis(0, "--requirepass", "sesame")
    path = secret(world, "open")
    probe = world.probe(0, password_file=path)
    line = probe.wait("broker.password_file is wrong")
    assert "open" not in fields(line)["trouble"] and fields(line)["reachable"] == "0"
    secret(world, "sesame\n")  # read again at each connect
    probe.reach("hold", 0)


def test_missing_password(world):
    world.redis(0, "--requirepass", "sesame")
    probe = world.probe(0)
    view = fields(probe.wait("wants a password: set broker.password_file"))
    assert view["reachable"] == "0"


def test_password_file_missing(world):
    world.redis(0)
    world.probe(0, password_file="/nonexistent").wait("/nonexistent: No such file")


def test_missing_permission(world):
    world.redis(0, "--user", "tanist", "on", "nopass", "-@all", "+info", "+client")
    probe = world.probe(0, user="tanist", password_file=secret(world, "any"))
    probe.duty("hold", 0)
    probe.wait(r'may not run (REPLICAOF|CONFIG SET): grant it')


def test_no_redis_is_not_dead_but_down(world):
    probe = world.probe(0)
    view = fields(probe.wait(" changed .*nothing listens there"))
    assert view["dead"] == "0" and view["reachable"] == "0" and view["state"] == "down"
    world.redis(0)
    probe.reach("hold", 0)


def test_no_redis_behind_the_port(world):
    listener = socket.create_server(("127.0.0.1", PORTS[0]))
    probe = world.probe(0)
    connection, _ = listener.accept()
    connection.sendall(b"SSH-2.0-x\r\n")
    probe.wait("is not Redis")
    listener.close()
