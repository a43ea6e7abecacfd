import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { Keeper } from "./keeper.ts";

/** A frame of the engine's stream: standard error, then the text. */
function frame(text: string): Buffer {
  const header = Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

it.each([
  ["without a newline", ["exec /bin/sh: exec format error"]],
  ["with a newline", ["exec /bin/sh: exec format error\n"]],
  ["with a carriage return and empty lines", ["first\nexec /bin/sh: exec ", "format error\r\n\n \n"]],
])("the keeper remembers the last output of a container %s", async (_, pieces) => {
  const connection = new PassThrough();
  const keeper = new Keeper(connection);
  for (const piece of pieces) connection.write(frame(piece));
  connection.end();
  await keeper.gone;
  expect(keeper.lastWords).toBe("exec /bin/sh: exec format error");
});
