"""A slow and lossy path between network namespaces, for the test beside it.

Three namespaces: the client's and the proxy's are joined by a link with a delay and losses, which
this program carries from one TUN device to another, and the proxy's and the server's by a veth pair
without either. The proxy's also routes packets between the others.

Prints the process ids by which to find the namespaces, and ends with its standard input. The
namespaces end with it.
"""

import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

DELAY, LOSS = float(sys.argv[1]), float(sys.argv[2])
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
# Packets that are on their way in one direction: 64 MB, more than the windows of the test.
QUEUE = 8000


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def run(pid, *command):
    subprocess.run(["nsenter", "-t", str(pid), "-n", *command], check=True, stdout=sys.stderr)


def namespace():
    # `cat` ends with this process, which holds the other end of its input.
    process = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
    ours = os.readlink("/proc/self/ns/net")
    while os.readlink(f"/proc/{process.pid}/ns/net") == ours:
        if process.poll() is not None:
            sys.exit("no namespaces")
        time.sleep(0.005)
    run(process.pid, "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 1048576 67108864")
    run(process.pid, "sysctl", "-qw", "net.ipv4.tcp_wmem=4096 1048576 67108864")
    return process


def up(process, name, addr, *more):
    run(process.pid, "ip", "addr", "add", addr, "dev", name)
    run(process.pid, "ip", "link", "set", name, "up", "mtu", "8192", *more)


# The devices are made in a namespace of their own, so that their names are free.
if os.readlink("/proc/self/ns/net") == os.readlink(f"/proc/{os.getppid()}/ns/net"):
    os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])

holders = [namespace() for _ in range(3)]
client, proxy, server = holders
ends = []
for name, holder, addr in [("far", client, "10.77.1.1/24"), ("near", proxy, "10.77.1.2/24")]:
    ends.append(tun(name))
    subprocess.run(["ip", "link", "set", name, "netns", str(holder.pid)], check=True)
    up(holder, name, addr, "txqueuelen", str(QUEUE))
peer = ["peer", "name", "inner", "netns", str(server.pid)]
run(proxy.pid, "ip", "link", "add", "outer", "type", "veth", *peer)
up(proxy, "outer", "10.77.2.1/24")
up(server, "inner", "10.77.2.2/24")
run(proxy.pid, "sysctl", "-qw", "net.ipv4.ip_forward=1")
run(client.pid, "ip", "route", "add", "default", "via", "10.77.1.2")
run(server.pid, "ip", "route", "add", "default", "via", "10.77.2.1")
print(*(holder.pid for holder in holders), flush=True)

losses = random.Random(1)
queues = {end: collections.deque() for end in ends}
other = {ends[0]: ends[1], ends[1]: ends[0]}
while True:
    now = time.monotonic()
    due = min((queue[0][0] for queue in queues.values() if queue), default=now + 1)
    readable, _, _ = select.select([0, *ends], [], [], max(0, due - now))
    if 0 in readable and not os.read(0, 1):
        sys.exit()
    for end in ends:
        queue = queues[other[end]]
        try:
            for _ in range(64 if end in readable else 0):
                packet = os.read(end, 65536)
                if losses.random() >= LOSS and len(queue) < QUEUE:
                    queue.append((time.monotonic() + DELAY, packet))
        except BlockingIOError:
            pass
    now = time.monotonic()
    for end, queue in queues.items():
        while queue and queue[0][0] <= now:
            try:
                os.write(end, queue.popleft()[1])
            except OSError:
                pass  # The queue of the device is full, so that the packet is lost.
