import { expect, it } from "vitest";
import { EgressNotes } from "./egress-notes.ts";

it("tells denials in the entry of the step that runs, and counts them all", () => {
  const lines: string[] = [];
  let count = 0;
  const notes = new EgressNotes(() => {
    count += 1;
  });
  const entry = { write: () => {}, note: (text: string) => lines.push(text), close: () => {} };

  notes.tell({ kind: "name", name: "before.example.com" });
  {
    using _ = notes.during(entry);
    notes.tell({ kind: "connection", address: "10.0.0.1", port: 80, protocol: "tcp" });
    notes.tell({ kind: "name", name: "metadata.google.internal" });
  }
  notes.tell({ kind: "name", name: "after.example.com" });

  expect(lines).toEqual([
    "network: the egress policy does not allow tcp to 10.0.0.1 port 80",
    "network: the egress policy does not allow the name metadata.google.internal",
  ]);
  expect(count).toBe(4);
});
