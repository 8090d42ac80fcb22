// What every page of browser.py runs, whatever its client: it begins, writes down each event and checks the numbers.
const now = () => performance.timeOrigin + performance.now();

/** What has been received: when it was sent and when it came, both in ms of the same machine's clock. */
const heard = [];
const problems = [];
let missing = 0;
let last = { number: 0, started: 0 };
let begun = 0;
let wake = () => {};
/** Say something to the server. @type {(number: number) => void} */
let say;

const hear = (name, sent, number, started) => {
  if (name == "tick") {
    // A server that was restarted counts from 1; who has not heard it before may begin anywhere.
    if (started == last.started) {
      if (number <= last.number) problems.push(`${number} after ${last.number}`);
      missing += Math.max(0, number - last.number - 1);
    }
    last = { number, started };
  }
  heard.push({ name, sent, at: now() });
  wake();
};

const listen = (socket) => {
  for (const name of ["first", "answer", "tick"]) socket.on(name, (...args) => hear(name, ...args));
  say = (number) => socket.emit("up", number);
  window.carrier = () => socket.io.engine.transport.name;
  return socket;
};

const clients = {
  holdfast() {
    const socket = listen(io());
    // A session that lives on has no new connection, on which the server would say something.
    socket.io.on("transport", () => window.asking && socket.emit("ask"));
  },
  "socket.io"() {
    listen(io());
  },
  "socket.io ws"() {
    listen(io({ transports: ["websocket", "polling"], tryAllTransports: true }));
  },
  sockjs() {
    // It does not connect again by itself. The page does so at once, and then after the pauses of socket.io-client.
    let failures = 0;
    const open = () => {
      const socket = new SockJS("/sockjs");
      socket.onopen = () => (failures = 0);
      socket.onmessage = ({ data }) => hear(...JSON.parse(data));
      socket.onclose = () => {
        const pause = failures ? 1000 * 2 ** (failures - 1) * (0.5 + Math.random()) : 0;
        failures++;
        setTimeout(open, Math.min(pause, 5000));
      };
      say = (number) => socket.readyState == SockJS.OPEN && socket.send(number);
      window.carrier = () => socket.transport;
    };
    open();
  },
};

/** @param {string} client */
window.begin = (client) => {
  begun = now();
  clients[client]();
};

/** From now on the page speaks as often as the server. */
window.speak = () => {
  let number = 0;
  setInterval(() => say(++number), 50);
};

/**
 * Wait for the first event that was sent at or after a moment.
 * @param {number} [from] As Date.now(); without it, the moment at which it began.
 * @returns {Promise<{ms: number, name: string, carrier: string}>} How long after that moment it was received.
 */
window.next = async (from) => {
  const since = from ?? begun;
  for (;;) {
    // The clocks of two processes may differ by their rounding: what is heard first is sent later than begun.
    const event = heard.find(({ sent }) => from === undefined || sent >= since);
    if (event) return { ms: event.at - since, name: event.name, carrier: window.carrier() };
    await new Promise((resolve) => (wake = resolve));
  }
};

/**
 * @param {boolean} isComplete Whether to wait for another number first, without which the last ones are not missed.
 */
window.check = async (isComplete) => {
  const before = last;
  while (isComplete && last == before) await new Promise((resolve) => (wake = resolve));
  return { problems, missing, heard: heard.length };
};
