import { requestNothing } from "./http.ts";
import { restPath } from "./rest-path.ts";

/** Sets a password with the token of a one-time link, and begins a session. */
export const setPassword = (token: string, password: string) =>
  requestNothing(restPath`/password`, { method: "POST", body: { token, password } });
