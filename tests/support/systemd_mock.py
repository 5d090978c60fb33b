# SPDX-License-Identifier: Apache-2.0
"""A template for python3-dbusmock: the part of systemd's manager that unit_bus.c talks to, with real processes.

Its parameters are {"units": {NAME: {...}}}, of a unit:
  command    what runs while it is active; a session of its own, which ends with the mock
  load       LoadState, "loaded" by default; "not-found" units need not be named
  restart    Restart=, "no" by default; "always" starts it again when it ends by itself
  file       UnitFileState, "disabled" by default
  start      "hang": the start job never ends; "fail": it fails
  stubborn   true: it ignores SIGTERM
  stop_s     after so long a stop kills (TimeoutStopSec=), 90 by default
"""
import ctypes
import os
import signal
import subprocess

import dbus
from gi.repository import GLib

from dbusmock import mockobject

BUS_NAME = "org.freedesktop.systemd1"
MAIN_OBJ = "/org/freedesktop/systemd1"
MAIN_IFACE = BUS_NAME + ".Manager"
UNIT_IFACE = BUS_NAME + ".Unit"
SERVICE_IFACE = BUS_NAME + ".Service"
SYSTEM_BUS = True
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_hard():
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Unit:
    """A service: its process, and the job that is at work on it."""

    def __init__(self, manager, name, spec):
        self.manager, self.name, self.spec = manager, name, spec
        self.path = MAIN_OBJ + "/unit/" + "".join(c if c.isalnum() else "_%02x" % ord(c) for c in name)
        self.pid, self.job, self.stopping, self.limit, self.again = 0, None, False, None, None
        self.load = spec.get("load", "loaded")
        manager.AddObject(self.path, UNIT_IFACE, {
            "Id": name, "LoadState": self.load, "ActiveState": "inactive", "SubState": "dead",
            "UnitFileState": spec.get("file", "disabled"), "InvocationID": dbus.Array([], signature="y")}, [])
        self.object = mockobject.objects[self.path]
        if self.load == "loaded":
            self.object.AddProperties(SERVICE_IFACE, {
                "MainPID": dbus.UInt32(0), "Result": "success", "Restart": spec.get("restart", "no")})

    def show(self, active, sub, **service):
        self.object.UpdateProperties(SERVICE_IFACE, service)
        self.object.UpdateProperties(UNIT_IFACE, {"ActiveState": active, "SubState": sub})

    def active(self):
        return str(self.object.props[UNIT_IFACE]["ActiveState"])

    def begin(self, what):
        """A new job, which takes the place of the one that there was."""
        if self.job:
            self.end("canceled")
        if self.again:
            GLib.source_remove(self.again)
            self.again = None
        self.manager.next_job += 1
        self.job = (self.manager.next_job, f"{MAIN_OBJ}/job/{self.manager.next_job}")
        path = self.job[1]
        GLib.idle_add(lambda: self.job and self.job[1] == path and what() and False)
        return dbus.ObjectPath(path)

    def end(self, result):
        if not self.job:
            return
        number, path = self.job
        self.job = None
        self.manager.EmitSignal(MAIN_IFACE, "JobRemoved", "uoss",
                                [dbus.UInt32(number), dbus.ObjectPath(path), self.name, result])

    def start_again(self):
        self.again = None
        self.begin(self.start)
        return False

    def start(self):
        if self.active() in ("active", "reloading"):
            self.end("done")
            return
        if self.spec.get("start") == "hang":
            self.show("activating", "start")
            return
        if self.spec.get("start") == "fail":
            self.show("failed", "failed", Result="exit-code")
            self.end("failed")
            return
        self.stopping = False
        prepare = die_hard if self.spec.get("stubborn") else die_with_parent
        process = subprocess.Popen(self.spec["command"], start_new_session=True, preexec_fn=prepare,
                                   stdin=subprocess.DEVNULL)
        self.pid = process.pid
        GLib.child_watch_add(GLib.PRIORITY_DEFAULT, self.pid, self.ended)
        self.object.UpdateProperties(UNIT_IFACE, {"InvocationID": dbus.Array(os.urandom(16), signature="y")})
        self.show("active", "running", MainPID=dbus.UInt32(self.pid), Result="success")
        self.end("done")

    def stop(self):
        if not self.pid:
            if self.active() != "failed":
                self.show("inactive", "dead")
            self.end("done")
            return
        self.stopping = True
        self.show("deactivating", "stop-sigterm")
        os.killpg(self.pid, signal.SIGTERM)
        os.killpg(self.pid, signal.SIGCONT)  # as systemd does
        self.limit = GLib.timeout_add(int(self.spec.get("stop_s", 90) * 1000), self.kill)

    def kill(self):
        self.limit = None
        if self.pid:
            os.killpg(self.pid, signal.SIGKILL)
        return False

    def ended(self, _pid, status):
        self.pid = 0
        if self.limit:
            GLib.source_remove(self.limit)
            self.limit = None
        clean = os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0
        clean = clean or os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGTERM
        result = "success" if clean else "signal" if os.WIFSIGNALED(status) else "exit-code"
        if not self.stopping and self.spec.get("restart", "no") != "no":
            self.show("activating", "auto-restart", MainPID=dbus.UInt32(0), Result=result)
            self.again = GLib.timeout_add(100, self.start_again)
            return
        state = ("inactive", "dead") if clean else ("failed", "failed")
        self.show(*state, MainPID=dbus.UInt32(0), Result=result)
        self.end("done")


def load(mock, parameters):
    mock.next_job = 0
    mock.known = {}
    for name, spec in parameters["units"].items():
        mock.known[name] = Unit(mock, name, spec)


def refuse(name, text):
    return dbus.exceptions.DBusException(text, name=BUS_NAME + "." + name)


def find(mock, name):
    if str(name) not in mock.known:
        raise refuse("NoSuchUnit", f"Unit {name} not loaded.")
    return mock.known[str(name)]


@dbus.service.method(MAIN_IFACE)
def Subscribe(_mock):
    pass


@dbus.service.method(MAIN_IFACE, in_signature="s", out_signature="o")
def LoadUnit(mock, name):
    if str(name) not in mock.known:
        mock.known[str(name)] = Unit(mock, str(name), {"load": "not-found"})
    return dbus.ObjectPath(mock.known[str(name)].path)


@dbus.service.method(MAIN_IFACE, in_signature="ss", out_signature="o")
def StartUnit(mock, name, _mode):
    unit = find(mock, name)
    if unit.load == "masked":
        raise refuse("UnitMasked", f"Unit {name} is masked.")
    if unit.load != "loaded":
        raise refuse("NoSuchUnit", f"Unit {name} not found.")
    return unit.begin(unit.start)


@dbus.service.method(MAIN_IFACE, in_signature="ss", out_signature="o")
def StopUnit(mock, name, _mode):
    unit = find(mock, name)
    if unit.load == "not-found":
        raise refuse("NoSuchUnit", f"Unit {name} not loaded.")
    return unit.begin(unit.stop)


@dbus.service.method(MAIN_IFACE, in_signature="ssi")
def KillUnit(mock, name, _who, number):
    unit = find(mock, name)
    if not unit.pid:
        raise refuse("NoSuchProcess", f"No process of unit {name} to kill.")
    os.killpg(unit.pid, number)


@dbus.service.method(MAIN_IFACE, in_signature="s")
def ResetFailedUnit(mock, name):
    unit = find(mock, name)
    if unit.active() == "failed":
        unit.show("inactive", "dead")
