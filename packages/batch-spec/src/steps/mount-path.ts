export type MountPath =
  | { readonly path: string; readonly problem?: undefined }
  | { readonly path?: undefined; readonly problem: string };

/**
 * The path of a mount relative to the directory of the spec. `directory` is that directory's absolute path, with `/`, and
 * is needed only for absolute paths. The caller that opens the file must not follow links out of the directory.
 */
export function mountPath(path: string, directory?: string): MountPath {
  if (path.includes("\0")) return { problem: "must not contain a NUL character" };
  let relative = path;
  if (path.startsWith("/")) {
    const base = directory?.replace(/\/+$/, "");
    if (base === undefined || (path !== base && !path.startsWith(`${base}/`))) {
      return { problem: `${path} is outside of the directory of the spec` };
    }
    relative = path.slice(base.length + 1);
  }
  const parts: string[] = [];
  for (const part of relative.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return { problem: `${path} is outside of the directory of the spec` };
  }
  return { path: parts.join("/") };
}
