import { errorMessage } from "@airlock/job";
import { systemCode } from "../context/describe-file-error.ts";

/** Why an instance could not be reached, and what to do about it. No hint: the address is probably wrong. */
export interface UnreachableReason {
  readonly text: string;
  readonly hint?: string;
}

const certificateHint =
  "Start the command with NODE_EXTRA_CA_CERTS=FILE, where FILE has the certificate of the authority that signed it.";

const untrusted: UnreachableReason = {
  text: "the server's certificate is signed by an authority that this machine does not trust",
  hint: certificateHint,
};
const closed: UnreachableReason = { text: "the server closed the connection without an answer" };
const silent: UnreachableReason = { text: "the server does not answer" };

const reasons: Readonly<Record<string, UnreachableReason>> = {
  ECONNREFUSED: { text: "nothing listens at this address (connection refused)" },
  ECONNRESET: closed,
  EPIPE: closed,
  UND_ERR_SOCKET: closed,
  ENOTFOUND: { text: "no host has this name" },
  EAI_AGAIN: { text: "the name of the host could not be looked up" },
  ETIMEDOUT: silent,
  UND_ERR_CONNECT_TIMEOUT: silent,
  UND_ERR_HEADERS_TIMEOUT: silent,
  EHOSTUNREACH: { text: "there is no route to the host" },
  ENETUNREACH: { text: "there is no route to the host's network" },
  DEPTH_ZERO_SELF_SIGNED_CERT: { text: "the server's certificate is self-signed", hint: certificateHint },
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  CERT_HAS_EXPIRED: {
    text: "the server's certificate has expired",
    hint: "Check this machine's clock, and ask the administrator of the instance to renew the certificate.",
  },
  CERT_NOT_YET_VALID: { text: "the server's certificate is not valid yet", hint: "Check this machine's clock." },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    text: "the server's certificate is for another host name",
    hint: "Use the host name that the certificate names.",
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    text: "the server does not speak TLS at this port",
    hint: "If the instance is served without TLS, write its address with http:// instead of https://.",
  },
};

/** Describes what `fetch` reported, without the lines of OpenSSL and the names of system calls. */
export function unreachableReason(error: unknown): UnreachableReason {
  const first = error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error;
  const code = systemCode(first) ?? "";
  const known = reasons[code];
  if (known) return known;
  // undici's parser reports its own codes, which differ between versions.
  if (code.startsWith("HPE_") || (first instanceof Error && first.name === "HTTPParserError")) {
    return {
      text: "the server does not answer with HTTP",
      hint: "If it is served with TLS, write its address with https:// instead of http://.",
    };
  }
  if (code.startsWith("ERR_SSL_") || code === "EPROTO") {
    const [, why] = /SSL routines:[^:]*:([^:]+):/.exec(errorMessage(first)) ?? [];
    return {
      text: `TLS failed${why ? `: ${why}` : ""}`,
      hint: "Check that the address is that of the instance, and which TLS versions its proxy accepts.",
    };
  }
  const message = errorMessage(first);
  if (message === "bad port") return { text: "HTTP clients refuse this port, which belongs to another protocol" };
  return { text: message };
}
