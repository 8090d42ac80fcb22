/**
 * The chat's page. It joins after every connect, and shows what it is told; see events.py for the other side.
 */
import { Outbox, Refused, ask, complain, loadIo, randomText, showConnection, tabKey } from "./shared/client.js";

const LOBBY = "#lobby";
const TYPING_SENT_MS = 1500;
const TYPING_SHOWN_MS = 4000;
const SHOWN = 500;

const $ = (id) => document.getElementById(id);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const face = (name) => {
  const element = make("span", { className: "face", textContent: [...name][0].toUpperCase(), ariaHidden: "true" });
  element.style.setProperty("--hue", [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7));
  return element;
};

/** What is said in a room ("#lobby") or with somebody ("@Ada"). */
class Talk {
  /** Messages, notices, and what has not been answered yet. */
  elements = [];
  /** Ids of messages, by which a repeat is known. @type {Set<number>} */
  known = new Set();
  unread = 0;
  /** When they stop, by name. @type {Map<string, number>} */
  typing = new Map();

  /** A message goes before the first that is younger; a notice stays where it came. */
  add(element) {
    const at = this.elements.findIndex(({ order }) => order > element.order);
    this.elements.splice(at < 0 ? this.elements.length : at, 0, element);
    if (this.elements.length > SHOWN) this.elements.shift();
  }

  remove(element) {
    this.elements = this.elements.filter((other) => other !== element);
  }
}

const io = await loadIo();
const socket = io();
const outbox = new Outbox(socket);
const talks = new Map([[LOBBY, new Talk()]]);
const rooms = new Set(JSON.parse(sessionStorage.getItem("rooms") ?? "[]"));
let presence = { people: [], rooms: {} };
let name = sessionStorage.getItem("name") ?? "";
let isIn = false;
let isJoining = false;
let current = LOBBY;
let typedAt = 0;

showConnection(socket);
talks.get(LOBBY).add(make("li", { className: "notice", textContent: "Open this page in a second window, and be somebody else there." }));

const talkOf = (key) => {
  if (!talks.has(key)) talks.set(key, new Talk());
  return talks.get(key);
};

// --- coming in, and coming back

const join = async () => {
  if (isJoining) return;
  isJoining = true;
  try {
    const answer = await ask(socket, "join", name, tabKey(), [...rooms]);
    name = answer.name;
    answer.rooms.forEach((room) => rooms.add(room));
    sessionStorage.setItem("name", name);
    for (const message of answer.messages) hear(message, !isIn);
    isIn = true;
    $("join").hidden = true;
    $("chat").hidden = false;
    show(current);
    outbox.open();
  } catch (error) {
    // A lost connection comes back, and then we are asked again.
    if (error instanceof Refused) refuse(error);
  } finally {
    isJoining = false;
  }
};

const refuse = ({ code, message }) => {
  name = "";
  sessionStorage.removeItem("name");
  $("refusal").querySelector("code").textContent = code ?? "";
  $("refusal").querySelector("span").textContent = message;
  $("join").hidden = false;
  $("chat").hidden = true;
  $("name").select();
};

$("join").onsubmit = (event) => {
  event.preventDefault();
  name = $("name").value;
  if (socket.connected) join();
};
// Until here a click would have sent the form to nowhere.
$("join").querySelector("button").disabled = false;
if (!$("name").value) $("name").value = name;

socket.on("connect", () => {
  complain("");
  if (name) join();
});
socket.on("connect_error", (error) => complain(`No connection: ${error.message}`));

// --- what the server says

const hear = (message, isOld) => {
  const { id, from, to } = message;
  const key = to.startsWith("#") || from === name ? to : `@${from}`;
  const talk = talkOf(key);
  if (talk.known.has(id)) return;
  talk.known.add(id);
  talk.add(bubble(message));
  talk.typing.delete(from);
  if (from !== name && !isOld && (key !== current || document.hidden)) talk.unread++;
  if (key === current) showMessages();
  showSides();
};

socket.on("message", (message) => hear(message));
socket.on("notice", ({ to, who, what }) => {
  talkOf(to).add(make("li", { className: "notice", textContent: `${who} ${what}` }));
  if (to === current) showMessages();
});
socket.on("presence", (now) => {
  presence = now;
  showSides();
});
socket.on("typing", ({ to, who }) => {
  talkOf(to.startsWith("#") ? to : `@${who}`).typing.set(who, Date.now() + TYPING_SHOWN_MS);
  showTyping();
});

// --- what the page says

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  typedAt = 0;
  const to = current;
  const talk = talkOf(to);
  const element = bubble({ from: name, text });
  // Only what takes longer than a moment is worth a word.
  const slow = setTimeout(() => element.classList.add("waiting"), 300);
  talk.add(element);
  showMessages(true);
  const nonce = randomText();
  try {
    const message = await outbox.send("say", nonce, to, text, nonce);
    talk.remove(element);
    hear(message);
  } catch (error) {
    element.classList.add("undelivered");
    element.querySelector(".who").textContent = `not delivered: ${error.message}`;
  }
  clearTimeout(slow);
  element.classList.remove("waiting");
};

