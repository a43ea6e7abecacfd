import type { PreparedImage } from "./store/image-store.ts";

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The variables of the image and the step as `NAME=VALUE`. The step's take precedence. */
export function stepEnvironment(
  image: Pick<PreparedImage, "env" | "user">,
  env: Readonly<Record<string, string>>,
): readonly string[] {
  const merged = new Map<string, string>([
    ["PATH", defaultPath],
    ["HOME", image.user.home],
  ]);
  for (const entry of image.env) {
    const equals = entry.indexOf("=");
    if (equals > 0 && !entry.includes("\0")) merged.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const [name, value] of Object.entries(env)) merged.set(name, value);
  return [...merged].map(([name, value]) => `${name}=${value}`);
}
