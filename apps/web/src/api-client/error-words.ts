import { ApiRequestError } from "./http.ts";

/** A text as a whole sentence. Messages of the API are parts of one. */
export function asSentence(text: string): string {
  const capital = `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}

export interface ErrorWords {
  readonly message: string;
  readonly hint: string | undefined;
  /** Where the documentation site explains the error. */
  readonly help?: string;
}

/** Message and hint for displaying an error. */
export function errorWords(error: unknown): ErrorWords {
  if (error instanceof ApiRequestError) {
    return { message: asSentence(error.message), hint: error.hint, help: `/help/errors#${error.code}` };
  }
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
