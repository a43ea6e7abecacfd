import { z } from "zod";

/** `POST /api/v1/session` turns the administrator's token into a session cookie for the web UI. */
export const CreateSessionRequest = z.strictObject({ token: z.string().min(1).max(1000) });
/** `GET /api/v1/session`: who asks. */
export const SessionView = z.object({ role: z.literal("administrator"), version: z.string() });
export type SessionView = z.output<typeof SessionView>;
