// Uses the server as programs do with ioredis: `node ioredis.js PORT`, with ioredis in NODE_PATH.
// `DRAIN` on standard output asks the test to drain the server and start another on the same port.
const assert = require("assert");
const Redis = require("ioredis");
const port = Number(process.argv[2]);
const connect = (options = {}) => new Redis({ port, host: "127.0.0.1", ...options });
const next = (emitter, event) =>
  new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

async function main() {
  const redis = connect();
  // The ready check, which sends INFO before any command.
  await next(redis, "ready");
  assert.match(await redis.info(), /redis_version:/);
  assert.strictEqual(await redis.set("key", "value"), "OK");
  assert.strictEqual(await redis.get("key"), "value");
  assert.strictEqual(await redis.get("none"), null);
  assert.strictEqual(await redis.setex("short", 100, "v"), "OK");
  assert.strictEqual(await redis.ttl("short"), 100);
  assert.strictEqual(await redis.type("key"), "string");
  assert.strictEqual(await redis.incrby("n", 5), 5);
  assert.deepStrictEqual(await redis.mget("key", "none"), ["value", null]);
  await assert.rejects(redis.incr("key"), /not an integer/);
  await assert.rejects(redis.call("NONSENSE"), /unknown command/);

  // Another database has other keys.
  const one = connect({ db: 1, connectionName: "worker" });
  assert.strictEqual(await one.get("key"), null);
  assert.strictEqual(await one.client("GETNAME"), "worker");
  await one.set("key", "other");
  assert.strictEqual(await redis.get("key"), "value");
  const before = await redis.dbsize();
  await one.flushdb();
  assert.strictEqual(await redis.dbsize(), before);

  const piped = await redis.pipeline().set("a", 1).incr("a").incr("key").get("a").exec();
  assert.deepStrictEqual(piped.map(([, result]) => result), ["OK", 2, undefined, "2"]);
  assert.match(piped[2][0].message, /not an integer/);
  const all = await redis.multi().set("a", 5).incr("a").exec();
  assert.deepStrictEqual(all, [[null, "OK"], [null, 6]]);
  await redis.watch("a");
  await one.select(0);
  await one.set("a", 7);
  assert.strictEqual(await redis.multi().incr("a").exec(), null);
  assert.strictEqual(await redis.get("a"), "7");

  for (let i = 0; i < 100; i++) await redis.set("scan:" + i, i);
  const keys = new Set();
  for await (const batch of redis.scanStream({ match: "scan:*", count: 10 }))
    batch.forEach((key) => keys.add(key));
  assert.strictEqual(keys.size, 100);

  const subscriber = connect();
  assert.strictEqual(await subscriber.psubscribe("news.*"), 1);
  const heard = next(subscriber, "pmessage");
  assert.strictEqual(await redis.publish("news.today", "hello"), 1);
  assert.deepStrictEqual(await heard, ["news.*", "news.today", "hello"]);
  assert.strictEqual(await subscriber.punsubscribe("news.*"), 0);
  assert.strictEqual(await subscriber.get("a"), "7");
  assert.strictEqual(await one.call("RESET"), "RESET");
  assert.strictEqual(await one.client("GETNAME"), null);
  await Promise.all([one.quit(), subscriber.quit()]);

  // A command sent between the two servers waits for the second one.
  const closed = next(redis, "close");
  console.log("DRAIN");
  await closed;
  assert.strictEqual(await redis.set("again", "yes"), "OK");
  assert.strictEqual(await redis.get("a"), null);
  await redis.quit();
  console.log("DONE");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
