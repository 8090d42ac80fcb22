/**
 * Which transport next: the only place that decides it. No I/O; time is an argument.
 *
 * While nothing carries, it is a race: the first choice at once, the last resort a moment later, or at once when the first
 * choice is known not to work. While something carries, what would be better is probed, one at a time. A verdict against
 * a transport has a time limit, and says nothing if at that time the last resort failed as well: then it was the network.
 */
import { KINDS } from "./options.js";

/**
 * @typedef {object} Verdict What is known of one kind of transport.
 * @property {string} kind
 * @property {boolean} allowed By the options and by the server.
 * @property {number} until Not to be tried before.
 * @property {number} failures
 * @property {number} lives How often in a row it has died young.
 * @property {boolean} running It is being tried.
 * @property {boolean} raced It has failed in this race.
 */

export class Connector {
  #options;
  /** In the order of preference. @type {Verdict[]} */
  #verdicts;
  /** What carries the session. @type {Verdict | undefined} */
  #carrying;
  #since = 0;
  /** @type {Verdict} What is tried first. */
  #first;
  /** When the last resort joins the race. */
  #joins = 0;
  /** How often in a row the last resort has lived too short. */
  #short = 0;
  /** How often the last resort has failed in this race. */
  rounds = 0;

  /** @param {import("./options.js").Options} options */
  constructor(options) {
    this.#options = options;
    this.#verdicts = KINDS.map((kind) => ({ kind, allowed: false, until: 0, failures: 0, lives: 0, running: false, raced: false }));
    this.#first = this.#verdicts[0];
    this.offer(KINDS);
  }

  /**
   * @param {string} kind
   * @returns {Verdict}
   */
  #of(kind) {
    return /** @type {Verdict} */ (this.#verdicts.find((verdict) => verdict.kind == kind));
  }

  /** What is tried when all else fails. @returns {Verdict | undefined} */
  get #last() {
    return this.#verdicts.filter(({ allowed }) => allowed).pop();
  }

  /**
   * Nothing carries any more, or yet.
   * @param {number} now
   * @param {string} [first] What was carrying well; else the WebSocket.
   */
  race(now, first = KINDS[0]) {
    this.#carrying = undefined;
    this.#first = this.#of(first);
    this.#joins = now + this.#options.raceMs;
    this.rounds = 0;
    for (const verdict of this.#verdicts) verdict.running = verdict.raced = false;
    const last = this.#last;
    if (last) last.until = 0;
  }

  /**
   * @param {string} kind
   * @param {number} now
   */
  carries(kind, now) {
    this.#carrying = this.#of(kind);
    this.#since = now;
    this.#carrying.failures = 0;
    this.#carrying.running = false;
  }

  /**
   * The carrier of the session is gone.
   * @param {string} kind
   * @param {number} now
   * @param {boolean} clean It was ended in order, and can be had again.
   */
  lost(kind, now, clean) {
    const verdict = this.#of(kind);
    const { usefulMs, demoteMs } = this.#options;
    const isYoung = now - this.#since < usefulMs;
    if (clean || !isYoung) verdict.lives = 0;
    else if (++verdict.lives > 1) {
      verdict.lives = 0;
      verdict.until = now + demoteMs;
    }
    // What is good for a moment each time must not be had again and again without a pause.
    const isLast = verdict == this.#last;
    if (!isLast || !isYoung) this.#short = 0;
    this.race(now, clean ? kind : undefined);
    if (isLast && this.#short++) verdict.until = now + this.#pause(this.#short - 2);
  }

  /** @param {number} tries */
  #pause(tries) {
    return Math.min(this.#options.retryMs * 2 ** tries, this.#options.retryMaxMs);
  }

  /**
   * A try came to nothing.
   * @param {string} kind
   * @param {number} now
   */
  failed(kind, now) {
    const verdict = this.#of(kind);
    const { laterMs, raceMs, random } = this.#options;
    verdict.running = false;
    if (this.#carrying || verdict != this.#last) {
      verdict.until = now + laterMs[Math.min(verdict.failures++, laterMs.length - 1)];
      verdict.raced = !this.#carrying;
    } else {
      verdict.until = now + this.#pause(this.rounds++) * (0.5 + random());
      this.#joins = verdict.until + raceMs;
      for (const other of this.#verdicts) {
        if (other.raced) {
          other.until = verdict.until;
          other.failures--;
          other.raced = false;
        }
      }
    }
  }

  /**
   * A try was given up; it says nothing.
   * @param {string} kind
   */
  dropped(kind) {
    this.#of(kind).running = false;
  }

  /** @param {string[]} kinds What this server offers. */
  offer(kinds) {
    for (const verdict of this.#verdicts) {
      verdict.allowed = kinds.includes(verdict.kind) && this.#options.transports.includes(verdict.kind);
    }
  }

  /** @param {string} kind The server does not know it. */
  refuse(kind) {
    this.#of(kind).allowed = false;
  }

  /**
   * The network has changed: what is known of it is worth nothing.
   * @param {number} now
   */
  refresh(now) {
    for (const verdict of this.#verdicts) verdict.until = verdict.failures = verdict.lives = 0;
    this.#joins = now + this.#options.raceMs;
  }

  /**
   * What to try now. Each is taken as being tried from here on.
   * @param {number} now
   * @returns {string[]}
   */
  next(now) {
    const verdicts = this.#carrying ? this.#better(now, this.#carrying) : this.#runners(now);
    return verdicts.map((verdict) => {
      verdict.running = true;
      return verdict.kind;
    });
  }

  /** @param {number} now */
  #runners(now) {
    const last = this.#last;
    const first = this.#first;
    const runners = first != last && isReady(first, now) ? [first] : [];
    const isAlone = !runners[0] && !first.running;
    if (last && isReady(last, now) && (isAlone || first == last || now >= this.#joins)) runners.push(last);
    return runners;
  }

  /**
   * @param {number} now
   * @param {Verdict} carrying
   */
  #better(now, carrying) {
    const better = this.#verdicts.slice(0, this.#verdicts.indexOf(carrying));
    if (this.#verdicts.some(({ running, allowed }) => running && allowed)) return [];
    // The stream first: it is had sooner, and then carries while the WebSocket is probed.
    return better.filter((verdict) => isReady(verdict, now)).slice(-1);
  }

  /**
   * @param {number} now
   * @returns {number} When to ask again, if nothing happens.
   */
  deadline(now) {
    const times = this.#verdicts.map(({ allowed, running, until }) => (allowed && !running ? until : 0));
    return Math.min(...[...times, this.#joins].map((at) => (at > now ? at : Infinity)));
  }
}

/**
 * @param {Verdict} verdict
 * @param {number} now
 */
const isReady = ({ allowed, running, until }, now) => allowed && !running && until <= now;
