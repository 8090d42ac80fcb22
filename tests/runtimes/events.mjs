// Events of every kind by each way in turn, in whatever runtime this is; prints what came of them as JSON.
// Arguments: the server's URL, then ways as "transport" or "" for the client's own choice, "name:msgpack", "name:ws".

const print = globalThis.Deno ? console.log : (text) => process.stdout.write(text + "\n");
const [url, ...ways] = globalThis.Deno ? Deno.args : process.argv.slice(2);

const { io } = await import("holdfast-client");
const { msgpack } = await import("holdfast-client/msgpack");

for (const way of ways) {
  const [transport, ...more] = way.split(":");
  const options = { forceNew: true, timeout: 5000, ...(transport && { transports: [transport] }) };
  if (more.includes("msgpack")) options.codec = msgpack;
  if (more.includes("ws")) options.WebSocket = (await import("ws")).WebSocket;
  const socket = io(url, options);
  const result = { way };
  try {
    await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
    const echoed = new Promise((resolve) => socket.on("echo", (...args) => resolve(args)));
    const answer = await socket.timeout(10_000).emitWithAck("echo", { bytes: new Uint8Array([0, 255]) });
    // What an acknowledgement of several values shows is the first.
    result.answer = [...answer.bytes];
    result.echoed = [...(await echoed)[0].bytes];
    result.failure = await socket.emitWithAck("fail").catch(({ name, code }) => [name, code]);
    result.many = 0;
    await Promise.all(Array.from({ length: 100 }, async (_, n) => (await socket.emitWithAck("echo", n)) === n && result.many++));
    result.transport = socket.io.engine.transport.name;
    result.codec = socket.io.engine._session.codec;
  } catch (error) {
    result.error = `${error.name}: ${error.message}`;
  }
  socket.disconnect();
  print(JSON.stringify(result));
}
