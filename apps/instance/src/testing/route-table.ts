// Prints the table of routes and roles for docs/access.md.
import { roles } from "../access/actor.ts";
import { reachOf } from "../access/permissions.ts";
import { routeRules } from "../access/route-rules.ts";

const lines = [
  `| route | permission | ${roles.join(" | ")} |`,
  `|---|---|${roles.map(() => "---|").join("")}`,
  ...Object.entries(routeRules).map(([route, permission]) => {
    const cells = roles.map((role) => reachOf(role, permission) ?? "–");
    return `| \`${route}\` | \`${permission}\` | ${cells.join(" | ")} |`;
  }),
];
console.log(lines.join("\n"));
