export { closestWord } from "@airlock/job";
