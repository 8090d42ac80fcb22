/**
 * A world in memory for whole clients: a clock that is moved by hand, a network with weather, and a server.
 */
import { decodePacket } from "../wire/packet.js";
import { ReferenceServer } from "./reference_server.js";
import { randomFrom } from "./random.js";

const PRELUDE = ":" + " ".repeat(2048) + "\n\n";

/** Let everything happen that does not wait for time. */
export const settle = async () => {
  for (let i = 0; i < 6; i++) await new Promise((resolve) => setImmediate(resolve));
};

export class World {
  time = 0;
  #timers = new Set();
  /** What the network does; see the uses. */
  weather = { latencyMs: 5 };
  sessions = new Map();
  sockets = new Set();
  responses = new Set();
  requests = [];
  /** Called with each message that a session has heard. */
  onMessage = (session, data) => {};
  grace = 120000;
  maxPayload = 100_000;

  constructor(seed = 1) {
    this.random = randomFrom(seed);
    const world = this;
    this.WebSocket = class extends FakeWebSocket {
      constructor(url) {
        super(world, url);
      }
    };
    this.options = {
      WebSocket: this.WebSocket,
      fetch: (url, init) => this.fetch(url, init),
      // As performance.now(), seldom a whole number; nor are differences.
      now: () => this.time + (this.time % 7) / 8,
      wall: () => 1.8e12 + this.time,
      setTimeout: (run, ms) => this.after(ms, run),
      clearTimeout: (timer) => this.#timers.delete(timer),
      random: this.random,
      page: false,
    };
  }

  after(ms, run) {
    const timer = { at: this.time + Math.max(0, ms), run };
    this.#timers.add(timer);
    return timer;
  }

  /** The machine stands still: no timer runs, and afterwards all are late. */
  sleep(ms) {
    this.time += ms;
  }

  async advance(ms) {
    const end = this.time + ms;
    await settle();
    for (let before = -1, runs = 0; ; runs = this.time > before ? 0 : runs + 1, before = this.time) {
      if (runs > 200) throw new Error("a busy loop");
      const next = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.time = Math.max(this.time, next.at);
      this.#timers.delete(next);
      next.run();
      await settle();
    }
    this.time = end;
  }

  /**
   * @param {{at?: number}} [way] What goes the same way does not overtake.
   * @returns {Promise<void>} After the time a message takes.
   */
  travel(way = {}) {
    way.at = Math.max(way.at ?? 0, this.time + this.weather.latencyMs);
    return new Promise((resolve) => this.after(way.at - this.time, resolve));
  }

  openSession(transport) {
    const sid = "sid" + (this.sessions.size + 1);
    const server = new ReferenceServer({ transport, key: "key-" + sid });
    const session = { sid, server, held: undefined, candidates: new Map(), line: undefined };
    server.opening.line = undefined;
    this.sessions.set(sid, session);
    return session;
  }

  openPacket({ sid, server }) {
    return "0" + JSON.stringify({ sid, upgrades: ["websocket"], pingInterval: 10000, pingTimeout: 5000, maxPayload: this.maxPayload, holdfast: { version: 1, key: server.key, codec: this.codec ?? "json", transports: ["websocket", "stream", "polling"], grace: this.grace } });
  }

  /** The server says something. */
  say(session, data) {
    session.server.sent.push(data);
    this.pump(session);
  }

  /** Write what there is, on what carries. */
  pump(session) {
    const { server, held } = session;
    const writer = server.writer;
    if (held && (held.carrier != writer || writer.next <= server.sent.length)) {
      session.held = undefined;
      held.answer();
    }
    const line = writer?.line;
    if (line) {
      const parts = server.write(writer);
      if (parts.length) line.send(parts, server.written);
    }
  }

  hear(session, run) {
    const before = session.server.heard.length;
    run();
    const heard = session.server.heard.slice(before);
    for (const data of heard) this.onMessage(session, data);
    if (heard.length) {
      this.after(1000, () => {
        const { server } = session;
        if (server.writer?.kind == "websocket") server.writer.out.push("8" + server.received);
        this.pump(session);
      });
    }
    this.pump(session);
  }

  /** The network loses every connection there is. */
  cut() {
    for (const one of [...this.sockets, ...this.responses]) one.cut();
  }

