import type { ApiError } from "@airlock/api";

export const noSuchRoute: ApiError = {
  error: {
    code: "not-found",
    message: "no such route",
    hint: "GET /api/v1/openapi.json lists the routes.",
  },
};
