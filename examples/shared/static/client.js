/**
 * What both examples share: which client runs, how the server is asked, and how what is sent arrives once.
 *
 * Nothing here or in an example's own files knows which of the two clients it has.
 */

const CLIENTS = { holdfast: "/socket.io/holdfast.esm.min.js", official: "/official/socket.io.esm.min.js" };
const TRANSPORTS = { websocket: "WebSocket", stream: "streaming", polling: "polling" };
const LOOK_MS = 200;

export const client = new URLSearchParams(location.search).get("client") === "official" ? "official" : "holdfast";

/** The function `io` of the chosen client. */
export const loadIo = async () => {
  for (const link of document.querySelectorAll("[data-client]")) {
    if (link.dataset.client === client) link.setAttribute("aria-current", "page");
  }
  try {
    return (await import(CLIENTS[client])).io;
  } catch (error) {
    const answer = await fetch(CLIENTS[client]).catch(() => null);
    complain(answer && !answer.ok ? await answer.text() : String(error));
    throw error;
  }
};

/** Show in the page's header what goes wrong. */
export const complain = (text) => {
  const problem = document.getElementById("problem");
  problem.textContent = text;
  problem.hidden = !text;
};

/** Show in the page's header whether there is a connection, and what carries it. */
export const showConnection = (socket) => {
  const place = document.getElementById("connection");
  let stuck = 0;
  const look = () => {
    const engine = socket.io.engine;
    const transport = engine?.transport?.name;
    const isWritable = engine?.writable ?? engine?.transport?.writable;
    stuck = socket.connected && !isWritable ? stuck + 1 : 0;
    const state = !socket.connected ? "disconnected" : stuck > 2 ? "waiting" : "connected";
    const text = state === "connected" ? `connected by ${TRANSPORTS[transport] ?? transport}` : `${state}…`;
    if (place.textContent !== text) place.textContent = text;
    place.dataset.state = state;
    place.dataset.transport = transport ?? "";
  };
  socket.on("connect", look);
  socket.on("disconnect", look);
  setInterval(look, LOOK_MS);
};

/** The server has said no. */
export class Refused extends Error {
  constructor({ message, code }) {
    super(message);
    this.code = code;
  }
}

/**
 * Send an event and wait for the answer.
 * @throws {Refused} The handler raised an error. The official client hands it over as an answer, ours throws it.
 * @throws {Error} The connection was lost before the answer came.
 */
export const ask = async (socket, event, ...args) => {
  let answer;
  try {
    answer = await socket.emitWithAck(event, ...args);
  } catch (error) {
    throw error.name === "EventError" ? new Refused(error) : error;
  }
  if (answer?.error) throw new Refused(answer.error);
  return answer;
};

/** A text that nobody can guess. (`crypto.randomUUID` exists only where there is TLS.) */
export const randomText = () => crypto.getRandomValues(new Uint32Array(4)).join("-").padEnd(16, "-");

/** This tab's own: it survives a reload and a change of client. */
export const tabKey = () => {
  const key = sessionStorage.getItem("key") ?? randomText();
  sessionStorage.setItem("key", key);
  return key;
};

/** Sends in order, and after a lost connection again, until there is an answer. The server knows a repeat by its nonce. */
export class Outbox {
  #socket;
  #waiting = new Map();
  #isOpen = false;

  constructor(socket) {
    this.#socket = socket;
    socket.on("disconnect", () => (this.#isOpen = false));
  }

  get size() {
    return this.#waiting.size;
  }

  /**
   * @returns {Promise<any>} The answer.
   * @throws {Refused} The server does not want it.
   */
  send(event, nonce, ...args) {
    return new Promise((resolve, reject) => {
      this.#waiting.set(nonce, { call: [event, ...args], resolve, reject });
      if (this.#isOpen) this.#deliver(nonce);
    });
  }

  /** The server will understand what is sent from now on. */
  open() {
    this.#isOpen = true;
    for (const nonce of this.#waiting.keys()) this.#deliver(nonce);
  }

  async #deliver(nonce) {
    const { call, resolve, reject } = this.#waiting.get(nonce);
    try {
      resolve(await ask(this.#socket, ...call));
    } catch (error) {
      // Without a connection it waits for the next one.
      if (!(error instanceof Refused) && !this.#socket.connected) return;
      reject(error);
    }
    this.#waiting.delete(nonce);
  }
}
