/**
 * Which transport next: the only place that decides it. No I/O; time is an argument.
 *
 * While nothing carries, it is a race: the first choice at once, the last resort a moment later, or at once when the first
 * choice is known not to work. While something carries, what would be better is probed, one at a time. A verdict against
 * a transport has a time limit, and says nothing if at that time the last resort failed as well: then it was the network.
 */

/** @typedef {"websocket" | "stream" | "polling"} Kind */
/** @typedef {{until: number, failures: number, lives: number, running: boolean, raced: boolean}} Verdict */

export class Connector {
  #options;
  /** @type {Map<string, Verdict>} In the order of preference. */
  #verdicts = new Map();
  #offered = ["websocket", "stream", "polling"];
  /** @type {string | undefined} What carries the session. */
  #carrying;
  #since = 0;
  #first = "websocket";
  /** When the last resort joins the race. */
  #joins = 0;
  /** How often in a row the last resort has lived too short. */
  #short = 0;
  /** How often the last resort has failed in this race. */
  rounds = 0;

  /** @param {import("./options.js").Options} options */
  constructor(options) {
    this.#options = options;
    for (const kind of ["websocket", "stream", "polling"]) {
      if (options.transports.includes(kind)) {
        this.#verdicts.set(kind, { until: 0, failures: 0, lives: 0, running: false, raced: false });
      }
    }
  }

  /** What may be used, best first. */
  get #kinds() {
    return [...this.#verdicts.keys()].filter((kind) => this.#offered.includes(kind));
  }

  /** What is tried when all else fails. */
  get #last() {
    return this.#kinds.pop();
  }

  /**
   * Nothing carries any more, or yet.
   * @param {number} now
   * @param {string} [first] What was carrying well; else the WebSocket.
   */
  race(now, first = "websocket") {
    this.#carrying = undefined;
    this.#first = first;
    this.#joins = now + this.#options.raceMs;
    this.rounds = 0;
    for (const verdict of this.#verdicts.values()) verdict.running = verdict.raced = false;
    const last = this.#verdicts.get(this.#last ?? "");
    if (last) last.until = 0;
  }

  /**
   * @param {string} kind
   * @param {number} now
   */
  carries(kind, now) {
    this.#carrying = kind;
    this.#since = now;
    this.dropped(kind);
    const verdict = this.#verdicts.get(kind);
    if (verdict) verdict.failures = 0;
  }

  /**
   * The carrier of the session is gone.
   * @param {string} kind
   * @param {number} now
   * @param {boolean} clean It was ended in order, and can be had again.
   */
  lost(kind, now, clean) {
    const verdict = this.#verdicts.get(kind);
    if (verdict) {
      if (clean || now - this.#since >= this.#options.usefulMs) verdict.lives = 0;
      else if (++verdict.lives > 1) {
        verdict.lives = 0;
        verdict.until = now + this.#options.demoteMs;
      }
    }
    // What is good for a moment each time must not be had again and again without a pause.
    const { retryMs, retryMaxMs, usefulMs } = this.#options;
    if (kind != this.#last || now - this.#since >= usefulMs) this.#short = 0;
    this.race(now, clean ? kind : undefined);
    const last = this.#verdicts.get(kind);
    if (kind == this.#last && last && this.#short++) last.until = now + Math.min(retryMs * 2 ** (this.#short - 2), retryMaxMs);
  }

  /**
   * A try came to nothing.
   * @param {string} kind
   * @param {number} now
   */
  failed(kind, now) {
    const verdict = this.#verdicts.get(kind);
    if (!verdict) return;
    const { laterMs, retryMs, retryMaxMs, raceMs, random } = this.#options;
    verdict.running = false;
    if (this.#carrying || kind != this.#last) {
      verdict.until = now + laterMs[Math.min(verdict.failures++, laterMs.length - 1)];
      verdict.raced = !this.#carrying;
    } else {
      const again = now + Math.min(retryMs * 2 ** this.rounds++, retryMaxMs) * (0.5 + random());
      verdict.until = again;
      this.#joins = again + raceMs;
      for (const other of this.#verdicts.values()) {
        if (other.raced) {
          other.until = again;
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
    const verdict = this.#verdicts.get(kind);
    if (verdict) verdict.running = false;
  }

  /** @param {string[]} kinds What this server offers. */
  offer(kinds) {
    this.#offered = kinds;
  }

  /** @param {string} kind The server does not know it. */
  refuse(kind) {
    this.#offered = this.#offered.filter((other) => other != kind);
  }

  /**
   * The network has changed: what is known of it is worth nothing.
   * @param {number} now
   */
  refresh(now) {
    for (const verdict of this.#verdicts.values()) verdict.until = verdict.failures = verdict.lives = 0;
    this.#joins = now + this.#options.raceMs;
  }

  /**
   * What to try now. Each is taken as being tried from here on.
   * @param {number} now
   * @returns {string[]}
   */
  next(now) {
    const kinds = this.#carrying ? this.#better(now) : this.#runners(now);
    for (const kind of kinds) /** @type {Verdict} */ (this.#verdicts.get(kind)).running = true;
    return kinds;
  }

  /**
   * @param {string | undefined} kind
   * @param {number} now
   */
  #ready(kind, now) {
    const verdict = this.#verdicts.get(kind ?? "");
    return verdict && this.#offered.includes(kind ?? "") && !verdict.running && verdict.until <= now;
  }

  /** @param {number} now */
  #runners(now) {
    const last = this.#last;
    const first = this.#first;
    const kinds = first != last && this.#ready(first, now) ? [first] : [];
    const alone = !kinds.length && !this.#verdicts.get(first)?.running;
    if (last && this.#ready(last, now) && (alone || first == last || now >= this.#joins)) kinds.push(last);
    return kinds;
  }

  /** @param {number} now */
  #better(now) {
    if (this.#kinds.some((kind) => this.#verdicts.get(kind)?.running)) return [];
    // The stream first: it is had sooner, and then carries while the WebSocket is probed.
    const better = ["stream", "websocket"].slice(this.#carrying == "polling" ? 0 : 1);
    return this.#carrying == "websocket" ? [] : better.filter((kind) => this.#ready(kind, now)).slice(0, 1);
  }

  /**
   * @param {number} now
   * @returns {number} When to ask again, if nothing happens.
   */
  deadline(now) {
    let at = Infinity;
    for (const kind of this.#kinds) {
      const { until, running } = /** @type {Verdict} */ (this.#verdicts.get(kind));
      if (!running && until > now) at = Math.min(at, until);
    }
    return this.#joins > now ? Math.min(at, this.#joins) : at;
  }
}
