/**
 * The server's end of one session, as short as the rules allow and written from docs/protocol.md alone. For tests.
 */
import { decodePacket, encodePacket, packet } from "../wire/packet.js";

const RS = "\x1e";

export class ReferenceServer {
  /** What the application said, and what it heard. */
  sent = [];
  heard = [];
  acked = 0;
  written = 0;
  current = 1;
  /** What writes: `next` is its next number. */
  writer;
  over = false;

  constructor({ transport, key = "k" } = {}) {
    this.key = key;
    this.opening = { number: 1, next: 1, kind: transport, expects: 1, out: [] };
    if (transport != "polling") this.writer = this.opening;
  }

  get received() {
    return this.heard.length;
  }

  acknowledge(position) {
    if (position > this.written) throw new Error(`the client acknowledges ${position} of ${this.written}`);
    this.acked = Math.max(this.acked, position);
  }

  /** @returns {object | undefined} The carrier; undefined when it is out of date. */
  attach({ key, received, carrier }, kind) {
    if (key != this.key) throw new Error("wrong key");
    this.acknowledge(received);
    if (carrier < this.current || (carrier == this.current && kind == "websocket")) return undefined;
    this.current = carrier;
    const next = this.acked + 1;
    this.writer = { number: carrier, kind, next, out: [`7${JSON.stringify({ carrier, received: this.received })}`, `9${next}`] };
    return this.writer;
  }

  /** What a carrier has to write now: encoded packets and, on a WebSocket, bytes. */
  write(carrier) {
    const out = carrier.out.splice(0);
    if (carrier != this.writer) return out;
    for (; carrier.next <= this.sent.length; carrier.next++) {
      const data = this.sent[carrier.next - 1];
      out.push(carrier.kind == "websocket" && typeof data != "string" ? data : encodePacket(packet("4", data)));
      this.written = Math.max(this.written, carrier.next);
    }
    return out;
  }

  /** @returns {string} The answer to a POST. */
  post(body, attached = () => {}) {
    const [first, ...rest] = body.split(RS);
    const { key, received, carrier } = JSON.parse(first.slice(1));
    if (first[0] != "7" || key != this.key) throw new Error("a POST begins with its attach");
    this.acknowledge(received);
    if (carrier) attached(carrier, received);
    const bringer = { out: [] };
    for (const part of rest) this.take(bringer, decodePacket(part));
    return `7${JSON.stringify({ received: this.received, sent: this.written })}`;
  }

  /** One packet that arrived on a carrier. */
  take(carrier, { type, data }) {
    if (type == "9") carrier.expects = +data;
    else if (type == "8") this.acknowledge(+data);
    else if (type == "1") [this.over, this.closedWith] = [true, data];
    else if (type == "2") carrier.out.push("3" + data);
    else if (type == "4") {
      if (!carrier.expects) throw new Error("a message before its number");
      const number = carrier.expects++;
      if (number > this.received + 1) throw new Error(`the client left out ${this.received + 1}`);
      if (number > this.received) this.heard.push(data);
    }
  }

  /** One message of a WebSocket. */
  takeFrame(carrier, frame) {
    const packets = typeof frame == "string" ? frame.split(RS).map((part) => decodePacket(part)) : [packet("4", frame)];
    for (const one of packets) this.take(carrier, one);
  }
}
