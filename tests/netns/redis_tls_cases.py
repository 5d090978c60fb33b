# SPDX-License-Identifier: Apache-2.0
"""The redis driver over TLS, with certificates made here, and passwords that change while it runs."""
import os
import socket
import subprocess

from redis_bed import PORTS, fields, refused, switch, until


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def certificates(folder, name="redis.test"):
    """An authority, and a certificate by it for this name; returns the words of redis-server."""
    ec = ("-sha256", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl(folder, "req", "-x509", *ec, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(folder, "req", "-x509", *ec, "-subj", "/CN=another", "-keyout", "other.key", "-out", "other.pem")
    openssl(folder, "req", *ec, "-subj", "/CN=" + name, "-keyout", "redis.key", "-out", "redis.csr")
    with open(os.path.join(folder, "san"), "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:" + name)
    openssl(folder, "x509", "-req", "-sha256", "-in", "redis.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san", "-out", "redis.pem")
    return ["--tls-cert-file", folder + "/redis.pem", "--tls-key-file", folder + "/redis.key", "--tls-ca-cert-file",
            folder + "/ca.pem", "--tls-replication", "yes"]


def tls_redis(world, which, words, *more):
    """A Redis that speaks TLS alone on its port of the test; plain, for the test's clients, on the next hundred."""
    redis = world.redis(which, "--tls-port", str(PORTS[which]), *words, *more, port=PORTS[which] + 100)
    return redis


def keys(folder, ca="ca.pem", name="redis.test", client=True):
    own = f'certificate_file = "{folder}/redis.pem"; key_file = "{folder}/redis.key"; ' if client else ""
    return f'tls = {{ ca_file = "{folder}/{ca}"; {own}server_name = "{name}"; }};'


def lead_and_follow(pa, pb):
    for probe in (pa, pb):
        probe.reach("hold", 0)
    pa.reach("lead", 2)
    pb.reach("follow", 2)
    pa.wait(" changed .* link=1 .* peer=2:")


def test_tls_for_all_connections(world):
    words = certificates(world.folder)
    a, b = (tls_redis(world, which, words) for which in (0, 1))
    streams = 'streams = [ "orders" ]; '
    pa, pb = (world.configured(which, streams + keys(world.folder)) for which in (0, 1))
    lead_and_follow(pa, pb)
    client = a.client()
    for number in range(50):
        client("XADD", "orders", "*", "text", "x" * 20000)  # beyond what one record of TLS takes
    until("b has it", lambda: b.client()("XLEN", "orders") == 50)
    assert "tls-replication" not in pa.view()["trouble"] and pa.view()["writable"] == "1"
    pb.reach("hold", 2)
    for number in range(50):
        client("XADD", "orders", "*", "text", "y" * 20000)
    pa.duty("hold", 2)
    pb.reach("lead", 3)
    pa.reach("follow", 3, timeout=20)
    assert [line for line in pa.lines if " orphaned " in line], "the tail came over TLS, too"
    pb.wait(" changed .* link=1 .* peer=3:")
    switch(pb, pa, 4)


def test_server_of_another_authority_is_refused(world):
    words = certificates(world.folder)
    tls_redis(world, 0, words)
    view = fields(world.configured(0, keys(world.folder, ca="other.pem")).wait("certificate is refused", timeout=10))
    assert view["reachable"] == "0" and "broker.tls.ca_file" in view["trouble"], view


def test_server_of_another_name_is_refused(world):
    words = certificates(world.folder)
    tls_redis(world, 0, words)
    world.configured(0, keys(world.folder, name="elsewhere.test")).wait("certificate is refused .*server_name", timeout=10)


def test_no_tls_behind_the_port(world):
    certificates(world.folder)
    world.redis(0)
    world.configured(0, keys(world.folder)).wait("no TLS there|no answer in time|the connection was lost", timeout=10)


def test_client_without_a_certificate(world):
    """Redis asks for one unless tls-auth-clients says no."""
    words = certificates(world.folder)
    redis = tls_redis(world, 0, words)
    probe = world.configured(0, keys(world.folder, client=False))
    probe.wait("reachable=0 .*broker.address", timeout=10)
    redis.client()("CONFIG", "SET", "tls-auth-clients", "no")
    probe.reach("hold", 0, timeout=10)


def test_files_of_tls_that_are_missing(world):
    words = certificates(world.folder)
    tls_redis(world, 0, words)
    world.configured(0, keys(world.folder, ca="nowhere.pem")).wait("broker.tls.ca_file .*nowhere.pem: No such file", timeout=10)


def test_replication_in_clear_is_told(world):
    words = certificates(world.folder)
    for which in (0, 1):
        tls_redis(world, which, words, "--tls-replication", "no")
    probe = world.configured(0, keys(world.folder))
    world.configured(1, keys(world.folder)).reach("hold", 0)
    probe.reach("hold", 0)
    probe.wait("tls-replication is no", timeout=10)


def test_a_server_that_is_silent_in_the_handshake(world):
    certificates(world.folder)
    listener = socket.create_server(("127.0.0.1", PORTS[0]))
    probe = world.configured(0, keys(world.folder))
    connection, _ = listener.accept()
    probe.wait("no answer in time", timeout=10)
    connection.close()
    listener.close()


def write_secret(world, text):
    path = os.path.join(world.folder, "password")
    with open(path, "w", encoding="ascii") as file:
        file.write(text + "\n")
    return path


def test_password_changes_while_it_runs(world):
    """SIGHUP: at both Redis first, then in the file; the copy goes on, also after it was broken."""
    path = write_secret(world, "sesame")
    servers = [world.redis(which, "--user", "tanist", "on", ">sesame", "~*", "&*", "+@all") for which in (0, 1)]
    login = f'username = "tanist"; password_file = "{path}";'
    pa, pb = (world.configured(which, login) for which in (0, 1))
    lead_and_follow(pa, pb)
    for server in servers:
        server.client()("ACL", "SETUSER", "tanist", "resetpass", ">caraway")
    write_secret(world, "wrong")
    pa.command("reload")
    pa.wait("reachable=1 .*broker.password_file is wrong")
    write_secret(world, "caraway")
    for probe in (pa, pb):
        probe.command("reload")
    until("b would log in with the new one", lambda: servers[1].client()("CONFIG", "GET", "masterauth")[1] == "caraway")
    mark = pa.mark()
    servers[0].client()("CLIENT", "KILL", "TYPE", "replica")
    servers[0].client()("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    pa.wait(" changed reachable=1 .* link=1 ", mark, timeout=10)
    assert refused(servers[0].client(), "SET", "x", 1) == "answered OK"
    for probe in (pa, pb):
        assert not [line for line in probe.lines if "sesame" in line or "caraway" in line], "a password was told"
        with open(f"/proc/{probe.process.pid}/cmdline", encoding="ascii") as file:
            assert "caraway" not in file.read()
