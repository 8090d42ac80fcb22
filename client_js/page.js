/**
 * The life of a page: when to look whether the network is still there, and when to say good-bye.
 */

/**
 * @param {(isNewNetwork: boolean) => void} wake
 * @param {() => void} leave The page will not come back.
 * @returns {() => void} Stop watching.
 */
export const watchPage = (wake, leave) => {
  const target = /** @type {any} */ (globalThis);
  const handle = (/** @type {any} */ event) => {
    if (event.type == "pagehide") event.persisted || leave();
    else if (event.type != "visibilitychange" || !document.hidden) wake(event.type == "online");
  };
  const events = ["online", "pageshow", "pagehide", "visibilitychange", "resume"];
  // The last two happen to the document; they are seen on their way down.
  const each = (/** @type {string} */ verb) => events.forEach((name) => target[verb + "EventListener"]?.(name, handle, true));
  each("add");
  return () => each("remove");
};
