export { type Deadline, startDeadline } from "./deadline.ts";
export { limitBytes, readAtMost } from "./limit-bytes.ts";
export { onAbort } from "./on-abort.ts";
export { pause } from "./pause.ts";
export { startTimer } from "./start-timer.ts";
export { Wakeup } from "./wakeup.ts";
