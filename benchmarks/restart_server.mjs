// Socket.IO on Node in restart.py, with the event of restart_app.py: node restart_server.mjs PORT
// CSR=1 in the environment switches connection state recovery on.
import { openSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const seen = openSync(process.env.SEEN, "a");
const http = createServer();
const io = new Server(http, process.env.CSR ? { connectionStateRecovery: {} } : {});
io.on("connection", (socket) => {
  socket.on("up", (number, answer) => {
    writeSync(seen, `${number}\n`);
    socket.emit("down", number);
    answer(number);
  });
});
http.listen(Number(process.argv[2]), "127.0.0.1");
