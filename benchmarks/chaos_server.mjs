// The published Node server as the other side of chaos_client.mjs; chaos_app.py is the same for ours.
//
//     PORT=8000 RECOVERY=1 node chaos_server.mjs

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { Checker, payloads } from "./chaos_checker.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));
const { Server } = require("socket.io");
const http = createServer();
const options = process.env.RECOVERY == "1" ? { connectionStateRecovery: {} } : {};
if (process.env.MSGPACK == "1") options.parser = require("socket.io-msgpack-parser");
const io = new Server(http, options);
const talks = new Map();
// Apart from the talks: a client that was cut off says first what it could not say, and then who it is.
const heard = new Map();
const heardOf = (name) => heard.get(name) ?? heard.set(name, []).get(name);

function begin(plan) {
  const data = payloads(plan);
  const talk = { sent: 0, checker: new Checker(plan.limitBytes ? data : undefined) };
  const began = Date.now();
  const timer = setInterval(() => {
    const owed = Math.min(plan.count, Math.ceil(((Date.now() - began) / 1000) * plan.perSecond));
    while (talk.sent < owed) {
      const number = ++talk.sent;
      io.to(plan.talk).emit("chaos-down", number, ...(plan.limitBytes ? [data(number)] : []));
    }
    if (talk.sent >= plan.count) clearInterval(timer);
  }, 5);
  return talk;
}

io.on("connection", (socket) => {
  socket.on("chaos-join", (plan) => {
    socket.join(plan.talk);
    if (!talks.has(plan.talk)) talks.set(plan.talk, begin(plan));
  });
  socket.on("chaos-up", (name, number, data, done) => {
    if (typeof data == "function") [data, done] = [undefined, data];
    heardOf(name).push(number);
    talks.get(name)?.checker.take(number, data ?? undefined);
    done?.(number);
  });
  socket.on("chaos-report", (name, done) => {
    const { sent = 0, checker } = talks.get(name) ?? {};
    done({ sent, heard: heardOf(name), damaged: checker?.damaged ?? 0 });
  });
});

http.listen(Number(process.env.PORT), "127.0.0.1");
