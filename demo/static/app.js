/**
 * The demo's page: two numbered streams of events, what carries them, and the switches that break the network.
 *
 * The session goes through the misbehaving proxy, like this file. The switches have an origin of their own.
 */

import { io } from "../socket.io/holdfast.esm.min.js";
import { layTable } from "./table.js";
import { Timeline } from "./timeline.js";

/** Shorter than the defaults, so that one sees the way back up within seconds. */
const IMPATIENT = { laterMs: [1500, 2500, 4000], demoteMs: 4000, usefulMs: 1500, doubtMs: 1000, probeMs: 1000 };
const NAMES = { websocket: "WebSocket", stream: "Streaming", polling: "Polling", none: "Nothing" };
const WHY = {
  websocket: "One connection, both ways, a few bytes per event.",
  stream: "A response that never ends brings events; requests take them away.",
  polling: "A request waits for the next events, then another. It gets through everywhere.",
  none: "Events wait on both sides until something gets through.",
};
const SWITCHES = `${location.protocol}//${location.hostname}:${document.documentElement.dataset.switchesPort}`;
const FAULTS = { refuse_websocket: "WebSocket refused", swallow_websocket: "WebSocket swallowed", hold_streams: "streams held" };
const NONE_AFTER_MS = 100;

/** @param {string} id */
const $ = (id) => document.getElementById(id);
const show = (id, text) => {
  const element = $(id);
  if (element.textContent !== String(text)) element.textContent = text;
};
const count = (number) => Math.round(number).toLocaleString("en");

/** Checks the numbers of a stream that should be 1, 2, 3, … */
class Tally {
  received = 0;
  repeated = 0;
  disordered = 0;
  #highest = 0;
  #missing = new Set();

