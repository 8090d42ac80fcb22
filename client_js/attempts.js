/**
 * What was tried of late and how it went, for whoever asks why it does not connect; and the last round trip.
 */

/** So many tries are told. */
const ATTEMPTS = 30;

/** @typedef {{at: string, transport: string, ms: number, verdict: string}} Attempt `ms`: until it carried, or had failed. */
/** @typedef {(verdict: string) => void} Judge The last verdict counts, and the time of the first. */

export class Attempts {
  /** The last round trip that was measured, in ms. @type {number | undefined} */
  rtt;

  /** @param {import("./options.js").Options} options */
  constructor({ wall, now }) {
    /** The last ones. @type {(() => Attempt)[]} */
    const attempts = [];

    /**
     * Something is tried.
     * @param {string} transport
     * @returns {Judge}
     */
    this.note = (transport) => {
      const since = now();
      const at = new Date(wall()).toISOString();
      let verdict = "trying";
      /** @type {number | undefined} */
      let judged;
      attempts.push(() => ({ at, transport, ms: Math.round((judged ?? now()) - since), verdict }));
      attempts.splice(0, attempts.length - ATTEMPTS);
      return (said) => {
        judged ??= now();
        verdict = said;
      };
    };

    /** @returns {{rtt?: number, attempts: import("./attempts.js").Attempt[]}} What a support person wants to see of it. */
    this.inspect = () => ({ rtt: this.rtt, attempts: attempts.map((tell) => tell()) });
  }
}
