"""A program for python-socketio, as its documentation writes one. Tests run it as it is, and with another import."""

import asyncio

import socketio

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", namespaces=["/", "/plain"])
left: list[list[str]] = []


@sio.event
async def connect(sid, environ, auth):
    if auth and auth.get("refuse") == "False":
        return False
    if auth and auth.get("refuse") == "message":
        raise socketio.exceptions.ConnectionRefusedError("not today")
    if auth and auth.get("refuse") == "data":
        raise socketio.exceptions.ConnectionRefusedError("not today", {"until": "tomorrow"})
    if auth and auth.get("refuse") == "several":
        raise socketio.exceptions.ConnectionRefusedError("not today", 1, "two")
    if auth and auth.get("refuse") == "builtin":
        raise ConnectionRefusedError
    async with sio.session(sid) as session:
        session["auth"] = auth
        session["agent"] = environ["HTTP_X_TEST"]
    await sio.enter_room(sid, "all")
    await sio.emit("welcome", {"path": environ["PATH_INFO"], "method": environ["REQUEST_METHOD"]}, to=sid)
    await sio.emit("joined", (auth or {}).get("name"))


@sio.on("disconnect")
async def disconnected(sid, reason):
    session = await sio.get_session(sid)
    left.append([(session["auth"] or {}).get("name"), reason, sorted(set(map(str, sio.rooms(sid))) - {sid})])


@sio.event
async def echo(sid, *args):
    return args


@sio.event
def plain(sid, value):
    return {"plain": value}


@sio.event
async def nothing(sid):
    pass


@sio.on("one")
async def one(sid, data):
    return [data]


@sio.on("spread")
async def spread(sid):
    await sio.emit("event", (1, "two", {"three": b"\x03"}), to=sid)
    await sio.emit("event", ("single",), to=sid)
    await sio.emit("event", ["a", "list"], to=sid)
    await sio.emit("event", to=sid)
    await sio.send("a message", to=sid)


@sio.event
async def reason_of(sid, name):
    while not any(entry[0] == name for entry in left):
        await sio.sleep(0.01)
    return next(entry for entry in left if entry[0] == name)


@sio.event
async def who(sid):
    session = await sio.get_session(sid)
    return {"auth": session["auth"], "agent": session["agent"]}


@sio.event
async def remember(sid, value):
    await sio.save_session(sid, {**await sio.get_session(sid), "value": value})


@sio.event
async def recall(sid):
    async with sio.session(sid) as session:
        return session.get("value")


@sio.event
async def enter(sid, room):
    await sio.enter_room(sid, room)
    return sorted(set(map(str, sio.rooms(sid))) - {sid})


@sio.event
async def leave(sid, room):
    await sio.leave_room(sid, room)
    return sorted(set(map(str, sio.rooms(sid))) - {sid})


@sio.event
async def close(sid, room):
    await sio.close_room(room)
    return sorted(set(map(str, sio.rooms(sid))) - {sid})


@sio.event
async def tell(sid, room, text):
    await sio.emit("told", text, room=room)


@sio.event
async def tell_others(sid, room, text):
    await sio.emit("told", text, room=room, skip_sid=sid)


@sio.event
async def ask_with_callback(sid, *args):
    async def answered(*answer):
        await sio.emit("answered", (list(answer),), to=sid)

    def answered_plainly(*answer):
        asyncio.get_running_loop().create_task(answered(*answer))

    await sio.emit("question", args, to=sid, callback=answered)
    await sio.emit("question", args, to=sid, callback=answered_plainly)
    await sio.emit("asked", to=sid)


@sio.event
async def call(sid, *args):
    return [await sio.call("question", args, to=sid, timeout=5)]


@sio.event
async def call_in_vain(sid):
    try:
        await sio.call("no answer", to=sid, timeout=0.05)
    except socketio.exceptions.TimeoutError:
        return "no answer came"


@sio.event
async def later(sid, value):
    async def task(first, *, second):
        await sio.sleep(0)
        await sio.emit("later", [first, second], to=sid)

    sio.start_background_task(task, value, second=2)


@sio.event
async def put_me_out(sid):
    await sio.disconnect(sid)


@sio.event
async def transport(sid):
    return sio.transport(sid)


@sio.event
async def environment(sid):
    environ = sio.get_environ(sid)
    keys = ("HTTP_X_TEST", "REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME", "wsgi.url_scheme")
    return [environ[key] for key in keys] + [
        "transport=" in environ["QUERY_STRING"],
        environ["asgi.scope"]["path"],
        sio.get_environ("nobody"),
    ]


@sio.event
async def errors(sid):
    found = []
    for attempt in (
        lambda: sio.get_session("nobody"),
        lambda: sio.enter_room("nobody", "room", namespace="/nowhere"),
        lambda: sio.close_room(sid),
        lambda: sio.call("to everybody"),
        lambda: sio.disconnect("nobody"),
        lambda: sio.leave_room(sid, "never entered"),
        lambda: sio.emit("nowhere", namespace="/nowhere"),
        lambda: sio.emit("nobody", to="nobody"),
    ):
        try:
            await attempt()
            found.append(None)
        except Exception as error:
            found.append(type(error).__name__)
    return found


@sio.event
async def members(sid, room):
    return len(list(sio.manager.get_participants("/", room)))


@sio.on("*")
async def anything(event, sid, *args):
    await sio.emit("caught", [event, *args], to=sid)
    return "caught"


@sio.on("greet", namespace="/custom")
async def greet(sid, name):
    await sio.emit("greeting", name, namespace="/custom", to=sid)
    return sid in sio.rooms(sid, namespace="/custom")


@sio.event(namespace="/custom")
async def decorated(sid):
    return "decorated"


class Chat(socketio.AsyncNamespace):
    async def on_connect(self, sid, environ):
        await self.save_session(sid, {"heard": 0})
        await self.enter_room(sid, "chatters")

    def on_disconnect(self, sid):
        left.append(["chat", "without reason", []])

    async def on_say(self, sid, text):
        async with self.session(sid) as session:
            session["heard"] += 1
        await self.emit("said", text, room="chatters")
        return session["heard"]

    async def on_ask(self, sid):
        return await self.call("question", "chat", to=sid)

    async def on_rooms(self, sid):
        return sorted(set(self.rooms(sid)) - {sid})

    async def on_leave(self, sid):
        await self.leave_room(sid, "chatters")
        await self.send("left", to=sid)
        await self.disconnect(sid)


class Router(socketio.AsyncNamespace):
    async def trigger_event(self, event, *args):
        return [event, len(args)] if event not in ("connect", "disconnect") else None


sio.register_namespace(Chat("/chat"))
sio.register_namespace(Router("/router"))

app = socketio.ASGIApp(sio, static_files={"/me": __file__})
