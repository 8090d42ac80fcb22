/**
 * Which transport next: the only place that decides it. No I/O; time is an argument.
 *
 * While nothing carries, it is a race: the first choice at once, the last resort a moment later, or at once when the first
 * choice is known not to work. While something carries, what would be better is probed, one at a time. A verdict against
 * a transport has a time limit, and says nothing if at that time the last resort failed as well: then it was the network.
 */
import { pause } from "./options.js";
import { KINDS } from "./wire/kinds.js";

/** Head start of the first choice before the last resort starts too. */
const RACE_MS = 250;

/**
 * @typedef {object} Verdict What is known of one kind of transport.
 * @property {import("./wire/kinds.js").Kind} kind
 * @property {boolean} allowed By the options and by the server.
 * @property {number} until Not to be tried before.
 * @property {number} failures
 * @property {number} lives How often in a row it has died young.
 * @property {boolean} running It is being tried.
 * @property {boolean} raced It has failed in this race.
 */

/**
 * @param {Verdict} verdict
 * @param {number} now
 */
const isReady = ({ allowed, running, until }, now) => allowed && !running && until <= now;

export class Connector {
  /** How often the last resort has failed in this race. */
  rounds = 0;

  /** @param {import("./options.js").Options} options */
  constructor({ transports, usefulMs, demoteMs, laterMs, random }) {
    /** In the order of preference. @type {Verdict[]} */
    const verdicts = KINDS.map((kind) => ({ kind, allowed: false, until: 0, failures: 0, lives: 0, running: false, raced: false }));
    /** What carries the session. @type {Verdict | undefined} */
    let carrying;
    let since = 0;
    /** What is tried first. */
    let first = verdicts[0];
    /** When the last resort joins the race. */
    let joins = 0;
    /** How often in a row the last resort has lived too short. */
    let short = 0;

    /** @param {string} kind */
    const of = (kind) => verdicts[KINDS.indexOf(/** @type {any} */ (kind))];

    /** What is tried when all else fails. @returns {Verdict | undefined} */
    const last = () => verdicts.filter(({ allowed }) => allowed).pop();

    /** @param {string[]} kinds What this server offers. */
    this.offer = (kinds) => {
      for (const verdict of verdicts) verdict.allowed = kinds.includes(verdict.kind) && transports.includes(verdict.kind);
    };

    /**
     * Nothing carries any more, or yet.
     * @param {number} now
     * @param {string} [kind] What was carrying well; else the WebSocket.
     */
    this.race = (now, kind = KINDS[0]) => {
      carrying = undefined;
      first = of(kind);
      joins = now + RACE_MS;
      this.rounds = 0;
      for (const verdict of verdicts) verdict.running = verdict.raced = false;
      const resort = last();
      if (resort) resort.until = 0;
    };

    /**
     * @param {string} kind
     * @param {number} now
     */
    this.carries = (kind, now) => {
      carrying = of(kind);
      since = now;
      carrying.failures = 0;
      carrying.running = false;
    };

    /**
     * The carrier of the session is gone.
     * @param {string} kind
     * @param {number} now
     * @param {boolean} clean It was ended in order, and can be had again.
     */
    this.lost = (kind, now, clean) => {
      const verdict = of(kind);
      const isYoung = now - since < usefulMs;
      if (clean || !isYoung) verdict.lives = 0;
      else if (++verdict.lives > 1) {
        verdict.lives = 0;
        verdict.until = now + demoteMs;
      }
      // What is good for a moment each time must not be had again and again without a pause.
      const isLast = verdict == last();
      if (!isLast || !isYoung) short = 0;
      this.race(now, clean ? kind : undefined);
      if (isLast && short++) verdict.until = now + pause(short - 2);
    };

    /**
     * A try came to nothing.
     * @param {string} kind
     * @param {number} now
     */
    this.failed = (kind, now) => {
      const verdict = of(kind);
      verdict.running = false;
      if (carrying || verdict != last()) {
        verdict.until = now + laterMs[Math.min(verdict.failures++, laterMs.length - 1)];
        verdict.raced = !carrying;
      } else {
        verdict.until = now + pause(this.rounds++) * (0.5 + random());
        joins = verdict.until + RACE_MS;
        for (const other of verdicts) {
          if (other.raced) {
            other.until = verdict.until;
            other.failures--;
            other.raced = false;
          }
        }
      }
    };

    /**
     * A try was given up; it says nothing.
     * @param {string} kind
     */
    this.dropped = (kind) => {
      of(kind).running = false;
    };

    /** @param {string} kind The server does not know it. */
    this.refuse = (kind) => {
      of(kind).allowed = false;
    };

    /**
     * The network has changed: what is known of it is worth nothing.
     * @param {number} now
     */
    this.refresh = (now) => {
      for (const verdict of verdicts) verdict.until = verdict.failures = verdict.lives = 0;
      joins = now + RACE_MS;
    };

    /**
     * What to try now. Each is taken as being tried from here on.
     * @param {number} now
     * @returns {string[]}
     */
    this.next = (now) =>
      (carrying ? better(now, carrying) : runners(now)).map((verdict) => {
        verdict.running = true;
        return verdict.kind;
      });

    /** @param {number} now */
    const runners = (now) => {
      const resort = last();
      const runners = first != resort && isReady(first, now) ? [first] : [];
      const isAlone = !runners[0] && !first.running;
      if (resort && isReady(resort, now) && (isAlone || first == resort || now >= joins)) runners.push(resort);
      return runners;
    };

    /**
     * @param {number} now
     * @param {Verdict} carrying
     */
    const better = (now, carrying) =>
      verdicts.some(({ running, allowed }) => running && allowed)
        ? []
        : // The stream first: it is had sooner, and then carries while the WebSocket is probed.
          verdicts
            .slice(0, verdicts.indexOf(carrying))
            .filter((verdict) => isReady(verdict, now))
            .slice(-1);

    /**
     * @param {number} now
     * @returns {number} When to ask again, if nothing happens.
     */
    this.deadline = (now) => {
      const times = verdicts.map(({ allowed, running, until }) => (allowed && !running ? until : 0));
      return Math.min(...[...times, last() ? joins : 0].map((at) => (at > now ? at : Infinity)));
    };

    this.offer(KINDS);
  }
}
