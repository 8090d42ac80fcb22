/**
 * The policy, row by row as docs/choosing-a-transport.md has it.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { Connector } from "../connector.js";
import { withDefaults } from "../options.js";
import { KINDS } from "../wire/kinds.js";

const rows = new Set();

/** @param {number} number @param {string} name @param {() => void} run */
const row = (number, name, run) => {
  rows.add(number);
  test(`row ${number}: ${name}`, run);
};

const make = (options = {}, place) =>
  new Connector(withDefaults({ random: () => 0.5, wall: () => 1.8e12, network: () => "wifi", ...options }), place);

/** A race that polling has won, with a WebSocket that was refused. */
const onPolling = (options) => {
  const connector = make(options);
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 20);
  connector.next(20);
  connector.carries("polling", 30);
  return connector;
};

const on = (kind, now = 0, options) => {
  const connector = make(options);
  connector.race(now);
  connector.next(now);
  connector.carries(kind, now);
  return connector;
};

const memory = () => {
  const kept = new Map();
  return { kept, getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
};

row(1, "a WebSocket at once, and nothing else", () => {
  const connector = make();
  connector.race(0);
  assert.deepEqual(connector.next(0), ["websocket"]);
  assert.deepEqual(connector.next(249), []);
  connector.carries("websocket", 249);
  assert.deepEqual(connector.next(1e6), []);
});

for (const [rtt, joins] of [[undefined, 250], [10, 250], [100, 400], [2000, 1000]]) {
  row(2, `with round trips of ${rtt} ms polling joins after ${joins} ms`, () => {
    const connector = make();
    connector.rtt = rtt;
    connector.race(0);
    connector.next(0);
    assert.equal(connector.deadline(0), joins);
    assert.deepEqual(connector.next(joins - 1), []);
    assert.deepEqual(connector.next(joins), ["polling"]);
    assert.deepEqual(connector.next(joins + 1), []);
  });
}

row(20, "50 ms after the WebSocket was opened polling joins, unless its first word is here", () => {
  for (const opened of [20, 180, 300]) {
    const connector = make();
    connector.race(0);
    connector.next(0);
    connector.opened(opened);
    assert.equal(connector.deadline(opened), opened + 50);
    assert.deepEqual(connector.next(opened + 49), []);
    assert.deepEqual(connector.next(opened + 50), ["polling"]);
    assert.deepEqual(connector.next(opened + 1000), []);
  }
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.opened(100);
  connector.carries("websocket", 101);
  assert.deepEqual(connector.next(1e6), []);
});

row(3, "polling starts at once when the WebSocket has failed", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 20);
  assert.deepEqual(connector.next(20), ["polling"]);
});

row(4, "with a WebSocket that failed here lately, polling at once; it is probed again while that carries", () => {
  const connector = onPolling();
  connector.lost("polling", 60_000, "WebSocket 1006");
  connector.race(60_000);
  assert.deepEqual(connector.next(60_000), ["polling"]);
  assert.deepEqual(connector.next(61_000), []);
  connector.carries("polling", 61_000);
  assert.deepEqual(connector.next(61_100), ["stream"]);
  connector.failed("stream", 61_500);
  assert.deepEqual(connector.next(61_500), ["websocket"]);
});

for (const closes of [true, false]) {
  row(19, `a WebSocket that opens and ${closes ? "is closed" : "says nothing while another answers"} rests for a minute at once`, () => {
    const connector = make();
    connector.race(0);
    connector.next(0);
    if (closes) connector.failed("websocket", 20, true);
    connector.next(250);
    if (!closes) connector.dropped("websocket", 270, true);
    connector.carries("polling", 270);
    connector.next(400);
    connector.carries("stream", 420);
    const tried = closes ? 60_020 : 60_270;
    assert.deepEqual(connector.next(tried - 1), []);
    assert.deepEqual(connector.next(tried), ["websocket"]);
    connector.failed("websocket", tried + 2000, true);
    assert.deepEqual(connector.next(tried + 61_999), []);
    assert.deepEqual(connector.next(tried + 62_000), ["websocket"]);
    connector.refresh(tried + 62_000, true);
  });
}

row(19, "when nothing else gets through either, it was the network", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 20, true);
  connector.next(20);
  connector.failed("polling", 30);
  assert.deepEqual(connector.next(100), ["websocket"]);
});

for (const [what, why, ms] of [["cut off", "WebSocket 1006", 2000], ["given up", "timeout", 250]]) {
  row(5, `a WebSocket that had worked is tried at once when it is ${what}, and polling ${ms} ms later`, () => {
    const connector = on("websocket");
    connector.lost("websocket", 60_000, why);
    assert.deepEqual(connector.next(60_000), ["websocket"]);
    assert.equal(connector.deadline(60_000), 60_000 + ms);
    assert.deepEqual(connector.next(59_999 + ms), []);
    assert.deepEqual(connector.next(60_000 + ms), ["polling"]);
  });
}