  async fetch(url, { method = "GET", headers = {}, body, signal } = {}) {
    const query = new URL(url).searchParams;
    const transport = query.get("transport");
    this.requests.push(`${method} ${transport}`);
    const { weather } = this;
    const aborted = new Promise((_, reject) => {
      if (signal?.aborted) reject(new DOMException("aborted", "AbortError"));
      signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    });
    const cut = new Promise((_, reject) => {
      const entry = { cut: () => (this.responses.delete(entry), reject(new TypeError("fetch failed"))) };
      this.responses.add(entry);
      if (weather.cutAfterMs) this.after(weather.cutAfterMs, entry.cut);
      signal?.addEventListener("abort", () => this.responses.delete(entry));
    });
    cut.catch(() => {});
    const run = async () => {
      await this.travel();
      if (weather.black) await new Promise(() => {});
      if (weather.down) throw new TypeError("fetch failed");
      if (body?.length > weather.maxBody) return new Response("<html>413 Request Entity Too Large", { status: 413 });
      if (weather.page) return new Response("<html>Log in", { headers: { "Content-Type": "text/html" } });
      const isLost = this.random() < (weather.loss ?? 0);
      if (isLost && this.random() < 0.5) throw new TypeError("fetch failed");
      const response = await this.handle(method, transport, query.get("sid"), headers["Holdfast-Attach"], body, signal);
      if (method == "POST" && this.random() < (weather.doubled ?? 0)) await this.handle(method, transport, query.get("sid"), undefined, body);
      await this.travel();
      if (this.weather.black) await new Promise(() => {});
      if (isLost) throw new TypeError("fetch failed");
      return response;
    };
    return Promise.race([run(), aborted, cut]);
  }

  refuse(code, message, more) {
    const status = { 6: 409, 4: 403 }[code] ?? 400;
    return new Response(JSON.stringify({ code, message, ...more }), { status });
  }

  async handle(method, transport, sid, header, body, signal) {
    if (!sid) {
      const session = this.openSession(transport);
      this.onSession?.(session);
      return transport == "stream" ? this.stream(session, session.server.opening, signal, [this.openPacket(session)]) : new Response(this.openPacket(session));
    }
    const session = this.sessions.get(sid);
    if (!session || session.server.over) return this.refuse(1, "session unknown", session && { received: session.server.received });
    if (method == "POST") return this.post(session, body);
    const attach = JSON.parse(header);
    if (!Number.isInteger(attach.wait ?? 0)) return this.refuse(3, "'wait' of an attach is not a number in range");
    if (attach.probe) return this.stream(session, { out: [], number: attach.carrier, candidate: true }, signal);
    const carrier = session.server.attach(attach, transport);
    if (!carrier) return this.refuse(6, "out of date");
    return transport == "stream" ? this.stream(session, carrier, signal) : this.poll(session, carrier, Math.min(attach.wait ?? 10000, 10000), signal);
  }

  async poll(session, carrier, wait, signal) {
    const { server } = session;
    this.pump(session);
    if (carrier.next > server.sent.length && wait && !this.weather.impatient) {
      await new Promise((resolve) => {
        session.held = { carrier, answer: resolve };
        this.after(wait, resolve);
        signal?.addEventListener("abort", resolve);
      });
    }
    const parts = server.write(carrier);
    return new Response((parts.length ? parts : ["6"]).join("\x1e"));
  }

  stream(session, carrier, signal, first = []) {
    const encoder = new TextEncoder();
    const world = this;
    let isOpen = true;
    const stream = new ReadableStream({
      start(controller) {
        const held = [];
        const way = {};
        const write = async (text) => {
          await world.travel(way);
          if (!isOpen) return;
          if (world.weather.black || world.weather.buffer || held.length) return void held.push(text);
          // Bytes come as the network cuts them, in the middle of a character too.
          const bytes = encoder.encode(text);
          const at = Math.floor(world.random() * bytes.length);
          controller.enqueue(bytes.slice(0, at));
          controller.enqueue(bytes.slice(at));
        };
        const line = {
          send: (parts, position) => write(`id: ${position}\ndata: ${parts.join("\x1e")}\n\n`),
          end: async () => {
            await world.travel(way);
            if (isOpen) (isOpen = false), controller.close();
          },
          cut: () => {
            world.responses.delete(line);
            if (session.server.writer == carrier) session.server.writer = undefined;
            if (isOpen) (isOpen = false), controller.error(new TypeError("terminated"));
          },
        };
        carrier.line = line;
        world.responses.add(line);
        const { cutAfterMs } = world.weather;
        if (cutAfterMs) world.after(cutAfterMs, line.cut);
        signal?.addEventListener("abort", () => line.cut());
        if (carrier.candidate) session.candidates.set(carrier.number, line);
        write(PRELUDE);
        if (first.length) line.send(first, 0);
        world.pump(session);
      },
    });
    return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
  }