  take(number) {
    this.received++;
    for (let missing = this.#highest + 1; missing < number; missing++) this.#missing.add(missing);
    if (number > this.#highest) this.#highest = number;
    else if (this.#missing.delete(number)) this.disordered++;
    else this.repeated++;
  }

  summary() {
    return { received: this.received, lost: this.#missing.size, repeated: this.repeated, disordered: this.disordered };
  }
}

const ZERO = { sent: 0, received: 0, lost: 0, repeated: 0, disordered: 0, underway: 0 };
const plus = (a, b) => Object.fromEntries(Object.keys(ZERO).map((key) => [key, a[key] + (b[key] ?? 0)]));

/** The numbered events of one session. What never arrived by its end is lost. */
class Run {
  sent = 0;
  owed = 0;
  tally = new Tally();
  /** What the server said last, and what we had sent when it was asked. */
  report = { ...ZERO };
  asked = 0;

  counters() {
    const { received, lost, repeated, disordered, sent } = this.report;
    const down = { ...this.tally.summary(), sent: Math.max(sent, this.tally.received - this.tally.repeated) };
    return {
      up: { sent: this.sent, received, lost, repeated, disordered, underway: Math.max(0, this.asked - received + repeated - lost) },
      down: { ...down, underway: Math.max(0, down.sent - down.received + down.repeated - down.lost) },
    };
  }

  /** The same, when no more can arrive. */
  final() {
    const { up, down } = this.counters();
    for (const way of [up, down]) Object.assign(way, { lost: Math.max(0, way.sent - way.received + way.repeated), underway: 0 });
    return { up, down };
  }
}

const timeline = new Timeline($("timeline"), NAMES);
const history = [];
const before = { up: { ...ZERO }, down: { ...ZERO } };
let run = new Run();
let socket = /** @type {any} */ (null);
let carrier = "none";
let since = performance.now();
let changes = 0;
let disconnects = 0;
let roundTrip = NaN;
/** When an acknowledgement that has not come was asked for; 0 when none is. */
let askedAt = 0;
let rate = 20;
let leaving = false;

const counters = () => {
  const { up, down } = run.counters();
  return { up: plus(before.up, up), down: plus(before.down, down) };
};

// What carries the session

const carriedBy = (kind, from, reason) => {
  if (kind === carrier) return;
  carrier = kind;
  since = performance.now();
  history.push({ at: since, from: from ?? null, to: kind, reason: reason ?? "" });
  timeline.carries(kind);
  document.querySelector(".carrier").dataset.carrier = kind;
  show("carrier", NAMES[kind]);
  show("why", WHY[kind]);
};

let idleSince = 0;
const watchCarrier = () => {
  const now = performance.now();
  const engine = socket?.io.engine;
  if (socket?.connected && engine?.writable) {
    idleSince = 0;
    carriedBy(engine.transport.name, carrier, "");
  } else if (!idleSince) idleSince = now;
  else if (now - idleSince > NONE_AFTER_MS) carriedBy("none", carrier, "nothing gets through");
};

// The session

const hearAtTable = layTable((text) => socket.timeout(60000).emitWithAck("say", text));

const connect = (options) => {
  const mine = io({ forceNew: true, ...IMPATIENT, ...options });
  socket = mine;
  mine.on("connect", () => {
    if (run.sent || run.tally.received) endRun();
    mine.emit("rate", rate);
    carriedBy(mine.io.engine.transport.name, null, "connected");
    mine.emitWithAck("history").then((said) => {
      const waiting = $("messages").querySelectorAll(".waiting, .undelivered");
      $("messages").replaceChildren();
      said.forEach(hear);
      $("messages").append(...waiting);
    }, () => {});
  });
  mine.on("disconnect", (reason) => {
    if (mine !== socket || leaving) return;
    disconnects++;
    timeline.mark(`disconnect: ${reason}`);
  });
  mine.on("down", (number) => run.tally.take(number));
  mine.on("chat", hear);
  mine.on("said", hearAtTable);
  mine.io.on("transport", ({ from, to, reason }) => {
    if (mine !== socket) return;
    if (from) changes++;
    carriedBy(to, from, reason);
  });
};

const endRun = () => {
  const { up, down } = run.final();
  before.up = plus(before.up, up);
  before.down = plus(before.down, down);
  run = new Run();
};

/** End the session in order and start another. */
const restart = async (options) => {
  leaving = true;
  $("plain").disabled = true;
  const old = socket;
  try {
    run.report = await old.timeout(10000).emitWithAck("finish");
  } catch {
    // It cannot be ended in order; what did not arrive is counted as lost.
  }
  endRun();
  old.disconnect();
  carriedBy("none", carrier, "a new session");
  connect(options);
  leaving = false;
  $("plain").disabled = false;
};

let ticked = performance.now();
setInterval(() => {
  const now = performance.now();
  // A background tab ticks once a second; nobody wants a burst after it slept for longer.
  run.owed += (rate * Math.min(now - ticked, 1500)) / 1000;
  ticked = now;
  for (; run.owed >= 1; run.owed--) if (socket.connected && !leaving) socket.emit("up", ++run.sent);
}, 50);

setInterval(async () => {
  if (askedAt || leaving || !socket.connected) return;
  askedAt = performance.now();
  try {
    await socket.timeout(60000).emitWithAck("measure");
    roundTrip = performance.now() - askedAt;
  } catch {
    roundTrip = NaN;
  }
  askedAt = 0;
}, 1000);

const roundTripShown = () => {
  const unanswered = askedAt && performance.now() - askedAt;
  if (unanswered > Math.max(2000, 2 * roundTrip)) return `> ${Math.floor(unanswered / 1000)} s`;
  return carrier === "none" || Number.isNaN(roundTrip) ? "–" : `${count(roundTrip)} ms`;
};

// What is shown

const showCounters = () => {
  const all = counters();
  let wrong = [];
  for (const way of ["up", "down"]) {
    const { sent, received, underway, lost, repeated, disordered } = all[way];
    for (const [key, value] of Object.entries({ sent, received, underway, lost, repeated, disordered })) {
      show(`${way}-${key}`, count(value));
      $(`${way}-${key}`).classList.toggle("wrong", value > 0);
    }
    if (lost) wrong.push(`${count(lost)} lost`);
    if (repeated) wrong.push(`${count(repeated)} repeated`);
    if (disordered) wrong.push(`${count(disordered)} out of order`);
  }
  show("verdict", wrong.join(", ") || "Nothing lost, all in order");
  $("verdict").classList.toggle("wrong", wrong.length > 0);
  show("changes", changes);
  show("disconnects", disconnects);
  show("round-trip", roundTripShown());
};

const still = matchMedia("(prefers-reduced-motion: reduce)");
let drawn = 0;
const draw = (now) => {
  requestAnimationFrame(draw);
  if (now - drawn < (still.matches ? 1000 : 33)) return;
  drawn = now;
  timeline.draw();
};
requestAnimationFrame(draw);
const inspection = () => JSON.stringify(socket.io.inspect(), null, 1).replace(/\{\n([^{}]*)\n *\}/g, (one) => one.replace(/\s+/g, " "));
const showInspection = () => $("diagnosis").open && show("inspection", inspection());

$("diagnosis").addEventListener("toggle", showInspection);
$("copy").addEventListener("click", async () => {
  // Where the clipboard is refused, the text is there to be marked.
  await navigator.clipboard?.writeText(inspection()).then(() => show("copy", "Copied"), () => getSelection().selectAllChildren($("inspection")));
});

setInterval(watchCarrier, 50);
setInterval(showInspection, 1000);
setInterval(showCounters, 200);

// The switches

/** @type {any} */
let network = null;
let generation = 0;
const seen = { at: 0, requests: 0, headBytes: 0, bodyBytes: 0, events: 0 };

const switches = async (action, options) => {
  const mine = ++generation;
  const [asked, ours, id] = [run.sent, run, socket.id ?? ""];
  const request = options && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(options) };
  try {
    const response = await fetch(`${SWITCHES}/${action}?socket=${encodeURIComponent(id)}`, { ...request, signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(await response.text());
    const state = await response.json();
    // An answer that was overtaken would flip a switch back under the user's finger.
    if (mine === generation) {
      showNetwork(state);
      // While nothing gets through, this is the only way to know what the server has counted.
      if (state.report && ours === run && id === socket.id && !leaving) Object.assign(run, { report: state.report, asked });
    }
    $("switches-problem").hidden = true;
  } catch {
    $("switches-problem").hidden = false;
  }
};

const showNetwork = (state) => {
  // Another tab may have done it: the line stands where it was done, not where we heard of it.
  const at = performance.now() - state.changedMsAgo;
  for (const [fault, name] of Object.entries(FAULTS)) {
    const on = state.faults[fault];
    document.querySelector(`[data-fault=${fault}]`).checked = on;
    if (network && network.faults[fault] !== on) timeline.mark(on ? name : `${name}: over`, { at, isMended: !on });
  }
  if (network && network.delayMs !== state.delayMs) {
    timeline.mark(state.delayMs ? `delay ${state.delayMs} ms` : "no delay", { at, isMended: !state.delayMs });
  }
  if (document.activeElement !== $("delay") || !pendingDelay) {
    $("delay").value = state.delayMs;
    show("delay-value", `${state.delayMs} ms`);
  }
  if (network && network.cuts !== state.cuts) timeline.mark("cut", { at });
  if (network && !network.closedForMs && state.closedForMs) timeline.mark("all cut", { at });
  if (network?.closedForMs && !state.closedForMs) timeline.mark("all cut: over", { isMended: true });
  show("closed", state.closedForMs ? "Nothing gets through now." : "");
  network = state;
  showCosts(state);
};

const showCosts = (state) => {
  const at = performance.now();
  if (at - seen.at < 900) return;
  const seconds = (at - seen.at) / 1000;
  const [requests, head, body, events] = ["requests", "headBytes", "bodyBytes", "events"].map((key) => state[key] - seen[key]);
  if (seen.at) {
    show("requests", (requests / seconds).toFixed(1));
    show("per-event", events ? count((head + body) / events) : "–");
    show("overhead", head + body ? `${Math.round((100 * head) / (head + body))} %` : "–");
  }
  Object.assign(seen, { at, requests: state.requests, headBytes: state.headBytes, bodyBytes: state.bodyBytes, events: state.events });
};

for (const box of document.querySelectorAll("[data-fault]")) {
  box.addEventListener("change", () => switches("set", { [box.dataset.fault]: box.checked }));
}
$("clear").addEventListener("click", () => switches("clear", {}));
$("cut").addEventListener("click", () => switches("cut", {}));
$("cut-all").addEventListener("click", () => switches("cut-all", { seconds: Number($("cut-seconds").value) || 5 }));
$("plain").addEventListener("change", () => restart($("plain").checked ? { transports: ["polling"] } : {}));
$("rate").addEventListener("input", () => {
  rate = Number($("rate").value);
  show("rate-value", rate);
});
$("rate").addEventListener("change", () => socket.emit("rate", rate));
let pendingDelay = /** @type {any} */ (0);
$("delay").addEventListener("input", () => {
  show("delay-value", `${$("delay").value} ms`);
  clearTimeout(pendingDelay);
  pendingDelay = setTimeout(async () => {
    await switches("set", { delay_ms: Number($("delay").value) });
    pendingDelay = 0;
  }, 150);
});

// The chat

const hear = ({ name, text, from, mark }) => {
  const line = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = name;
  line.append(who, text);
  line.classList.toggle("mine", from === socket.id);
  // What we have said ourselves stands there already, waiting.
  const waiting = mark && $("messages").querySelector(`[data-mark="${CSS.escape(mark)}"]`);
  if (waiting) waiting.replaceWith(line);
  else $("messages").append(line);
  while ($("messages").children.length > 100) $("messages").firstChild.remove();
  $("messages").scrollTop = $("messages").scrollHeight;
};

$("who").value = sessionStorage.getItem("name") ?? ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Radia"][Math.floor(Math.random() * 6)];
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("name", $("who").value);
  say($("who").value, $("text").value);
  $("text").value = "";
});

/** Said at once, and marked until the server has it. */
const say = async (name, text) => {
  const mark = Math.random().toString(36).slice(2);
  hear({ name, text, from: socket.id, mark: "" });
  const line = $("messages").lastChild;
  line.dataset.mark = mark;
  line.classList.add("waiting");
  try {
    await socket.emitWithAck("chat", name, text, mark);
  } catch {
    line.classList.replace("waiting", "undelivered");
  }
};

// For browser tests: what the page knows, to read only.
const state = {
  get carrier() { return carrier; },
  get counters() { return counters(); },
  get history() { return history.map((entry) => ({ ...entry })); },
  get changes() { return changes; },
  get disconnects() { return disconnects; },
  get roundTrip() { return roundTrip; },
  get network() { return structuredClone(network); },
};
Object.defineProperty(window, "__holdfast", { value: Object.freeze(state) });

connect({});
switches("state");
setInterval(() => switches("state"), 300);
