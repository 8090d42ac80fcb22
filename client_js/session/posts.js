/**
 * What POSTs say and are answered (protocol.md section 5): the part of a session that only HTTP needs.
 */
import { checkNumber, decodeObject, encodeMessage } from "../wire/packet.js";
import { joinPayload } from "../wire/payload.js";

/** @typedef {import("./session.js").Session} Session */

/**
 * One POST: our position, and from what is acknowledged on as much as fits (rule 7).
 * @param {Session} session
 * @param {string[]} control Encoded packets that go with it.
 * @param {number} now
 * @param {number} most So much of messages, if the server takes it. One goes in any case.
 * @returns {string}
 */
export const encodePost = (session, control, now, most) => {
  const { outbox, plain } = session;
  const packets = control.splice(0);
  if (!plain) packets.unshift("7" + session.attachment());
  let left = session.room(most);
  let number = outbox.acked;
  for (const { data } of outbox.after(0)) {
    const part = encodeMessage(data, plain);
    left -= part.length;
    if (left < 0 && number > outbox.acked) break;
    if (!plain && number == outbox.acked) packets.push("9" + (number + 1));
    packets.push(part);
    outbox.write(++number, now);
  }
  if (plain) outbox.acknowledge(outbox.written);
  return joinPayload(packets);
};

/**
 * Take the answer to a POST.
 * @param {Session} session
 * @param {string} text
 * @param {number} now
 * @throws {import("../errors.js").RemoteProtocolError}
 */
export const takeAnswer = (session, text, now) => {
  const { received, sent = 0 } = decodeObject(text);
  session.outbox.acknowledge(received, now);
  session.lacks(checkNumber(sent), now);
};
