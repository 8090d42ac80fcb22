// One client that talks in numbered events with a server, and says as JSON lines what it sees.
//
//     node chaos_client.mjs '{"url": "http://127.0.0.1:8000", "client": "holdfast", "talk": {"count": 1000, "perSecond": 100}}'
//
// `client`: "holdfast" or "socket.io". `talk`: see docs/chaos.md, where the server's part stands too. `options` go to the
// client as they are. `late`: it begins without a WebSocket, so that it has to upgrade. `remember`: it keeps what does not
// work in this network, as a browser does. `repeat`: so many talks, one after the other, each with a new client. A line on
// its standard input ends the talk in a second, in order.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { Acks, Checker, payloads } from "./chaos_checker.mjs";

const require = createRequire(new URL("../tests/clients/package.json", import.meta.url));

const given = JSON.parse(process.argv[2]);
const { url, path = "/socket.io", client = "holdfast", transports, codec = "json", repeat = 1 } = given;
const TICK_MS = 5;
// How long a gap between two events is worth telling.
const GAP_MS = 25;
const now = () => performance.timeOrigin + performance.now();
const print = (line) => process.stdout.write(JSON.stringify({ at: now() / 1000, ...line }) + "\n");
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const memory = new Map();
const storage = {
  getItem: (name) => memory.get(name) ?? null,
  setItem: (name, value) => void memory.set(name, value),
  removeItem: (name) => void memory.delete(name),
};

async function opened() {
  const options = { path, forceNew: true, ...(transports && { transports }), ...given.options };
  if (client == "socket.io") {
    if (codec == "msgpack") options.parser = require("socket.io-msgpack-parser");
    return require("socket.io-client").io(url, options);
  }
  const { io } = await import("../client_js/index.js");
  const { WebSocket } = require("ws");
  options.WebSocket = WebSocket;
  if (given.late)
    options.WebSocket = class Later extends WebSocket {
      constructor(address, ...rest) {
        if (!address.includes("sid=")) throw new Error("not at first");
        super(address, ...rest);
      }
    };
  if (codec == "msgpack") options.codec = (await import("../client_js/msgpack.js")).msgpack;
  if (given.remember) options.storage = storage;
  return io(url, options);
}

/** One talk, to its end or for as long as it may last. */
class Talk {
  seen = { connects: 0, disconnects: [], changes: [], ids: new Set(), recovered: 0 };
  sent = 0;
  gaps = [];
  acks = new Acks();
  #last = 0;
  #report = { sent: 0, heard: [] };

  constructor(socket, plan) {
    this.socket = socket;
    this.plan = { count: 1000, perSecond: 100, ackEvery: 0, ...plan };
    this.data = payloads(this.plan);
    this.heard = new Checker(this.plan.limitBytes ? this.data : undefined);
    this.began = now();
    this.#listen();
  }

