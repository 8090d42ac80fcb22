// A TCP proxy whose connections fail on command: node load_proxy.mjs LISTEN_PORT SERVER_PORT
// Lines on its standard input: `reset SHARE`, `fin SHARE`, `hang SHARE MS` (silent, then reset), `refuse MS`, `slow MS` (a
// delay each way, 0 for none). SHARE is how many of its connections, from 0 to 1. It ends with its standard input.
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

const [from, to] = process.argv.slice(2).map(Number);
const pairs = new Set();
let refusing = 0;
let delay = 0;

const later = (run) => (delay ? setTimeout(run, delay) : run());

const join = (here, there, pair) => {
  here.on("data", (data) => later(() => {
    if (pair.silent || there.destroyed) return;
    if (!there.write(data)) {
      here.pause();
      there.once("drain", () => here.resume());
    }
  }));
  here.on("end", () => later(() => there.end()));
  here.on("error", () => there.destroy());
  here.on("close", () => {
    pairs.delete(pair);
    if (!here.readableEnded) there.destroy();
  });
};

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  if (Date.now() < refusing) return client.resetAndDestroy();
  const upstream = connect({ port: to, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const pair = { client, upstream, silent: false };
  pairs.add(pair);
  join(client, upstream, pair);
  join(upstream, client, pair);
});
server.listen({ port: from, host: "127.0.0.1", backlog: 8192 }, () => console.log("ready"));

const reset = ({ client, upstream }) => {
  client.resetAndDestroy();
  upstream.resetAndDestroy();
};

createInterface(process.stdin).on("line", (line) => {
  const [what, share, ms] = line.split(" ");
  const some = [...pairs].filter(() => Math.random() < Number(share));
  if (what == "reset") some.forEach(reset);
  else if (what == "fin") some.forEach(({ client, upstream }) => (client.end(), upstream.end()));
  else if (what == "hang") {
    some.forEach((pair) => (pair.silent = true));
    setTimeout(() => some.forEach(reset), Number(ms));
  } else if (what == "refuse") refusing = Date.now() + Number(share);
  else if (what == "slow") delay = Number(share);
  console.log(`${what} ${some.length} of ${pairs.size}`);
}).on("close", () => process.exit());
