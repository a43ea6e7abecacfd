import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { NetworkTraffic } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";

/**
 * The traffic of a sandbox, from the host's end of its link: what the host receives there, the sandbox sent. `undefined`:
 * the interface is in another network namespace than this process. Reads synchronously, because the kernel answers from
 * memory.
 */
export function interfaceTraffic(interfaceName: string): NetworkTraffic | undefined {
  const statistics = join("/sys/class/net", interfaceName, "statistics");
  try {
    return {
      receivedBytes: Number(readFileSync(join(statistics, "tx_bytes"), "utf8")),
      sentBytes: Number(readFileSync(join(statistics, "rx_bytes"), "utf8")),
    };
  } catch (error) {
    // EINVAL: the interface was removed while its file was open.
    if (["ENOENT", "ENODEV", "EINVAL"].includes(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}
