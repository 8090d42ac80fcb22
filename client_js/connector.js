/**
 * Which transport next: the only place that decides it. No I/O; time is an argument.
 *
 * The policy is the table in docs/choosing-a-transport.md, row by row; test/connector.test.js has a test of each row.
 */
import { Attempts } from "./attempts.js";
import { pause } from "./options.js";
import { KINDS, STREAM } from "./wire/kinds.js";

/** Head start of the first choice before the last resort starts too; and the most of it, on a slow network. */
const RACE_MS = 250;
const SLOW_RACE_MS = 1000;
/** What carries has so long for itself before something better is probed. */
const SETTLE_MS = 100;
/** How long a verdict counts when the next page begins. */
const REMEMBER_MS = 600_000;

/**
 * @typedef {object} Verdict What is known of one kind of transport.
 * @property {import("./wire/kinds.js").Kind} kind
 * @property {boolean} allowed By the options and by the server.
 * @property {number} until Not to be tried before.
 * @property {number} failures In a row.
 * @property {boolean} late It had not answered when one that began later had.
 * @property {number} lives How often in a row it has died young.
 * @property {boolean} running It is being tried.
 * @property {boolean} raced It has failed in this race.
 */

/** @param {Verdict} verdict */
const isSuspect = ({ failures, late }) => failures || late;

export class Connector extends Attempts {
  /** How often the last resort has failed in this race. */
  rounds = 0;

  /**
   * @param {import("./options.js").Options} options
   * @param {string} [place] What is remembered is remembered of this server.
   */
  constructor(options, place) {
    super(options);
    const { transports, usefulMs, demoteMs, laterMs, random, storage, network, wall } = options;
    /** In the order of preference. @type {Verdict[]} */
    const verdicts = KINDS.map((kind) => ({ kind, allowed: false, until: 0, failures: 0, late: false, lives: 0, running: false, raced: false }));
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

    /** @param {number} now */
    const stagger = (now) => now + Math.min(Math.max(RACE_MS, 4 * (this.rtt ?? 0)), SLOW_RACE_MS);

    /** @param {string[]} kinds What this server offers. */
    this.offer = (kinds) => {
      for (const verdict of verdicts) verdict.allowed = [kinds, transports].every((list) => list.includes(verdict.kind));
    };

    /**
     * Nothing carries any more, or yet.
     * @param {number} now
     * @param {Verdict} [choice] What to begin with; else the WebSocket, if nothing is held against it.
     */
    const race = (now, choice = isSuspect(verdicts[0]) ? last() : undefined) => {
      carrying = undefined;
      first = choice ?? verdicts[0];
      joins = stagger(now);
      this.rounds = 0;
      for (const verdict of verdicts) verdict.running = verdict.raced = false;
      const resort = last();
      if (resort) resort.until = 0;
    };

    /** @param {number} now A session is to be opened. */
    this.race = (now) => race(now);

    /**
     * @param {string} kind
     * @param {number} now
     */
    this.carries = (kind, now) => {
      carrying = of(kind);
      since = now;
      carrying.failures = 0;
      carrying.late = false;
      carrying.running = false;
      // First what the application waits for.
      for (const better of verdicts.slice(0, verdicts.indexOf(carrying))) better.until = Math.max(better.until, now + SETTLE_MS);
      remember();
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
      race(now, clean ? verdict : verdicts.find((other) => isReady(other, now) && !isSuspect(other)));
      if (isLast && short++) verdict.until = now + pause(short - 2, random);
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
        if (carrying) remember();
      } else {
        verdict.until = now + pause(this.rounds++, random);
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
     * A try was given up.
     * @param {string} kind
     * @param {boolean} [isLate] It had begun first, and another has answered.
     */
    this.dropped = (kind, isLate) => {
      const verdict = of(kind);
      verdict.running = false;
      verdict.late ||= !!isLate;
    };

    /** @param {string} kind The server does not know it. */
    this.refuse = (kind) => {
      of(kind).allowed = false;
    };

    /**
     * Waiting is over.
     * @param {number} now
     * @param {boolean} [isNewNetwork] What is known of the old one is worth nothing.
     */
    this.refresh = (now, isNewNetwork) => {
      for (const verdict of verdicts) {
        verdict.until = verdict.lives = 0;
        if (isNewNetwork) verdict.failures = +(verdict.late = false);
      }
      joins = stagger(now);
      remember();
    };

    /**
     * What to try now. Each is taken as being tried from here on.
     * @param {number} now
     * @param {boolean} [mayHold] Whether a request may be held open.
     * @returns {string[]}
     */
    this.next = (now, mayHold = true) =>
      (carrying ? better(now, carrying) : runners(now))
        .filter((verdict) => mayHold || verdict.kind != STREAM || verdict == last())
        .map((verdict) => {
          verdict.running = true;
          return verdict.kind;
        });

    /**
     * @param {Verdict} verdict
     * @param {number} now
     */
    const isReady = ({ allowed, running, until }, now) => allowed && !running && until <= now;

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
      return Math.min(...[...times, !carrying && last() ? joins : 0].map((at) => (at > now ? at : Infinity)));
    };

    const { inspect } = this;
    /**
     * @param {number} now
     * @returns {{rtt?: number, attempts: import("./attempts.js").Attempt[], held: Record<string, number>}} And what is held against a transport, for how long.
     */
    this.inspect = (now) => ({
      ...inspect(now),
      held: Object.fromEntries(verdicts.filter(({ failures, until }) => failures || until > now).map(({ kind, until }) => [kind, Math.max(0, Math.round(until - now))])),
    });

    const key = () => `holdfast ${place} ${network()}`;

    /** Keep for the next page what counts against a transport in this network. */
    const remember = () => {
      const failed = verdicts.filter(isSuspect).map(({ kind }) => kind);
      try {
        if (failed.length) storage?.setItem(key(), JSON.stringify({ at: wall(), failed }));
        else storage?.removeItem(key());
      } catch {
        // A full or a forbidden storage: it is known here at least.
      }
    };

    this.offer(KINDS);
    try {
      const { at, failed } = JSON.parse(storage?.getItem(key()) ?? "{}");
      if (Math.abs(wall() - at) < REMEMBER_MS) for (const kind of failed) of(kind).late = true;
    } catch {
      // Not what we have written.
    }
  }
}