row(5, "polling does not wait where what is tried again fails at once, or where the network is another one", () => {
  const connector = on("websocket");
  connector.lost("websocket", 60_000, "WebSocket 1006");
  connector.next(60_000);
  connector.failed("websocket", 60_010);
  assert.deepEqual(connector.next(60_010), ["polling"]);

  const other = on("websocket");
  other.lost("websocket", 60_000, "WebSocket 1006");
  other.next(60_000);
  other.refresh(60_100, true);
  assert.equal(other.deadline(60_100), 60_350);
});

row(5, "what has not carried has the head start of a first choice", () => {
  const connector = on("stream");
  connector.lost("stream", 50, "HTTP 502");
  assert.deepEqual(connector.next(50), ["stream"], "what might be better is not due yet");
  connector.carries("stream", 60);
  connector.lost("stream", 5060, "HTTP 502");
  assert.deepEqual(connector.next(5060), ["websocket"]);
  assert.deepEqual(connector.next(5310), ["polling"]);
});

row(5, "a lost stream is had again first, where the WebSocket does not work", () => {
  const connector = onPolling();
  connector.next(130);
  connector.carries("stream", 150);
  connector.next(5020);
  connector.failed("websocket", 7000);
  connector.lost("stream", 8000, "HTTP 502");
  assert.deepEqual(connector.next(8000), ["stream"]);
  assert.deepEqual(connector.next(9999), []);
  assert.deepEqual(connector.next(10_000), ["polling"]);
});

row(6, "a stream that ended in order is had again, without a verdict", () => {
  const connector = on("stream");
  connector.lost("stream", 1000, "ended");
  assert.deepEqual(connector.next(1000), ["stream"]);
  assert.deepEqual(connector.next(2999), []);
  assert.deepEqual(connector.next(3000), ["polling"]);
  connector.carries("stream", 3100);
  connector.lost("stream", 3200, "ended");
  assert.deepEqual(connector.next(3200), ["stream"], "however young");
});

row(7, "when nothing gets through, no verdict is kept, and pauses grow to 0.7 s, and to two in the end", () => {
  const connector = make();
  connector.race(0);
  let now = 0;
  const pauses = [];
  for (let i = 0; i < 17; i++) {
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.failed("websocket", now);
    assert.deepEqual(connector.next(now), ["polling"]);
    connector.failed("polling", now);
    assert.deepEqual(connector.next(now), []);
    pauses.push(connector.deadline(now) - now);
    now = connector.deadline(now);
  }
  assert.deepEqual(pauses, [50, 100, 200, 400, ...Array(10).fill(700), 2000, 2000, 2000]);
  connector.race(now);
  assert.deepEqual(connector.next(now), ["websocket"], "nothing is held against it");
});

row(7, "nor where polling has failed first", () => {
  const connector = make();
  connector.race(0);
  assert.deepEqual(connector.next(0), ["websocket"]);
  assert.deepEqual(connector.next(250), ["polling"]);
  connector.failed("polling", 260);
  connector.failed("websocket", 300);
  assert.deepEqual(connector.next(300), []);
  assert.equal(connector.deadline(300), 310);
  assert.deepEqual(connector.next(310), ["websocket"]);
  connector.failed("websocket", 320);
  assert.deepEqual(connector.next(320), ["polling"]);
  connector.failed("polling", 330);
  connector.race(1000);
  assert.deepEqual(connector.next(1000), ["websocket"], "nothing is held against it");
});

row(7, "pauses are jittered", () => {
  const pauses = [0, 0.999].map((value) => {
    const connector = make({ transports: ["polling"], random: () => value });
    connector.race(0);
    connector.next(0);
    connector.failed("polling", 0);
    return Math.round(connector.deadline(0));
  });
  assert.deepEqual(pauses, [25, 75]);
});

row(8, "a transport that is allowed alone is tried again and again, but not without a pause", () => {
  const connector = make({ transports: ["websocket"] });
  let now = 0;
  connector.race(now);
  const pauses = [];
  for (let i = 0; i < 9; i++) {
    const since = now;
    while (!connector.next(now).length) now = connector.deadline(now);
    pauses.push(now - since);
    connector.carries("websocket", now);
    connector.lost("websocket", ++now, "WebSocket 1006");
  }
  assert.deepEqual(pauses, [0, 0, 50, 100, 200, 400, 400, 400, 400]);
});

