/**
 * `node stompjs.js SCENARIO URL WAY APPLICATION`: what a test wants to know of @stomp/stompjs, a line of JSON each.
 *
 * WAY is "websocket", a bare one; the transport that our WebSocket-shaped object is forced to; or that of sockjs-client,
 * as "sockjs:xhr-streaming".
 */
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import assert from "node:assert/strict";
import { Client } from "@stomp/stompjs";
import SockJS from "sockjs-client";
import { WebSocket } from "ws";

const [scenario, url, way, application] = process.argv.slice(2);
globalThis.WebSocket = WebSocket;
const { HoldfastSocket } = await import(pathToFileURL(createRequire(`${application}/x.js`).resolve("holdfast-client/socket")));

const say = (value) => console.log(JSON.stringify(value));
const sockets = [];

/** SockJS has texts only, and stompjs does not ask: bytes go as their numbers. */
const withBytes = (sock) => {
  const { send } = sock;
  sock.send = (data) => send.call(sock, typeof data == "string" ? data : `${new Uint8Array(data)}`);
  return sock;
};

/** @param {import("@stomp/stompjs").StompConfig} [config] */
const make = (config) => {
  const client = new Client({ heartbeatIncoming: 0, heartbeatOutgoing: 0, reconnectDelay: 50, ...config });
  if (way == "websocket") client.brokerURL = url.replace("http", "ws");
  else if (way.startsWith("sockjs:"))
    client.webSocketFactory = () => {
      const sock = withBytes(new SockJS(url, null, { transports: way.slice(7) }));
      // When it is closed it has none.
      sock.addEventListener("open", () => sockets.push({ session: { transport: { name: sock.transport } } }));
      return sock;
    };
  else
    client.webSocketFactory = () => {
      const transports = way == "any" ? undefined : [way];
      sockets.push(new HoldfastSocket(url, ["v12.stomp"], { transports, WebSocket }));
      return sockets.at(-1);
    };
  return client;
};

/** @param {Client} client */
const connected = (client) =>
  new Promise((resolve, reject) => {
    client.onConnect = resolve;
    client.onStompError = (frame) => reject(new Error(frame.headers.message));
    client.activate();
  });

/** What comes to a destination, one after the other. */
const listen = (client, destination, headers) => {
  const found = [];
  const waiting = [];
  const subscription = client.subscribe(destination, (message) => (waiting.length ? waiting.shift()(message) : found.push(message)), headers);
  return { next: () => (found.length ? Promise.resolve(found.shift()) : new Promise((resolve) => waiting.push(resolve))), found, subscription };
};

const receipt = (client, act) =>
  new Promise((resolve) => {
    const id = `r${Math.random()}`;
    client.watchForReceipt(id, resolve);
    act({ receipt: id });
  });

