import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { createConnection } from "node:net";
import { type DecodedPacket, encode, type Packet, RECURSION_DESIRED, streamEncode } from "dns-packet";
import { maxResponseBytes, rcodeOf, readResponse, type UpstreamQuestion } from "./read-response.ts";

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

const udpPayloadSize = 1232;
const attemptMs = 2000;
const rounds = 2;

/** Asks each upstream in turn until one answers; `undefined` when none does. */
export async function askUpstreams(
  upstreams: readonly Upstream[],
  question: UpstreamQuestion,
): Promise<DecodedPacket | undefined> {
  for (let round = 0; round < rounds; round += 1) {
    for (const upstream of upstreams) {
      const response = await askUpstream(upstream, question);
      // SERVFAIL and REFUSED may concern only this server, so another one may have the answer.
      if (response && ["NOERROR", "NXDOMAIN"].includes(rcodeOf(response))) return response;
    }
  }
  return undefined;
}

async function askUpstream(upstream: Upstream, question: UpstreamQuestion): Promise<DecodedPacket | undefined> {
  const response = await overUdp(upstream, question);
  return response?.flag_tc ? overTcp(upstream, question) : response;
}

/** Uses a new socket, and so a new port, for each question. The kernel drops packets from other senders. */
function overUdp(upstream: Upstream, question: UpstreamQuestion): Promise<DecodedPacket | undefined> {
  const { promise, resolve } = Promise.withResolvers<DecodedPacket | undefined>();
  const id = randomInt(65_536);
  const socket = createSocket(upstream.address.includes(":") ? "udp6" : "udp4");
  const finish = (response?: DecodedPacket) => {
    clearTimeout(timer);
    socket.close();
    resolve(response);
  };
  const timer = setTimeout(finish, attemptMs);
  socket.once("error", () => finish());
  socket.on("message", (message) => {
    const response = readResponse(message, id, question);
    if (response) finish(response);
  });
  socket.connect(upstream.port, upstream.address, () => socket.send(encode(query(id, question))));
  return promise;
}

function overTcp(upstream: Upstream, question: UpstreamQuestion): Promise<DecodedPacket | undefined> {
  const { promise, resolve } = Promise.withResolvers<DecodedPacket | undefined>();
  const id = randomInt(65_536);
  const socket = createConnection({ host: upstream.address, port: upstream.port });
  let received = Buffer.alloc(0);
  const finish = (response?: DecodedPacket) => {
    clearTimeout(timer);
    socket.destroy();
    resolve(response);
  };
  const timer = setTimeout(finish, attemptMs);
  socket.once("error", () => finish());
  socket.once("close", () => finish());
  socket.once("connect", () => socket.write(streamEncode(query(id, question))));
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const length = received.length < 2 ? 0 : received.readUInt16BE(0);
    if (length > maxResponseBytes || received.length > maxResponseBytes + 2) finish();
    else if (received.length >= 2 && received.length >= length + 2) {
      finish(readResponse(received.subarray(2, length + 2), id, question));
    }
  });
  return promise;
}

function query(id: number, { name, type }: UpstreamQuestion): Packet {
  return {
    type: "query",
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type: type as "A" }],
    additionals: [
      {
        type: "OPT",
        name: ".",
        udpPayloadSize,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  };
}
