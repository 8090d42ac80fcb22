/**
 * `node table.js ADDRESS`: three published clients at the demo's table. Each says what it is once all are there; when all have heard
 * from all and from the page, what each has heard is a line of JSON.
 */
import { Client } from "@stomp/stompjs";
import SockJS from "sockjs-client";
import { io } from "socket.io-client";
import { WebSocket } from "ws";

const address = process.argv[2].replace(/\/$/, "");
globalThis.WebSocket = WebSocket;
const [ALL, FROM_PAGE] = [3, 3];

const heard = { events: [], sockjs: [], stomp: [] };
let done;
const all = new Promise((resolve) => (done = resolve));
const hear = (name) => ({ by, text }) => {
  heard[name].push(`${by}: ${text}`);
  if (Object.values(heard).every((list) => list.length == ALL + FROM_PAGE)) done();
};

const socket = io(address);
socket.on("said", hear("events"));
const sockjs = new SockJS(`${address}/sockjs`);
const seated = new Promise((resolve) => {
  sockjs.onmessage = ({ data }) => {
    const [event, message] = JSON.parse(data);
    if (event == "said") hear("sockjs")(message);
    else resolve();
  };
});
const stomp = new Client({ webSocketFactory: () => new SockJS(`${address}/stomp`) });
const subscribed = new Promise((resolve) => {
  stomp.onConnect = () => {
    stomp.watchForReceipt("r", resolve);
    stomp.subscribe("/topic/table", ({ body }) => hear("stomp")(JSON.parse(body)), { receipt: "r" });
  };
});
stomp.activate();
await Promise.all([new Promise((resolve) => socket.on("connect", resolve)), seated, subscribed]);
// The answer to its first event comes when it has joined the room.
await socket.emitWithAck("measure");
console.log(JSON.stringify("ready"));
socket.emit("say", "node");
sockjs.send("node");
stomp.publish({ destination: "/app/table", body: "node" });
await all;
console.log(JSON.stringify(heard));
process.exit(0);
