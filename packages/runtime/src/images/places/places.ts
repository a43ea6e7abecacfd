/** Top-level directories of every step that the executor fills, whatever the image has there. */
export const places = ["dev", "proc", "sys", "data", "airlock", "etc"] as const;

export type Place = (typeof places)[number];

const words: Readonly<Record<Place, string>> = {
  dev: "the devices are",
  proc: "the kernel's files are",
  sys: "the kernel's files are",
  data: "Airlock mounts the workspace",
  airlock: "Airlock mounts the scripts",
  etc: "Airlock puts hosts, hostname and resolv.conf",
};

/** E.g. `the devices are at /dev`. */
export function placeWords(place: Place): string {
  return `${words[place]} at /${place}`;
}

/** E.g. `/dev, where the devices are`. */
export function placeAndWords(place: Place): string {
  return `/${place}, where ${words[place]}`;
}
