/**
 * The client's end of a session: two numbered streams, and the carriers under them. No I/O, no clock.
 *
 * The rules are those of docs/protocol.md, section 2; the numbers below are the same.
 *
 * - Only a WebSocket writes for us over time: the `writer`. A POST says everything again, from what was acknowledged on;
 *   that is in posts.js.
 * - The writer counts on its own (rule 4). When another carrier's acknowledgement overtakes it, it states its next number
 *   again instead of writing what the server has (rule 5).
 * - An attach is numbered when it is sent, and counts when it is answered; the highest number decides (rule 6).
 *
 * A plain peer has no positions: what is written is forgotten.
 */
import { check, checkSize } from "../errors.js";
import { SEPARATOR, checkNumber, checkText, decodeObject, encodeText } from "../wire/packet.js";
import { POLL, WEBSOCKET } from "../wire/kinds.js";
import { utf8Length } from "../wire/payload.js";
import { Inbox } from "./inbox.js";
import { Outbox } from "./outbox.js";

/** @typedef {import("../wire/packet.js").Data} Data */
/** @typedef {import("../wire/packet.js").Packet} Packet */

/** What a POST says before its one message: the attach and the number. */
const ENVELOPE_BYTES = 200;
/** A WebSocket message is not filled beyond this, nor a POST without proof that more is fast; one message may be longer. */
export const FRAME_LENGTH = 16384;
/** A slow network takes so many characters in a ms. */
const SLOW = 30;

/** @param {{length: number}[]} messages */
export const sizeOf = (messages) => messages.reduce((sum, { length }) => sum + length, 0);

export class Session {
  outbox = new Outbox();
  inbox = new Inbox();
  sid = "";
  maxPayload = Infinity;
  /** Whether the server has not confirmed the extension. */
  plain = true;
  /** What the server offers, best first. @type {string[]} */
  transports = [WEBSOCKET, POLL];
  /** What the server has chosen of the codecs that it was offered. @type {string | undefined} */
  codec;
  /** The number of the highest attach that was answered. */
  current = 0;
  /** The number of the carrier that writes for us, or 0. */
  writer = 0;

