// The published socket.io server, with the handlers of tests/apps/server_app.py: what our client meets elsewhere.
//
// node server.js <port>

import { createServer } from "node:http";
import { Server } from "socket.io";

const reasons = new Map();

const http = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  response.statusCode = pathname == "/reasons" ? 200 : 404;
  response.end(JSON.stringify(reasons.get(searchParams.get("name")) ?? []));
});

const io = new Server(http);

for (const name of ["/", "/custom", "/other"]) {
  const namespace = io.of(name);
  const among = (rooms, excluded) => namespace.to(rooms).except(excluded);
  namespace.on("connection", (socket) => {
    const { auth } = socket.handshake;
    socket.emit("welcome", name, auth);
    socket.on("echo", (...args) => {
      const ack = typeof args.at(-1) == "function" ? args.pop() : () => {};
      socket.emit("echo", ...args);
      ack(...args);
    });
    socket.on("ask me", (...args) => {
      const ack = args.pop();
      socket.timeout(5000).emit("question", ...args, (error, ...reply) => ack(["asked", reply]));
    });
    socket.on("make", (size, ack) => {
      socket.emit("made", Buffer.alloc(size, 7));
      ack(Buffer.alloc(size, 8));
    });
    socket.on("nothing", (ack) => ack());
    socket.on("null", (ack) => ack(null));
    socket.on("later", (ack) => {
      socket.emit("first");
      ack("and", "then");
    });
    socket.on("join", (...rooms) => {
      const ack = rooms.pop();
      socket.join(rooms);
      ack();
    });
    socket.on("leave", (room, ack) => {
      socket.leave(room);
      ack();
    });
    socket.on("tell", (rooms, excluded, text, ack) => {
      among(rooms, excluded).emit("told", text);
      ack();
    });
    socket.on("tell others", (rooms, text, ack) => {
      socket.to(rooms).emit("told", text);
      ack();
    });
    socket.on("put me out", () => socket.disconnect());
    socket.on("close me", () => socket.disconnect(true));
    socket.on("disconnect", (reason) => {
      if (auth.name) reasons.set(auth.name, [...(reasons.get(auth.name) ?? []), reason]);
    });
  });
}

io.of("/closed").use(({ handshake }, next) =>
  next(Object.assign(new Error("not you"), { data: { you: handshake.auth.name } })),
);

http.listen(+process.argv[2], "127.0.0.1");
