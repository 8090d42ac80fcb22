/**
 * The life of a page: when to look whether the network is still there, and when to say good-bye.
 */

/** The last two happen to the document; they are seen on their way down. */
const EVENTS = ["online", "offline", "pageshow", "pagehide", "resume", "visibilitychange"];

/**
 * @param {import("./options.js").Options} options
 * @param {(isNewNetwork: boolean) => void} wake
 * @param {() => void} [leave] The page will not come back.
 * @returns {() => void} Stop watching.
 */
export const watchPage = ({ page, network }, wake, leave) => {
  const target = /** @type {any} */ (globalThis);
  let known = network();
  let isLeaving = false;
  const handle = (/** @type {any} */ { type, persisted }) => {
    // Its other changes are guesses of how fast the network is.
    const isNew = type == "change" && known != (known = network());
    if (type == "pagehide") isLeaving = !persisted;
    // More than once: of a tab that closes in Firefox, the first is not always sent, and `visibilitychange` follows.
    if (isLeaving) leave?.();
    else if (type == "visibilitychange" ? !document.hidden : type == "change" ? isNew : type != "pagehide") wake(isNew || type == "online");
  };
  const each = (/** @type {string} */ verb) => {
    for (const name of EVENTS) target[verb]?.(name, handle, true);
    target.navigator?.connection?.[verb]?.("change", handle);
  };
  if (page) each("addEventListener");
  return () => each("removeEventListener");
};
