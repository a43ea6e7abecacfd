import { AirlockError } from "@airlock/job";
import type { Refusal } from "../../access/may.ts";

/** Answers a refusal in the REST API. */
export function refusePerson(refusal: Refusal): AirlockError {
  if (refusal === "no-credentials") {
    return new AirlockError("no credentials", {
      code: "unauthorized",
      hint: "Send `Authorization: Bearer <administrator's token>`; the token is in the file `token` of the data directory.",
    });
  }
  if (refusal === "missing-scope") {
    return new AirlockError("the access token does not permit this", {
      code: "missing-scope",
      hint: "Use a token with another scope. No token reaches the account of its owner: sign in for that.",
    });
  }
  // Routes answer "hidden" with their own error for a target that does not exist.
  if (refusal === "hidden") return new AirlockError("not found", { code: "not-found" });
  return new AirlockError("your role does not permit this", {
    code: "not-permitted",
    hint: "Ask an owner of the organization, or an administrator of the instance.",
  });
}
