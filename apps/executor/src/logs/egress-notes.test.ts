import { expect, it } from "vitest";
import { EgressNotes } from "./egress-notes.ts";

it("denied connections are noted in the entry of the running step, and all are counted", () => {
  const lines: string[] = [];
  const counted: string[] = [];
  const notes = new EgressNotes((kind) => counted.push(kind));
  const entry = { write: () => {}, note: (text: string) => lines.push(text), close: () => {} };

  notes.tell({ kind: "name", name: "before.example.com" });
  {
    using denials = notes.during(entry);
    expect(denials.summary()).toBeNull();
    notes.tell({ kind: "connection", address: "10.0.0.1", port: 80, protocol: "tcp" });
    expect(denials.summary()).toBe("the egress policy denied tcp to 10.0.0.1 port 80");
    notes.tell({ kind: "name", name: "metadata.google.internal" });
    notes.tell({ kind: "name", name: "x.tunnel.example.org", isOverLimit: true });
    notes.tell({ kind: "limit", limit: "new-connections" });
    expect(denials.summary()).toBe("the egress policy denied tcp to 10.0.0.1 port 80 and 2 more, see the log");
  }
  notes.tell({ kind: "name", name: "after.example.com" });

  expect(lines).toEqual([
    "network: the egress policy does not allow tcp to 10.0.0.1 port 80",
    "network: the egress policy does not allow the name metadata.google.internal",
    "network: the job looks up more names than its limit; x.tunnel.example.org and others are refused for a while",
    "network: the job opens connections faster than its limit; new ones are delayed",
  ]);
  expect(counted).toEqual(["name", "connection", "name", "name", "limit", "name"]);
});
