/**
 * Our stream: numbered messages, kept until the peer has them (protocol.md section 2, rules 1 and 5).
 *
 * A number is given when a message is appended, and never changes. `acked` <= `written` <= `last`.
 */
import { check } from "../errors.js";
import { checkNumber } from "../wire/packet.js";

/** @typedef {import("../wire/packet.js").Data} Data */
/** @typedef {{data: Data, meta: unknown}} Entry `meta` is the application's own; the same for all that belong together. */

export class Outbox {
  /** The highest number the peer has taken over in order. */
  acked = 0;
  /** The highest number written on any carrier. */
  written = 0;
  /** The highest number given. */
  last = 0;
  /** Of what is kept, in characters and bytes. */
  size = 0;
  /** When the first of those was last written, or became the first; or doubt of it was answered. */
  oldest = 0;

  constructor() {
    /** @type {Entry[]} The messages after `acked`. */
    const kept = [];
    /** Of the last one that was acknowledged: what belongs to it cannot be taken back. @type {unknown} */
    let gone;
    /** @returns {number} When the oldest message that was written and not acknowledged went out; Infinity without one. */
    this.since = () => (this.written > this.acked ? this.oldest : Infinity);

    /**
     * @param {Data} data
     * @param {unknown} meta
     * @returns {number} Its number.
     */
    this.append = (data, meta) => {
      kept.push({ data, meta });
      this.size += data.length;
      return ++this.last;
    };

    /**
     * @param {number} from
     * @param {number} count
     */
    const remove = (from, count) => {
      for (const { data } of kept.splice(from, count)) this.size -= data.length;
    };

    /**
     * Take back what no carrier has written. Numbers that only we know are given again.
     * @param {unknown} meta
     * @returns {boolean} Whether it was there, unwritten: the peer will not see it.
     */
    this.withdraw = (meta) => {
      const index = kept.findIndex((entry) => entry.meta == meta);
      // What is not there is before the first one.
      if (meta == gone || this.acked + index < this.written) return false;
      for (; kept[index]?.meta == meta; this.last--) remove(index, 1);
      return true;
    };

    /**
     * @param {number} number Everything up to it has arrived. An older one than before is ignored.
     * @param {number} [now] From now on the next one is waited for.
     * @throws {import("../errors.js").RemoteProtocolError} It was never sent, or is no number.
     */
    this.acknowledge = (number, now = 0) => {
      check(checkNumber(number) <= this.written);
      if (number <= this.acked) return;
      gone = kept[number - this.acked - 1]?.meta;
      remove(0, number - this.acked);
      this.acked = number;
      this.oldest = now;
    };

    /**
     * Read a message to write it.
     * @param {number} number From `acked` + 1 to `last`.
     * @param {number} now
     * @returns {Data}
     */
    this.write = (number, now) => {
      const index = number - this.acked - 1;
      if (!index) this.oldest = now;
      this.written = Math.max(this.written, number);
      return kept[index].data;
    };

    /**
     * @param {number} position How far the peer says it had got.
     * @returns {Entry[]} What it did not get.
     */
    this.after = (position) => kept.slice(Math.max(0, position - this.acked));
  }
}