  #listen() {
    const { socket, seen, plan } = this;
    socket.on("connect", () => {
      seen.connects++;
      seen.ids.add(socket.id);
      if (socket.recovered) seen.recovered++;
      print({ event: "connect", id: socket.id, recovered: socket.recovered, afterMs: now() - this.began });
      socket.emit("chaos-join", plan);
    });
    socket.on("connect_error", (error) => print({ event: "connect_error", message: error.message }));
    socket.on("disconnect", (reason) => {
      seen.disconnects.push(reason);
      print({ event: "disconnect", reason });
    });
    const carried = (to, reason) => {
      seen.changes.push(to);
      print({ event: "transport", to, reason });
    };
    if (client == "holdfast") socket.io.on("transport", ({ to, reason }) => carried(to, reason));
    else socket.io.on("open", () => {
      carried(socket.io.engine.transport.name);
      socket.io.engine.on("upgrade", ({ name }) => carried(name));
    });
    socket.on("chaos-down", (number, data, done) => {
      if (typeof data == "function") [data, done] = [undefined, data];
      this.#arrived(number);
      this.heard.take(number, data ?? undefined);
      if (typeof done == "function") done(number);
    });
  }

  #arrived(number) {
    const at = now();
    if (!this.#last) this.firstMs = at - this.began;
    if (!this.#last) print({ event: "first", afterMs: at - this.began, transport: this.transport });
    else if (at - this.#last > GAP_MS) this.gaps.push([this.#last / 1000, at / 1000]);
    this.#last = at;
  }

  get transport() {
    return client == "holdfast" ? this.socket.io.transport : this.socket.io.engine?.transport?.name;
  }

  /** There is to be an end to it: a second from now, and the server is told. */
  finish() {
    const { plan, sent, heard } = this;
    plan.count = Math.min(plan.count, Math.max(sent, heard.highest) + Math.ceil(plan.perSecond));
    this.socket.emit("chaos-join", plan);
  }

  async #speak() {
    const { plan } = this;
    const { perSecond, ackEvery } = plan;
    while (!this.seen.connects) await sleep(1);
    const began = now();
    while (this.sent < plan.count) {
      const owed = Math.min(plan.count, Math.ceil(((now() - began) / 1000) * perSecond));
      while (this.sent < owed && this.#say(this.sent + 1, ackEvery)) this.sent++;
      await sleep(TICK_MS);
    }
  }

  /** @returns Whether it was taken: a client may bound what waits. */
  #say(number, ackEvery) {
    const data = this.data(number);
    const args = [this.plan.talk, number, ...(data === undefined ? [] : [data])];
    try {
      if (ackEvery && number % ackEvery == 0) {
        const settle = (error, answer) => this.acks.settle(number, error, answer);
        this.socket.timeout(this.plan.ackMs ?? 120000).emit("chaos-up", ...args, settle);
        this.acks.ask(number);
      } else this.socket.emit("chaos-up", ...args);
      return true;
    } catch (error) {
      if (error.name != "LocalProtocolError") throw error;
      return false;
    }
  }

  async #ask() {
    try {
      this.#report = await this.socket.timeout(3000).emitWithAck("chaos-report", this.plan.talk);
    } catch {
      // It has no connection now; what it knew is not less true.
    }
    return this.#report;
  }

  /** How far everything is; that it does not change means that no more will come. */
  #progress = () => [this.sent, this.heard.received, this.#report.heard.length, this.acks.pending].join();

  get #isDone() {
    const { count } = this.plan;
    const { sent, heard } = this.#report;
    return sent >= count && heard.length >= count && this.heard.distinct >= sent && !this.acks.pending;
  }

  async run() {
    const { quietMs = 20000 } = this.plan;
    await this.#speak();
    let last = "";
    for (let since = now(); now() - since < quietMs; await sleep(200)) {
      await this.#ask();
      if (this.#isDone) break;
      if (this.#progress() != last) [last, since] = [this.#progress(), now()];
    }
    const report = await this.#ask();
    const up = new Checker();
    for (const number of report.heard) up.take(number);
    const { ids, ...seen } = this.seen;
    print({
      event: "result",
      talk: this.plan.talk,
      ms: now() - this.began,
      firstMs: this.firstMs ?? Infinity,
      down: this.heard.verdict(report.sent),
      up: { ...up.verdict(this.sent), damaged: report.damaged ?? 0 },
      acks: this.acks,
      serverAcks: report.acks,
      gaps: this.gaps,
      ids: ids.size,
      transport: this.transport,
      ...seen,
    });
    this.socket.disconnect();
  }
}

/** @type {Talk} */
let current;
createInterface({ input: process.stdin }).on("line", () => current.finish());

for (let number = 0; number < repeat; number++) {
  const talk = `${given.name ?? "talk"}-${process.pid}-${number}`;
  current = new Talk(await opened(), { ...given.talk, talk });
  await current.run();
}
// What has been said must be out before the end.
process.stdout.write("", () => process.exit());
