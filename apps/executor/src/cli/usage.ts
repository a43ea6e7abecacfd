import { variablesDocument, variablesText } from "../config/variables-document.ts";
import type { HelpTopic } from "./command-line.ts";

/** What `executor help TOPIC` prints. */
export function usage(topic: HelpTopic): string {
  if (topic === "variables") return variablesText();
  if (topic === "variables-markdown") return variablesDocument().trimEnd();
  return texts[topic];
}

const texts: Readonly<Record<Exclude<HelpTopic, "variables" | "variables-markdown">, string>> = {
  executor: `Usage: executor [run | validate | install | image load | version | help]

  run [--verify]   take jobs from the instance and run them (default); --verify: validate first
  validate         check everything that run needs, and say how to mend what is missing
  install [WHAT]   install programs that run needs: all, git, crun, runc or nftables
  image load FILE  add the images of an OCI layout or a docker save archive to the oci runtime's store
  version          print the versions of the executor and what it runs on
  help [TOPIC]     print this, or help about a command, or about variables

Configured by environment variables: EXECUTOR_FRONTEND_URL, EXECUTOR_FRONTEND_PASSWORD and EXECUTOR_QUEUE_NAME at least.
executor help variables lists all of them; so does docs/executor-configuration.md.

Examples:
  EXECUTOR_FRONTEND_URL=https://airlock.example.com EXECUTOR_FRONTEND_PASSWORD=… EXECUTOR_QUEUE_NAME=default executor run
  executor install all && executor validate

Exit codes: 0 done, 1 failed, 2 wrong usage.`,
  run: `Usage: executor run [--verify]

Takes jobs from the instance and runs them. The first SIGTERM, SIGINT or SIGHUP lets running jobs end, the second one
stops them and hands them back, the third one ends the process.

  --verify  check everything first, as executor validate does, and end with 1 when a check fails

Example:
  EXECUTOR_MAXIMUM_NUM_JOBS=4 executor run --verify`,
  validate: `Usage: executor validate

Checks the configuration, the user, the data directory, git, the runtime, registry credentials, certificates and the
instance, with the environment of executor run. Prints a line for each, what could be better, and how to mend what fails.

Exit codes: 0 all checks passed, 1 some failed.`,
  install: `Usage: executor install [all | git | crun | runc | nftables]

Installs programs that executor run needs from the packages of Debian or Ubuntu, as root; elsewhere it prints what to
type. all (default): git, crun, nftables, iproute2, util-linux and e2fsprogs. What is there already is left alone.

The protocol's other targets: src-cli and iptables-rules are not needed; ignite, image and cni belong to Firecracker,
which this executor does not have. --bin-dir and --recreate-chain are accepted and decide about nothing.

Examples:
  executor install all
  executor install runc`,
  image: `Usage: executor image load FILE

Adds the images of an OCI layout (directory or tar) or of a docker save archive to the oci runtime's store, and prints
their names.

Example:
  docker save alpine:3.20 -o alpine.tar && executor image load alpine.tar`,
  version: `Usage: executor version

Prints the version that the executor gives itself on the wire, then the release, Node and the platform.`,
};
