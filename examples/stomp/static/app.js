import { io } from "/socket.io/holdfast.esm.min.js";
import { HoldfastSocket } from "/socket.io/holdfast.socket.esm.min.js";

/**
 * @param {string} id Of the section.
 * @param {(text: string) => void} say
 * @returns {(message: {by: string, text: string}) => void} Shows what was said.
 */
const side = (id, say) => {
  const section = document.getElementById(id);
  const [form, input, list] = ["form", "input", "ol"].map((name) => section.querySelector(name));
  form.onsubmit = (event) => {
    event.preventDefault();
    say(input.value);
    input.value = "";
  };
  return ({ by, text }) => list.append(Object.assign(document.createElement("li"), { textContent: `${by}: ${text}` }));
};

const socket = io();
socket.on("said", side("events", (text) => socket.emit("say", text)));

const client = new StompJs.Client({
  webSocketFactory: () => new HoldfastSocket("/stomp"),
  onConnect: () => {
    client.subscribe("/topic/lobby", ({ body }) => show(JSON.parse(body)));
    document.body.dataset.ready = "yes";
  },
});
const show = side("stomp", (text) => client.publish({ destination: "/app/lobby", body: text }));
client.activate();
