// Clients that send and hear numbers, and say as JSON lines what becomes of them: node cluster_faults_client.mjs OPTIONS
//
// OPTIONS is JSON: url, transports, count, perSecond, spread (ms over which they begin), first (the number of the first). "end" on standard input ends it.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { io } from "../client_js/index.js";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { url, transports, count, perSecond, spread, first } = JSON.parse(process.argv[2]);
const clock = () => (performance.timeOrigin + performance.now()) / 1000;

const talks = [];
for (let index = 0; index < count; index++) {
  const talk = { index, ids: [], sent: 0, acked: 0, heard: 0, disconnects: 0, unconfirmed: 0, lost: 0, repeated: 0, all: 0, missed: 0, again: 0, returns: [] };
  talks.push(talk);
  let last = 0;
  let expected = 1;
  let next = {};
  setTimeout(() => {
    const socket = io(url, { forceNew: true, WebSocket: require("ws").WebSocket, ...(transports && { transports }) });
    let since = 0;
    socket.io.on("status", (status) => {
      if (status == "connected" && since) {
        talk.returns.push([since, clock()]);
        since = 0;
      } else if (status != "connected" && !since) since = clock();
    });
    socket.on("connect", () => {
      if (talk.ids.at(-1) != socket.id) {
        talk.ids.push(socket.id);
        expected = 1;
        next = {};
      }
    });
    socket.on("disconnect", (reason, details) => {
      talk.disconnects++;
      talk.unconfirmed += details?.unconfirmed?.length ?? 0;
    });
    socket.on("down", (number) => {
      const now = clock();
      // What comes after a silence.
      if (last && now - last > 0.25 + 1.5 / perSecond) talk.returns.push([last, now]);
      last = now;
      talk.heard++;
      if (number > expected) talk.lost += number - expected;
      if (number < expected) talk.repeated++;
      expected = Math.max(expected, number + 1);
    });
    socket.on("all", (source, number) => {
      const awaited = (next[source] ??= number);
      talk.all++;
      if (number > awaited) talk.missed += number - awaited;
      if (number < awaited) talk.again++;
      next[source] = Math.max(awaited, number + 1);
    });
    talk.timer = setInterval(() => socket.emit("up", (first + index) * 1e6 + ++talk.sent, () => talk.acked++), 1000 / perSecond);
  }, (spread * index) / count);
}

let told = false;
setInterval(() => {
  if (!told && talks.every(({ heard }) => heard > 2)) {
    told = true;
    process.stdout.write('{"ready":true}\n');
  }
}, 50);

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line != "end") return;
  for (const { timer } of talks) clearInterval(timer);
  const until = clock() + 40;
  const look = setInterval(() => {
    // What was sent is answered, or given up with its session.
    if (clock() < until && talks.some(({ sent, acked, unconfirmed }) => acked + unconfirmed < sent)) return;
    clearInterval(look);
    setTimeout(() => {
      const line = JSON.stringify({ talks: talks.map(({ timer, ...talk }) => talk) }) + "\n";
      process.stdout.write(line, () => process.exit());
    }, 1500);
  }, 100);
});
