import { AirlockError } from "@airlock/job";

/** The token becomes a header, which cannot hold line ends and most characters that are not ASCII. */
export function checkToken(token: string, where: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new AirlockError(`${where}: the token may contain only letters, digits and punctuation, no spaces`, {
    code: "connection-invalid",
    hint: "Copy it from the file `token` in the instance's data directory, without a line end.",
  });
}

/**
 * Parses the address of an instance, which then ends with a slash.
 * @param where The variable, file or argument that holds it, for messages.
 */
export function parseInstanceUrl(text: string, where: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new AirlockError(`${where}: "${text}" is not an http or https URL`, {
      code: "connection-invalid",
      hint: "Write it as http://127.0.0.1:7080.",
    });
  }
  if (url.username !== "" || url.password !== "") {
    throw new AirlockError(`${where}: the URL of the instance must not contain a user or a password`, {
      code: "connection-invalid",
      hint: "Give the token in AIRLOCK_TOKEN or with `airlock login` instead.",
    });
  }
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  url.search = "";
  url.hash = "";
  return url;
}
