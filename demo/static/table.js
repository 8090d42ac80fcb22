/**
 * One conversation of three clients on one page: events, SockJS and STOMP.
 *
 * The last two are the least that such a client can be, without their libraries. All of it goes through the misbehaving proxy.
 */
import { HoldfastSocket } from "../socket.io/holdfast.socket.esm.min.js";

/** @typedef {{hear: (message: {by: string, text: string}) => void, isThere: (is: boolean) => void}} Seat */

const AGAIN_MS = 1000;
const base = location.pathname.replace(/\/$/, "");
const pause = () => new Promise((resolve) => setTimeout(resolve, AGAIN_MS));

/** SockJS by its transport `xhr`: the answer to each request is the next frame. A session does not outlive its connection. */
class SockJSClient {
  #session = "";

  /** @param {Seat} seat */
  async run({ hear, isThere }) {
    for (;;) {
      isThere(false);
      this.#session = `${base}/sockjs/0/${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
      for (let frame = "o"; frame[0] != "c"; ) {
        try {
          const answer = await fetch(`${this.#session}/xhr`, { method: "POST" });
          frame = answer.ok ? await answer.text() : "c";
        } catch {
          frame = "c";
        }
        // "o" opens it, "h" is a heartbeat.
        for (const text of frame[0] == "a" ? JSON.parse(frame.slice(1)) : []) {
          const [event, message] = JSON.parse(text);
          if (event == "said") hear(message);
          else isThere(true);
        }
      }
      await pause();
    }
  }

  /** @param {string} text */
  async send(text) {
    const answer = await fetch(`${this.#session}/xhr_send`, { method: "POST", body: JSON.stringify([text]) });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  }
}

/**
 * @param {string} command
 * @param {Record<string, string>} headers
 */
const frameOf = (command, headers, body = "") =>
  [command, ...Object.entries(headers).map((pair) => pair.join(":")), "", `${body}\0`].join("\n");

/** STOMP over a session in the shape of a WebSocket, which outlives its connections. */
class StompClient {
  /** @type {HoldfastSocket} */
  #socket;

  /** @param {Seat} seat */
  run(seat) {
    const socket = (this.#socket = new HoldfastSocket(`${base}/stomp`, "v12.stomp"));
    socket.onopen = () => {
      socket.send(frameOf("CONNECT", { "accept-version": "1.2", host: location.hostname }));
      socket.send(frameOf("SUBSCRIBE", { id: "table", destination: "/topic/table", receipt: "there" }));
    };
    socket.onmessage = ({ data }) => {
      const [head, body] = data.split("\n\n");
      if (head.startsWith("RECEIPT")) seat.isThere(true);
      if (head.startsWith("MESSAGE")) seat.hear(JSON.parse(body.replace(/\0.*/s, "")));
    };
    socket.onclose = () => {
      seat.isThere(false);
      pause().then(() => this.run(seat));
    };
  }

  /** @param {string} text */
  async send(text) {
    this.#socket.send(frameOf("SEND", { destination: "/app/table", "content-type": "text/plain" }, text));
  }
}

/**
 * One side of the table.
 * @param {string} id
 * @param {(text: string) => Promise<unknown>} send
 * @returns {Seat}
 */
const seat = (id, send) => {
  const [form, input, list] = ["form", "input", "ol"].map((name) => /** @type {any} */ (document.querySelector(`#${id} ${name}`)));
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const text = input.value;
    input.value = "";
    try {
      await send(text);
    } catch {
      // It goes back to where it came from, to be said again.
      input.value ||= text;
    }
  });
  return {
    hear({ by, text }) {
      const line = document.createElement("li");
      const who = document.createElement("b");
      who.textContent = by;
      line.append(who, text);
      list.append(line);
      while (list.children.length > 50) list.firstChild.remove();
      list.scrollTop = list.scrollHeight;
    },
    isThere: (is) => (input.disabled = !is),
  };
};

/**
 * Lay the table; the two others come when it is opened.
 * @param {(text: string) => Promise<unknown>} say By events.
 * @returns {(message: {by: string, text: string}) => void} To be told the events.
 */
export const layTable = (say) => {
  const [sockjs, stomp] = [new SockJSClient(), new StompClient()];
  const [events, bySockJS, byStomp] = [
    seat("by-events", say),
    seat("by-sockjs", (text) => sockjs.send(text)),
    seat("by-stomp", (text) => stomp.send(text)),
  ];
  const table = /** @type {HTMLDetailsElement} */ (document.getElementById("table"));
  const open = () => {
    sockjs.run(bySockJS);
    stomp.run(byStomp);
  };
  table.addEventListener("toggle", open, { once: true });
  return events.hear;
};
