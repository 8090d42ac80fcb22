/**
 * Which transport next: the only place that decides it. No I/O; time is an argument.
 *
 * The policy is the table in docs/choosing-a-transport.md, row by row; test/connector.test.js has a test of each row.
 */
import { Attempts } from "./attempts.js";
import { LocalProtocolError } from "./errors.js";
import { pause } from "./options.js";
import { KINDS, STREAM, WEBSOCKET } from "./wire/kinds.js";

/** Head start of the first choice before the last resort starts too; and the most of it, on a slow network. */
const RACE_MS = 250;
const SLOW_RACE_MS = 1000;
/** The same, where the first choice has carried until it was cut off. */
const PROVEN_RACE_MS = 2000;
/** So soon after a WebSocket was opened the server's first word is here: they leave it together. */
const MUTE_MS = 50;
/** What carries has so long for itself before something better is probed. */
const SETTLE_MS = 100;
/** How long a verdict counts when the next page begins. */
const REMEMBER_MS = 600_000;
/** Pauses grow so often where the last resort is had each time: what is cut off so soon still brings something. */
const MOST_LIVES = 3;

/**
 * @typedef {object} Verdict What is known of one kind of transport.
 * @property {import("./wire/kinds.js").Kind} kind
 * @property {number} until Not to be tried before; Infinity while it is being tried.
 * @property {number} failures In a row.
 * @property {boolean} [late] It had not answered when one that began later had.
 * @property {number} lives How often in a row it has died young.
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
    const longest = /** @type {number} */ (laterMs.at(-1));
    /** In the order of preference. @type {Verdict[]} */
    const all = KINDS.map((kind) => ({ kind, until: 0, failures: 0, lives: 0 }));
    /** Those that the options and the server allow. */
    let allowed = all;
    /** What carries the session. @type {Verdict | undefined} */
    let carrying;
    let since = 0;
    /** What is tried first. @type {Verdict | undefined} */
    let first;
    /** Whether it has failed in this race. */
    let hasFailed = false;
    /** Until when the last resort waits that has failed. */
    let waits = 0;
    /** When the last resort joins the race. */
    let joins = 0;

    /** @param {string} kind */
    const of = (kind) => all[KINDS.indexOf(/** @type {any} */ (kind))];

    /** What is tried when all else fails. */
    const last = () => allowed.at(-1);

    /** Than what carries. */
    const better = () => allowed.slice(0, allowed.indexOf(/** @type {Verdict} */ (carrying)));

    /** @param {number} now */
    const stagger = (now) => {
      joins = now + Math.min(Math.max(RACE_MS, 4 * (this.rtt ?? 0)), SLOW_RACE_MS);
    };

    /** @param {number} now What is to bring a session was opened. */
    this.opened = (now) => {
      joins = now + MUTE_MS;
    };

    /** @param {string[]} kinds What this server offers. */
    this.offer = (kinds) => {
      allowed = all.filter(({ kind }) => kinds.includes(kind) && transports.includes(kind));
    };

    /**
     * Nothing carries any more, or yet.
     * @param {number} now
     * @param {Verdict} [choice] What to begin with.
     */
    const race = (now, choice = last()) => {
      for (const verdict of allowed) {
        if (verdict.until == Infinity || (verdict == last() && verdict != carrying)) verdict.until = 0;
      }
      carrying = undefined;
      first = choice;
      hasFailed = false;
      this.rounds = waits = 0;
      stagger(now);
    };

    /** @param {number} now A session is to be opened: by WebSocket, if nothing is held against it. */
    this.race = (now) => race(now, allowed.find((verdict) => verdict.kind == WEBSOCKET && !isSuspect(verdict)));

    /**
     * @param {string} kind
     * @param {number} now
     */
    this.carries = (kind, now) => {
      carrying = of(kind);
      since = now;
      carrying.failures = carrying.until = waits = 0;
      carrying.late = false;
      // First what the application waits for.
      for (const verdict of better()) verdict.until = Math.max(verdict.until, now + SETTLE_MS);
      remember();
    };

    /**
     * The carrier of the session is gone.
     * @param {string} kind
     * @param {number} now
     * @param {string} why "ended": in order, and it can be had again; "timeout": it had fallen silent.
     */
    this.lost = (kind, now, why) => {
      const verdict = of(kind);
      const clean = why == "ended";
      const isLast = verdict == last();
      // The last resort is all there is: a second of it is worth another one.
      verdict.lives = now - since < usefulMs * (isLast ? 0.2 : +!clean) ? verdict.lives + 1 : 0;
      // What is good for a moment each time must not be had again and again without a pause.
      verdict.until = verdict.lives > 1 ? now + (isLast ? pause(Math.min(verdict.lives - 2, MOST_LIVES), random) : demoteMs) : 0;
      race(now, clean ? verdict : allowed.find((other) => other.until <= now && !isSuspect(other)));
      // Where all clients are cut off at once, what has got through takes its time; asking twice would make it twice as long.
      if (why != "timeout" && first == verdict) joins = now + PROVEN_RACE_MS;
    };

    /**
     * A try came to nothing.
     * @param {string} kind
     * @param {number} now
     * @param {boolean} [isMute] It was opened, and brought nothing.
     */
    this.failed = (kind, now, isMute) => {
      const verdict = of(kind);
      if (carrying || verdict != last()) {
        // The last resort has failed as well, and waits: it was the network.
        if (now < waits) verdict.until = waits;
        else {
          verdict.until = now + ((!isMute && laterMs[verdict.failures]) || longest);
          verdict.failures++;
          if (carrying) remember();
          else hasFailed ||= verdict == first;
        }
      } else {
        waits = verdict.until = now + pause(this.rounds++, random);
        stagger(waits);
        if (hasFailed && first) {
          first.until = waits;
          first.failures--;
          hasFailed = false;
        }
      }
    };

    /**
     * A try was given up.
     * @param {string} kind
     * @param {number} now
     * @param {boolean} [isMute] It was opened, and brought nothing.
     */
    this.dropped = (kind, now, isMute) => {
      const verdict = of(kind);
      verdict.until = isMute ? now + longest : 0;
      // It had begun first, and another has answered.
      verdict.late ||= !carrying && verdict == first;
    };

    /** @param {string} kind The server does not know it. */
    this.refuse = (kind) => {
      allowed = allowed.filter((verdict) => verdict.kind != kind);
    };

    /**
     * Waiting is over.
     * @param {number} now
     * @param {boolean} [isNewNetwork] What is known of the old one is worth nothing.
     */
    this.refresh = (now, isNewNetwork) => {
      for (const verdict of all) {
        verdict.lives = 0;
        if (verdict.until < Infinity) verdict.until = 0;
        if (isNewNetwork) verdict.failures = +(verdict.late = false);
      }
      waits = 0;
      stagger(now);
      remember();
    };

    /**
     * What to try now. Each is taken as being tried from here on.
     * @param {number} now
     * @param {boolean} [mayHold] Whether a request may be held open.
     * @returns {string[]}
     */
    this.next = (now, mayHold = true) => {
      // The last resort need not wait for a first choice that has failed.
      const isJoining = now >= joins || (first && first.until > now && first.until < Infinity);
      const ready = (carrying ? better() : allowed.filter((verdict) => verdict == first || (isJoining && verdict == last()))).filter(
        (verdict) => verdict.until <= now && (mayHold || verdict.kind != STREAM || verdict == last()),
      );
      // One at a time, the stream first: it is had sooner, and then carries while the WebSocket is probed.
      const chosen = !carrying ? ready : allowed.some(({ until }) => until == Infinity) ? [] : ready.slice(-1);
      return chosen.map((verdict) => {
        verdict.until = Infinity;
        return verdict.kind;
      });
    };

    /**
     * @param {number} now
     * @returns {number} When to ask again, if nothing happens.
     */
    this.deadline = (now) => Math.min(...[...allowed.map(({ until }) => until), carrying || !last() ? now : joins].filter((at) => at > now));

    const key = () => `holdfast ${place} ${network()}`;

    /** Keep for the next page what counts against transports in this network: when, and which. */
    const remember = () => {
      const suspects = all.filter(isSuspect).map(({ kind }) => kind);
      try {
        if (suspects.length) storage?.setItem(key(), [wall(), ...suspects].join());
        else storage?.removeItem(key());
      } catch {
        // A full or a forbidden storage: it is known here at least.
      }
    };

    this.offer(KINDS);
    if (!last()) throw new LocalProtocolError("transports: " + transports);
    try {
      const [at, ...suspects] = storage?.getItem(key())?.split(",") ?? [];
      if (Math.abs(wall() - +at) < REMEMBER_MS) for (const kind of suspects) of(kind).late = true;
    } catch {
      // Not what we have written.
    }
  }
}
