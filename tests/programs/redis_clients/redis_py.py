"""Uses the server as programs do with redis-py: `python3 redis_py.py PORT`, with PYTHONPATH set.

`DRAIN` on standard output asks the test to drain the server and start another on the same port.
"""

import sys
import time

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

port = int(sys.argv[1])


def refused(call, text):
    try:
        call()
    except redis.ResponseError as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no error: {text}")


def use(protocol):
    def connect(**options):
        return redis.Redis(host="127.0.0.1", port=port, protocol=protocol, **options)

    client = connect(decode_responses=True)
    client.flushall()
    assert client.ping()
    assert client.info()["redis_mode"] == "standalone"
    assert client.set("key", "value")
    assert client.get("key") == "value"
    assert client.get("none") is None
    assert client.setex("short", 100, "v") and client.ttl("short") == 100
    assert client.type("key") == "string" and client.type("none") == "none"
    assert client.set("key", "x", nx=True) is None
    refused(lambda: client.incr("key"), "not an integer")
    refused(lambda: client.execute_command("NONSENSE"), "unknown command")

    one = connect(db=1, client_name="worker")
    assert one.get("key") is None
    assert one.client_getname() in (b"worker", "worker")

    for transaction in (False, True):
        with client.pipeline(transaction=transaction) as pipe:
            assert pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
            pipe.set("a", 1).incr("key").incr("a")
            results = pipe.execute(raise_on_error=False)
            assert results[0] is True and results[2] == 2, results
            assert isinstance(results[1], redis.ResponseError), results

    # On the first attempt, another client writes between WATCH and EXEC.
    other = connect()
    tries = []

    def increment(pipe):
        n = int(pipe.get("a"))
        if not tries:
            other.set("a", 10)
        tries.append(n)
        pipe.multi()
        pipe.set("a", n + 1)

    assert client.transaction(increment, "a") == [True]
    assert tries == [2, 10] and client.get("a") == "11"
    with client.pipeline() as pipe:
        pipe.watch("a")
        other.incr("a")
        pipe.unwatch()
        pipe.multi()
        assert pipe.incr("a").execute() == [13]
    for change in (
        lambda: other.delete("a"),
        lambda: other.expire("a", 100),
        lambda: other.incr("a"),
        lambda: other.append("a", "1"),
        lambda: other.flushall(),
    ):
        client.set("a", 1)
        with client.pipeline() as pipe:
            pipe.watch("a", "b")
            change()
            pipe.multi()
            try:
                pipe.set("b", 1).execute()
            except redis.WatchError:
                pass
            else:
                raise AssertionError("a change went unseen")
        assert client.get("b") is None

    for i in range(100):
        client.set(f"scan:{i}", i)
    assert len(set(client.scan_iter("scan:*", count=10))) == 100

    listener = client.pubsub()
    listener.psubscribe("news.*")
    assert listener.get_message(timeout=10)["type"] == "psubscribe"
    assert client.publish("news.today", "hello") == 1
    message = listener.get_message(timeout=10)
    assert message["type"] == "pmessage" and message["data"] == "hello", message
    listener.close()
    with client.client() as alone:
        assert alone.execute_command("RESET") in ("RESET", b"RESET")
    for each in (one, other, client):
        each.close()


for protocol in (2, 3):
    use(protocol)

retry = Retry(ConstantBackoff(0.05), 100)
client = redis.Redis(port=port, retry=retry, retry_on_error=[redis.ConnectionError])
client.set("before", "yes")
print("DRAIN", flush=True)
# Until the drained server has stopped.
while client.get("before") is not None:
    time.sleep(0.01)
client.set("again", "yes")
assert client.get("again") == b"yes"
print("DONE", flush=True)