row(8, "one that has carried for a second is had again at once, however often it is lost", () => {
  for (const transport of ["websocket", "stream", "polling"]) {
    const connector = make({ transports: [transport] });
    let now = 0;
    connector.race(now);
    for (let i = 0; i < 9; i++) {
      assert.deepEqual(connector.next(now), [transport]);
      connector.carries(transport, now);
      connector.lost(transport, (now += 1000), "WebSocket 1006");
    }
  }
});

row(9, "from polling the stream is probed first, then the WebSocket, one at a time", () => {
  const connector = onPolling();
  assert.deepEqual(connector.next(129), []);
  assert.equal(connector.deadline(30), 130);
  assert.deepEqual(connector.next(130), ["stream"]);
  assert.deepEqual(connector.next(131), []);
  connector.failed("stream", 1530);
  assert.deepEqual(connector.next(1530), []);
  assert.deepEqual(connector.next(5020), ["websocket"]);
  assert.deepEqual(connector.next(1e6), []);
});

row(10, "from a stream only the WebSocket is better", () => {
  assert.deepEqual(on("stream").next(100), []);
  const connector = on("stream");
  connector.dropped("websocket");
  assert.deepEqual(connector.next(100), ["websocket"]);
});

row(11, "over a WebSocket nothing is tried", () => {
  assert.deepEqual(on("websocket").next(1e9), []);
  assert.equal(on("websocket").deadline(1e9), Infinity);
});

row(12, "what fails is tried again after 5, 15, 30, 60 and 60 s", () => {
  const connector = onPolling();
  connector.refuse("stream");
  connector.refresh(100, true);
  let now = 100;
  const pauses = [];
  for (let i = 0; i < 5; i++) {
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.failed("websocket", now);
    pauses.push(connector.deadline(now) - now);
    now = connector.deadline(now);
    assert.deepEqual(connector.next(now - 1), []);
  }
  assert.deepEqual(pauses, [5000, 15_000, 30_000, 60_000, 60_000]);
});

row(13, "a WebSocket that dies twice within five seconds rests", () => {
  const connector = make();
  let now = 0;
  for (let i = 0; i < 2; i++) {
    connector.race(now);
    assert.deepEqual(connector.next(now), ["websocket"]);
    connector.carries("websocket", now);
    connector.lost("websocket", (now += 1000), "WebSocket 1006");
  }
  assert.deepEqual(connector.next(now), ["stream"]);
  connector.failed("stream", now);
  assert.deepEqual(connector.next(now), ["polling"]);
  connector.carries("polling", now);
  assert.deepEqual(connector.next(now + 29_999).includes("websocket"), false);
  connector.dropped("stream");
  connector.failed("stream", now + 29_999);
  assert.deepEqual(connector.next(now + 30_000), ["websocket"]);
});

row(13, "one that has lived longer in between does not", () => {
  const connector = on("websocket");
  for (const lived of [1000, 6000, 1000]) {
    connector.lost("websocket", lived, "WebSocket 1006");
    assert.deepEqual(connector.next(lived), ["websocket"]);
    connector.carries("websocket", 0);
  }
});

row(14, "no stream while other tabs hold what may be held; the WebSocket is probed all the same", () => {
  const connector = onPolling();
  assert.deepEqual(connector.next(130, false), []);
  assert.deepEqual(connector.next(5020, false), ["websocket"]);
  connector.dropped("websocket");
  connector.refresh(40, true);
  assert.deepEqual(connector.next(40, true), ["stream"]);
});

row(14, "a stream that is allowed alone needs no leave", () => {
  const connector = make({ transports: ["stream"] });
  connector.race(0);
  assert.deepEqual(connector.next(0, false), ["stream"]);
});

row(15, "a new network makes every verdict void", () => {
  const connector = onPolling();
  connector.next(130);
  connector.failed("stream", 135);
  connector.refresh(140, true);
  assert.deepEqual(connector.next(140), ["stream"]);
  connector.failed("stream", 150);
  assert.deepEqual(connector.next(150), ["websocket"]);
  connector.refresh(160, true);
  connector.race(170);
  assert.deepEqual(connector.next(170), ["websocket"], "first again");
});

row(16, "what failed is known to the next page, for ten minutes, here", () => {
  const storage = memory();
  let wall = 1.8e12;
  const options = { storage, wall: () => wall };
  const visit = (more, place = "https://a.test/socket.io") => {
    const connector = make({ ...options, ...more }, place);
    connector.race(0);
    return connector.next(0);
  };
  const first = make(options, "https://a.test/socket.io");
  first.race(0);
  first.next(0);
  first.next(250);
  first.carries("polling", 300);
  assert.equal(storage.kept.size, 0, "on a good network nothing is kept");
  first.dropped("websocket");
  first.next(300);
  first.failed("stream", 400);
  first.next(400);
  first.failed("websocket", 2500);
  wall += 599_000;
  assert.deepEqual(visit(), ["polling"]);
  assert.deepEqual(visit({}, "https://b.test/socket.io"), ["websocket"], "another server");
  assert.deepEqual(visit({ network: () => "cellular" }), ["websocket"], "another network");
  assert.deepEqual(visit({ storage: null }), ["websocket"]);
  wall += 2000;
  assert.deepEqual(visit(), ["websocket"], "too long ago");
});

