/**
 * The whiteboard's page: what the hand does goes out, what the server says is painted; see events.py for the other side.
 */
import { Outbox, ask, complain, loadIo, randomText, showConnection, tabKey } from "./shared/client.js";
import { MAX_PICTURE, MAX_POINTS, packPicture, packPoint, packStroke, unpackItems, unpackPoint, unpackStroke } from "./packing.js";
import { Painter } from "./painter.js";
import { fit } from "./pictures.js";

const COLOURS = { Ink: "#1b2426", Red: "#d63a3a", Orange: "#e98a15", Green: "#2b9348", Blue: "#2563c9", Violet: "#8a3ffc", Eraser: "#fdfcf9" };
const WIDTHS = { Fine: 3, Medium: 7, Broad: 16, "Very broad": 40 };
const TELL_MS = 40;
const MAX_PIECE = 150;
const NEAR = 2;
const ADJECTIVES = ["Brave", "Calm", "Clever", "Happy", "Kind", "Lucky", "Quick", "Sunny"];
const ANIMALS = ["Otter", "Fox", "Heron", "Badger", "Lynx", "Whale", "Robin", "Hare", "Bear", "Seal", "Owl"];

const $ = (id) => document.getElementById(id);
const nameOf = (author) => `${ADJECTIVES[author % 8]} ${ANIMALS[(author >>> 3) % 11]}`;
const hueOf = (author) => (author >>> 7) % 360;
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

const io = await loadIo();
const socket = io({ auth: { key: tabKey() } });
const outbox = new Outbox(socket);
const painter = new Painter($("board"), $("sketch"));
const cursors = new Map();
let me = 0;
let people = [];

showConnection(socket);

// --- what the server says

socket.on("connect", () => {
  complain("");
  outbox.open();
});
socket.on("connect_error", (error) => complain(`No connection: ${error.message}`));
socket.on("board", (author, packed) => {
  me = author;
  painter.replace(unpackItems(packed));
  showFacts();
});
socket.on("item", (packed) => {
  for (const item of unpackItems(packed)) {
    painter.add(item);
    // It was seen while it was drawn; now it is on the board. (Our own sketches go by their nonce.)
    painter.sketches.delete(item.author);
  }
  painter.sketch();
  showFacts();
});
socket.on("removed", (id) => {
  painter.remove(id);
  showFacts();
});
socket.on("cleared", () => {
  painter.replace([]);
  showFacts();
});
socket.on("drawing", (author, packed) => {
  const piece = unpackStroke(packed);
  const known = painter.sketches.get(author);
  if (known) known.points.push(...piece.points);
  else painter.sketches.set(author, { ...piece, points: [...piece.points] });
  painter.sketch();
  point(author, ...piece.points.slice(-2));
});
socket.on("cursor", (author, packed) => {
  const at = unpackPoint(packed);
  if (at.length) point(author, ...at);
  else drop(author);
});
socket.on("people", (now) => {
  people = now;
  for (const author of [...cursors.keys(), ...painter.sketches.keys()]) {
    // Our own sketches have a text as their key.
    if (typeof author === "number" && !people.includes(author)) drop(author);
  }
  showPeople();
});

const point = (author, x, y) => {
  if (!cursors.has(author)) {
    const cursor = Object.assign(document.createElement("div"), { className: "cursor" });
    cursor.append(Object.assign(document.createElement("span"), { textContent: nameOf(author) }));
    cursor.style.setProperty("--hue", hueOf(author));
    $("cursors").append(cursor);
    cursors.set(author, cursor);
  }
  Object.assign(cursors.get(author).style, { left: `${x / 16}%`, top: `${y / 10}%` });
};

const drop = (author) => {
  cursors.get(author)?.remove();
  cursors.delete(author);
  painter.sketches.delete(author);
  painter.sketch();
};

// --- what the hand does

/** @type {{nonce: string, width: number, colour: number[], points: number[], sent: number} | null} */
let stroke = null;
/** Where the hand was last, and where a picture goes. */
let pointed = [800, 500];
/** @type {number | undefined} */
let timer;

const whereOn = ({ clientX, clientY }) => {
  const { left, top, width, height } = $("sketch").getBoundingClientRect();
  const within = (value) => Math.max(-100, Math.min(1700, Math.round(value)));
  return [within(((clientX - left) / width) * 1600), within(((clientY - top) / height) * 1000)];
};

const begin = (point) => {
  const tools = new FormData($("tools"));
  stroke = { nonce: randomText(), width: Number(tools.get("width")), colour: rgb(tools.get("colour")), points: [...point, ...point], sent: 0 };
  painter.sketches.set(stroke.nonce, stroke);
  painter.sketch();
};

const go = (point) => {
  const { points } = stroke;
  if (Math.hypot(point[0] - points.at(-2), point[1] - points.at(-1)) < NEAR) return;
  points.push(...point);
  painter.sketch();
  if (points.length >= 2 * MAX_POINTS) {
    finish();
    begin(point);
  }
};

