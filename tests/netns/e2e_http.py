# SPDX-License-Identifier: Apache-2.0
"""What agents and witness tell over HTTP: to a load balancer, a metrics collector, people; and to nobody too much."""

import json
import re
import socket

from testbed import Cluster, expect, short, until

HTTP_PORT = 7480
MORE = f'http = {{ listen = "0.0.0.0:{HTTP_PORT}"; }};\n'
SERIES = re.compile(r'(tanist_[a-z_]+)\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\} (-?[0-9.e+-]+)$')


def raw(cluster, member, request):
    """Sends these bytes from a client's machine; returns all that comes back."""
    with cluster.client().connect(member.address, HTTP_PORT, 5) as connection:
        connection.sendall(request)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def get(cluster, member, path, method="GET"):
    """The answer's code, type and body."""
    answer = raw(cluster, member, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    expect(f"{lines}: as long as it says", method == "HEAD" or int(headers["Content-Length"]) == len(body))
    return int(lines[0].split()[1]), headers["Content-Type"], body.decode()


def metrics(cluster, member):
    """The series by name and labels; sees that the text is what OpenMetrics wants."""
    code, kind, body = get(cluster, member, "/metrics")
    expect(f"{code} {kind}", code == 200 and kind.startswith("application/openmetrics-text"))
    lines = body.split("\n")
    expect("it ends with its end", lines[-2:] == ["# EOF", ""])
    found, typed = {}, []
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            typed.append(line.split()[2])
        elif not line.startswith("# HELP "):
            series = SERIES.match(line)
            expect(f"a series: {line}", series and typed and series.group(1).startswith(typed[-1]))
            expect(f"once: {line}", series.group(1, 2) not in found)
            found[series.group(1, 2)] = float(series.group(3))
    expect("each family once", len(typed) == len(set(typed)))
    return found


def value(found, name, *labels):
    """The one series of this name with all of these labels."""
    those = [number for (series, text), number in found.items()
             if series == name and all(part in text for part in labels)]
    expect(f"one {name} {labels}: {those}", len(those) == 1)
    return those[0]


def code(cluster, member, path):
    return get(cluster, member, path)[0]


@short
def test_http_tells_who_is_master(directory):
    with Cluster(directory, more=MORE) as cluster:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        until("the others are heard", lambda: all(voter["reachable"] for voter in master.status()["voters"]))
        for member, path, wanted in ((master, "/master", 200), (other, "/master", 503), (cluster.w, "/master", 503),
                                     (other, "/secondary", 200), (other, "/secondary?lag=0", 200),
                                     (master, "/secondary", 503), (master, "/health", 200), (cluster.w, "/health", 200),
                                     (master, "/nothing", 404), (cluster.w, "/nothing", 404)):
            until(f"{member.name}{path}: {wanted}", lambda m=member, p=path, c=wanted: code(cluster, m, p) == c)
        told = json.loads(get(cluster, master, "/status")[2])
        expect("the same as tanist --json status", set(told) == set(master.status()) and told["role"] == "master")
        found = metrics(cluster, master)
        epoch = master.status()["epoch"]
        for name, labels, wanted in (("tanist_role", ('tanist_role="master"',), 1), ("tanist_lease_valid", (), 1),
                                     ("tanist_role", ('tanist_role="suspect"',), 0), ("tanist_epoch", (), epoch),
                                     ("tanist_virtual_ip_held", ('address="10.0.0.100/24"',), 1),
                                     ("tanist_fence_armed", (), 1), ("tanist_frozen", (), 0),
                                     ("tanist_voter_reachable", ('voter="w"',), 1)):
            expect(f"{name} {labels}: {wanted}", value(found, name, f'node="{master.name}"', *labels) == wanted)
        expect("events are counted", value(found, "tanist_events_total") > 5)
        expect("and beats", value(found, "tanist_datagrams_received_total") > 0)
        expect("the witness counts too", value(metrics(cluster, cluster.w), "tanist_epoch") == epoch)
        lines = [json.loads(line) for line in get(cluster, master, "/events")[2].splitlines()]
        after = [json.loads(line) for line in get(cluster, master, "/events?after=3")[2].splitlines()]
        expect("events are lines", lines[0]["serial"] == 1 and after[0]["serial"] == 4)
        kind, page = get(cluster, master, "/")[1:]
        expect("a page for people", kind.startswith("text/html") and "<script>" in page)
        expect("a head alone", get(cluster, master, "/status", "HEAD")[2] == "")
        cluster.switchover(master)
        until("the other one is",
              lambda: (code(cluster, other, "/master"), code(cluster, master, "/master")) == (200, 503))


def test_http_is_bounded(directory):
    with Cluster(directory, more=MORE) as cluster:
        master = cluster.start()
        for request, wanted in ((b"POST / HTTP/1.1\r\n\r\n", b" 405 "), (b"nonsense\r\n\r\n", b" 400 "),
                                (b"GET / SIP/2.0\r\n\r\n", b" 400 "), (b"GET /\0 HTTP/1.1\r\n\r\n", b" 400 "),
                                (b"GET / HTTP/1.1\r\nX: " + b"x" * 5000, b" 431 ")):
            answer = raw(cluster, master, request)
            expect(f"{request[:30]}: {answer[:60]}", wanted in answer.split(b"\r\n")[0])
        idle = []
        client = cluster.client()
        for _ in range(40):  # more than it serves: the newest are closed
            idle.append(client.connect(master.address, HTTP_PORT, 5))
        expect("one of them is turned away", any(closed(connection) for connection in idle[16:]))
        expect("the operator is served", master.status()["role"] == "master")
        for connection in idle:
            connection.close()
        until("and others again", lambda: answers(cluster, master))
        idle = client.connect(master.address, HTTP_PORT, 20)
        expect("who says nothing is closed", idle.recv(1) == b"")


def closed(connection):
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True
    except socket.timeout:
        return False


def answers(cluster, member):
    try:
        return code(cluster, member, "/master") == 200
    except (OSError, IndexError, KeyError):
        return False


def test_an_address_that_is_taken(directory):
    with Cluster(directory, more='http = { listen = "192.0.2.1:7480"; };\n') as cluster:
        master = cluster.start()
        expect("it leads all the same, and says so", any("http.listen" in text for text in master.status()["warnings"]))
