import { closestWord, type JobState, jobStates } from "@airlock/job";
import { InvalidArgumentError } from "commander";

/** Parses job states that are separated by commas. */
export function parseStates(text: string): readonly JobState[] {
  return text.split(",").map((word) => {
    const state = jobStates.find((one) => one === word.trim());
    if (state) return state;
    const meant = closestWord(word.trim(), jobStates);
    throw new InvalidArgumentError(
      `"${word}" is not a state${meant ? `; did you mean "${meant}"?` : ""} The states are ${jobStates.join(", ")}.`,
    );
  });
}
