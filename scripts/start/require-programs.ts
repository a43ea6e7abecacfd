import { readFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { canInstall, installPackages, missingPackages, type SystemPackage } from "../programs/system-packages.ts";

/**
 * Makes sure that git and a sandbox technology are installed: a Docker engine that answers, or crun or runc. Installs
 * what is missing if it may, else returns instructions.
 * Also installs the programs that give jobs a network, if possible. Without them jobs run without a network.
 */
export async function requirePrograms(env: NodeJS.ProcessEnv): Promise<{ readonly problem: string } | null> {
  const wanted: SystemPackage[] = [{ name: "git", paths: onPath("git", env) }];
  if (!(await hasEngine(env))) wanted.push({ name: "crun", paths: [...onPath("crun", env), ...onPath("runc", env)] });
  const needed = missingPackages(wanted);
  if (!canInstall()) return needed.length === 0 ? null : { problem: howToInstall(needed) };
  const useful = missingPackages([
    { name: "nftables", paths: onPath("nft", env) },
    { name: "iproute2", paths: onPath("ip", env) },
    { name: "conntrack", paths: onPath("conntrack", env) },
  ]);
  if (needed.length + useful.length === 0) return null;
  const missing = [...needed, ...useful];
  console.log(`installing ${missing.join(", ")} (apt-get) …`);
  const startedAt = performance.now();
  const failure = installPackages(missing);
  if (failure === null) {
    console.log(`installed in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    return null;
  }
  if (needed.length === 0) {
    console.log(`apt-get could not install ${useful.join(" and ")}: jobs will have no network`);
    return null;
  }
  return { problem: `apt-get could not install ${missing.join(", ")}:\n${failure}` };
}

function onPath(program: string, env: NodeJS.ProcessEnv): string[] {
  const directories = [
    ...(env.PATH ?? "").split(path.delimiter),
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
  ];
  return directories
    .filter((directory) => path.isAbsolute(directory))
    .map((directory) => path.join(directory, program));
}

/** Whether a Docker engine may be used and answers. */
async function hasEngine(env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env.EXECUTOR_RUNTIME === "oci") return false;
  const host = env.DOCKER_HOST ?? "unix:///var/run/docker.sock";
  // An engine at another address was configured on purpose. The executor reports problems with it.
  if (!host.startsWith("unix://")) return true;
  return new Promise((resolve) => {
    const socket = connect(host.slice("unix://".length));
    const done = (answers: boolean) => {
      socket.destroy();
      resolve(answers);
    };
    socket.setTimeout(2000, () => done(false));
    socket.on("error", () => done(false));
    socket.on("data", (bytes) => done(bytes.toString("latin1").startsWith("HTTP/1.1 200")));
    socket.on("connect", () => socket.write("GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"));
  });
}

function howToInstall(missing: readonly string[]): string {
  const names = missing.join(" ");
  const sudo = process.getuid?.() === 0 ? "" : "sudo ";
  const what = missing.map((name) =>
    name === "crun" ? "a sandbox technology (crun, runc, or a Docker engine)" : name,
  );
  const command = installCommand(names);
  return command
    ? `${what.join(" and ")} is missing; type this, then npm start again:\n\n  ${sudo}${command}\n`
    : `${what.join(" and ")} is missing; install ${names} with your system's package manager, or start a Docker engine, then type npm start again`;
}

const commands: readonly (readonly [family: RegExp, command: string])[] = [
  [/\b(?:debian|ubuntu)\b/, "apt-get install -y"],
  [/\b(?:fedora|rhel|centos)\b/, "dnf install -y"],
  [/\balpine\b/, "apk add"],
  [/\barch\b/, "pacman -S --noconfirm"],
  [/\bsuse\b/, "zypper install -y"],
];

function installCommand(names: string): string | undefined {
  let release: string;
  try {
    release = readFileSync("/etc/os-release", "utf8");
  } catch {
    return process.platform === "darwin" && names === "git" ? "xcode-select --install" : undefined;
  }
  const families = [...release.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)/gm)].map(([, ids]) => ids).join(" ");
  const command = commands.find(([family]) => family.test(families))?.[1];
  return command && `${command} ${names}`;
}
