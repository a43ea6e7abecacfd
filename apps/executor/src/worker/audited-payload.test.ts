import { JobPayload } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { airlockJob } from "../testing/start-executor.ts";
import { auditedPayload } from "./audited-payload.ts";

describe("the audit log's payload", () => {
  it("contains no token, no registry credentials and no redacted value", () => {
    const payload = JobPayload.parse(
      airlockJob(1, ["deploy --key hunter2hunter2 --short hunter2"], {
        token: "0123456789abcdef0123456789abcdef01234567",
        dockerAuthConfig: { auths: { "registry.example.com": { auth: "dXNlcjpwYXNzd29yZA==" } } },
        redactedValues: { hunter2: "<<SHORT>>", hunter2hunter2: "<<LONG>>" },
      }),
    );

    const text = JSON.stringify(auditedPayload({ payload, queue: "default", key: "1" }));

    expect(text).toContain("deploy --key <<LONG>> --short <<SHORT>>");
    for (const secret of ["hunter2", payload.token, "dXNlcjpwYXNzd29yZA"]) expect(text).not.toContain(secret);
  });
});
