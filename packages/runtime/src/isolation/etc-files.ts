/** Files of `/etc` that every step gets instead of its image's, in the order of the guest protocol. */
export const etcNames = ["hosts", "hostname", "resolv.conf"] as const;

export type EtcFiles = Readonly<Record<(typeof etcNames)[number], string>>;

export function etcFiles(hostname: string, resolvConf: string): EtcFiles {
  return {
    hosts: `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${hostname}\n`,
    hostname: `${hostname}\n`,
    "resolv.conf": resolvConf,
  };
}
