/**
 * The errors an application can meet. One tree: `HoldfastError` catches them all.
 */

export class HoldfastError extends Error {
  name = "HoldfastError";
}

/** Our caller's mistake: nothing was sent and nothing has changed. */
export class LocalProtocolError extends HoldfastError {
  name = "LocalProtocolError";
}

/** The peer broke the protocol: the session is closed with a reason. */
export class RemoteProtocolError extends HoldfastError {
  name = "RemoteProtocolError";
}

/** Messages are missing on one carrier: that carrier ends, the session does not. */
export class GapError extends HoldfastError {}

/** The server answered a request with a refusal (protocol.md section 8). */
export class RefusedError extends HoldfastError {
  name = "RefusedError";

  /**
   * @param {number} code
   * @param {string} message
   * @param {number} [received] How far the server had got with our messages.
   * @param {number} [retry] In how many ms it wants to be asked again, and no sooner.
   */
  constructor(code, message, received, retry = 0) {
    super(message);
    this.code = code;
    this.received = received;
    this.retry = retry;
  }
}

/** @typedef {"not delivered" | "unknown"} Delivery Whether it is sure that the other side will never see the event. */

/** Nobody waits for the acknowledgement any more. */
class UnansweredError extends HoldfastError {
  /**
   * @param {string} message
   * @param {Delivery} delivery What became of the event.
   * @param {unknown} [cause]
   */
  constructor(message, delivery, cause) {
    super(message, { cause });
    this.delivery = delivery;
  }
}

/** The socket was disconnected before the acknowledgement came. */
export class DisconnectedError extends UnansweredError {
  name = "DisconnectedError";
}

/** No acknowledgement came within the time given. */
export class TimeoutError extends UnansweredError {
  name = "TimeoutError";
}

/** The application's `AbortSignal` came before the acknowledgement; its reason is the `cause`. */
export class AbortError extends UnansweredError {
  name = "AbortError";
}

/** The handler on the other side failed (protocol.md section 10). */
export class EventError extends HoldfastError {
  name = "EventError";

  /** @param {{message: string, code?: string, data?: unknown}} error */
  constructor({ message, code, data }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/**
 * @template T
 * @param {() => T} read What the peer has sent; may throw anything.
 * @returns {T}
 * @throws {RemoteProtocolError}
 */
export const attempt = (read) => {
  try {
    return read();
  } catch (error) {
    return /** @type {any} */ (check(false, error));
  }
};

/**
 * @param {number} size In bytes, or characters; or how many.
 * @param {number} limit
 * @param {string} what
 * @throws {LocalProtocolError}
 */
export const checkSize = (size, limit, what) => {
  if (size > limit) throw new LocalProtocolError(`${what}: ${size}, limit ${limit}`);
};

/**
 * @param {unknown} isRight What the peer has sent.
 * @param {unknown} [cause]
 * @returns {asserts isRight}
 * @throws {RemoteProtocolError}
 */
export function check(isRight, cause) {
  if (!isRight) throw new RemoteProtocolError("bad packet", { cause });
}
