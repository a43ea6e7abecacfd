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
  return new AirlockError("these credentials do not permit this", { code: "unauthorized" });
}
