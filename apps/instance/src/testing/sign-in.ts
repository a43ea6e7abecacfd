import type { TestInstance } from "./test-instance.ts";

export const testPassword = "violet ladder seven kites";

/** The session cookie that an answer sets. */
export function cookieOf(response: Response): string {
  const cookies = response.headers.getSetCookie().map((cookie) => cookie.split(";")[0] ?? "");
  return cookies.find((cookie) => cookie.startsWith("airlock_session=")) ?? "";
}

/** Creates a user with a password, and returns the cookie of a session. */
export async function signedInUser(
  target: TestInstance,
  name: string,
  role: "administrator" | "member" = "member",
): Promise<string> {
  await target.rest("POST", "/users", { name, role });
  const link = await target.rest("POST", `/users/${name}/password-link`);
  const { token } = (await link.json()) as { token: string };
  const signedIn = await fetch(`${target.url}/api/v1/password`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, password: testPassword }),
  });
  if (signedIn.status !== 200) throw new Error(`${signedIn.status} ${await signedIn.text()}`);
  return cookieOf(signedIn);
}
