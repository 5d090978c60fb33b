# SPDX-License-Identifier: Apache-2.0
"""libtanist at a running agent: who may serve, and what a broker is told, as the state pages of both nodes have it."""

import contextlib
import ctypes
import select

from testbed import BUILD, Cluster, always, boottime_us, expect, short, until

PROMOTED, DEMOTED, DEPOSED, EPOCH, DUTY = range(1, 6)
LEASE_MS = 1000


class Change(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("epoch", ctypes.c_uint64), ("master", ctypes.c_uint32),
                ("address", ctypes.c_char * 64)]


class Page:
    """A handle on one node's state page."""

    def __init__(self, library, node):
        self.library, self.handle = library, ctypes.c_void_p()
        path = str(node.run_directory / f"{node.cluster.name}.{node.name}.state").encode()
        expect(f"{path} is a state page", library.tanist_open(ctypes.byref(self.handle), path) == 0)
        self.fd = library.tanist_fd(self.handle)

    def serves(self):
        """The epoch in which it may serve now, or None."""
        epoch = ctypes.c_uint64()
        return epoch.value if self.library.tanist_may_serve(self.handle, ctypes.byref(epoch)) else None

    def changes(self, wanted, seconds=10):
        """What is told, up to a change of the wanted type; waits for the descriptor, never for time."""
        told, end = [], boottime_us() + seconds * 1000000
        while boottime_us() < end:
            change = Change()
            if self.library.tanist_next(self.handle, ctypes.byref(change)) == 1:
                told.append(change)
                if change.type == wanted:
                    return told
            else:
                select.select([self.fd], [], [], max(0, (end - boottime_us()) / 1000000))
        expect(f"told of {wanted}, not only {[c.type for c in told]}", False)
        return told

    def close(self):
        self.library.tanist_close(self.handle)


def load():
    library = ctypes.CDLL(str(BUILD / "libtanist.so"))
    library.tanist_may_serve.restype = ctypes.c_bool
    library.tanist_close.restype = None
    library.tanist_epoch.restype = ctypes.c_uint64
    return library


@contextlib.contextmanager
def pages(directory):
    with Cluster(directory, lease_ms=LEASE_MS) as cluster, contextlib.ExitStack() as stack:
        master = cluster.start()
        other = cluster.other(master)
        cluster.wait_secondary(other)
        both = [Page(load(), node) for node in (master, other)]
        for page in both:
            stack.callback(page.close)
        yield cluster, master, other, *both


@short
def test_page_follows_a_switchover(directory):
    with pages(directory) as (cluster, master, other, page, other_page):
        epoch = master.status()["reign"]
        expect("the master serves in its reign", page.serves() == epoch)
        expect("the secondary does not", other_page.serves() is None)
        page.changes(PROMOTED)
        cluster.switchover(master)
        deposed = page.changes(DEPOSED)[-1]
        promoted = other_page.changes(PROMOTED)[-1]
        expect(f"deposed by the higher epoch: {deposed.epoch}", deposed.epoch == promoted.epoch > epoch)
        expect("and told by whom", deposed.master == promoted.master == (0 if other is cluster.a else 1))
        expect("nobody serves twice", page.serves() is None and other_page.serves() == promoted.epoch)


@short
def test_a_hung_agent_does_not_let_its_broker_serve_on(directory):
    with pages(directory) as (cluster, master, other, page, other_page):
        epoch = page.serves()
        page.changes(PROMOTED)  # who was not told of a reign is not told of its end
        master.agent.pause()
        paused = boottime_us()
        until("the lease is over for the broker too", lambda: page.serves() is None, 5, every=0.0005)
        gone_ms = (boottime_us() - paused) / 1000
        expect(f"within the lease: {gone_ms} ms", gone_ms <= LEASE_MS + 5)
        until("the other serves", lambda: other_page.serves(), 10)
        expect("in a higher epoch", other_page.serves() > epoch)
        always("the first does not", lambda: page.serves() is None, 0.5)
        master.agent.resume()
        expect("and is told so in the end", page.changes(DEPOSED)[-1].epoch == other_page.serves())


def test_an_agent_that_starts_again_writes_the_same_page(directory):
    with pages(directory) as (cluster, master, other, page, other_page):
        first = other_page.serves()
        master.agent.kill()
        until("the other serves", lambda: other_page.serves(), 10)
        expect("it did not before", first is None)
        master.start()
        cluster.wait_secondary(master)
        cluster.switchover(other)
        expect("seen in the page that was mapped all the while",
               page.changes(PROMOTED)[-1].epoch == until("it serves", page.serves))