  constructor() {
    const { outbox, inbox } = this;
    // The open packet's other figures, once there is one; times in ms.
    /** @type {number} */ this.pingInterval;
    /** @type {number} */ this.pingTimeout;
    /** @type {number} */ this.grace;
    let key = "";
    /** The number of the last attach that was sent. */
    let last = 1;
    /** The number that the server counts on next from the writer; 0 before any is stated. */
    let next = 1;
    /** The highest number the server said it had written; and since when we lack it, if we do. */
    let written = 0;
    let lackingSince = 0;

    /**
     * Take the open packet (protocol.md section 4).
     * @param {string} text
     * @param {boolean} writes Whether the opening carrier can write for us: a WebSocket.
     * @throws {import("../errors.js").RemoteProtocolError}
     */
    this.open = (text, writes) => {
      const { sid, pingInterval, pingTimeout, maxPayload, holdfast } = decodeObject(text);
      check(typeof sid == "string" && sid);
      this.sid = sid;
      this.pingInterval = checkNumber(pingInterval, 1);
      this.pingTimeout = checkNumber(pingTimeout);
      if (maxPayload) this.maxPayload = checkNumber(maxPayload);
      if (holdfast) {
        const { version, transports, grace } = holdfast;
        key = holdfast.key;
        check(version === 1 && typeof key == "string" && Array.isArray(transports));
        this.plain = false;
        this.transports = transports;
        this.codec = holdfast.codec;
        this.grace = checkNumber(grace);
      }
      inbox.start(1, 1);
      this.current = 1;
      if (writes) this.writer = 1;
    };

    /**
     * Keep messages until the server has them: all of them, or none.
     * @param {(Data | ArrayBuffer)[]} messages Bytes after the first one are its attachments.
     * @param {unknown} [meta] The application's own; comes back with each of them that stays unconfirmed.
     * @param {number} [bufferSize] How much may be kept.
     * @throws {import("../errors.js").LocalProtocolError} As `prepare`; or too much is kept already.
     */
    this.send = (messages, meta, bufferSize = Infinity) => {
      const copies = this.prepare(messages);
      checkSize(sizeOf(copies) + outbox.size, bufferSize, "buffer");
      copies.forEach((data) => outbox.append(data, meta));
    };

    /**
     * @param {(Data | ArrayBuffer)[]} messages Sent together.
     * @returns {Data[]} What can be sent, as far as is known of the server by now.
     * @throws {import("../errors.js").LocalProtocolError} A lone surrogate, U+001E for a plain server, or too long for the server.
     */
    this.prepare = (messages) => {
      const limit = this.maxPayload - (this.plain ? 0 : ENVELOPE_BYTES);
      const copies = messages.map((data) => {
        if (typeof data == "string") checkText(data, this.plain && this.sid);
        else data = new Uint8Array(data.slice());
        // The exact size is worth its cost only near the limit. JSON can make six bytes of one character.
        if (data.length * 6 > limit) {
          // By POST, bytes are base64.
          checkSize(typeof data == "string" ? utf8Length(encode(data)) : this.plain && this.writer ? data.length : 1 + 4 * Math.ceil(data.length / 3), limit, "message");
        }
        return data;
      });
      if (!this.plain) checkSize(sizeOf(copies), this.maxPayload, "message");
      return copies;
    };

    /** @param {string} text Of a message. */
    const encode = (text) => encodeText(text, this.plain);

    /** Number a new carrier, to be attached. */
    this.attach = () => ++last;

    /**
     * The client's attach. To send it is to acknowledge.
     * @param {number} [carrier] None for a POST that only brings.
     * @param {object} [more] `probe`, `wait`.
     * @returns {string}
     */
    this.attachment = (carrier, more) => JSON.stringify({ key, received: inbox.acknowledge(), carrier, ...more });

    /**
     * Take the server's answer to an attach.
     * @param {string} text
     * @param {number} number The carrier it came on.
     * @param {boolean} writes
     * @param {number} now
     * @throws {import("../errors.js").RemoteProtocolError}
     */
    this.answer = (text, number, writes, now) => {
      const { carrier, received } = decodeObject(text);
      outbox.acknowledge(received, now);
      check(number && carrier === number);
      if (number >= this.current) {
        this.current = number;
        // Rule 2: whatever wrote before never writes again.
        this.writer = writes ? number : 0;
        next = 0;
      }
    };

    /**
     * Take a packet that arrived.
     * @param {number} carrier
     * @param {Packet} packet
     * @param {number} now
     * @returns {Data | undefined} The message, if it is the next one.
     * @throws {import("../errors.js").GapError} End this carrier.
     * @throws {import("../errors.js").RemoteProtocolError} End the session.
     */
    this.receive = (carrier, { type, data }, now) => {
      if (type == "4") {
        if (this.plain) return data;
        if (inbox.take(carrier, data.length, now)) {
          // A slow carrier that brings something is not a dead one.
          lackingSince = now;
          return data;
        }
      } else if (type == "8") outbox.acknowledge(+data, now);
      else if (type == "9") inbox.start(carrier, +data);
      return undefined;
    };

    /**
     * A carrier ended.
     * @param {number} carrier
     */
    this.end = (carrier) => {
      inbox.end(carrier);
      if (this.writer == carrier) this.writer = 0;
    };

    /**
     * What the writer has to write now.
     * @param {string[]} control Encoded packets that go first.
     * @param {number} now
     * @returns {Data[]} WebSocket messages. They count as written with this call.
     */
    this.frames = (control, now) => {
      /** @type {Data[]} */
      const frames = [];
      if (!this.writer) return frames;
      let number = Math.max(next, outbox.acked + 1);
      const { due } = inbox;
      // A plain peer is never owed one.
      if (due <= now || (number <= outbox.last && due < Infinity)) control.push("8" + inbox.acknowledge());
      let text = "";
      const flush = () => {
        if (text) frames.push(text);
        text = "";
      };
      const add = (/** @type {string} */ part) => {
        if (this.plain || text.length + part.length > this.room()) flush();
        text += (text && SEPARATOR) + part;
      };
      control.splice(0).forEach(add);
      for (; number <= outbox.last; next = ++number) {
        if (!this.plain && next != number) add("9" + number);
        const data = outbox.write(number, now);
        if (typeof data == "string") add(encode(data));
        else {
          flush();
          frames.push(data);
        }
      }
      // A plain peer says nothing of what it has.
      if (this.plain) outbox.acknowledge(outbox.written);
      flush();
      return frames;
    };

    /** @returns {number} At most so many characters, which are surely within the server's limit, whatever they are. */
    this.room = (most = FRAME_LENGTH) => Math.min(most, this.maxPayload / 3 - ENVELOPE_BYTES);

    /**
     * @param {number} ms How long the oldest message may stay unacknowledged, beyond the time that a slow network needs for
     *   all of them, and how long we may lack what the server says it has written.
     * @returns {number} When there is reason to doubt the current carrier.
     */
    this.doubtful = (ms) => (this.plain ? Infinity : Math.min(outbox.since() + this.burden(), isLacking() ? lackingSince : Infinity) + ms);

    const isLacking = () => written > inbox.received;

    /** @returns {number} The time in ms that a slow network needs for what is not acknowledged. */
    this.burden = () => Math.floor(outbox.size / SLOW);

    /**
     * @param {number} number The server says it has written so far.
     * @param {number} now
     */
    this.lacks = (number, now) => {
      if (!isLacking()) lackingSince = now;
      written = Math.max(written, number);
    };

    /**
     * The doubt was answered: wait as long again.
     * @param {number} now
     */
    this.calm = (now) => {
      outbox.oldest = lackingSince = now;
    };
  }
}
