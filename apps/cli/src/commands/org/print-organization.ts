import type { OrganizationView } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import type { CommandContext } from "../../context/command-context.ts";
import { formatTable } from "../../terminal/table.ts";

export function printOrganizations(context: CommandContext, organizations: readonly OrganizationView[]): void {
  const rows = organizations.map(({ name, role, createdAt, displayName }) => [
    plainText(name),
    role ?? "-",
    createdAt.slice(0, 10),
    plainText(displayName || "-"),
  ]);
  context.stdout.write(formatTable(["NAME", "YOUR ROLE", "CREATED", "DISPLAY NAME"], rows));
}
