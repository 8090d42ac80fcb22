/**
 * The POSTs of a session: one in flight with messages, and notes that do not wait for it.
 */
import { HoldfastError } from "./errors.js";
import { post } from "./transports/post.js";

export class Poster {
  #options;
  #session;
  #url;
  #failures = 0;
  /** Whether one is in flight. */
  busy = false;
  /** When the next may go; 0 when nothing has failed. */
  next = 0;

  /**
   * @param {import("./options.js").Options} options
   * @param {import("./session/session.js").Session} session
   * @param {() => string} url
   */
  constructor(options, session, url) {
    this.#options = options;
    this.#session = session;
    this.#url = url;
  }

  /**
   * @param {string} body
   * @returns {Promise<void>} The answer has been taken.
   * @throws {Error} It failed, or was refused.
   */
  async bring(body) {
    const text = await post(this.#options, this.#url(), body);
    if (this.#session.plain) return;
    if (text[0] != "7") throw new HoldfastError("not an answer to a POST");
    this.#session.answer(text.slice(1), 0, false, this.#options.now());
  }

  /**
   * Bring what there is; not while another is in flight.
   * @param {string[]} control
   * @throws {Error} As `bring`.
   */
  async pump(control) {
    const { now, retryMs, retryMaxMs } = this.#options;
    const { outbox } = this.#session;
    const sent = [...control];
    const { acked, last } = outbox;
    this.busy = true;
    this.next = 0;
    try {
      await this.bring(this.#session.post(control, now()));
      // That nothing of it was taken is as good as a failure, for when to try again.
      this.#failures = outbox.acked > acked || last == acked ? 0 : this.#failures + 1;
    } catch (error) {
      this.#failures++;
      control.unshift(...sent);
      throw error;
    } finally {
      this.busy = false;
      this.next = this.#failures && now() + Math.min(retryMs * 2 ** this.#failures, retryMaxMs);
    }
  }
}
