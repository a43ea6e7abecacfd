import { ApiRequestError } from "./http.ts";

/** Message and hint for displaying an error. */
export function errorWords(error: unknown): { readonly message: string; readonly hint: string | undefined } {
  if (error instanceof ApiRequestError) return { message: error.message, hint: error.hint };
  if (error instanceof TypeError) {
    return {
      message: "The instance cannot be reached.",
      hint: "Is it running, and is the network up? The page keeps trying.",
    };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return {
    message: `The instance sent an unexpected response: ${detail}`,
    hint: "Reload the page: the instance may have been updated.",
  };
}
