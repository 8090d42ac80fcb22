// Checks numbered events and their data, as demo/checker.py does: equal arguments give equal data and equal counts.

const TEXT = 'abcdefgh \u00e9\u20ac\u65e5\x1e\n\r\n\n"\\\x00\ufeff,;:{}[]0123456789';
const BYTES = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

const mixed = (value) => {
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
};

const slice = (pattern, repeat, number, size) => {
  const start = number % pattern.length;
  return repeat(Math.floor((start + size) / pattern.length) + 1).slice(start, start + size);
};

const textOf = (number, size) => slice(TEXT, (times) => TEXT.repeat(times), number, size);
const bytesOf = (number, size) => slice(BYTES, (times) => Buffer.concat(Array(times).fill(BYTES)), number, size);

/** @param {{seed?: number, limitBytes?: number, binary?: number}} plan @returns The data of a number; undefined if there is none. */
export const payloads = ({ seed = 0, limitBytes = 0, binary = 0 }) => {
  const scales = Math.max(1, 31 - Math.clz32(limitBytes));
  return (number) => {
    if (!limitBytes) return undefined;
    const chance = mixed((Math.imul(number, 2654435761) + Math.imul(seed, 40503)) >>> 0);
    const scale = 1 << chance % scales;
    const size = scale + ((chance >>> 8) % scale);
    return (chance >>> 5) % 1000 < binary * 1000 ? bytesOf(number, size) : textOf(number, size);
  };
};

const isSame = (data, wanted) => {
  if (!Buffer.isBuffer(wanted)) return data === wanted;
  if (data instanceof ArrayBuffer) data = new Uint8Array(data);
  return data instanceof Uint8Array && wanted.equals(data);
};

/** The numbers of one direction, as they come. */
export class Checker {
  received = 0;
  repeated = 0;
  disordered = 0;
  damaged = 0;
  highest = 0;
  #missing = new Set();

  /** @param {(number: number) => unknown} [of] What the data must be; without it, data is not looked at. */
  constructor(of) {
    this.of = of;
  }

  take(number, data) {
    this.received++;
    if (this.of && !isSame(data, this.of(number))) this.damaged++;
    if (number > this.highest) {
      for (let missed = this.highest + 1; missed < number; missed++) this.#missing.add(missed);
      this.highest = number;
    } else if (this.#missing.delete(number)) this.disordered++;
    else this.repeated++;
  }

  get distinct() {
    return this.received - this.repeated;
  }

  verdict(sent = this.highest) {
    const { received, repeated, disordered, damaged } = this;
    const lost = this.#missing.size + Math.max(0, sent - this.highest);
    return { sent, received, lost, repeated, disordered, damaged };
  }
}

/** Acknowledgements: each that was asked for comes once, with the right answer or an error. */
export class Acks {
  #asked = new Set();
  #times = new Map();
  answered = 0;
  failed = 0;
  wrong = 0;

  ask(number) {
    this.#asked.add(number);
  }

  /** What a callback was called with: an error, or null and the answer, which must be the number itself. */
  settle(number, error, answer) {
    this.#times.set(number, (this.#times.get(number) ?? 0) + 1);
    if (error) this.failed++;
    else {
      this.answered++;
      if (answer !== number || !this.#asked.has(number)) this.wrong++;
    }
  }

  get pending() {
    return [...this.#asked].filter((number) => !this.#times.has(number)).length;
  }

  toJSON() {
    const { answered, failed, wrong, pending } = this;
    const repeated = [...this.#times.values()].reduce((sum, times) => sum + times - 1, 0);
    return { asked: this.#asked.size, answered, failed, wrong, repeated, pending };
  }
}