  post(session, body) {
    const { server, candidates } = session;
    let refused;
    const attached = (number, received) => {
      const line = candidates.get(number);
      const old = server.writer;
      const carrier = line && server.attach({ key: server.key, received, carrier: number }, "stream");
      if (!carrier) return void (refused = this.refuse(6, "out of date"));
      carrier.line = line;
      old?.line?.end?.();
    };
    for (const part of body.split("\x1e").slice(1)) {
      const { type, data } = decodePacket(part);
      const line = type == "2" && (candidates.get(+data) ?? (server.writer?.number == +data ? server.writer.line : undefined));
      if (line) line.send(["3" + data], 0);
    }
    let answer;
    this.hear(session, () => (answer = server.post(body, attached)));
    return refused ?? new Response(answer);
  }
}

class FakeWebSocket {
  bufferedAmount = 0;
  #state = "connecting";
  #up = {};
  #down = {};

  constructor(world, url) {
    this.world = world;
    world.requests.push("WS");
    world.sockets.add(this);
    const sid = new URL(url).searchParams.get("sid");
    this.#connect(sid);
  }

  async #connect(sid) {
    const { world } = this;
    await world.travel();
    await world.travel();
    if (this.#state != "connecting" || world.weather.hangSockets || world.weather.black) return;
    if (world.weather.noSockets || world.weather.down) return this.cut(1006);
    this.#state = "open";
    if (sid) this.session = world.sessions.get(sid);
    this.onopen?.();
    if (world.weather.shutSockets) return this.cut(1006);
    if (world.weather.muteSockets) return;
    if (sid) {
      if (!this.session || this.session.server.over) {
        const received = this.session?.server.received;
        this.#arrive("1" + JSON.stringify({ code: 1, message: "session unknown", received }));
      }
    } else {
      this.session = world.openSession("websocket");
      world.onSession?.(this.session);
      this.carrier = this.session.server.opening;
      this.carrier.line = this;
      this.#arrive(world.openPacket(this.session));
      world.pump(this.session);
    }
  }

  async #arrive(data) {
    const { stallMs, brings } = this.world.weather;
    // The server is busy.
    if (stallMs) this.#down.at = Math.max(this.#down.at ?? 0, this.world.time + this.world.random() * stallMs);
    await this.world.travel(this.#down);
    this.isMute ||= this.world.weather.black || this.world.weather.muteSockets;
    // Until the other end has closed too, some tell what comes and some do not.
    const isTold = this.#state == "open" || (brings && !this.isCut);
    if (isTold && !this.isMute) this.onmessage?.({ data });
  }

  /** The server writes. */
  send_(parts) {
    let text = [];
    const flush = () => text.length && this.#arrive(text.splice(0).join("\x1e"));
    for (const part of parts) {
      if (typeof part == "string") text.push(part);
      else flush(), this.#arrive(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength));
    }
    flush();
  }

  /** Both ends have `send`: the client's takes one frame, the server's a list. */
  send(data) {
    if (Array.isArray(data)) this.send_(data);
    else this.#take(data);
  }

  async #take(data) {
    const { world, session } = this;
    await world.travel(this.#up);
    // What has lost something is deaf for ever: no connection leaves something out and goes on.
    this.isDeaf ||= world.weather.black || world.weather.muteSockets;
    if (this.isCut || this.isDeaf || !session) return;
    if (this.carrier) return world.hear(session, () => session.server.takeFrame(this.carrier, data));
    const { type, data: value } = decodePacket(data);
    if (type == "2") return this.#arrive("3" + value);
    if (type == "1" || session.server.over) return;
    const old = session.server.writer;
    this.carrier = session.server.attach(JSON.parse(value), "websocket");
    if (!this.carrier) return this.cut(4006);
    old?.line?.end?.();
    this.carrier.line = this;
    world.pump(session);
  }

  /** A replaced WebSocket stays; the client closes it. */
  end() {}

  cut(code = 1006, isClosed = false) {
    this.world.sockets.delete(this);
    this.isCut ||= !isClosed;
    if (this.#state == "closed") return;
    this.#state = "closed";
    if (this.carrier && this.session.server.writer == this.carrier) this.session.server.writer = undefined;
    this.onclose?.({ code, reason: "" });
  }

  close() {
    this.onclose = null;
    // What was sent before still arrives.
    this.world.travel(this.#up).then(() => this.cut(1005, true));
    this.#state = "closing";
  }
}
