// Clients that send numbers, and say as JSON lines what becomes of their sessions: node restart_client.mjs OPTIONS
//
// OPTIONS is JSON: url, client ("holdfast" or "socket.io"), transports, count, perSecond. Lines on standard input: "jump MS"
// moves the time of day, "end" ends the talk.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const given = JSON.parse(process.argv[2]);
const { url, client, transports, count, perSecond } = given;
const print = (line) => process.stdout.write(JSON.stringify({ at: (performance.timeOrigin + performance.now()) / 1000, ...line }) + "\n");

let offset = 0;
const timeOfDay = Date.now.bind(Date);
Date.now = () => timeOfDay() + offset;

const options = { forceNew: true, ...(transports && { transports }) };
let io;
if (client == "socket.io") ({ io } = require("socket.io-client"));
else {
  ({ io } = await import("../client_js/index.js"));
  options.WebSocket = require("ws").WebSocket;
}

const talks = [];
for (let index = 0; index < count; index++) {
  const talk = { index, sent: 0, down: [], lost: [], connects: 0, disconnects: 0, recovered: 0 };
  talks.push(talk);
  const socket = io(url, options);
  let isNew = false;
  socket.on("connect", () => {
    talk.connects++;
    talk.recovered += +!!socket.recovered;
    isNew = true;
  });
  socket.on("disconnect", (reason, details) => {
    talk.disconnects++;
    for (const [, number] of details?.unconfirmed ?? []) talk.lost.push(number);
    print({ index, disconnect: reason });
  });
  socket.on("down", (number) => {
    // What comes behind a new connection says that it is there; without one, that it has come back.
    if (isNew || performance.now() - talk.heard > 500) print({ index, heard: number, isNew });
    isNew = false;
    talk.heard = performance.now();
    talk.down.push(number);
  });
  setTimeout(() => {
    talk.timer = setInterval(() => socket.emit("up", index * 1e6 + ++talk.sent, () => {}), 1000 / perSecond);
  }, 40 * index);
}

createInterface({ input: process.stdin }).on("line", (line) => {
  if (line.startsWith("jump ")) offset += Number(line.slice(5));
  if (line != "end") return;
  for (const { timer } of talks) clearInterval(timer);
  setTimeout(() => {
    print({ talks: talks.map(({ timer, ...talk }) => talk) });
    process.exit();
  }, 4000);
});
