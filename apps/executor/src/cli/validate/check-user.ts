import { userInfo } from "node:os";
import type { Config } from "../../config/options.ts";
import type { Check } from "./check.ts";

const weakerWithoutRoot = [
  "Without root, workspaces are copies instead of mounts: each job's checkout takes time and disk space, and no file system limits its size.",
  "Without root, the oci runtime copies images, and needs cgroups that are delegated to this user to enforce limits.",
];

/** Reports the user of this process, and what is weaker without root. In Kubernetes nothing is. */
export function checkUser(
  kind: Config["runtime"]["kind"],
  user: { readonly uid: number; readonly username: string } = userInfo(),
): Check {
  return {
    name: "user",
    run: async ({ note }) => {
      if (user.uid === 0) return "root";
      if (kind !== "kubernetes") for (const text of weakerWithoutRoot) note(text);
      return `${user.username}, not root`;
    },
  };
}
