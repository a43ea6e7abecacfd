import type { IpFamily } from "../addresses/ip-range.ts";
import type { OwnerNames } from "../host/names.ts";
import { addressType } from "./set-names.ts";

/** An address that a name led to, open until `seconds` have passed. */
export interface Pin {
  readonly slot: number;
  readonly family: IpFamily;
  readonly address: string;
  /** `null`: every port. */
  readonly port: number | null;
  readonly seconds: number;
}

/** Pins of one sandbox at the same time. */
export const maxPins = 4096;
/** The kernel lets a pin end a little later than it is reckoned with, so its sets have more room. */
const setSize = 2 * maxPins;
/** Destinations that a sandbox connects to by name in its life. */
const maxOpened = 16_384;
/** A connection outlives the name's record; longer than this no job runs. */
const openedFor = "3d";

/** Addresses that are open on one port each. */
export function pinnedPortSet(slot: number, family: IpFamily): string {
  return `p${family}_${slot}`;
}

/** Addresses that are open on every port. */
export function pinnedAddressSet(slot: number, family: IpFamily): string {
  return `a${family}_${slot}`;
}

/** Destinations of connections that began while they were pinned. */
export function openedSet(slot: number, family: IpFamily): string {
  return `o${family}_${slot}`;
}

/** The sets that a policy with names needs. */
export function pinSets(slot: number, family: IpFamily): readonly (readonly [name: string, body: string])[] {
  const type = addressType(family);
  return [
    [pinnedPortSet(slot, family), `type ${type} . inet_service; size ${setSize}; flags timeout;`],
    [pinnedAddressSet(slot, family), `type ${type}; size ${setSize}; flags timeout;`],
    [
      openedSet(slot, family),
      `type ${type} . inet_service; size ${maxOpened}; flags dynamic, timeout; timeout ${openedFor};`,
    ],
  ];
}

/** Opens what names led to. An element that is there already gets its new time: deleted and added in one transaction. */
export function pinRuleset(names: OwnerNames, pins: readonly Pin[]): string {
  const lines = new Map<string, string>();
  for (const { slot, family, address, port, seconds } of pins) {
    const set = port === null ? pinnedAddressSet(slot, family) : pinnedPortSet(slot, family);
    const key = port === null ? address : `${address} . ${port}`;
    const where = `element inet ${names.table} ${set}`;
    // Adding first makes the deletion succeed whether it was there or not.
    lines.set(
      `${set} ${key}`,
      `add ${where} { ${key} }\ndelete ${where} { ${key} }\nadd ${where} { ${key} timeout ${seconds}s }\n`,
    );
  }
  return [...lines.values()].join("");
}
