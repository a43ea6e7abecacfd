import { type Duplex, duplexPair } from "node:stream";
import { encodeFrame, FrameDecoder, helloPayload } from "../frames.ts";

/** The guest's end of a stream, for tests that say themselves what the guest sends after the seed and the clock. */
export function answeringGuest(): { readonly host: Duplex; readonly guest: Duplex } {
  const [host, guest] = duplexPair();
  const decoder = new FrameDecoder();
  guest.on("error", () => {});
  guest.on("data", (bytes: Buffer) => {
    for (const { type, channel } of decoder.push(bytes)) {
      const isAnswered = type === "call" && channel <= 2 && !guest.destroyed;
      if (isAnswered) guest.write(encodeFrame({ type: "result", channel, payload: Buffer.alloc(0) }));
    }
  });
  guest.write(encodeFrame({ type: "hello", channel: 0, payload: helloPayload }));
  return { host, guest };
}
