/**
 * Which tabs may hold a request open. A browser opens six HTTP/1.1 connections to a server over all tabs: were all of them
 * held, nobody could send. The browser's own locks are the seats, so a tab that dies gives up its own.
 */

/** So many of the six; the others are for what is answered at once. */
const SEATS = 3;

/**
 * @param {import("./options.js").Options} options
 * @param {string} place The server.
 * @param {() => void} changed It has been given one.
 */
export const createSeat = ({ locks }, place, changed) => {
  /** @type {AbortController | undefined} */
  let asked;
  const seat = {
    /** Whether a request may be held open. */
    isOurs: !locks,

    /**
     * Ask for one, or give it back. What is the case already is not done again.
     * @param {boolean} isWanted
     */
    want(isWanted) {
      if (!locks || isWanted == !!asked) return;
      asked?.abort();
      asked = isWanted ? new AbortController() : undefined;
      seat.isOurs = false;
      if (!asked) return;
      const { signal } = asked;
      const hold = () =>
        signal.aborted || seat.isOurs
          ? undefined
          : new Promise((release) => {
              seat.isOurs = true;
              signal.addEventListener("abort", release);
              changed();
            });
      for (let number = 0; number < SEATS; number++) {
        // Where nothing may be shared, in a sandboxed frame, nobody waits.
        locks.request(`holdfast ${place} ${number}`, { signal }, hold).catch(() => signal.aborted || hold());
      }
    },
  };
  return seat;
};
