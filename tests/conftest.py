"""What every test gets: no network beyond this machine, one torch thread, nothing written outside its own folder."""

import os
import signal
import socket
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ["OMP_NUM_THREADS"] = "1"  # tests run side by side, a core each: more threads would wait for one another

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell hands it to what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Refuse every connection beyond loopback: nothing in the default job or the tests may need one."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and not str(host).startswith(LOOPBACK):
            raise AssertionError(f"a connection to {address!r} was attempted; nothing may leave this machine")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def in_tmp(tmp_path, monkeypatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
