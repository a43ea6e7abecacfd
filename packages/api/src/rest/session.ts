import { z } from "zod";

/** `POST /api/v1/session`: exchanges the administrator's token for a session cookie of the web UI. */
export const CreateSessionRequest = z.strictObject({ token: z.string().min(1).max(1000) });
/** `GET /api/v1/session`: the identity of the caller. */
export const SessionView = z.object({ role: z.literal("administrator"), version: z.string() });
export type SessionView = z.output<typeof SessionView>;
