import type { UserView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import type { CommandContext } from "../../context/command-context.ts";
import { formatTable } from "../../terminal/table.ts";

export function printUsers(context: CommandContext, users: readonly UserView[]): void {
  const rows = users.map((user) => [
    plainText(user.name),
    user.role,
    user.disabled ? "disabled" : "enabled",
    user.createdAt.slice(0, 10),
    plainText(user.displayName || "-"),
  ]);
  context.stdout.write(formatTable(["NAME", "ROLE", "STATE", "CREATED", "DISPLAY NAME"], rows));
}