/**
 * Soon: what is new of the stroke, or else where we point. What is lost of it is made good by the whole stroke.
 *
 * One event at a time: of two volatile ones at once, the official client drops the second.
 */
const tell = () => {
  timer ??= setTimeout(() => {
    timer = undefined;
    if (!socket.connected) return;
    if (!stroke || stroke.sent === stroke.points.length) return socket.volatile.emit("cursor", packPoint(...pointed));
    const { width, colour, points, sent } = stroke;
    stroke.sent = points.length;
    socket.volatile.emit("drawing", packStroke(width, colour, points.slice(Math.max(0, sent - 2)).slice(-2 * MAX_PIECE)));
  }, TELL_MS);
};

const finish = async () => {
  const { nonce, width, colour, points } = stroke;
  stroke = null;
  try {
    await outbox.send("stroke", nonce, nonce, packStroke(width, colour, points));
  } catch (error) {
    complain(error.message);
  }
  painter.sketches.delete(nonce);
  painter.sketch();
};

const sketch = $("sketch");
sketch.onpointerdown = (event) => {
  if (event.button) return;
  sketch.setPointerCapture(event.pointerId);
  complain("");
  begin(whereOn(event));
};
sketch.onpointermove = (event) => {
  pointed = whereOn(event);
  if (stroke) {
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) go(whereOn(each));
  }
  tell();
};
sketch.onpointerup = sketch.onpointercancel = () => stroke && finish();
sketch.onpointerleave = () => {
  clearTimeout(timer);
  timer = undefined;
  if (socket.connected) socket.volatile.emit("cursor", new ArrayBuffer(0));
};

const undo = () => ask(socket, "undo").catch((error) => complain(error.message));
$("undo").onclick = undo;
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key === "z") {
    event.preventDefault();
    undo();
  }
});
$("clear").onclick = () => {
  if (confirm("Clear the board for everybody?")) ask(socket, "clear").catch((error) => complain(error.message));
};

// --- pictures

const addPicture = async (file) => {
  try {
    const { file: bytes, width, height } = await fit(file, MAX_PICTURE);
    const scale = Math.min(1, 640 / width, 640 / height);
    const [across, down] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    const [x, y] = pointed;
    const place = { x: Math.round(x - across / 2), y: Math.round(y - down / 2), width: across, height: down };
    const nonce = randomText();
    await outbox.send("picture", nonce, nonce, packPicture(place, bytes));
  } catch (error) {
    complain(error.message);
  }
};
const addFrom = (transfer) => {
  const file = [...(transfer?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (file) addPicture(file);
};
addEventListener("paste", (event) => addFrom(event.clipboardData));
for (const type of ["dragover", "dragleave", "drop"]) {
  $("place").addEventListener(type, (event) => {
    event.preventDefault();
    $("place").classList.toggle("dropping", type === "dragover");
    if (type === "drop") addFrom(event.dataTransfer);
  });
}
$("file").onchange = ({ target }) => {
  addFrom(target);
  target.value = "";
};
$("save").onclick = async () => {
  const href = URL.createObjectURL(await painter.picture());
  Object.assign(document.createElement("a"), { href, download: "whiteboard.png" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
};

// --- what is shown

const showPeople = () => {
  $("people").replaceChildren(
    ...people.map((author) => {
      const name = author === me ? `${nameOf(author)} (you)` : nameOf(author);
      const initials = nameOf(author).replace(/[^A-Z]/g, "");
      const element = Object.assign(document.createElement("li"), { title: name, ariaLabel: name, textContent: initials });
      element.classList.toggle("me", author === me);
      element.style.setProperty("--hue", hueOf(author));
      return element;
    }),
  );
};

const showFacts = () => {
  const items = [...painter.items.values()];
  const pictures = items.filter(({ picture }) => picture).length;
  const bytes = items.reduce((sum, { points, picture }) => sum + 16 + (points?.byteLength ?? 8 + picture.size), 0);
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  $("facts").textContent = items.length
    ? `${count(items.length - pictures, "stroke")}, ${count(pictures, "picture")}: ${(bytes / 1000).toFixed(1)} kB on the wire for who comes now`
    : "Draw something, and open this page in a second window.";
};

const choose = (place, name, choices, style) => {
  Object.entries(choices).forEach(([label, value], at) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value, ariaLabel: label, checked: at === (name === "width" ? 1 : 0) });
    const choice = Object.assign(document.createElement("label"), { title: label });
    choice.style.setProperty(`--${name}`, style(value));
    choice.append(input, document.createElement("i"));
    $(place).append(choice);
  });
};
choose("colours", "colour", COLOURS, (value) => value);
choose("widths", "width", WIDTHS, (value) => `${Math.min(24, 4 + value / 2)}px`);
showFacts();