row(16, "a WebSocket that had not answered when polling had counts as one that failed, until it carries", () => {
  const storage = memory();
  const connector = make({ storage });
  connector.race(0);
  connector.next(0);
  connector.next(250);
  connector.dropped("websocket");
  connector.carries("polling", 300);
  assert.equal(storage.kept.size, 1);
  const next = make({ storage });
  next.race(0);
  assert.deepEqual(next.next(0), ["polling"]);
  connector.refuse("stream");
  assert.deepEqual(connector.next(400), ["websocket"]);
  connector.failed("websocket", 500);
  assert.equal(connector.deadline(500), 5500, "the pauses begin as ever");
  connector.next(5500);
  connector.carries("websocket", 5600);
  assert.equal(storage.kept.size, 0);
});

row(16, "what works again is held against no longer", () => {
  const storage = memory();
  const connector = onPolling({ storage });
  assert.equal(storage.kept.size, 1);
  connector.next(130);
  connector.dropped("stream");
  connector.next(5020);
  connector.carries("websocket", 5100);
  assert.equal(storage.kept.size, 0);
});

for (const kept of ["", "null", ",", "1800000000000", "1800000000000,constructor", "1800000000000,,stream", "x,websocket", '{"at":1800000000000,"failed":["websocket"]}']) {
  row(16, `a storage with ${kept || "nothing"} in it is no obstacle`, () => {
    const connector = make({ storage: { ...memory(), getItem: () => kept } });
    connector.race(0);
    assert.deepEqual(connector.next(0), ["websocket"]);
  });
}

row(16, "neither is one that throws", () => {
  const fail = () => {
    throw new Error("denied");
  };
  const connector = onPolling({ storage: { getItem: fail, setItem: fail, removeItem: fail } });
  assert.deepEqual(connector.next(130), ["stream"]);
});

row(17, "a page that is woken does not wait, and does not forget", () => {
  const connector = make({ transports: ["websocket", "polling"] });
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 0);
  connector.next(0);
  connector.failed("polling", 10);
  assert.deepEqual(connector.next(11), []);
  connector.refresh(12, false);
  assert.deepEqual(connector.next(12), ["websocket"]);

  const other = onPolling();
  other.lost("polling", 60_000, "WebSocket 1006");
  other.refresh(60_010, false);
  other.race(60_010);
  assert.deepEqual(other.next(60_010), ["polling"]);
});

row(18, "what the server does not offer is not tried", () => {
  const connector = make();
  connector.race(0);
  connector.next(0);
  connector.failed("websocket", 0);
  connector.next(0);
  connector.offer(["polling"]);
  connector.carries("polling", 10);
  assert.deepEqual(connector.next(1e6), []);
});

row(18, "what the options do not allow is not tried", () => {
  const connector = make({ transports: ["polling"] });
  connector.race(0);
  assert.deepEqual(connector.next(0), ["polling"]);
  connector.offer(KINDS);
  connector.carries("polling", 10);
  assert.deepEqual(connector.next(1e6), []);
});

test("every row of the tables has its test, and every test its row", () => {
  const text = readFileSync(new URL("../../docs/choosing-a-transport.md", import.meta.url), "utf8");
  const told = [...text.matchAll(/^\| (\d+) \|/gm)].map(([, number]) => +number);
  assert.deepEqual([...rows].toSorted((a, b) => a - b), told);
});

test("inspect tells what was tried, and with what outcome", () => {
  let now = 0;
  const connector = make({ now: () => now });
  connector.race(0);
  const judge = connector.note("websocket");
  connector.next(0);
  const at = "2027-01-15T08:00:00.000Z";
  now = 40;
  assert.deepEqual(connector.inspect().attempts, [{ at, transport: "websocket", ms: 40, verdict: "trying" }]);
  now = 50;
  judge("HTTP 403");
  connector.failed("websocket", 50);
  connector.next(50);
  connector.carries("polling", 60);
  now = 1050;
  assert.deepEqual(connector.inspect(), { rtt: undefined, attempts: [{ at, transport: "websocket", ms: 50, verdict: "HTTP 403" }] });
  for (let number = 0; number < 100; number++) connector.note("stream");
  assert.equal(connector.inspect().attempts.length, 30, "not without end");
});
