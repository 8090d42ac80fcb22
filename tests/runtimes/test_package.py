"""The packed client as a package: what is in it, what it exports, and its types, as an application meets them."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from packed_client import CLIENT, RUNTIMES

pytestmark = [pytest.mark.servers]

BIN = RUNTIMES / "node_modules" / ".bin"
PACKAGE: dict[str, Any] = json.loads((CLIENT / "package.json").read_text())
ENTRIES = [name for name in PACKAGE["exports"] if name != "./package.json"]


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tarball_holds_what_is_used_and_no_more(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    modules = {
        path.relative_to(CLIENT).as_posix()
        for folder in (".", "wire", "session", "transports", "compat")
        for path in (CLIENT / folder).glob("*.js")
    } - {"build.js"}
    built = {name for name in names if name.startswith("dist/")}
    assert names - built == modules | {"package.json", "README.md", "LICENSE"}
    for name in built:
        assert name.endswith((".min.js", ".min.js.map", ".d.ts")), name
    typed = {name.removeprefix("dist/types/") for name in built if name.endswith(".d.ts")}
    # Of modules that are gone nothing is left.
    assert {name.replace(".d.ts", ".js") for name in typed} - modules == {"msgpack.bundle.js"}
    assert PACKAGE["scripts"]["prepack"] == "npm run build"
    assert PACKAGE["sideEffects"] is False
    assert not PACKAGE.get("dependencies")


def test_every_file_that_the_package_names_is_in_the_tarball(application: Path) -> None:
    folder = application / "node_modules" / "holdfast-client"
    for name in ENTRIES:
        entry = PACKAGE["exports"][name]
        assert list(entry) == ["types", "default"], name
        for path in entry.values():
            assert (folder / path).is_file(), path


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_can_be_imported(application: Path, entry: str) -> None:
    if entry == "./react":
        (application / "node_modules" / "react").symlink_to(RUNTIMES / "node_modules" / "react")
    name = "holdfast-client" + entry[1:]
    program = f"import {name!r}; console.log(Object.keys(await import({name!r})).join())"
    names = run(application, "node", "--input-type=module", "--eval", program).strip().split(",")
    typed = (
        application / "node_modules" / "holdfast-client" / PACKAGE["exports"][entry]["types"]
    ).read_text()
    for public in names:
        assert public == "default" or "export *" in typed or public in typed, public


TYPED_PROGRAM = """
import { io, type Socket } from "holdfast-client";
import { io as bundled } from "holdfast-client/bundle";
import { io as compat } from "holdfast-client/compat";
import { io as compatBundled } from "holdfast-client/compat/bundle";
import { eventsOf } from "holdfast-client/events";
import { msgpack } from "holdfast-client/msgpack";
import { io as withCodec, msgpack as inIt } from "holdfast-client/msgpack/bundle";
import { openSession } from "holdfast-client/session";
import { openSession as openBundled } from "holdfast-client/session/bundle";
import { HoldfastSocket } from "holdfast-client/socket";
import { HoldfastSocket as socketBundled } from "holdfast-client/socket/bundle";
import { readByXhr } from "holdfast-client/xhr";
import { io as alone } from "holdfast-client/websocket";
import { io as aloneBundled } from "holdfast-client/websocket/bundle";
import { useEvent, useSocket, useStatus } from "holdfast-client/react";

const socket: Socket = io("https://server.test", { codec: msgpack, transports: ["websocket"] });
bundled({ codec: msgpack });
withCodec({ codec: inIt });
compat("https://server.test").on("connect", () => {});
compatBundled("https://server.test");
alone({ codec: msgpack });
aloneBundled("/chat");
openSession("https://server.test", { readStream: readByXhr }).send("text");
openBundled("https://server.test").send("text");
new HoldfastSocket("/stomp", "v12.stomp").onmessage = ({ data }) => console.log(data);
(new socketBundled("/stomp") satisfies Pick<WebSocket, "send" | "close" | "url">).close(1000);
for await (const [text] of eventsOf(socket, "chat")) console.log(text);
interface ServerToClient { chat: (text: string) => void }
interface ClientToServer { say: (text: string, done: (isSaid: boolean) => void) => void }
type Typed = Socket<ServerToClient, ClientToServer>;
io<ServerToClient, ClientToServer>() satisfies Typed;
bundled<ServerToClient, ClientToServer>() satisfies Typed;
withCodec<ServerToClient, ClientToServer>() satisfies Typed;
alone<ServerToClient, ClientToServer>("/chat") satisfies Typed;
aloneBundled<ServerToClient, ClientToServer>("/chat").on("chat", (text) => text satisfies string);
compat<ServerToClient, ClientToServer>("/chat").on("chat", (text) => text satisfies string);
compatBundled<ServerToClient, ClientToServer>("/chat").emit("say", "a", (isSaid) => isSaid satisfies boolean);
export const Part = (): string => {
  const own: Socket = useSocket("/chat", { auth: { token: "t" }, closeDelayMs: 5 });
  useEvent(own, "chat", (text: string) => text);
  const typed = useSocket<ServerToClient, ClientToServer>("/chat");
  useEvent(typed, "chat", (text) => text satisfies string);
  // @ts-expect-error There is no such event.
  useEvent(typed, "caht", () => {});
  return useStatus(own) + useStatus(typed);
};
// @ts-expect-error It is no codec.
io({ codec: "msgpack" });
// @ts-expect-error There is no such option.
useSocket("/chat", { closeDelay: 5 });
"""


@pytest.mark.parametrize("resolution", ["bundler", "node16"])
def test_the_types_are_found_and_right(application: Path, resolution: str) -> None:
    (application / "program.ts").write_text(TYPED_PROGRAM)
    options = {
        "target": "es2022",
        "module": "esnext" if resolution == "bundler" else resolution,
        "moduleResolution": resolution,
        "lib": ["es2022", "dom", "dom.asynciterable"],
        "types": [],
        "strict": True,
        # The declarations themselves are looked at too.
        "skipLibCheck": False,
        "skipDefaultLibCheck": True,
        "noEmit": True,
    }
    (application / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": ["program.ts"]})
    )
    run(application, CLIENT / "node_modules" / ".bin" / "tsc", "--project", ".")


def test_publint_has_nothing_to_say(tarball: Path) -> None:
    said = run(tarball.parent, BIN / "publint", "run", tarball, "--strict")
    assert "All good!" in said, said


def test_are_the_types_wrong_finds_no_problem(tarball: Path) -> None:
    """Modules only: a package of modules cannot be required by an older Node, whatever its types say."""
    said = run(tarball.parent, BIN / "attw", tarball, "--profile", "esm-only", "--format", "json")
    assert json.loads(said)["analysis"]["entrypoints"].keys() >= set(ENTRIES)
