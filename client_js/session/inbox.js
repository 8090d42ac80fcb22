/**
 * The peer's stream: which message is the next one, whatever carrier brings it (rules 1 and 4).
 *
 * Each carrier is counted on its own, from where its writer said it begins. Several carriers can bring the same messages;
 * the first that brings the next one is heard.
 */
import { GapError, check } from "../errors.js";

/** An acknowledgement is owed after so many messages, so many characters or bytes, or so long. */
const ACK_MESSAGES = 64;
const ACK_SIZE = 65536;
const ACK_MS = 1000;

export class Inbox {
  /** When an acknowledgement is due; Infinity when none is owed. */
  due = Infinity;
  /** Everything up to here is the application's. */
  received = 0;

  constructor() {
    /** @type {Map<number, number>} Carrier number -> number of the next message on it. */
    const next = new Map();
    let count = 0;
    let size = 0;

    /**
     * The writer states which number comes next on a carrier.
     * @param {number} carrier
     * @param {number} number
     */
    this.start = (carrier, number) => next.set(carrier, number);

    /**
     * Count a message. A repeat is acknowledged like a new one: its sender may not have heard.
     * @param {number} carrier
     * @param {number} length
     * @param {number} now
     * @returns {boolean} It is the next one; false for a repeat.
     * @throws {GapError} Messages are missing before it; the carrier ends.
     * @throws {import("../errors.js").RemoteProtocolError} Nothing was stated on this carrier.
     */
    this.take = (carrier, length, now) => {
      const number = next.get(carrier);
      check(number);
      if (number > this.received + 1) throw new GapError("gap");
      next.set(carrier, number + 1);
      size += length;
      this.due = ++count < ACK_MESSAGES && size < ACK_SIZE ? Math.min(this.due, now + ACK_MS) : 0;
      if (number <= this.received) return false;
      this.received = number;
      return true;
    };

    /**
     * A carrier ended.
     * @param {number} carrier
     */
    this.end = (carrier) => next.delete(carrier);

    /** @returns {number} The position, about to be sent. */
    this.acknowledge = () => {
      size = count = 0;
      this.due = Infinity;
      return this.received;
    };

    /** Something failed that an acknowledgement may have travelled with: it was not made. */
    this.untold = () => {
      if (this.received) this.due = 0;
    };
  }
}