$("text").oninput = () => {
  if (!$("text").value || Date.now() - typedAt < TYPING_SENT_MS) return;
  typedAt = Date.now();
  if (socket.connected) socket.volatile.emit("typing", current);
};

$("enter").onsubmit = async (event) => {
  event.preventDefault();
  if (await enter($("room").value)) $("room").value = "";
};

const enter = async (room) => {
  try {
    for (const message of await ask(socket, "enter", room)) hear(message, true);
    rooms.add(room);
    show(`#${room}`);
    return true;
  } catch (error) {
    complain(error.message);
    return false;
  }
};

$("leave").onclick = async () => {
  const key = current;
  if (key.startsWith("#")) {
    rooms.delete(key.slice(1));
    ask(socket, "leave", key.slice(1)).catch((error) => complain(error.message));
  }
  talks.delete(key);
  show(LOBBY);
};

// --- what is shown

const bubble = ({ id, from, text, at }) => {
  const time = at ? new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : "";
  const who = make("span", { className: "who" }, make("b", { textContent: from }), time);
  const element = make("li", { className: from === name ? "message mine" : "message" }, face(from), who, make("p", { textContent: text }));
  // What is not answered yet comes last.
  Object.assign(element, { from, order: id ?? Infinity });
  return element;
};

const showMessages = (toEnd) => {
  const list = $("messages");
  const { elements } = talkOf(current);
  const isAtEnd = toEnd || list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  // Only what has changed is touched: a screen reader reads aloud what is new here.
  elements.forEach((element, at) => {
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
    element.classList.toggle("again", !!element.from && elements[at - 1]?.from === element.from);
  });
  while (list.children.length > elements.length) list.lastChild.remove();
  if (isAtEnd) list.scrollTop = list.scrollHeight;
  showTyping();
};

const showTyping = () => {
  const { typing } = talkOf(current);
  for (const [who, until] of typing) if (until <= Date.now()) typing.delete(who);
  const names = [...typing.keys()];
  const some = names.length > 2 ? "Several people are" : names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"}` : "";
  $("typing").textContent = some && `${some} typing…`;
};
setInterval(showTyping, 500);

const entry = (key, first, label, last, open) => {
  const talk = talks.get(key);
  const button = make("button", { type: "button", onclick: open }, first, make("span", { textContent: label }), last);
  if (talk?.unread) button.append(make("b", { className: "unread", textContent: talk.unread, ariaLabel: `${talk.unread} unread` }));
  if (key === current) button.setAttribute("aria-current", "true");
  return make("li", {}, button);
};

const showSides = () => {
  if (!isIn) return;
  const all = Object.entries(presence.rooms);
  $("rooms").replaceChildren(
    ...all.map(([room, count]) =>
      entry(`#${room}`, "#", room, make("small", { textContent: count }), () => (rooms.has(room) ? show(`#${room}`) : enter(room))),
    ),
  );
  // Who has written to us stays in the list when they go.
  const gone = [...talks.keys()].filter((key) => key.startsWith("@") && !presence.people.includes(key.slice(1)));
  $("people").replaceChildren(
    ...presence.people.map((who) => entry(`@${who}`, face(who), who, who === name ? make("small", { textContent: "you" }) : "", () => who !== name && show(`@${who}`))),
    ...gone.map((key) => entry(key, face(key.slice(1)), key.slice(1), make("small", { textContent: "gone" }), () => show(key))),
  );
  $("count").textContent = presence.people.length;
  const who = current.slice(1);
  const isHere = current.startsWith("#") || presence.people.includes(who);
  $("about").textContent = current.startsWith("#") ? `${presence.rooms[who] ?? 0} here` : isHere ? "in private" : "is gone";
  const unread = [...talks.values()].reduce((sum, talk) => sum + talk.unread, 0);
  document.title = unread ? `(${unread}) Chat` : "Chat";
};

const show = (key) => {
  current = key;
  talkOf(key).unread = 0;
  sessionStorage.setItem("rooms", JSON.stringify([...rooms]));
  $("title").textContent = key.startsWith("#") ? key : key.slice(1);
  $("leave").hidden = key === LOBBY;
  $("leave").textContent = key.startsWith("#") ? "Leave" : "Close";
  $("text").placeholder = key.startsWith("#") ? `Message ${key}` : `Message ${key.slice(1)} in private`;
  $("messages").replaceChildren();
  showMessages(true);
  showSides();
  $("text").focus();
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !isIn) return;
  talkOf(current).unread = 0;
  showSides();
});
