/**
 * A random network between the client's core and a reference server: it delays, cuts, repeats and reorders whole
 * requests, as networks do. After every step each side has heard a prefix of what the other said; healed, both are level.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { GapError } from "../errors.js";
import { encodePost, takeAnswer } from "../session/posts.js";
import { Session } from "../session/session.js";
import { decodePacket, packet } from "../wire/packet.js";
import { randomFrom } from "./random.js";
import { ReferenceServer } from "./reference_server.js";

const RS = "\x1e";
const SCHEDULES = Number(process.env.SCHEDULES ?? 4000);

class Network {
  heard = [];
  said = [];
  now = 0;
  current = 0;
  /** Carriers: each a queue each way. */
  lines = [];
  /** Requests and answers on their way, in no order. */
  flying = [];

  constructor(seed, kinds) {
    this.random = randomFrom(seed);
    this.kinds = kinds;
    const transport = this.pick(kinds);
    this.server = new ReferenceServer({ transport });
    this.client = new Session();
    const open = { sid: "s", upgrades: [], pingInterval: 10000, pingTimeout: 5000, maxPayload: this.pick([2000, 1e6]) };
    open.holdfast = { version: 1, key: "k", codec: "json", transports: ["websocket", "stream", "polling"], grace: 1000 };
    this.client.open(JSON.stringify(open), transport == "websocket");
    if (transport != "polling") this.lines.push({ number: 1, kind: transport, up: [], down: [], end: this.server.opening });
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  message(n) {
    return this.random() < 0.2 ? new Uint8Array([n & 255, 30]) : this.pick(["m", "\x1e", "\r\n", "é"]) + n + "x".repeat(this.random() < 0.05 ? 700 : 0);
  }

  /** The client attaches; the request is on its way. */
  attach(kind) {
    // Polls may go on under one number.
    const isNext = kind == "polling" && this.lastPoll == this.client.current && this.random() < 0.5;
    const number = isNext ? this.lastPoll : this.client.attach();
    if (kind == "polling") this.lastPoll = number;
    const attach = this.client.attachment(number);
    const line = { number, kind, up: [], down: [] };
    if (kind == "websocket") {
      line.up.push("7" + attach);
      this.lines.push(line);
    } else {
      this.flying.push(() => this.request(line, JSON.parse(attach)));
      // Somebody on the way asks twice; the other answer reaches nobody.
      if (this.random() < 0.1) this.flying.push(() => this.request({ ...line, isLost: true }, JSON.parse(attach)));
    }
  }

  request(line, attach) {
    line.end = this.server.attach(attach, line.kind);
    if (!line.end) return;
    if (line.isLost) this.server.write(line.end);
    else if (line.kind == "stream") this.lines.push(line);
    else {
      const body = this.server.write(line.end);
      this.flying.push(() => this.receiveAll(line, body));
    }
  }

  post() {
    const body = encodePost(this.client, [], this.now, Infinity);
    const deliver = () => {
      const answer = this.server.post(body);
      this.flying.push(() => takeAnswer(this.client, answer.slice(1), this.now));
    };
    this.flying.push(deliver);
    if (this.random() < 0.15) this.flying.push(deliver);
  }

  receiveAll(line, parts) {
    try {
      for (const part of parts) {
        for (const one of typeof part == "string" ? part.split(RS).map((text) => decodePacket(text)) : [packet("4", part)]) this.receive(line, one);
      }
    } catch (error) {
      if (!(error instanceof GapError)) throw error;
      this.cut(line);
    }
  }

  receive(line, one) {
    if (one.type == "7") return this.client.answer(one.data, line.number, line.kind == "websocket", this.now);
    const message = this.client.receive(line.number, one, this.now);
    if (message !== undefined) this.heard.push(message);
  }

  cut(line) {
    this.lines = this.lines.filter((other) => other != line);
    this.client.end(line.number);
    if (this.server.writer == line.end) this.server.writer = undefined;
  }

  /** Both ends of a line write what they have. */
  pump(line) {
    if (line.end) line.down.push(...this.server.write(line.end));
    if (line.kind == "websocket" && line.number == this.client.current) line.up.push(...this.client.frames([], this.now));
  }

  /** One thing arrives, somewhere. */
  deliver(line, isUp) {
    const part = line[isUp ? "up" : "down"].shift();
    if (part === undefined) return;
    if (!isUp) return this.receiveAll(line, [part]);
    if (line.end) return this.server.takeFrame(line.end, part);
    line.end = this.server.attach(JSON.parse(part.slice(1)), line.kind);
    if (!line.end) this.cut(line);
  }

  step(n) {
    this.now += this.random() * 400;
    const dice = this.random();
    const line = this.pick(this.lines);
    if (dice < 0.22) this.client.send([this.said[this.said.push(this.message(n)) - 1]]);
    else if (dice < 0.44) this.server.sent.push(this.message(n));
    else if (dice < 0.54) this.attach(this.pick(this.kinds));
    else if (dice < 0.62 && this.kinds.length > 1) this.post();
    else if (dice < 0.65 && line) this.cut(line);
    else if (dice < 0.8 && this.flying.length) {
      const [fly] = this.flying.splice(Math.floor(this.random() * this.flying.length), 1);
      if (this.random() < 0.8) fly();
    } else if (line) {
      this.pump(line);
      for (let i = this.random() * 5; i > 0; i--) this.deliver(line, this.random() < 0.5);
    }
  }

  check() {
    assert.deepEqual(this.heard, this.server.sent.slice(0, this.heard.length), "server to client");
    assert.deepEqual(this.server.heard, this.said.slice(0, this.server.heard.length), "client to server");
    assert.ok(this.client.current >= this.current, "the highest number decides");
    this.current = this.client.current;
    assert.ok(this.client.outbox.acked <= this.server.received);
    assert.ok(this.server.acked <= this.client.inbox.received);
  }

  heal() {
    // What is late comes last of all.
    for (const fly of this.flying.splice(0)) fly();
    this.flying = [];
    // Half of the time with what there is: a carrier that repeats must go on to bring what is new.
    const living = this.lines.find(({ number, kind, end }) => number == this.client.current && kind == "websocket" && end == this.server.writer);
    const line = this.random() < 0.5 ? living : undefined;
    for (const other of [...this.lines]) if (other != line) this.cut(other);
    if (line) return this.level(line);
    this.attach("websocket");
    this.level(this.lines[0]);
  }

  level(line) {
    for (let i = 0; i < 20; i++) {
      this.pump(line);
      while (line.up.length) this.deliver(line, true);
      while (line.down.length) this.deliver(line, false);
    }
    assert.deepEqual(this.heard, this.server.sent);
    assert.deepEqual(this.server.heard, this.said);
  }
}

for (const kinds of [["websocket", "stream", "polling"], ["websocket"]]) {
  test(`both ends agree on ${SCHEDULES} random networks (${kinds})`, () => {
    let moved = 0;
    for (let seed = 1; seed <= SCHEDULES; seed++) {
      const network = new Network(seed, kinds);
      try {
        for (let n = 0; n < 80; n++) {
          network.step(n);
          network.check();
        }
        moved += network.heard.length + network.server.heard.length;
        network.heal();
      } catch (error) {
        error.message = `seed ${seed}: ${error.message}`;
        throw error;
      }
    }
    assert.ok(moved > SCHEDULES * 10, `the networks were not too bad: ${moved} messages`);
  });
}
