#!/usr/bin/env python3
"""A fleet: three gateways behind HAProxy, with one limit for each client over all of them.

Needs `redis-server` and `haproxy`. Run it with

    cargo build --example gateway && examples/fleet/fleet.py

It starts everything on free ports of the loopback interface, connects as two clients, and prints
who was admitted where: at first, without the store, and after a gateway has been killed or drained.
`README.md` explains what it prints.
"""

import argparse
import collections
import contextlib
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

LIMIT = 5
LEASE = 2
GATEWAYS = 3
ATTEMPTS = 15
ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = ROOT / "target" / "debug" / "examples" / "gateway"
    parser.add_argument("--gateway", default=default, help="the program [default: %(default)s]")
    parser.add_argument("--lost", default="share", help="open, closed or share [default: share]")
    return parser.parse_args()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def until(condition, what):
    """Waits until `condition` holds, for at most 20 seconds."""
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not so after 20 seconds: {what}")
        time.sleep(0.02)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True


class Upstream:
    """What a gateway relays to: it greets with the name of its gateway and keeps the connection."""

    def __init__(self, name):
        self.name = name
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        # A connection is closed when its client has closed it.
        with selectors.DefaultSelector() as selector:
            selector.register(self.server, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    with contextlib.suppress(OSError):
                        if key.fileobj is self.server:
                            client, _ = self.server.accept()
                            client.sendall(f"{self.name}\n".encode())
                            selector.register(client, selectors.EVENT_READ)
                        elif not key.fileobj.recv(4096):
                            selector.unregister(key.fileobj)
                            key.fileobj.close()


class Fleet:
    """The processes, which are killed when `stack` is closed."""

    def __init__(self, args, folder, stack):
        self.args, self.folder, self.stack = args, folder, stack
        self.redis_port, self.port = free_port(), free_port()
        self.redis = self.start_redis()
        self.ports, self.gateways = [], []
        for number in range(1, GATEWAYS + 1):
            upstream = Upstream(f"gateway {number}")
            self.ports.append(free_port())
            self.gateways.append(self.start_gateway(self.ports[-1], upstream.port))
        self.start_haproxy()
        for port in [*self.ports, self.port]:
            until(lambda: listens(port), f"port {port} is open")

    def start(self, *command):
        environment = {**os.environ, "RUST_LOG": "error"}
        process = subprocess.Popen(
            [str(word) for word in command], stdout=subprocess.DEVNULL, env=environment
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    def learn(self):
        """Waits until a store without data has heard of all instances: a pause, and a lease."""
        time.sleep(1 + LEASE)

    def start_redis(self):
        redis = self.start(
            "redis-server", "--port", self.redis_port, "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", self.folder,
        )
        until(lambda: listens(self.redis_port), "Redis listens")
        return redis

    def start_gateway(self, port, upstream):
        return self.start(
            self.args.gateway, "--listen", f"127.0.0.1:{port}", "--to", f"127.0.0.1:{upstream}",
            "--proxy-in", "required", "--trust", "127.0.0.0/8",
            "--cluster", f"redis://127.0.0.1:{self.redis_port}/0",
            "--cluster-name", "fleet", "--cluster-per-client", LIMIT,
            "--cluster-wait", "0.2", "--cluster-lease", LEASE, "--cluster-lost", self.args.lost,
        )

    def start_haproxy(self):
        servers = "\n".join(
            f"    server gateway{number} 127.0.0.1:{port} send-proxy-v2 check inter 200 rise 1 fall 1"
            " check-send-proxy"
            for number, port in enumerate(self.ports, 1)
        )
        config = self.folder / "haproxy.cfg"
        config.write_text(
            f"""defaults
    mode tcp
    timeout connect 2s
    timeout client 60s
    timeout server 60s
listen fleet
    bind 127.0.0.1:{self.port}
    balance roundrobin
{servers}
"""
        )
        self.start("haproxy", "-q", "-db", "-f", config)

    def connect(self, client):
        """Connects from an address. Returns the connection and the gateway that admitted it."""
        connection = socket.create_connection(("127.0.0.1", self.port), 5, (client, 0))
        connection.settimeout(5)
        with contextlib.suppress(OSError):
            if greeting := connection.recv(64):
                return connection, greeting.decode().strip()
        connection.close()
        return None, "refused"


class Clients:
    """The connections of two clients, which are two addresses of the loopback interface."""

    ADDRESSES = ["127.0.1.1", "127.0.1.2"]

    def __init__(self, fleet):
        self.fleet = fleet
        self.open = []

    def connect(self, title):
        print(f"\n{title}")
        columns = [f"gateway {number}" for number in range(1, GATEWAYS + 1)] + ["refused"]
        print(f"{'client':12}", *(f"{column:>10}" for column in columns))
        for address in self.ADDRESSES:
            counts = collections.Counter()
            for _ in range(ATTEMPTS):
                connection, where = self.fleet.connect(address)
                counts[where] += 1
                if connection:
                    self.open.append(connection)
            print(f"{address:12}", *(f"{counts[column]:10}" for column in columns), flush=True)

    def close(self):
        for connection in self.open:
            connection.close()
        self.open.clear()
        # Two renewals, after which idle places are free everywhere.
        time.sleep(LEASE)


def show(fleet):
    clients = Clients(fleet)
    clients.connect(f"Each client connects {ATTEMPTS} times:")
    clients.close()

    fleet.redis.kill()
    fleet.redis.wait()
    time.sleep(LEASE)
    clients.connect(f"The store is gone, and the policy is {fleet.args.lost}:")
    clients.close()

    fleet.redis = fleet.start_redis()
    fleet.learn()
    clients.connect("The store is back, without its data:")

    fleet.gateways[1].kill()
    clients.close()
    time.sleep(LEASE)
    clients.connect("Gateway 2 was killed, and a lease has passed:")
    clients.close()

    fleet.gateways[2].send_signal(signal.SIGTERM)
    fleet.gateways[2].wait()
    clients.connect("Gateway 3 has drained:")


def main():
    args = arguments()
    for program in ["redis-server", "haproxy", args.gateway]:
        if not shutil.which(program):
            sys.exit(f"{program} was not found")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        show(Fleet(args, pathlib.Path(folder), stack))


if __name__ == "__main__":
    main()