const SCENARIOS = {
  async talk() {
    const [client, other] = [make({ connectHeaders: { login: "ann" } }), make()];
    const frame = await connected(client);
    await connected(other);
    assert.deepEqual([frame.headers.version, frame.headers["user-name"]], ["1.2", "ann"]);

    // Publish, subscribe, receipts.
    const topic = listen(other, "/topic/a");
    await receipt(other, (headers) => other.subscribe("/topic/none", () => {}, headers));
    await receipt(client, (headers) => client.publish({ destination: "/topic/a", body: "é\n\0\u001e", headers: { "x-y": "a:b\r\nd", ...headers } }));
    const message = await topic.next();
    assert.deepEqual([message.body, message.headers["x-y"], message.headers.destination], ["é\n\0\u001e", "a:b\r\nd", "/topic/a"]);

    // Binary bodies, and large ones.
    const bytes = Uint8Array.from({ length: 1000 }, (_, n) => n);
    const large = Uint8Array.from({ length: 1_000_000 }, (_, n) => (n * 7) % 251);
    for (const body of [bytes, large, new Uint8Array(0)]) {
      client.publish({ destination: "/topic/a", binaryBody: body });
      assert.ok(Buffer.from((await topic.next()).binaryBody).equals(body));
    }
    const text = "0123456789é".repeat(83_333);
    client.publish({ destination: "/topic/a", body: text });
    assert.equal((await topic.next()).body, text);

    // Transactions.
    const transaction = client.begin();
    for (const body of ["1", "2"]) client.publish({ destination: "/topic/a", body, headers: { transaction: transaction.id } });
    const aborted = client.begin();
    client.publish({ destination: "/topic/a", body: "never", headers: { transaction: aborted.id } });
    aborted.abort();
    await receipt(client, (headers) => client.publish({ destination: "/topic/a", body: "0", headers }));
    transaction.commit();
    assert.deepEqual([(await topic.next()).body, (await topic.next()).body, (await topic.next()).body], ["0", "1", "2"]);

    // Queues: NACK, and a subscriber that leaves with what it had.
    const queue = listen(client, `/queue/${process.pid}`, { ack: "client-individual" });
    for (const body of ["a", "b"]) other.publish({ destination: `/queue/${process.pid}`, body });
    const first = await queue.next();
    first.nack();
    // The other one may come before it or after it.
    const both = [await queue.next(), await queue.next()];
    const again = both.find(({ body }) => body == "a");
    assert.deepEqual([first.body, again.headers.redelivered, both.length], ["a", "true", 2]);
    for (const each of both) each.ack();
    queue.subscription.unsubscribe();
    const leaver = make();
    await connected(leaver);
    const held = listen(leaver, `/queue/left-${process.pid}`, { ack: "client" });
    other.publish({ destination: `/queue/left-${process.pid}`, body: "a" });
    await held.next();
    await leaver.deactivate();
    const last = listen(other, `/queue/left-${process.pid}`, { ack: "client" });
    const once = await last.next();
    assert.deepEqual([once.body, once.headers.redelivered], ["a", "true"]);
    once.ack();

    // Functions, users, errors.
    const [echoed, failed] = [listen(client, "/user/queue/echo"), listen(client, "/user/queue/errors")];
    client.publish({ destination: "/app/echo/me", body: "hello" });
    assert.deepEqual(JSON.parse((await echoed.next()).body), { name: "me", body: "hello" });
    client.publish({ destination: "/app/fail" });
    assert.deepEqual(JSON.parse((await failed.next()).body), { message: "no", code: "refused" });
    assert.deepEqual(topic.found, []);

    // It comes back by itself, after an ERROR too.
    const came = new Promise((resolve) => (client.onConnect = resolve));
    const error = new Promise((resolve) => (client.onStompError = resolve));
    client.publish({ destination: "/app/end" });
    assert.equal((await error).headers.message, "put out");
    await came;
    const after = listen(client, "/topic/b");
    other.publish({ destination: "/topic/b", body: "after" });
    await receipt(client, (headers) => client.publish({ destination: "/topic/b", body: "own", headers }));
    await after.next();
    const wrong = make({ connectHeaders: { login: "ann", passcode: "wrong" }, reconnectDelay: 0 });
    await assert.rejects(connected(wrong), /access refused/);
    for (const each of [client, other, wrong]) await each.deactivate();
    say({ transports: sockets.map(({ session }) => session.transport.name) });
  },

  /** Silence is noticed: by the client, which comes back, and by the server. */
  async silence() {
    // Or it waits for the end of the closing handshake, which takes half a minute in `ws`.
    const client = make({ heartbeatIncoming: 250, heartbeatOutgoing: 250, discardWebsocketOnCommFailure: true });
    let closed = 0;
    client.onWebSocketClose = () => closed++;
    const beat = await connected(client);
    client.onConnect = () => say({ again: true, closed });
    say({ beat: beat.headers["heart-beat"] });
    for await (const line of createInterface({ input: process.stdin })) if (line == "end") break;
    await client.deactivate();
    say({ closed });
  },

  /** Numbers both ways while the network is cut; what arrived is checked here. */
  async cuts() {
    const NUMBER = 250;
    let closed = 0;
    let connects = 0;
    const client = make({ heartbeatIncoming: 250, heartbeatOutgoing: 250 });
    client.onWebSocketClose = () => closed++;
    await connected(client);
    client.onConnect = () => connects++;
    const answers = listen(client, "/user/queue/count");
    const own = listen(client, "/topic/cuts");
    say("ready");
    const heard = { answers: [], own: [] };
    const reading = Promise.all([
      (async () => { for (let n = 0; n < NUMBER; n++) heard.answers.push(+(await answers.next()).body); })(),
      (async () => { for (let n = 0; n < NUMBER; n++) heard.own.push(+(await own.next()).body); })(),
    ]);
    for (let n = 0; n < NUMBER; n++) {
      client.publish({ destination: "/app/count", body: `${n}` });
      client.publish({ destination: "/topic/cuts", body: `${n}` });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await reading;
    const [lost, moves] = [closed, sockets[0].session.inspect()];
    await client.deactivate();
    const wrong = (list) => list.filter((n, place) => n != place).length;
    say({ ...Object.fromEntries(Object.entries(heard).map(([name, list]) => [name, [list.length, wrong(list)]])), closed: lost, connects, sent: moves.sent });
  },

  /** The broker behind the endpoint goes away and comes back. */
  async broker() {
    const client = make({ reconnectDelay: 100 });
    await connected(client);
    const round = async () => {
      const announced = listen(client, "/topic/announced");
      await receipt(client, (headers) => client.subscribe("/topic/none", () => {}, headers));
      client.publish({ destination: "/app/announce", body: "x" });
      return JSON.parse((await announced.next()).body);
    };
    const errors = [];
    client.onStompError = ({ headers }) => errors.push(headers.message);
    const again = new Promise((resolve) => (client.onConnect = resolve));
    say(await round());
    await again;
    say({ errors: [...new Set(errors)], again: await round() });
    await client.deactivate();
  },

  /** A subscriber of STOMP beside a socket in the room; the test is the socket. */
  async room() {
    const client = make();
    await connected(client);
    const news = listen(client, "/topic/news");
    await receipt(client, (headers) => client.subscribe("/topic/none", () => {}, headers));
    say("ready");
    const { body, headers } = await news.next();
    client.publish({ destination: "/topic/news", body: JSON.stringify({ heard: JSON.parse(body) }), headers: { event: "answer" } });
    say({ body, event: headers.event });
    await client.deactivate();
  },
};

await SCENARIOS[scenario]();
process.exit(0);
