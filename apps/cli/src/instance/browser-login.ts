import { hostname } from "node:os";
import { BegunCommandLineLogin, FinishedCommandLineLogin } from "@airlock/api";
import { plainText } from "@airlock/terminal-text";
import type { z } from "zod";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { ask } from "../terminal/ask.ts";
import { openInBrowser } from "../terminal/open-browser.ts";
import { InstanceClient } from "./instance-client.ts";
import { RequestError } from "./request-error.ts";

/**
 * Gets an access token that a person confirms in a browser, which may be on another machine. The page answers with a
 * code to type here, so the token goes only to a terminal of the person who confirmed.
 */
export async function browserLogin(
  context: CommandContext,
  url: URL,
): Promise<z.output<typeof FinishedCommandLineLogin>> {
  const client = new InstanceClient({ url, token: "", source: "your input" });
  const begun = await client.json(BegunCommandLineLogin, "command-line-logins", {
    method: "POST",
    body: { host: hostname().slice(0, 100) },
  });
  // Only a path of the instance itself: its answer must not lead to another site.
  const page = new URL("connect", url);
  page.search = new URLSearchParams({ code: begun.code }).toString();
  await openInBrowser(context, page.href);
  context.stderr.write(`confirm only if the page shows the code ${plainText(begun.code)}\n`);
  while (true) {
    const typed = await ask(context, "Code that the page shows after that:");
    if (typed === "") throw new UsageError("not logged in: no code was typed");
    const body = { secret: begun.secret, confirmationCode: typed };
    try {
      return await client.json(FinishedCommandLineLogin, "command-line-logins/token", { method: "POST", body });
    } catch (error) {
      const again = error instanceof RequestError && /^(?:wrong-confirmation-code|invalid-request)$/.test(error.code);
      if (!again) throw error;
      context.stderr.write(`${plainText(error.message)}. ${plainText(error.hint ?? "")}\n`);
    }
  }
}
